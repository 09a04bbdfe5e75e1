"""Grafana's dashboards and alert rules as code; `python -m scripts.dashboards` writes them."""
