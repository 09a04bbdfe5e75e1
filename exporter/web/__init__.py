"""HTTP: sends what the exposition has ready, behind TLS and passwords; never asks Help Scout."""
