"""A real Prometheus scrapes a full configuration in both formats and loses nothing of it."""

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exporter.exposition.catalogue import catalogue
from scripts.generate_docs import FAMILIES as DOCUMENTED
from tests.servers import EACH_VERSION, Prometheus, prometheus, promtool, victoriametrics
from tests.support import MISSION, VERSIONS, Metrics, Process, eventually, get, round_is_complete
from tests.system.conftest import Start, address, desk

# Each report is asked once: what is scraped twice is the same as long as the tests take.
CONFIG = """
accounts:
  - name: 'the "first" \\ one'
    office_schedule: {timezone: Europe/Berlin, hours: {mon-sun: "00:00-24:00"}}
types: [all, email]
windows: [{range: 24h, every: 1d}, {range: 7d, every: 1d}]
office_hours: [false, true]
segments: [{name: vip, tags: [vip]}]
compare: true
folders: {every: 1d}
waiting: {enabled: true, every: 1d}
happiness: {enabled: true, windows: [{range: 7d, every: 1d}, {range: 30d, every: 1d}]}
sla:
  - {name: first-reply-1h, statistic: first_response_time, target: 1h, objective: 0.9}
  - {name: few replies, statistic: replies_to_resolve, target: 2, objective: 0.8}
web: {listen: "127.0.0.1:0"}
state_file: state.db
"""
REPORTS = 7 * 2 * 2 * 2 * 2
NAMES = {
    "1001": "Support",
    "1002": "Support",
    "1003": 'The "Desk"',
    "1004": "Back\\slash",
    "1005": "Line\nbreak",
    "1006": "🌻 Plants",
}
TEXT, OPENMETRICS = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
JOBS = ("direct", "text", "openmetrics")
"""Straight from the exporter, through a proxy that asks for text, through one that looks on."""

PREFERRED = {
    ("installed", "openmetrics"): "application/openmetrics-text;version=1.0.0",
    ("installed", "text"): "text/plain;version=0.0.4",
    ("newer", "openmetrics"): (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6"
    ),
    ("newer", "text"): "text/plain;version=0.0.4;q=0.6",
}
"""What stands first in the Accept header."""

# What runs here in the tests' own process is measured elsewhere.
pytestmark = pytest.mark.no_cover

# One call that is refused and one that is repeated, or their counters have no sample.
FAULTS = """
faults:
  - {endpoint: report, status: 429, times: 1, headers: {X-RateLimit-Retry-After: 1}}
  - {endpoint: report, status: 500, times: 1}
"""


class _Proxy(BaseHTTPRequestHandler):
    """Passes a scrape on, /VERSION/JOB/metrics, and notes what was asked and answered."""

    exporter: str
    asked: dict[tuple[str, str], str]
    answered: dict[tuple[str, str], str]

    def do_GET(self) -> None:
        _, version, job, path = self.path.split("/", 3)
        accept = self.headers["Accept"]
        if version == "installed" and job == "text":
            accept = "text/plain;version=0.0.4"  # Prometheus 2.42 cannot be told to ask for it
        answer = get(f"{self.exporter}/{path}", Accept=accept)
        self.asked[version, job] = accept
        self.answered[version, job] = answer.headers["Content-Type"]
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """A Prometheus that has scraped the exporter, and what it agreed on with it."""

    version: str
    prometheus: Prometheus
    asked: dict[tuple[str, str], str]
    answered: dict[tuple[str, str], str]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query: `metric` and `value`."""
        return self.prometheus.query(expression)

    def series(self, job: str) -> dict[frozenset[tuple[str, str]], str]:
        """Return every report series of a job by its labels, with its value."""
        selector = f'{{__name__=~"helpscout_.+", __name__!~"helpscout_exporter_.+", job="{job}"}}'
        return {
            frozenset(
                (name, value)
                for name, value in row["metric"].items()
                if name not in ("job", "instance")
            ): row["value"][1]
            for row in self.query(selector)
        }


@pytest.fixture(scope="module")
def process(start_once: Start, tmp_path_factory: pytest.TempPathFactory) -> Process:
    """An exporter with every kind of series, after its first round."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    folder = tmp_path_factory.mktemp("exporter")
    config, faults = folder / "config.yml", folder / "faults.yml"
    config.write_text(CONFIG)
    faults.write_text(FAULTS)
    simulated = desk(start_once, "--now", now, "--faults", str(faults))
    environ = simulated.environ("v2")
    del environ["HELPSCOUT_WEB__LISTEN"]
    started = start_once("serve", "--config", str(config), environ=environ)
    eventually(partial(round_is_complete, address(started), REPORTS), "a whole round")
    return started


@pytest.fixture(scope="module")
def exporter(process: Process) -> str:
    """Its address."""
    return address(process)


@pytest.fixture(scope="module")
def both(
    exporter: str, start_once: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Scraped]]:
    asked: dict[tuple[str, str], str] = {}
    answered: dict[tuple[str, str], str] = {}
    spoken = {"exporter": exporter, "asked": asked, "answered": answered}
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Proxy,), spoken))
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()

    text = {"scrape_protocols": ["PrometheusText0.0.4"]}

    def scrape_config(version: str, job: str) -> dict[str, Any]:
        target, path = f"127.0.0.1:{proxy.server_port}", f"/{version}/{job}/metrics"
        if job == "direct":
            target, path = exporter.removeprefix("http://"), "/metrics"
        return {
            "job_name": job,
            "metrics_path": path,
            "static_configs": [{"targets": [target]}],
            **(text if (version, job) == ("newer", "text") else {}),
        }

    found = {}
    try:
        for version in VERSIONS:
            config = {
                "global": {"scrape_interval": "2s"},
                "scrape_configs": [scrape_config(version, job) for job in JOBS],
            }
            folder = tmp_path_factory.mktemp(version)
            server = prometheus(start_once, folder, yaml.safe_dump(config), version=version)
            found[version] = Scraped(version, server, asked, answered)
        for one in found.values():
            eventually(partial(one.query, f"count(up) == {len(JOBS)}"), "a scrape of every job")
        yield found
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


@pytest.fixture(scope="module", params=VERSIONS)
def scraped(both: dict[str, Scraped], request: pytest.FixtureRequest) -> Scraped:
    """Either of them."""
    return both[request.param]


def test_every_scrape_succeeds(scraped: Scraped) -> None:
    up = {row["metric"]["job"]: row["value"][1] for row in scraped.query("up")}
    assert up == dict.fromkeys(JOBS, "1")


@pytest.mark.parametrize(("version", "job"), PREFERRED)
def test_each_version_is_answered_in_the_format_that_it_prefers(
    both: dict[str, Scraped], version: str, job: str
) -> None:
    scraped = both[version]
    assert scraped.asked[version, job].split(",")[0] == PREFERRED[version, job]
    format_ = TEXT if job == "text" else OPENMETRICS
    assert scraped.answered[version, job] == f"{format_}; charset=utf-8"


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("name", MISSION)
def test_every_figure_of_the_mission_can_be_queried_for_every_mailbox(
    scraped: Scraped, name: str, job: str
) -> None:
    rows = scraped.query(f'{name}{{job="{job}", type="all", window="7d", segment=""}}')
    cells = {(row["metric"]["mailbox_id"], row["metric"]["office_hours"]) for row in rows}
    assert cells == {(box, hours) for box in ("all", *NAMES) for hours in ("false", "true")}
    assert all(float(row["value"][1]) > 0 for row in rows)


@pytest.mark.parametrize("job", JOBS)
def test_hostile_names_arrive_as_they_are(scraped: Scraped, job: str) -> None:
    info = scraped.query(f'helpscout_mailbox_info{{job="{job}"}}')
    assert {row["metric"]["mailbox_id"]: row["metric"]["mailbox"] for row in info} == NAMES
    assert {row["metric"]["account"] for row in info} == {'the "first" \\ one'}
    figures = scraped.query(f'helpscout_conversations{{job="{job}"}}')
    named = {(row["metric"]["mailbox_id"], row["metric"]["mailbox"]) for row in figures}
    assert named == {*NAMES.items(), ("all", "all")}


def test_both_formats_bring_the_same_series_and_values(scraped: Scraped) -> None:
    # Between two scrapes a report may have been renewed.
    eventually(lambda: scraped.series("text") == scraped.series("openmetrics"), "the same in both")
    assert len(scraped.series("text")) > 10 * REPORTS


@pytest.mark.parametrize("job", JOBS)
def test_both_versions_have_the_same_series_and_values(both: dict[str, Scraped], job: str) -> None:
    older, newer = both["installed"], both["newer"]
    # Between their scrapes a report may have been renewed.
    eventually(lambda: older.series(job) == newer.series(job), "the same in both")


@EACH_VERSION
def test_victoriametrics_has_them_too(
    exporter: str, both: dict[str, Scraped], start: Start, tmp_path: Path, version: str
) -> None:
    target = exporter.removeprefix("http://")
    (tmp_path / "scrape.yml").write_text(
        "scrape_configs: [{job_name: direct, scrape_interval: 2s, "
        f'static_configs: [{{targets: ["{target}"]}}]}}]\n'
    )
    victoria = victoriametrics(
        start,
        tmp_path / "data",
        f"-promscrape.config={tmp_path / 'scrape.yml'}",
        "-search.latencyOffset=0s",
        version=version,
    )
    eventually(lambda: victoria.query("up == 1"), "a scrape")
    found = Scraped(version, victoria, {}, {})

    def numbers(scraped: Scraped) -> dict[frozenset[tuple[str, str]], float]:
        return {series: float(value) for series, value in scraped.series("direct").items()}

    # It keeps about thirteen digits.
    eventually(
        lambda: numbers(found) == pytest.approx(numbers(both["newer"]), rel=1e-9),
        "the same series and values",
    )


def test_every_family_of_the_catalogue_is_in_prometheus(scraped: Scraped) -> None:
    names = {
        row["metric"]["__name__"] for row in scraped.query('group by (__name__) ({job="direct"})')
    }
    suffixes = {"counter": "_total", "histogram": "_bucket", "gaugehistogram": "_bucket"}
    known = {family.name + suffixes.get(family.kind, ""): family.name for family in catalogue()}
    assert set(known) <= names
    strangers = {name for name in names - known.keys() if name.startswith("helpscout_")}
    duration = "helpscout_exporter_api_request_duration_seconds"
    assert strangers == {f"{duration}_count", f"{duration}_sum"}


@pytest.mark.parametrize(
    ("name", "expression"), [(name, note.example) for name, note in DOCUMENTED.items()]
)
def test_every_documented_query_runs_and_finds_what_there_is(
    scraped: Scraped, name: str, expression: str
) -> None:
    scraped.query(expression)
    # What looks for something wrong looks at something that is there. A rate needs two scrapes.
    looked_at = re.sub(r" (?:[=!]=|>) \S+", "", expression)
    assert eventually(partial(scraped.query, looked_at), f"{name}: {looked_at}")


@EACH_VERSION
@pytest.mark.parametrize("query", ["", "?name[]=helpscout_response_time_seconds"])
def test_promtool_has_nothing_to_say_about_the_exposition(
    exporter: str, query: str, version: str
) -> None:
    text = get(f"{exporter}/metrics{query}", Accept=TEXT).text
    _, said = promtool("check", "metrics", version=version, stdin=text)
    # It takes the hours of an office for a unit.
    office = "helpscout_office_hours_open use base unit"
    assert [line for line in said.splitlines() if not line.startswith(office)] == []


def test_the_exposition_is_read_by_the_client_librarys_own_parsers(exporter: str) -> None:
    own = ("helpscout_exporter_", "process_", "python_")

    def of_reports(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith(own)]

    def at_one_time() -> tuple[str, str] | None:
        """Return both formats, None where an answer may have arrived between the two."""
        asked = (TEXT, OPENMETRICS, TEXT)
        before, openmetrics, after = (
            get(f"{exporter}/metrics", Accept=each).text for each in asked
        )
        return (before, openmetrics) if of_reports(before) == of_reports(after) else None

    def read(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {s: v for s, v in metrics.by_series().items() if not s[0].startswith(own)}

    text, openmetrics = eventually(at_one_time, "a moment without news")
    assert read(Metrics.of_text(text)) == read(Metrics.of_openmetrics(openmetrics))


def test_scrapers_that_hang_up_leave_no_word_outside_the_log(process: Process) -> None:
    server = urlsplit(address(process))
    assert server.hostname
    assert server.port
    for _ in range(20):
        with socket.create_connection((server.hostname, server.port)) as impatient:
            impatient.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            impatient.sendall(b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n")
            assert impatient.recv(1)
    assert get(f"{address(process)}/-/healthy").ok
    assert all(json.loads(line)["event"] for line in process.stderr.splitlines())
