"""What the rules cost at 500 mailboxes with `compare`: one evaluation of all groups, in Prometheus.

`python -m benchmarks.rules` writes the section of RESULTS.md, on a machine that does nothing else.
A tiny server exports what the rules read. Scrapes and evaluations are ten seconds apart, so a range
of half an hour holds few samples yet; offsets are cut to 30 s, so that they find something.
"""

import contextlib
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from benchmarks.peers import ROOT, free_port, get, process
from benchmarks.results import machine, table, verdict, write
from tests.support import VERSIONS, need

MAILBOXES: Final = 500
TYPES: Final = ("all", "email", "chat", "phone")
WINDOWS: Final = {"24h": 86_400, "7d": 604_800, "30d": 2_592_000}
HORIZONS: Final = {"24h": "short", "7d": "long"}
SLAS: Final = ("first-reply", "replies")
CHANGES: Final = (
    *("response_time", "first_response_time", "handle_time", "resolution_time"),
    *("replies_to_resolve", "conversations", "conversations_resolved"),
    *("conversations_resolved_on_first_reply", "conversations_closed", "replies_sent"),
    "resolved_on_first_reply_ratio",
)
BUDGET_SECONDS: Final = 0.5
SECONDS: Final = 70
INTERVAL: Final = "10s"

_PEER: Final = """groups:
  - name: peer
    rules:
      - record: peer:change_ratio:max
        expr: |
          max without (instance, pod) (helpscout_change_ratio)
          or
          max without (instance, pod) (last_over_time(helpscout_change_ratio[20m]))
"""
"""What is usual where rules bridge gaps: every figure is recorded. The issue's figures were so."""


def exposition(*, missed: bool) -> str:
    """Return what the rules read of an exporter with 500 mailboxes and all of them together."""
    lines = [
        *("helpscout_exporter_build_info 1", "helpscout_exporter_shards 1"),
        *("helpscout_exporter_shard_index 0", "helpscout_exporter_state_file_ok 1"),
        "helpscout_exporter_config_last_reload_successful 1",
        *('helpscout_up{account="a"} 1', 'helpscout_collector_up{account="a",collector="p"} 1'),
    ]
    share = 0.5 if missed else 0.95
    for sla in SLAS:
        lines.append(f'helpscout_sla_objective_ratio{{sla="{sla}"}} 0.9')
        target = f'{{sla="{sla}",statistic="first_response_time"}} 3600'
        lines.append(f"helpscout_sla_target_seconds{target}")
    for window, seconds in WINDOWS.items():
        every = f'{{account="a",collector="p",window="{window}"}} 3600'
        lines.append(f'helpscout_window_seconds{{window="{window}"}} {seconds}')
        lines.append(f"helpscout_exporter_report_interval_seconds{every}")
    for mailbox in (*range(MAILBOXES), "all"):
        for kind in TYPES:
            for window in WINDOWS:
                key = (
                    f'account="a",mailbox="Mailbox {mailbox}",mailbox_id="{mailbox}",type="{kind}",'
                    f'window="{window}",office_hours="false",segment=""'
                )
                lines += [
                    f"helpscout_conversations{{{key}}} 300",
                    f"helpscout_previous_conversations{{{key}}} 280",
                    f"helpscout_response_time_seconds{{{key}}} 3600",
                    f"helpscout_replies_to_resolve{{{key}}} 2.5",
                    f'helpscout_report_success{{collector="p",{key}}} 1',
                    f'helpscout_report_last_success_timestamp_seconds{{collector="p",{key}}} NOW',
                ]
                lines += [
                    f'helpscout_change_ratio{{{key},statistic="{statistic}"}} 0.1'
                    for statistic in CHANGES
                ]
                if kind == "email" and (horizon := HORIZONS.get(window)) is not None:
                    for sla in SLAS:
                        labels = f'{{{key},sla="{sla}",horizon="{horizon}"}}'
                        lines.append(f"helpscout_sla_compliance_ratio{labels} {share}")
                        lines.append(f"helpscout_sla_conversations{labels} 300")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def serve(text: str) -> Iterator[int]:
    """Serve an exposition whose reports are always fresh; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.replace("NOW", f"{time.time():.0f}").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def durations(version: str, *, missed: bool, peer: bool = False) -> dict[str, float]:
    """Return the median seconds of one evaluation of each group, of ours or of the peer."""
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(serve(exposition(missed=missed)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-rules-")))
        for path in (ROOT / "prometheus" / "rules").iterdir():
            text = re.sub(r"offset \w+", "offset 30s", path.read_text(encoding="utf-8"))
            (folder / path.name).write_text(text, encoding="utf-8")
        (folder / "peer.yml").write_text(_PEER, encoding="utf-8")
        rules = "peer.yml" if peer else "helpscout.*.yml"
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {INTERVAL}, evaluation_interval: {INTERVAL}}}\n"
            f"rule_files: ['{folder}/{rules}']\n"
            "scrape_configs: [{job_name: helpscout, "
            f"static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n",
            encoding="utf-8",
        )
        port = free_port()
        command = [
            need("prometheus", version),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        stack.enter_context(process(command, port, "/-/ready"))
        time.sleep(SECONDS)
        seen: dict[str, list[float]] = {}
        for _ in range(6):
            time.sleep(2)
            text = get(f"127.0.0.1:{port}", "/metrics", compressed=False).decode()
            found = r'rule_group_last_duration_seconds\{rule_group="[^"]*;([^"]*)"\} (\S+)'
            for group, seconds in re.findall(found, text):
                seen.setdefault(group, []).append(float(seconds))
        return {group: statistics.median(times) for group, times in seen.items()}


def main() -> None:
    """Measure, and write the section."""
    rows, targets = [], []
    for version in VERSIONS:
        for state in ("all is well", "every SLA is missed"):
            found = durations(version, missed=state != "all is well")
            peer = durations(version, missed=False, peer=True)["peer"]
            total = sum(found.values())
            rows.append(
                [
                    f"{version}, {state}",
                    *(f"{found[f'helpscout.{name}']:.2f}" for name in GROUPS),
                    f"{total:.2f}",
                    f"{peer:.2f}",
                    f"{total / peer:.2f}",
                ]
            )
            targets.append([f"{version}, {state}", f"{total:.2f}", verdict(total, BUDGET_SECONDS)])
    text = machine() + "\n\n"
    text += (
        f"{MAILBOXES} mailboxes, {len(TYPES)} types, {len(WINDOWS)} windows, {len(SLAS)} SLAs,"
        " `compare`: 66,132 series of changes. Seconds for one evaluation of each group in Prometheus,"
        " and of one rule that records every change with its gaps bridged, as our rules once did.\n\n"
    )
    titles = ("Prometheus", *GROUPS, "all", "that one rule", "ratio")
    text += table(titles, rows) + "\n"
    text += table(("must be at most 0.5 s", "measured", ""), targets)
    write("Rules", text)


GROUPS: Final = ("sla", "change", "exporter", "figures")

if __name__ == "__main__":
    main()
