"""HTTP: sends what lies ready, behind the doors asked for. Nothing here asks Help Scout."""
