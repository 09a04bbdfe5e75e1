"""helpscout.tmpl alone: what a person reads of a group of alerts, whichever of them still fire."""

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.servers import EACH_VERSION
from tests.support import ROOT, need

_TEMPLATE: Final = ROOT / "prometheus" / "helpscout.tmpl"
_LINK: Final = "https://example.com/#helpscoutslamissed"
_BEGAN: Final = "2026-01-05 10:00 UTC"
_FIVE: Final = "".join(f"- {name} is missed\n" for name in "ABCDE")

MESSAGES: Final = {
    "one fires": ("F", "FIRING: A is missed", f"A: why.\nSince {_BEGAN}. {_LINK}"),
    "one is over": ("R", "RESOLVED: A is missed", f"It is over. It began {_BEGAN}. {_LINK}"),
    "one fires, and one before it is over": (
        "RF",
        "FIRING: B is missed",
        f"B: why.\n1 more alert is over.\nSince {_BEGAN}. {_LINK}",
    ),
    "two fire, and two are over": (
        "RFRF",
        "FIRING: HelpscoutSlaMissed, SLA first-reply, account acme: 2 alerts",
        (
            "- B is missed\n- D is missed\nThe first of them: B: why.\n2 more alerts are over.\n"
            f"Since {_BEGAN}. {_LINK}"
        ),
    ),
    "seven fire": (
        "FFFFFFF",
        "FIRING: HelpscoutSlaMissed, SLA first-reply, account acme: 7 alerts",
        (f"{_FIVE}and 2 more\nThe first of them: A: why.\nSince {_BEGAN}. {_LINK}"),
    ),
    "six are over": (
        "RRRRRR",
        "RESOLVED: HelpscoutSlaMissed, SLA first-reply, account acme: 6 alerts",
        (f"{_FIVE}and 1 more\nIt is over. It began {_BEGAN}. {_LINK}"),
    ),
}
"""By F for an alert that fires and R for one that is over, in Alertmanager's order."""


def _alert(name: str, status: str) -> dict[str, object]:
    return {
        "status": {"F": "firing", "R": "resolved"}[status],
        "labels": {"alertname": "HelpscoutSlaMissed", "mailbox_id": name},
        "annotations": {
            "summary": f"{name} is missed",
            "description": f"{name}: why.",
            "runbook_url": _LINK,
        },
        "startsAt": "2026-01-05T11:00:00+01:00",
    }


@EACH_VERSION
@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_about_the_alerts_that_fire(name: str, version: str, tmp_path: Path) -> None:
    states, title, text = MESSAGES[name]
    data = {
        "receiver": "support",
        "status": "firing" if "F" in states else "resolved",
        "alerts": [_alert(*each) for each in zip("ABCDEFG", states, strict=False)],
        "groupLabels": {},
        "commonLabels": {
            "alertname": "HelpscoutSlaMissed", "sla": "first-reply", "account": "acme",
        },
        "commonAnnotations": {"runbook_url": _LINK},
        "externalURL": "http://alertmanager",
    }  # fmt: skip
    (tmp_path / "data.json").write_text(json.dumps(data))
    done = subprocess.run(
        [
            need("amtool", version), "template", "render", f"--template.glob={_TEMPLATE}",
            '--template.text={{ template "helpscout.title" . }}|{{ template "helpscout.text" . }}',
            f"--template.data={tmp_path / 'data.json'}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, _, about = done.stdout.partition("|")
    assert (said.strip(), about.strip()) == (title, text)
