"""Work split over processes: each report on one of them, together what one alone would show."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.support import Ended, Metrics, Run, eventually, scrape
from tests.system.conftest import NOW, Start, address, desk

Series = tuple[str, frozenset[tuple[str, str]]]
MOMENTS = "helpscout_report_last_success_timestamp_seconds"
CALLS = "helpscout_exporter_api_requests_total"
SUCCESS = "helpscout_report_success"


def configuration(folder: Path, url: str, accounts: int, budget: float = 1.0) -> str:
    """Write a configuration with so many of the simulator's accounts; return its path."""
    path = folder / f"of-{accounts}.yml"
    content = {
        "accounts": [
            {
                "name": f"desk-{number}",
                "base_url": f"{url}/v2",
                "client_id": f"demo-{number}",
                "client_secret": f"secret-{number}",
                "budget": budget,
            }
            for number in range(1, accounts + 1)
        ],
        "types": ["all", "email"],
        "windows": ["24h"],
        "web": {"listen": "127.0.0.1:0"},
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


def shard(index: int, total: int, by: str) -> dict[str, str]:
    """Return the variables that make a process one shard of several."""
    return {
        "HELPSCOUT_SHARD__INDEX": str(index),
        "HELPSCOUT_SHARD__TOTAL": str(total),
        "HELPSCOUT_SHARD__BY": by,
    }


def rounds(run: Run, config: str, total: int, by: str) -> list[dict[Series, float]]:
    """Return what a whole round of each shard exports, at one moment of a frozen world."""
    arguments = ("once", "--at", NOW, "--config", config)
    return [exported(run(*arguments, environ=shard(n, total, by))) for n in range(total)]


def exported(ended: Ended) -> dict[Series, float]:
    assert ended.code == 0, ended.stderr
    return {
        series: 0 if series[0] == MOMENTS else value
        for series, value in Metrics.of_text(ended.stdout).by_series().items()
        if not series[0].startswith("helpscout_exporter_")
    }


def of_reports(found: Mapping[Series, float]) -> dict[Series, float]:
    """Return the series that belong to one report, not to an account or a mailbox's name."""
    return {
        series: value
        for series, value in found.items()
        if "window" in dict(series[1]) and "mailbox_id" in dict(series[1])
    }


def owners(shards: list[dict[Series, float]]) -> dict[Series, int]:
    """Return which shard has each report."""
    return {s: n for n, found in enumerate(shards) for s in found if s[0] == SUCCESS}


@pytest.mark.parametrize(
    ("by", "accounts", "mailboxes", "reports"),
    [("account", 40, 2, 40 * (3 * 2 + 2)), ("mailbox", 1, 40, 41 * 2 + 40)],
    ids=["forty accounts", "one account of forty mailboxes"],
)
def test_four_shards_export_together_what_one_process_does(
    start: Start, run: Run, tmp_path: Path, by: str, accounts: int, mailboxes: int, reports: int
) -> None:
    world = ("--now", NOW, "--accounts", str(accounts), "--mailboxes", str(mailboxes))
    config = configuration(tmp_path, desk(start, *world).url, accounts)
    (whole,) = rounds(run, config, 1, by)
    four = rounds(run, config, 4, by)

    every = Counter(series for found in four for series in of_reports(found))
    assert set(every.values()) == {1}, "a report is on two shards"
    together = {series: value for found in four for series, value in found.items()}
    assert together == whole
    assert sum(series[0] == SUCCESS for series in whole) == reports
    assert all(of_reports(found) for found in four), "a shard has nothing to do"

    five = owners(rounds(run, config, 5, by))
    before = owners(four)
    assert five.keys() == before.keys()
    moved = sum(five[series] != before[series] for series in before)
    assert 0 < moved <= 0.3 * len(before)


def test_shards_that_split_an_account_stay_within_its_limit_together(
    start: Start, tmp_path: Path
) -> None:
    limit, budget = 600, 0.5
    url = desk(start, "--now", NOW, "--mailboxes", "40", "--rate-limit", str(limit)).url
    config = configuration(tmp_path, url, 1, budget)
    began = time.monotonic()
    shards = [start("serve", "--config", config, environ=shard(n, 4, "mailbox")) for n in range(4)]
    urls = [address(process) for process in shards]

    def all_there() -> list[Metrics] | None:
        found = [scrape(each, SUCCESS, CALLS, "helpscout_exporter_shards") for each in urls]
        good = sum(sample.value for metrics in found for sample in metrics.named(SUCCESS))
        return found if good == 41 * 2 + 40 else None

    found = eventually(all_there, "every report on one of the shards", 120)
    took = time.monotonic() - began
    calls = sum(sample.value for metrics in found for sample in metrics.named(CALLS))
    assert not [s for metrics in found for s in metrics.named(CALLS, code="429")]
    # Each may do the first call of its second's worth at once.
    assert calls <= limit * budget / 60 * took + 2 * len(shards)
    assert calls >= 41 * 2 + 40 + 2 * len(shards)  # with a login and a list each
    assert [metrics.value("helpscout_exporter_shards") for metrics in found] == [4] * 4
