"""The rules on vmalert, over what VictoriaMetrics scraped: an exporter is there and dies."""

from pathlib import Path

import yaml

from tests.alarm.conftest import RULES, hastened
from tests.servers import victoriametrics
from tests.support import eventually, need
from tests.system.conftest import Start, address


def test_an_exporter_that_dies_fires_on_vmalert(start_once: Start, tmp_path: Path) -> None:
    for path in RULES.iterdir():
        (tmp_path / path.name).write_text(hastened(path.read_text()))
    exporter = start_once("demo", "--listen", "127.0.0.1:0")
    scrape = {
        "job_name": "helpscout",
        "scrape_interval": "1s",
        "static_configs": [{"targets": [address(exporter).removeprefix("http://")]}],
    }
    (tmp_path / "scrape.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    victoria = victoriametrics(
        start_once,
        tmp_path / "victoria",
        f"-promscrape.config={tmp_path / 'scrape.yml'}",
        "-search.latencyOffset=0s",
        version="newer",
    )
    start_once(
        f"-rule={tmp_path}/helpscout.*.yml",
        f"-datasource.url={victoria.url}",
        f"-remoteWrite.url={victoria.url}",
        "-notifier.blackhole",
        "-httpListenAddr=127.0.0.1:0",
        "-evaluationInterval=1s",
        "-rule.evalDelay=0s",
        command=(need("vmalert", "newer"),),
    )
    eventually(lambda: victoria.query("helpscout:exporter_up"), "a recorded series")
    assert victoria.query('ALERTS{alertname="HelpscoutExporterDown"}') == []
    exporter.end()
    firing = 'ALERTS{alertname="HelpscoutExporterDown", alertstate="firing", job="helpscout"}'
    eventually(lambda: victoria.query(firing), "the alert")
