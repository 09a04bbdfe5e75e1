"""History and present in one Prometheus: the same figures, one series, no seam."""

import time
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from random import Random

import pytest
import requests

from exporter.collectors import families
from exporter.core import one_round
from tests.backfill.conftest import DAYS, KEYS, SERVED, Point, Season
from tests.servers import EACH_VERSION, Prometheus, victoriametrics
from tests.support import Metrics, Sample, eventually, get
from tests.system.conftest import Start

# The lines of backfill are measured where it fails, and where it is a command.
pytestmark = [pytest.mark.timeout(300), pytest.mark.no_cover]

ENDS, POINTS = 10, 200
BLOCKS_APPEAR_SECONDS = 180
"""Prometheus looks for new blocks once a minute."""


OWN = (
    "helpscout_exporter_",
    "helpscout_report_",
    "helpscout_up",
    "helpscout_collector_up",
    "helpscout_account_problem",
    "helpscout_queue_conversations",
)
"""What tells of the exporter's own work, or of now, and has no history."""


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def selector(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{k}="{quoted(v)}"' for k, v in labels.items()) + "}"


# --- the file -----------------------------------------------------------------------------------


def test_the_whole_season_is_asked_once(season: Season) -> None:
    assert len(season.steps) == DAYS
    have = season.filling.points("helpscout_replies_sent")
    assert len(have) == DAYS * KEYS


def test_families_are_together_and_every_series_is_in_the_order_of_time(season: Season) -> None:
    text = season.filling.output.read_text()
    assert text.endswith("\n# EOF\n")
    families = [line.split(" ")[2] for line in text.split("\n") if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))
    points = season.filling.points()
    names = [name for name, _ in groupby(point.name for point in points)]
    assert len(names) == len(set(names))
    at: dict[object, int] = defaultdict(int)
    for point in points:
        assert at[point.series] < point.at
        at[point.series] = point.at


def test_the_buckets_of_an_instant_are_together_and_cumulative(season: Season) -> None:
    points = season.filling.points("helpscout_response_time_distribution_seconds_bucket")
    assert points
    for _, group in groupby(
        points, key=lambda p: (p.at, frozenset({**p.labels, "le": ""}.items()))
    ):
        buckets = list(group)
        assert [p.labels["le"] for p in buckets][-1] == "+Inf"
        assert len(buckets) == 10
        values = [float(p.value) for p in buckets]
        assert values == sorted(values)


def test_history_has_the_families_of_the_live_exposition_but_none_of_its_own(
    season: Season,
) -> None:
    body, complete = one_round(season.filling.configuration)
    assert complete
    live = set(Metrics.of_text(body.decode()).families)
    text = season.filling.output.read_text()
    past = {line.split(" ")[2] for line in text.split("\n") if line.startswith("# TYPE ")}
    named = {name if name in live else f"{name}_bucket" for name in past}
    missing = {name for name in live - named if not name.startswith("helpscout_exporter_")}
    assert named <= live
    assert missing == {
        "helpscout_up",
        "helpscout_collector_up",
        "helpscout_account_problem",
        "helpscout_report_success",
        "helpscout_report_last_success_timestamp_seconds",
        "helpscout_queue_conversations",
    }
    assert {"helpscout_mailbox_info", "helpscout_window_seconds"} <= past
    assert "helpscout_sla_objective_ratio" in past
    assert len(families()) > len(past) - 4  # the rest is what compare would bring


@EACH_VERSION
def test_promtool_makes_blocks_of_every_sample(season: Season, version: str) -> None:
    rows = [line.split() for line in season.promtool[version].splitlines()[1:]]
    assert sum(int(row[4]) for row in rows) == len(season.filling.points())


# --- served -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SERVED, ids="-in-".join)
def served(season: Season, request: pytest.FixtureRequest) -> Prometheus:
    """A running Prometheus once it has found the blocks."""
    found = season.servers[request.param]
    oldest = season.steps[0]
    eventually(
        lambda: found.query("helpscout_mailbox_info", oldest), "the blocks", BLOCKS_APPEAR_SECONDS
    )
    return found


@pytest.fixture(scope="module")
def live(season: Season) -> list[tuple[int, Sample]]:
    """200 points of the live path, for ends that history has, too."""
    chance = Random(7)
    found = []
    for at in chance.sample(season.steps, ENDS):
        end = datetime.fromtimestamp(at, UTC)
        body, complete = one_round(season.filling.configuration, partial(_itself, end))
        assert complete
        samples = [s for s in Metrics.of_text(body.decode()).samples if not s.name.startswith(OWN)]
        found += [(at, sample) for sample in chance.sample(samples, POINTS // ENDS)]
    return found


def test_200_points_are_what_the_live_path_exports_for_the_same_end(
    season: Season, served: Prometheus, live: list[tuple[int, Sample]]
) -> None:
    for at, sample in live:
        (row,) = served.query(selector(sample.name, {**sample.labels, **season.labels}), at)
        assert float(row["value"][1]) == sample.value, sample
    assert len(live) == POINTS


def _itself(moment: datetime) -> datetime:
    return moment


def test_the_live_exposition_of_an_end_is_in_the_file_line_for_line(season: Season) -> None:
    at = season.steps[DAYS // 2]
    end = datetime.fromtimestamp(at, UTC)
    body, _ = one_round(season.filling.configuration, partial(_itself, end))
    live = [Point.of(f"{line} {at}") for line in body.decode().split("\n") if line[:1] == "h"]
    wanted = {
        (p.name, *sorted({**p.labels, **season.labels}.items()), p.value)
        for p in live
        if not p.name.startswith(OWN)
    }
    have = {
        (p.name, *sorted(p.labels.items()), p.value) for p in season.filling.points() if p.at == at
    }
    assert have == wanted


def test_every_series_of_history_continues_as_the_live_one(served: Prometheus) -> None:
    # Two series of one key, one past and one live, would be two here.
    rows = served.query(
        "count by (mailbox_id, type, window) (count_over_time(helpscout_replies_sent[100d]))",
        time.time(),
    )
    assert len(rows) == KEYS
    assert {row["value"][1] for row in rows} == {"1"}


@pytest.mark.parametrize(("back", "step"), [(DAYS - 1, 21_600), (2, 900)])
def test_a_query_runs_through_from_history_to_the_present_without_a_hole_or_a_double(
    season: Season, served: Prometheus, back: int, step: int
) -> None:
    end = int(time.time())
    start = season.steps[-1] - back * 86_400
    (row,) = served.range("count(last_over_time(helpscout_replies_sent[1d]))", start, end, step)
    values = [value for _, value in row["values"]]
    assert len(values) == (end - start) // step + 1
    assert set(values) == {str(KEYS)}


def test_live_scraping_continued_all_the_time(served: Prometheus) -> None:
    now = time.time()
    (up,) = served.query('min_over_time(up{job="helpscout"}[5m])', now)
    assert up["value"][1] == "1"
    fresh = served.query("time() - max(timestamp(helpscout_replies_sent))", now)
    assert float(fresh[0]["value"][1]) < 30


def test_the_quantiles_of_the_past_can_be_asked(season: Season, served: Prometheus) -> None:
    rows = served.query(
        "histogram_quantile(0.9, last_over_time("
        'helpscout_response_time_distribution_seconds_bucket{window="7d"}[1d]))',
        season.steps[3] + 3600,
    )
    assert len(rows) == KEYS // 2
    assert all(float(row["value"][1]) > 0 for row in rows)


# --- VictoriaMetrics ----------------------------------------------------------------------------


@EACH_VERSION
def test_victoriametrics_takes_the_same_text(
    season: Season, start: Start, tmp_path: Path, version: str
) -> None:
    victoria = victoriametrics(
        start, tmp_path / "victoria", "-dedup.minScrapeInterval=1ms", version=version
    )
    with season.filling.output.open("rb") as text, requests.Session() as session:
        session.trust_env = False
        sent = session.post(f"{victoria.url}/api/v1/import/prometheus", data=text, timeout=60)
    assert sent.ok, sent.text
    get(f"{victoria.url}/internal/force_flush")
    points = season.filling.points("helpscout_")
    for point in Random(3).sample(points, 25):
        # A second later: at the very start of a month 1.79 finds nothing.
        (row,) = victoria.query(selector(point.name, point.labels), point.at + 1)
        assert float(row["value"][1]) == pytest.approx(float(point.value), rel=1e-12)
    counted = "count(last_over_time(helpscout_replies_sent[1d]))"
    (row,) = victoria.range(counted, season.steps[0], season.steps[-1], 21_600)
    assert {value for _, value in row["values"]} == {str(KEYS)}
