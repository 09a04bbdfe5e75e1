"""Real Prometheus and Alertmanager servers for the rules, and what the tests read of them."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from tests.servers import LISTENING, Prometheus, prometheus
from tests.support import ROOT, eventually, get, need
from tests.system.conftest import Start, start_once  # noqa: F401 - a fixture

RULES: Final = ROOT / "prometheus" / "rules"
PROMTOOL_TESTS: Final = ROOT / "prometheus" / "tests"
GRAFANA: Final = ROOT / "grafana"

_HASTE: Final = 1800
_LEAST_RANGE_SECONDS: Final = 4
"""A range must see two scrapes, which are a second apart."""


GROUPS: Final[list[dict[str, Any]]] = [
    group
    for path in sorted(RULES.iterdir())
    for group in yaml.safe_load(path.read_text())["groups"]
]
ALERTS: Final = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDS: Final = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]


def seconds(duration: str) -> int:
    """Return how long a duration of Prometheus is, such as `1h30m`."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def hastened(text: str) -> str:
    """Return rules whose hours are seconds: every `for`, range and offset 1800 times as short."""

    def shorter(found: re.Match[str]) -> str:
        before, duration = found.groups()
        short = seconds(duration) // _HASTE
        return f"{before}{max(short, _LEAST_RANGE_SECONDS if before == '[' else 1)}s"

    return re.sub(r"(\[|offset |\bfor: |keep_firing_for: )((?:\d+[smhd])+)\b", shorter, text)


class Webhook:
    """Takes in what Alertmanager tells: every alert of every message, in their order."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        alerts = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                alerts.extend(yaml.safe_load(body)["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def told(self, status: str, **labels: str) -> list[dict[str, Any]]:
        """Return the alerts with this status and (at least) these labels."""
        return [
            alert
            for alert in list(self.alerts)
            if alert["status"] == status and labels.items() <= alert["labels"].items()
        ]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def run_alertmanager(
    start: Start, folder: Path, receiver: Webhook, version: str = "installed"
) -> str:
    """Start an Alertmanager that tells `receiver` at once; return its address."""
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: test, group_by: [...], group_wait: 0s, group_interval: 1s}\n"
        f"receivers: [{{name: test, webhook_configs: [{{url: '{receiver.url}'}}]}}]\n"
    )
    process = start(
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager-data'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
        command=(need("prometheus-alertmanager", version),),
    )
    address = process.says(LISTENING)
    eventually(lambda: get(f"http://{address}/-/ready").ok, "Alertmanager is ready")
    return address


def run_prometheus(
    start: Start,
    folder: Path,
    exporter: str,
    alertmanager: str | None = None,
    version: str = "installed",
) -> Prometheus:
    """Start a Prometheus with the rules, hastened, that scrapes an exporter every second."""
    for path in RULES.iterdir():
        (folder / path.name).write_text(hastened(path.read_text()))
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/helpscout.*.yml"],
        "scrape_configs": [
            {
                "job_name": "helpscout",
                "static_configs": [{"targets": [exporter.removeprefix("http://")]}],
            }
        ],
    }
    if alertmanager:
        targets = [{"targets": [alertmanager]}]
        config["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
    text = yaml.safe_dump(config)
    return prometheus(start, folder, text, "--rules.alert.resend-delay=1s", version=version)
