"""Real Prometheus and Alertmanager servers for the rules, and what the tests read of them."""

import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from tests.servers import LISTENING, Prometheus, prometheus
from tests.support import ROOT, eventually, get, need, read_yaml
from tests.system.conftest import Start, running_desk, start_once  # noqa: F401 - fixtures

RULES: Final = ROOT / "prometheus" / "rules"
PROMTOOL_TESTS: Final = ROOT / "prometheus" / "tests"
GRAFANA: Final = ROOT / "grafana"

ROUND_SECONDS: Final = 10
"""How long it takes until every report is asked once: the shortest interval there is."""

_HASTE: Final = 1800
_LEAST_RANGE_SECONDS: Final = 4
"""A range must see two scrapes, which are a second apart."""


GROUPS: Final[list[dict[str, Any]]] = [
    group for path in sorted(RULES.iterdir()) for group in read_yaml(path)["groups"]
]
ALERTS: Final = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
RECORDS: Final = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]


def seconds(duration: str) -> int:
    """Return how long a duration of Prometheus is, such as `1h30m`."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


UNHASTENED = ("BrownOut", "CollectorDown", "Unreachable", "BadResponse")
"""The alerts, without their prefix, whose `for` stays as it is."""


def hastened(text: str, haste: int = _HASTE) -> str:
    """Return rules whose every `for`, range, offset and interval is so many times as short."""

    def shorter(found: re.Match[str]) -> str:
        before, duration = found.groups()
        short = seconds(duration) // haste
        return f"{before}{max(short, _LEAST_RANGE_SECONDS if before == '[' else 1)}s"

    short = re.sub(
        r"(\[|offset |\bfor: |keep_firing_for: |interval: )((?:\d+[smhd])+)\b", shorter, text
    )
    # How soon the exporter notices an outage is not hastened: up to half a minute, which is hours
    # here. What gives way to HelpscoutAccountDown waits its whole time, or it would be sent first.
    for name in UNHASTENED:
        block = rf"(- alert: Helpscout{name}\n(?:.*\n)*?        for: )\d+s"
        short = re.sub(block, r"\g<1>15m", short)
    return short


@dataclass(frozen=True, slots=True)
class Message:
    """One notification, as a person reads it: a group of alerts is one."""

    about: str
    """Receiver, status, number of alerts, and the labels that they share."""

    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.about}\n\n{self.title}\n{self.text}"


class Webhook:
    """Takes in what Alertmanager tells, in the form for Slack: that is rendered by templates."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for told in json.loads(body)["attachments"]:
                    messages.append(Message(told["pretext"], told["title"], told["text"]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


_ABOUT: Final = (
    "{{ .Receiver }}: {{ .Status }}, {{ len .Alerts }} of"
    "{{ range .CommonLabels.SortedPairs }} {{ .Name }}={{ .Value }}{{ end }}"
)


def run_alertmanager(
    start: Start, folder: Path, listen: str, webhook: Webhook, version: str = "installed"
) -> None:
    """Start an Alertmanager as it is shipped, every receiver of which is `webhook`.

    Its minutes are seconds, like those of the rules. The exporter is not hastened: what it asks
    about mailboxes takes a round, and for those alerts the waits are longer than one.
    """
    shipped = ROOT / "prometheus"
    config = read_yaml(shipped / "alertmanager.yml")
    config["route"] |= {"group_wait": "1s", "group_interval": "5s"}
    (support,) = (route for route in config["route"]["routes"] if route["receiver"] == "support")
    support |= {
        "group_wait": f"{ROUND_SECONDS + 5}s",
        "group_interval": f"{2 * ROUND_SECONDS + 2}s",
    }
    for receiver in config["receivers"]:
        receiver["slack_configs"] = [
            {
                "api_url": webhook.url,
                "send_resolved": True,
                "pretext": _ABOUT,
                "title": '{{ template "helpscout.title" . }}',
                "text": '{{ template "helpscout.text" . }}',
            }
        ]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    (folder / "helpscout.tmpl").write_text((shipped / "helpscout.tmpl").read_text())
    process = start(
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager-data'}",
        f"--web.listen-address={listen}",
        "--cluster.listen-address=",
        command=(need("prometheus-alertmanager", version),),
    )
    process.says(LISTENING)
    eventually(lambda: get(f"http://{listen}/-/ready").ok, "Alertmanager is ready")


def run_prometheus(
    start: Start,
    folder: Path,
    *exporters: str,
    alertmanager: str | None = None,
    version: str = "installed",
    haste: int = _HASTE,
) -> Prometheus:
    """Start a Prometheus with the rules, hastened, that scrapes exporters every second."""
    for path in RULES.iterdir():
        (folder / path.name).write_text(hastened(path.read_text(), haste))
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/helpscout.*.yml"],
        "scrape_configs": [
            {
                "job_name": "helpscout",
                "static_configs": [
                    {"targets": [exporter.removeprefix("http://") for exporter in exporters]}
                ],
            }
        ],
    }
    if alertmanager:
        targets = [{"targets": [alertmanager]}]
        config["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
    text = yaml.safe_dump(config)
    return prometheus(start, folder, text, "--rules.alert.resend-delay=1s", version=version)
