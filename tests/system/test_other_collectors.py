"""The configurations in docs/collectors-other.md, on what of those collectors can be had here."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.exposition.catalogue import catalogue
from tests.servers import EACH_VERSION, prometheus, victoriametrics
from tests.support import Metrics, code_block, eventually, get, need, round_is_complete
from tests.system.conftest import Desk, Start, address

PAGE = "docs/collectors-other.md"
CONFIG = """
types: [all, email]
windows: [24h]
folders: {enabled: false}
web: {listen: "127.0.0.1:0"}
"""
REPORTS = 7 * 2
DISTRIBUTIONS = [family.name for family in catalogue() if family.kind == "gaugehistogram"]

# What runs here in the tests' own process is measured elsewhere.
pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def exporter(
    start_once: Start, running_desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of an exporter that has its first figures, and asks for no others for a while."""
    config = tmp_path_factory.mktemp("exporter") / "config.yml"
    config.write_text(CONFIG)
    process = start_once("serve", "--config", str(config), environ=running_desk.environ("v2"))
    url = address(process)
    eventually(lambda: round_is_complete(url, REPORTS), "a whole round")
    return url


def configuration(mark: str, exporter: str) -> Any:
    """Return an example of the page, for this exporter and a test's patience."""
    text = code_block(f"other: {mark}", PAGE)
    target = exporter.removeprefix("http://")
    assert "helpscout-exporter:9877" in text
    return yaml.safe_load(
        text.replace("helpscout-exporter:9877", target).replace("interval: 1m", "interval: 1s")
    )


def shown(exporter: str) -> Counter[str]:
    """Return how many series of each name the exporter shows."""
    metrics = Metrics.of_text(get(f"{exporter}/metrics").text)
    return Counter(s.name for s in metrics.samples if s.name.startswith("helpscout_"))


def distributions(exporter: str) -> set[str]:
    """Return the names of the distributions' series that the exporter shows."""
    return {f"{name}_bucket" for name in DISTRIBUTIONS} & set(shown(exporter))


@EACH_VERSION
def test_vmagent_loses_no_series(start: Start, exporter: str, tmp_path: Path, version: str) -> None:
    victoria = victoriametrics(
        start, tmp_path / "victoria", "-search.latencyOffset=0s", version=version
    )
    file = tmp_path / "vmagent.yml"
    file.write_text(yaml.safe_dump(configuration("vmagent", exporter)))
    start(
        f"-promscrape.config={file}",
        f"-remoteWrite.url={victoria.url}/api/v1/write",
        f"-remoteWrite.tmpDataPath={tmp_path / 'vmagent'}",
        "-httpListenAddr=127.0.0.1:0",
        command=(need("vmagent", version),),
    )

    def stored() -> Counter[str]:
        found = victoria.query('count({__name__=~"helpscout_.+"}) by (__name__)')
        return Counter({s["metric"]["__name__"]: int(s["value"][1]) for s in found})

    eventually(lambda: stored() == shown(exporter), "every series")
    assert len(distributions(exporter)) >= 4


def test_prometheus_takes_what_the_page_has_for_the_collector_and_gets_the_distributions(
    start: Start, exporter: str, tmp_path: Path
) -> None:
    given = configuration("opentelemetry", exporter)
    config = given["receivers"]["prometheus"]["config"]
    server = prometheus(start, tmp_path / "prometheus", yaml.safe_dump(config), version="newer")
    eventually(lambda: server.query("helpscout_up"), "a scrape")
    metadata = get(f"{server.url}/api/v1/metadata").json()["data"]
    for name in distributions(exporter):
        assert server.query(name)
        assert metadata[name][0]["type"] == "unknown"
    assert server.query(
        "histogram_quantile(0.9, helpscout_response_time_distribution_seconds_bucket)"
    )


def test_datadogs_check_is_told_a_type_for_every_distribution() -> None:
    (instance,) = yaml.safe_load(code_block("other: datadog", PAGE))["instances"]
    typed = {
        name: settings
        for entry in instance["metrics"]
        if isinstance(entry, dict)
        for name, settings in entry.items()
    }
    wanted = [f"{name.removeprefix('helpscout_')}_bucket" for name in DISTRIBUTIONS]
    assert list(typed) == wanted
    assert typed == {name: {"name": name, "type": "gauge"} for name in wanted}
