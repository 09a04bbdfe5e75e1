"""What the rules cost at 500 mailboxes with `compare`: one evaluation of each group, in Prometheus.

`python -m benchmarks.rules` writes the section of RESULTS.md. A tiny server exports what the rules
read, a sample each minute of the last quarter of an hour; then Prometheus evaluates and scrapes no
more, so its processor time is that of the rules. First all is well, then every SLA is missed. All
groups are evaluated at the same short interval, and offsets are cut to 30 s, so that they find
something: a range of half an hour holds fewer samples of what is recorded than in real life.
"""

import contextlib
import json
import re
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

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
SCRAPES: Final = 15
STEP_SECONDS: Final = 60
"""From one sample to the next, as the server dates them; they are scraped much faster."""
EVALUATIONS: Final = 2
STATES: Final = ("all is well", "every SLA is missed")

_PEER: Final = """  - name: peer
    rules:
      - record: peer:change_ratio:max
        expr: |
          max without (instance, pod) (helpscout_change_ratio)
          or
          max without (instance, pod) (last_over_time(helpscout_change_ratio[20m]))
"""
"""What is usual where rules bridge gaps: every figure is recorded."""


def exposition(*, missed: bool) -> str:
    """Return what the rules read of an exporter with 500 mailboxes and all of them together."""
    lines = [
        *("helpscout_exporter_build_info 1", "helpscout_exporter_shards 1"),
        *("helpscout_exporter_shard_index 0", "helpscout_exporter_state_file_ok 1"),
        "helpscout_exporter_config_last_reload_successful 1",
        'helpscout_office_hours_open{account="a"} 1',
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
                    f"helpscout_replies_sent{{{key}}} 400",
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
    for mailbox in range(MAILBOXES):
        lines += _now(f'account="a",mailbox="Mailbox {mailbox}",mailbox_id="{mailbox}"', missed)
    return "\n".join(lines) + "\n"


def _now(mailbox: str, missed: bool) -> Iterator[str]:
    """Yield what a mailbox exports of its queue, its waits and its ratings."""
    for number, queue in enumerate(("unassigned", "assigned", "mine", "needs_attention", "drafts")):
        states = ("active", "pending") if number < 3 else ("all",)
        for state in states:
            own = f'{mailbox},queue="{queue}",folder="",folder_id="{number}",state="{state}"'
            yield f"helpscout_queue_conversations{{{own}}} {0 if state == 'all' else 12}"
    yield f"helpscout_waiting_truncated{{{mailbox}}} 0"
    for kind in TYPES:
        cut = f'{mailbox},type="{kind}",segment="",office_hours="false"'
        yield f"helpscout_waiting_conversations{{{cut}}} 12"
        yield f"helpscout_waiting_since_timestamp_seconds{{{cut}}} NOW"
    for sla in SLAS:
        cut = f'{mailbox},type="email",segment="",office_hours="false",sla="{sla}"'
        for threshold in ("target", "at_risk"):
            of = f'{{{cut},threshold="{threshold}"}}'
            yield f"helpscout_sla_waiting_conversations{of} {3 if missed else 0}"
    for window in ("7d", "30d"):
        cut = f'{mailbox},type="all",window="{window}"'
        yield f"helpscout_happiness_score{{{cut}}} 80"
        for rating in ("great", "okay", "not_good"):
            yield f'helpscout_happiness_ratings{{{cut},rating="{rating}"}} 40'


class Source:
    """Serves what is exported, each time with the next date, up to now."""

    def __init__(self) -> None:
        self.text, self.served = "", 0
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.served += 1
                back = max(0, SCRAPES - source.served) * STEP_SECONDS
                moment = int(time.time()) - back
                text = source.text.replace("NOW", str(moment))
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                # A scrape that a reload cuts off does not matter.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(text.replace("\n", f" {moment}000\n").encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def await_scrapes(self, number: int) -> None:
        """Wait until so many more were served, and the last one is stored."""
        wanted = self.served + number
        while self.served < wanted:
            time.sleep(0.1)
        time.sleep(2)


class Server:
    """A Prometheus that scrapes or evaluates, as it is told."""

    def __init__(
        self, version: str, folder: Path, target: int, stack: contextlib.ExitStack
    ) -> None:
        self.host, self._file, self._target = f"127.0.0.1:{free_port()}", folder / "p.yml", target
        self._rules = folder / "rules.yml"
        groups = "".join(
            path.read_text(encoding="utf-8").partition("groups:\n")[2]
            for path in sorted((ROOT / "prometheus" / "rules").iterdir())
        )
        groups = re.sub(r"    interval: \w+\n", "", re.sub(r"offset \w+", "offset 30s", groups))
        self.ours = groups
        self._configure("", scrape=True)
        command = [
            need("prometheus", version),
            f"--config.file={self._file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.host}",
            "--web.enable-lifecycle",
        ]
        stack.enter_context(process(command, int(self.host.rpartition(":")[2]), "/-/ready"))

    def _configure(self, groups: str, *, scrape: bool) -> None:
        self._rules.write_text(f"groups:\n{groups}" if groups else "", encoding="utf-8")
        job = (
            f"{{job_name: helpscout, static_configs: [{{targets: ['127.0.0.1:{self._target}']}}]}}"
        )
        self._file.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 5s}\n"
            f"rule_files: ['{self._rules}']\nscrape_configs: [{job if scrape else ''}]\n",
            encoding="utf-8",
        )

    def does(self, groups: str, *, scrape: bool = False) -> None:
        """Scrape, or evaluate these groups, from now on."""
        self._configure(groups, scrape=scrape)
        request = urllib.request.Request(f"http://{self.host}/-/reload", method="POST")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60)

    def _processor(self) -> float:
        text = get(self.host, "/metrics", compressed=False).decode()
        (seconds,) = re.findall(r"(?m)^process_cpu_seconds_total (\S+)$", text)
        return float(seconds)

    def _groups(self) -> list[dict[str, Any]]:
        answer = json.loads(get(self.host, "/api/v1/rules?type=record", compressed=False))
        found: list[dict[str, Any]] = answer["data"]["groups"]
        return found

    def evaluates(self, groups: str) -> tuple[dict[str, float], float]:
        """Return the median seconds of each group, and the processor's for one evaluation of all."""
        self.does(groups)
        seen: dict[str, dict[str, float]] = {}
        before = None
        wanted = groups.count("- name: ")
        while len(seen) < wanted or min(map(len, seen.values())) <= EVALUATIONS:
            time.sleep(0.2)
            for group in self._groups():
                at = group["lastEvaluation"]
                if not at.startswith("0001"):
                    seen.setdefault(group["name"], {})[at] = group["evaluationTime"]
            if seen and before is None:
                before = self._processor()
        assert before is not None
        spent = (self._processor() - before) / EVALUATIONS
        self.does("")
        return {name: statistics.median(each.values()) for name, each in seen.items()}, spent


def main() -> None:
    """Measure, and write the section."""
    rows, targets = [], []
    for version in VERSIONS:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-rules-")))
            source = Source()
            stack.callback(source.server.server_close)
            stack.callback(source.server.shutdown)
            source.text = exposition(missed=False)
            server = Server(version, folder, source.server.server_port, stack)
            source.await_scrapes(SCRAPES)
            peer = server.evaluates(_PEER)[0]["peer"]
            for state in STATES:
                if state != STATES[0]:
                    source.text = exposition(missed=True)
                    server.does("", scrape=True)
                    source.await_scrapes(2)
                found, spent = server.evaluates(server.ours)
                total = sum(found.values())
                name = f"{version}, {state}"
                each = [found[f"helpscout.{group}"] for group in GROUPS]
                figures = (*each, total, spent, peer, total / peer)
                rows.append([name, *(f"{figure:.2f}" for figure in figures)])
                if state == STATES[0]:
                    targets += [
                        [f"{group}, {version}", f"{seconds:.2f}", verdict(seconds, BUDGET_SECONDS)]
                        for group, seconds in zip(GROUPS, each, strict=True)
                    ]
    text = machine() + "\n\n"
    text += (
        f"{MAILBOXES} mailboxes, {len(TYPES)} types, {len(WINDOWS)} windows, {len(SLAS)} SLAs,"
        " `compare`: 66,132 series of changes. Seconds for one evaluation of each group in Prometheus,"
        " and of one rule that records every change with its gaps bridged. Where every SLA is missed,"
        " 2,000 alerts wait, and Prometheus writes all their texts at each evaluation; that has no"
        " target but to end before the next one.\n\n"
    )
    titles = ("Prometheus", *GROUPS, "all", "processor", "that one rule", "ratio")
    text += table(titles, rows) + "\n"
    text += table(("a group must take at most 0.5 s", "measured", ""), targets)
    write("Rules", text)


GROUPS: Final = ("sla", "waiting", "queue", "ratings", "change", "exporter", "figures")

if __name__ == "__main__":
    main()
