"""`once --output`, a real node exporter and Prometheus: what the shipped rules say of the file."""

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.dashboards.parts import PROCESS
from tests.alarm.conftest import RULES, hastened
from tests.alarm.promql import names
from tests.servers import EACH_VERSION, Prometheus, prometheus, promtool
from tests.support import ROOT, eventually, get, need, read_yaml, reserved_port
from tests.system.conftest import Desk, Start

FILE = ROOT / "prometheus" / "textfile" / "helpscout.textfile.yml"
PAGE = "docs/textfile.md"
(GROUP,) = read_yaml(FILE)["groups"]
EVERY = pytest.mark.parametrize("alert", GROUP["rules"], ids=lambda alert: str(alert["alert"]))
HOUR = 3600


@EACH_VERSION
def test_promtool_finds_nothing_wrong_with_the_rules(version: str) -> None:
    code, said = promtool("check", "rules", FILE, version=version)
    assert code == 0, said


@EVERY
def test_every_alert_is_explained_and_of_our_metrics(alert: dict[str, Any]) -> None:
    assert alert["labels"] == {"severity": "critical", "component": "exporter"}
    page, _, section = (
        alert["annotations"]["runbook_url"].partition("/blob/main/")[2].partition("#")
    )
    assert (page, section) == (PAGE, alert["alert"].lower())
    assert f"\n### {alert['alert']}\n" in (ROOT / PAGE).read_text()
    assert names(alert["expr"]) <= {
        "node_textfile_mtime_seconds",
        "helpscout_report_last_success_timestamp_seconds",
        "up",
    }
    assert not re.search(r"\bby \(|\bon \(", alert["expr"])
    assert "instance" in PROCESS
    assert "instance" not in alert["expr"], "a file is of a host"


class Node:
    """A folder that a node exporter reads, and a Prometheus that scrapes it with all our rules."""

    def __init__(self, start: Start, desk: Desk, folder: Path, version: str) -> None:
        self._start, self._desk = start, desk
        self.file = folder / "textfile" / "helpscout.prom"
        self.file.parent.mkdir()
        listen = f"127.0.0.1:{reserved_port()}"
        start(
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={self.file.parent}",
            f"--web.listen-address={listen}",
            command=(need("prometheus-node-exporter"),),
        )
        self.url = f"http://{listen}"
        assert self.once() == 0
        rules = folder / "rules"
        rules.mkdir()
        for path in (*RULES.iterdir(), FILE):
            (rules / path.name).write_text(hastened(path.read_text()))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [f"{rules}/*.yml"],
            "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [listen]}]}],
        }
        self.server: Prometheus = prometheus(
            start, folder / "prometheus", yaml.safe_dump(config), version=version
        )

    def once(self, **environ: str) -> int:
        """Run a round; return the exit code."""
        given = {"HELPSCOUT_WINDOWS": "24h", "HELPSCOUT_TYPES": "all"} | environ
        process = self._start(
            "once", "--output", str(self.file), environ=self._desk.environ("v2", **given)
        )
        return process.wait()

    def fires(self, name: str, seconds: int = 3) -> bool:
        """Return whether an alert fires, or did in the last seconds."""
        firing = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
        return bool(self.server.query(f"max_over_time({firing}[{seconds}s])"))

    def told(self, seconds: int) -> set[str]:
        """Return every alert on the exporter that has fired in the last seconds."""
        firing = 'ALERTS{component="exporter",alertstate="firing"}'
        found = self.server.query(f"max_over_time({firing}[{seconds}s])")
        return {sample["metric"]["alertname"] for sample in found}


@EACH_VERSION
def test_an_old_file_old_figures_and_a_file_that_is_gone_are_reported(
    start_once: Start,
    running_desk: Desk,
    tmp_path: Path,
    version: str,
) -> None:
    node = Node(start_once, running_desk, tmp_path, version)
    eventually(lambda: node.server.query("helpscout_response_time_seconds"), "the figures")
    assert "node_textfile_scrape_error 0" in get(f"{node.url}/metrics").text
    eventually(lambda: node.server.query("helpscout:exporter_up == 1"), "the rules know its target")
    eventually(lambda: not node.told(1), "nothing is wrong any more")  # before the first scrape
    time.sleep(5)
    assert node.told(5) == set()

    # Nobody answers: the file stays, and so do the figures, which look as before.
    good, written = node.file.read_bytes(), node.file.stat().st_mtime
    assert node.once(HELPSCOUT_BASE_URL=f"http://127.0.0.1:{reserved_port()}/v2") == 1
    assert (node.file.read_bytes(), node.file.stat().st_mtime) == (good, written)
    assert node.server.query("helpscout_up == 1")

    os.utime(node.file, (written - 2 * HOUR,) * 2)
    eventually(lambda: node.fires("HelpscoutTextfileStale"), "an old file")
    assert node.once() == 0
    eventually(lambda: not node.fires("HelpscoutTextfileStale"), "the end of it")

    old = re.sub(
        r"(?m)^(helpscout_report_last_success_timestamp_seconds\{.*\}) .*$",
        rf"\1 {time.time() - 2 * HOUR}",
        node.file.read_text(),
    )
    node.file.with_suffix(".new").write_text(old)
    node.file.with_suffix(".new").replace(node.file)
    eventually(lambda: node.fires("HelpscoutTextfileFiguresOld"), "old figures in a new file")
    assert node.once() == 0
    eventually(lambda: not node.fires("HelpscoutTextfileFiguresOld"), "the end of it")

    node.file.unlink()
    eventually(lambda: node.fires("HelpscoutTextfileGone"), "a file that is gone")
    told = node.told(HOUR)
    assert {name for name in told if name.startswith("HelpscoutTextfile")} == {
        alert["alert"] for alert in GROUP["rules"]
    }
    assert not told & {"HelpscoutExporterDown", "HelpscoutReportStale"}
