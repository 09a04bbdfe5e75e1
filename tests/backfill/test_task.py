"""What makes one backfill another one: their answers must not be mixed in one file."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest

from exporter.backfill import task
from exporter.backfill.task import Task, differences
from exporter.settings import load

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=3)
ENVIRON = {
    "HELPSCOUT_CLIENT_ID": "an-id",
    "HELPSCOUT_CLIENT_SECRET": "a-secret",
    "HELPSCOUT_WINDOWS": "[24h, 7d]",
}
SLA = "[{name: a, statistic: first_response_time, target: 1h, objective: 0.9}]"


def wanted(**more: object) -> Task:
    made = task(START, END, None, ["job=helpscout"], 0.2, Path("x.om"), dry_run=False)
    return replace(made, **more)  # type: ignore[arg-type]


def differing(other: Task, **variables: str) -> list[str]:
    environ = ENVIRON | {f"HELPSCOUT_{name}": value for name, value in variables.items()}
    before = wanted().fingerprint(load(None, ENVIRON))
    return differences(before, other.fingerprint(load(None, environ)))


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, []),
        ({"COMPARE": "true"}, ["compare"]),
        ({"OFFICE_HOURS": "[true]"}, ["office_hours"]),
        ({"SEGMENTS": "[{name: vip, tags: [7]}]"}, ["segments"]),
        ({"MAILBOXES__INCLUDE": "[Support]"}, ["mailboxes"]),
        ({"MAILBOXES__ALL": "false"}, ["mailboxes"]),
        ({"SLA": SLA}, ["sla"]),
        ({"TYPES": "[email]"}, ["types"]),
        ({"END_DELAY": "5m"}, ["end_delay"]),
        ({"SHARD__TOTAL": "2"}, ["shard"]),
        ({"CLIENT_ID": "another"}, ["accounts"]),
        ({"WINDOWS": "[24h, 30d]"}, ["--step"]),
        ({"HAPPINESS__TYPES": "[email]"}, ["happiness"]),
        # What changes no answer: pace, secrets, listener.
        ({"STALE_AFTER": "5", "CLIENT_SECRET": "new", "WEB__LISTEN": "127.0.0.1:1"}, []),
        ({"ACCOUNTS__0__BUDGET": "0.9", "ACCOUNTS__0__CONCURRENCY": "2"}, []),
        ({"FOLDERS__EVERY": "5m", "WAITING__MAX_PAGES": "7"}, []),
    ],
    ids=str,
)
def test_another_configuration_is_another_backfill_where_answers_or_series_differ(
    variables: dict[str, str], named: list[str]
) -> None:
    assert differing(wanted(), **variables) == named


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("segments", "[{name: vip, tags: [7]}]", "[{name: vip, tags: [8]}]"),
        ("segments", "[{name: vip, tags: [7]}]", "[{name: vip, tags: [7], folders: [1]}]"),
        ("mailboxes", "{exclude: [Spam]}", "{exclude: [Sales]}"),
        ("sla", SLA, SLA.replace("1h", "2h")),
        ("sla", SLA, SLA.replace("0.9", "0.8")),
    ],
)
def test_what_a_name_stands_for_is_part_of_the_configuration(
    name: str, before: str, after: str
) -> None:
    one, other = (
        wanted().fingerprint(load(None, ENVIRON | {f"HELPSCOUT_{name.upper()}": value}))
        for value in (before, after)
    )
    assert differences(one, other) == [name]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"start": START - timedelta(days=1)}, ["--from"]),
        ({"end": END + timedelta(days=1)}, ["--to"]),
        ({"step": timedelta(hours=7)}, ["--step"]),
        ({"labels": ()}, ["--label"]),
        ({"budget": 1.0, "dry_run": True}, []),
    ],
    ids=str,
)
def test_other_options_are_another_backfill_where_the_file_differs(
    change: dict[str, object], named: list[str]
) -> None:
    assert differing(wanted(**change)) == named


def test_a_collector_that_moves_to_another_account_is_another_backfill() -> None:
    def fingerprint(first: str, second: str) -> dict[str, str]:
        environ = ENVIRON | {
            "HELPSCOUT_ACCOUNTS__0__NAME": "a",
            "HELPSCOUT_ACCOUNTS__0__COLLECTORS": first,
            "HELPSCOUT_ACCOUNTS__1__NAME": "b",
            "HELPSCOUT_ACCOUNTS__1__COLLECTORS": second,
            "HELPSCOUT_ACCOUNTS__1__CLIENT_ID": "other",
            "HELPSCOUT_ACCOUNTS__1__CLIENT_SECRET": "other",
        }
        return wanted().fingerprint(load(None, environ))

    both, one = "[productivity, happiness]", "[productivity]"
    assert differences(fingerprint(both, one), fingerprint(one, both)) == ["accounts[].collectors"]


def test_another_version_of_the_exporter_is_another_backfill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = wanted().fingerprint(load(None, ENVIRON))
    monkeypatch.setattr(import_module("exporter.backfill.task"), "__version__", "0.0.0")
    after = wanted().fingerprint(load(None, ENVIRON))
    assert differences(before, after) == ["the exporter's version"]
