"""The program as a real process, with a real Prometheus."""
