"""Writes the dashboards' JSON and Grafana's alert rules into grafana/."""

from scripts.dashboards.files import GRAFANA, files


def main() -> None:
    """Write every file."""
    for name, text in files().items():
        path = GRAFANA / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
