"""HTTP: sends what the exposition has ready, with TLS and passwords. Nothing here asks Help Scout."""
