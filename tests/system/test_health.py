"""The sequences of docs/health.md on a running exporter: one daemon, an account for each."""

import time
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.support import eventually, scrape
from tests.system.conftest import Start, address, desk

DEAD, NO_REPORTS, FORBIDDEN, BROWN, ONE_IS_401, NO_FOLDERS = "123456"
FAULTS: list[dict[str, Any]] = [
    {"account": 1, "status": 503},
    {"account": 2, "endpoint": "report", "status": 503},
    {"account": 3, "endpoint": "report", "status": 403},
    {"account": 4, "status": 503, "share": 0.5},
    {"account": 5, "endpoint": "report", "mailbox": 1001, "status": 401},
    {"account": 6, "endpoint": "folders", "status": 403},
]
NOTICED_SECONDS = 80.0
BACK_SECONDS = 30.0
SLACK_SECONDS = 10.0


def config(simulator: str) -> str:
    accounts = [
        {
            "name": str(number),
            "client_id": f"demo-{number}",
            "client_secret": f"secret-{number}",
            "base_url": f"{simulator}/v2",
        }
        for number in range(1, 7)
    ]
    # Every five minutes: the next report is far off when the outage begins.
    return yaml.safe_dump(
        {
            "accounts": accounts,
            "types": ["all"],
            "windows": ["24h"],
            "mailboxes": {"all": False},
            "web": {"listen": "127.0.0.1:0"},
        }
    )


def by_account(url: str, name: str, **labels: str) -> dict[str, float]:
    return {
        sample.labels["account"]: sample.value for sample in scrape(url, name).named(name, **labels)
    }


@pytest.mark.timeout(300)
def test_each_account_is_judged_by_what_answers(start: Start, tmp_path: Path) -> None:
    simulator = desk(start, "--accounts", "6", "--mailboxes", "2").url

    def inject(faults: list[dict[str, Any]]) -> None:
        put = requests.put(f"{simulator}/_faults", json={"faults": faults}, timeout=10)
        assert put.ok, put.text

    (tmp_path / "config.yml").write_text(config(simulator))
    url = address(start("serve", "--config", str(tmp_path / "config.yml")))
    works = dict.fromkeys("123456", 1.0)
    eventually(lambda: by_account(url, "helpscout_up") == works, "every account is up")
    eventually(
        lambda: len(scrape(url).named("helpscout_report_success")) == 24, "every report is asked"
    )
    inject(FAULTS)
    began = time.monotonic()
    seen: dict[str, set[float]] = {name: set() for name in works}
    while by_account(url, "helpscout_up")[DEAD] == 1.0:
        for name, up in by_account(url, "helpscout_up").items():
            seen[name].add(up)
        assert time.monotonic() - began < NOTICED_SECONDS + SLACK_SECONDS
        time.sleep(0.5)
    unreachable = by_account(url, "helpscout_account_problem", reason="unreachable")
    assert unreachable[DEAD] == 1.0
    assert all(seen[name] <= {1.0} for name in works if name != DEAD)

    inject([])
    began = time.monotonic()
    while by_account(url, "helpscout_up") != works:
        assert time.monotonic() - began < BACK_SECONDS + SLACK_SECONDS
        time.sleep(0.5)


@pytest.mark.timeout(300)
def test_what_concerns_reports_leaves_the_account_up(start: Start, tmp_path: Path) -> None:
    simulator = desk(start, "--accounts", "6", "--mailboxes", "2").url
    # At the start a list that fails every other time would only be late.
    faults = [
        {"endpoint": "report"} | fault if fault["account"] == 4 else fault for fault in FAULTS
    ]
    put = requests.put(f"{simulator}/_faults", json={"faults": faults}, timeout=10)
    assert put.ok, put.text
    (tmp_path / "config.yml").write_text(config(simulator))
    url = address(start("serve", "--config", str(tmp_path / "config.yml")))
    collectors = {
        "productivity": {
            NO_REPORTS: 0.0, FORBIDDEN: 0.0, BROWN: 1.0, ONE_IS_401: 1.0, NO_FOLDERS: 1.0
        },
        "folders": {FORBIDDEN: 1.0, NO_FOLDERS: 0.0},
    }  # fmt: skip
    for collector, wanted in collectors.items():
        eventually(
            lambda c=collector, w=wanted: (  # type: ignore[misc]
                by_account(url, "helpscout_collector_up", collector=c).items() >= w.items()
            ),
            f"{collector} is judged",
        )
    plan = by_account(url, "helpscout_account_problem", reason="plan")
    assert [name for name, value in plan.items() if value] == [FORBIDDEN]
    until = time.monotonic() + 20
    while time.monotonic() < until:
        up = by_account(url, "helpscout_up")
        assert up == {DEAD: 0.0} | dict.fromkeys("23456", 1.0)
        time.sleep(0.5)
    calls = "helpscout_exporter_api_requests_total"
    logins = by_account(url, calls, operation="token", code="200")
    assert logins[ONE_IS_401] <= 2
