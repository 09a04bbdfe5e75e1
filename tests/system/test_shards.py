"""Work split over processes: each report on one of them, together what one alone would show."""

import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.support import Ended, Metrics, Process, Run, eventually, get, scrape, values
from tests.system.conftest import NOW, Start, address, desk

Series = tuple[str, frozenset[tuple[str, str]]]
MOMENTS = "helpscout_report_last_success_timestamp_seconds"
CALLS = "helpscout_exporter_api_requests_total"
SUCCESS = "helpscout_report_success"

# What runs here in the tests' own process is measured elsewhere.
pytestmark = pytest.mark.no_cover


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
    [("account", 20, 2, 20 * (3 * 2 + 2)), ("mailbox", 1, 40, 41 * 2 + 40)],
    ids=["twenty accounts", "one account of forty mailboxes"],
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
        good = sum(map(successes, urls))
        return [scrape(each) for each in urls] if good == 41 * 2 + 40 else None

    found = eventually(all_there, "every report on one of the shards", 120)
    took = time.monotonic() - began
    calls = sum(sample.value for metrics in found for sample in metrics.named(CALLS))
    assert not [s for metrics in found for s in metrics.named(CALLS, code="429")]
    # Each may do the first call of its second's worth at once.
    assert calls <= limit * budget / 60 * took + 2 * len(shards)
    assert calls >= 41 * 2 + 40 + 2 * len(shards)  # with a login and a list each
    assert [metrics.value("helpscout_exporter_shards") for metrics in found] == [4] * 4


def successes(url: str) -> float:
    """Return how many reports have arrived."""
    return sum(value for _, value in values(url, SUCCESS))


def without_own(metrics: Metrics) -> dict[Series, float]:
    """Return what is told of Help Scout, not of the process."""
    return {
        series: value
        for series, value in metrics.by_series().items()
        if not series[0].startswith(("helpscout_exporter_", "process_", "python_"))
    }


def saved(path: Path) -> int:
    """Return how many readings a state file has."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return int(database.execute("SELECT count(*) FROM reports").fetchone()[0])


def calls_answered(url: str) -> Counter[str]:
    """Return how many calls the simulator has answered, by endpoint, and how many it refused."""
    accounts = get(f"{url}/_stats").json()["accounts"].values()
    found = Counter[str]()
    for account in accounts:
        found["throttled"] += account["throttled"]
        for endpoint, by_status in account["calls"].items():
            found[endpoint] += sum(by_status.values())
    return found


def test_a_killed_shard_loses_its_series_and_restores_all_of_them(
    start: Start, tmp_path: Path
) -> None:
    url = desk(start, "--now", NOW, "--mailboxes", "20").url
    config = configuration(tmp_path, url, 1)
    files = [tmp_path / f"state-{n}.db" for n in range(2)]

    def started(index: int) -> Process:
        own = {"HELPSCOUT_STATE_FILE": str(files[index])}
        return start("serve", "--config", config, environ=shard(index, 2, "mailbox") | own)

    killed, other = started(0), started(1)
    at = [address(killed), address(other)]

    def all_there() -> list[Metrics] | None:
        good = sum(map(successes, at))
        return [scrape(each) for each in at] if good == 21 * 2 + 20 else None

    before = eventually(all_there, "every report on one of the shards", 120)
    eventually(lambda: saved(files[0]) == len(before[0].named(SUCCESS)), "all of it is saved")
    asked = calls_answered(url)

    killed.signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert without_own(scrape(at[1])) == without_own(before[1]), (
        "the other shard takes nothing over"
    )

    again = address(started(0))
    assert of_reports(without_own(scrape(again))) == of_reports(without_own(before[0]))
    more = calls_answered(url) - asked
    assert set(more) <= {"token", "mailboxes"}, "nothing that is known is asked again"


def test_two_replicas_with_half_of_the_budget_each_stay_within_it_and_say_the_same(
    start: Start, tmp_path: Path
) -> None:
    limit, budget, mailboxes = 2_400, 0.5, 20
    world = ("--now", NOW, "--mailboxes", str(mailboxes), "--rate-limit", str(limit))
    url = desk(start, *world).url
    config = configuration(tmp_path, url, 1, budget / 2)
    began = time.monotonic()
    replicas = [address(start("serve", "--config", config)) for _ in range(2)]
    questions = (mailboxes + 1) * 2 + mailboxes

    def all_there() -> list[Metrics] | None:
        good = [successes(each) for each in replicas]
        return [scrape(each) for each in replicas] if good == [questions] * 2 else None

    found = eventually(all_there, "every report on both", 120)
    took, calls = time.monotonic() - began, calls_answered(url)
    throttled = calls.pop("throttled")
    assert throttled == 0
    assert 2 * questions <= calls.total() <= limit * budget / 60 * (took + 2 * len(replicas))
    first, second = (
        {s: 0 if s[0] == MOMENTS else value for s, value in without_own(each).items()}
        for each in found
    )
    assert first == second, "a rule that takes the largest counts them once"

    # A pair of Prometheus servers costs nothing: scrapes ask no questions.
    for _ in range(20):
        assert get(f"{replicas[0]}/metrics").ok
    after = calls_answered(url)
    assert (after["report"], after["folders"]) == (calls["report"], calls["folders"])
