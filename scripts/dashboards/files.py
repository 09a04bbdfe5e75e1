"""What is generated, by its place in grafana/."""

from pathlib import Path
from typing import Final

import yaml

from scripts.dashboards.alerting import rule_file
from scripts.dashboards.exporter import exporter
from scripts.dashboards.mailbox import mailbox
from scripts.dashboards.overview import overview

GRAFANA: Final = Path(__file__).parents[2] / "grafana"
_WRITTEN: Final = "# Written by `make dashboards` from scripts/dashboards. A test compares.\n"


def files() -> dict[str, str]:
    """Return the text of every generated file."""
    boards = (overview(), mailbox(), exporter())
    rules = yaml.safe_dump(rule_file(), sort_keys=False, allow_unicode=True, width=10_000)
    return {
        **{f"dashboards/{board.uid}.json": board.json() + "\n" for board in boards},
        "examples/alerting/rules.yml": _WRITTEN + rules,
    }
