"""One frozen world, asked through either generation of the API: the same series."""

from datetime import UTC, datetime
from functools import partial

import pytest

from tests.support import MISSION, Metrics, Run, eventually, round_is_complete
from tests.system.conftest import NOW, Desk, Start, address, desk

REPORTS = 7 * 4 * 3
MOMENTS = "helpscout_report_last_success_timestamp_seconds"

# What runs here in the tests' own process is measured elsewhere.
pytestmark = pytest.mark.no_cover


def once(run: Run, environ: dict[str, str], at: str = NOW) -> Metrics:
    """Return what `once` prints."""
    ended = run("once", "--at", at, environ=environ)
    assert ended.code == 0, ended.stderr
    return Metrics.of_text(ended.stdout)


def comparable(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Everything about the account, without our own metrics; moments of success never agree."""
    return {
        series: 0 if series[0] == MOMENTS else value
        for series, value in metrics.by_series().items()
        if not series[0].startswith("helpscout_exporter_")
    }


@pytest.mark.parametrize(
    ("at", "more"),
    [
        (NOW, {}),
        (NOW, {"HELPSCOUT_COMPARE": "true"}),
        (NOW, {"HELPSCOUT_OFFICE_HOURS": "[true]", "HELPSCOUT_MAILBOXES__EXCLUDE": "[1002]"}),
        (NOW, {"HELPSCOUT_SEGMENTS": "[{name: vip, tags: [vip]}]", "HELPSCOUT_WINDOWS": "[7d]"}),
        ("2026-03-08T05:00:00Z", {"HELPSCOUT_COMPARE": "true", "HELPSCOUT_WINDOWS": "[6h]"}),
    ],
    ids=[
        "as it comes",
        "compared",
        "in office hours, without a mailbox",
        "cut by a tag's name",
        "on a Sunday morning, when many a mailbox rests",
    ],
)
def test_both_generations_give_the_same_series_and_values(
    run: Run, frozen_desk: Desk, at: str, more: dict[str, str]
) -> None:
    one, two = (
        comparable(once(run, frozen_desk.environ(api, **more), at=at)) for api in ("v1", "v2")
    )
    assert one == two
    assert {series[0] for series in one} >= {*MISSION, "helpscout_mailbox_info"}
    assert all(value == 1 for series, value in one.items() if series[0].endswith("report_success"))
    segments = {dict(labels).get("segment") for name, labels in one if name in MISSION}
    assert segments == ({"", "vip"} if "HELPSCOUT_SEGMENTS" in more else {""})


def test_half_an_hour_later_the_figures_are_others(run: Run, frozen_desk: Desk) -> None:
    environ = frozen_desk.environ("v2", HELPSCOUT_WINDOWS="[24h]")
    before, after = (once(run, environ, at=at) for at in ("2026-03-11T14:00:00Z", NOW))
    assert comparable(before).keys() == comparable(after).keys()
    assert comparable(before) != comparable(after)


def test_the_same_moment_asked_twice_gives_the_same_values(run: Run, frozen_desk: Desk) -> None:
    environ = frozen_desk.environ("v2", HELPSCOUT_WINDOWS="[24h]")
    first, second = (once(run, environ) for _ in range(2))
    assert comparable(first) == comparable(second)
    moments = [{s.value for s in metrics.named(MOMENTS)} for metrics in (first, second)]
    assert max(moments[0]) < min(moments[1])


def test_the_daemon_shows_the_same_series_over_either_generation(start: Start) -> None:
    # Its windows end when each report is asked, which no two processes share: series, not values.
    simulated = desk(start, "--now", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    processes = [start("serve", environ=simulated.environ(api)) for api in ("v1", "v2")]
    found = []
    for url in map(address, processes):
        round_ = partial(round_is_complete, url, REPORTS)
        found.append({*comparable(eventually(round_, "a whole round"))})
    assert found[0] == found[1]
    assert {series[0] for series in found[0]} >= {*MISSION, MOMENTS}
