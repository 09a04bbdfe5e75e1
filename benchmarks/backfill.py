"""Backfill: pace against the bound its budget sets, CPU and memory beside a plain loop, a year.

The plain loop asks the same reports of the same simulator with `requests` and writes them with the
client library's own OpenMetrics writer. Every figure comes from a process of its own.

    python -m benchmarks.backfill [pace] [loop] [year] [promtool]
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from benchmarks.results import machine, table, write
from exporter.backfill.answers import Answers
from exporter.backfill.grid import Grid
from exporter.backfill.series import SeriesTable
from exporter.backfill.writer import exposition
from exporter.exposition import Renderer
from exporter.questions import Key, Question, Window
from exporter.settings import Configuration

HEADING = "Backfill"
UNLIMITED = 6_000_000
CONFIG = """
mailboxes: {all: false}
types: [email, chat, phone]
windows: [24h, 7d]
log: {level: warning}
"""
RANGE = ("--from", "2026-03-01", "--to", "2026-05-29", "--step", "1d")
KEYS = 4 * 3 * 2


@contextmanager
def simulator(limit: int) -> Iterator[str]:
    """Start one of four mailboxes; yield its address."""
    command = [sys.executable, "-m", "exporter", "simulate", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--mailboxes", "4", "--rate-limit", str(limit)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    yield re.findall(rb"(http://\S+)/v1", process.stdout.readline())[0].decode()
    process.terminate()
    process.wait()


@dataclass(frozen=True, slots=True)
class Work:
    """A command and the variables it runs with."""

    command: list[str]
    environ: dict[str, str]

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command, env=self.environ)

    def run(self) -> None:
        assert self.start().wait() == 0

    def measured(self) -> tuple[float, float]:
        """Run it; return its CPU seconds and its peak memory in MB."""
        process, peak, usage = self.start(), 0.0, None
        while usage is None:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.02)
            pid, status, found = os.wait4(process.pid, os.WNOHANG)
            if pid:
                assert status == 0
                usage = found
        return usage.ru_utime + usage.ru_stime, peak


def peak_mb(pid: int | str) -> float:
    """Return a process's peak memory so far (not ru_maxrss: that one outlives an exec)."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def backfill(url: str, folder: Path, *arguments: str, range_: tuple[str, ...] = RANGE) -> Work:
    """Return the command as a user would give it."""
    (folder / "config.yml").write_text(CONFIG)
    environ = {name: text for name, text in os.environ.items() if "HELPSCOUT" not in name} | {
        "HELPSCOUT_BASE_URL": f"{url}/v2",
        "HELPSCOUT_CLIENT_ID": "demo-1",
        "HELPSCOUT_CLIENT_SECRET": "secret-1",
    }
    files = ("--config", str(folder / "config.yml"), "--output", str(folder / "helpscout.om"))
    command = [sys.executable, "-m", "exporter", "backfill", *files, *range_, *arguments]
    return Work(command, environ)


def answered(url: str) -> int:
    """Return how many reports the simulator has answered."""
    calls = requests.get(f"{url}/_stats", timeout=10).json()["accounts"].get("1", {})
    return int(calls.get("calls", {}).get("report", {}).get("200", 0))


# --- pace ---------------------------------------------------------------------------------------


def pace(limit: int, days: int) -> tuple[str, ...]:
    """Measure the time from the first to the last report against what the budget allows."""
    last = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=days - 1)
    range_ = ("--from", "2026-03-01", "--to", f"{last:%Y-%m-%d}", "--step", "1d")
    with simulator(limit) as url, tempfile.TemporaryDirectory() as name:
        process = backfill(url, Path(name), "--budget", "0.2", range_=range_).start()
        while (before := answered(url)) < 1:
            time.sleep(0.005)
        began = time.monotonic()
        while (now := answered(url)) < days * KEYS:
            time.sleep(0.02)
        rate = (now - before) / (time.monotonic() - began)
        process.wait()
    bound = limit * 0.2 / 60
    return f"{limit}/min x 0.2", f"{bound:.2f}", f"{rate:.2f}", f"{rate / bound:.1%}"


# --- beside a plain loop --------------------------------------------------------------------------


def plain_loop(url: str, output: Path) -> None:
    """Ask and write as one would without this exporter."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric
    from prometheus_client.openmetrics.exposition import generate_latest

    figures = [
        "responseTime",
        "firstResponseTime",
        "handleTime",
        "resolutionTime",
        "repliesToResolve",
    ]
    figures += ["totalConversations", "resolved", "resolvedOnFirstReply", "closed", "repliesSent"]
    shapes = ["responseTime", "firstResponseTime", "handleTime", "repliesToResolve"]
    edges: dict[str, tuple[int, ...]] = {
        "responseTime": (900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)
    }
    edges |= {"firstResponseTime": edges["responseTime"], "handleTime": (60, 120, 300, 600)}
    edges["repliesToResolve"] = (1, 2, 3, 4)
    metrics = {name: Metric(f"plain_{name}", "A figure", "gauge") for name in figures}
    buckets = {name: Metric(f"plain_{name}_dist", "x", "gaugehistogram") for name in shapes}
    ratio = Metric("plain_first_reply_ratio", "x", "gauge")
    by_replies = Metric("plain_by_replies", "x", "gauge")
    session = requests.Session()
    form = {"grant_type": "client_credentials", "client_id": "demo-1", "client_secret": "secret-1"}
    token = session.post(f"{url}/v2/oauth2/token", data=form).json()["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"
    boxes = session.get(f"{url}/v2/mailboxes").json()["_embedded"]["mailboxes"]
    first = datetime(2026, 3, 1, tzinfo=UTC)
    for box in boxes:
        for type_ in ("email", "chat", "phone"):
            for window, days in (("24h", 1), ("7d", 7)):
                labels = {"mailbox": box["name"], "mailbox_id": str(box["id"]), "type": type_}
                labels |= {"window": window, "account": "default", "office_hours": "false"}
                labels |= {"segment": "", "job": "helpscout", "instance": "exporter:9877"}
                for day in range(90):
                    end = first + timedelta(days=day)
                    start = end - timedelta(days=days) + timedelta(seconds=1)
                    report = session.get(
                        f"{url}/v2/reports/productivity",
                        params={
                            "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
                            "end": f"{end:%Y-%m-%dT%H:%M:%SZ}",
                            "mailboxes": box["id"],
                            "types": type_,
                            "officeHours": "false",
                        },
                    ).json()
                    at, current = end.timestamp(), report["current"]
                    for name, metric in metrics.items():
                        if current.get(name) is not None:
                            metric.add_sample(metric.name, labels, current[name], at)
                    if current.get("resolved"):
                        share = current["resolvedOnFirstReply"] / current["resolved"]
                        ratio.add_sample(ratio.name, labels, share, at)
                    for name, metric in buckets.items():
                        ranges = report[name]["ranges"]
                        counts: dict[int, Any] = {part["id"]: part["count"] for part in ranges}
                        total = 0
                        for number, edge in enumerate((*edges[name], "+Inf"), 1):
                            total += counts.get(number, 0)
                            le = str(float(edge)) if isinstance(edge, int) else "+Inf"
                            metric.add_sample(
                                f"{metric.name}_bucket", {**labels, "le": le}, total, at
                            )
                    for part in report["repliesToResolve"]["ranges"]:
                        if part.get("resolutionTime"):
                            with_replies = {**labels, "replies": str(part["id"])}
                            value = part["resolutionTime"]
                            by_replies.add_sample(by_replies.name, with_replies, value, at)

    class Everything:
        def collect(self) -> Iterator[Metric]:
            yield from (*metrics.values(), *buckets.values(), ratio, by_replies)

    registry = CollectorRegistry()
    registry.register(Everything())
    output.write_bytes(generate_latest(registry))  # type: ignore[no-untyped-call]


def beside_the_loop() -> list[tuple[str, ...]]:
    """Ask and write 90 days of 24 keys, both ways."""
    rows: list[tuple[str, ...]] = []
    with simulator(UNLIMITED) as url, tempfile.TemporaryDirectory() as name:
        folder, plain = Path(name), Path(name) / "plain.om"
        code = "import sys, pathlib; from benchmarks.backfill import plain_loop;"
        code += "plain_loop(sys.argv[1], pathlib.Path(sys.argv[2]))"
        loop = Work([sys.executable, "-c", code, url, str(plain)], dict(os.environ))
        for way, work, output in (
            ("backfill", backfill(url, folder, "--budget", "1"), folder / "helpscout.om"),
            ("plain requests loop", loop, plain),
        ):
            cpu, peak = work.measured()
            lines = output.read_bytes().split(b"\n")
            samples = sum(not line.startswith(b"#") for line in lines) - 1
            each = cpu * 100_000 / samples
            rows.append((way, f"{samples}", f"{cpu:.1f} s", f"{each:.1f} s", f"{peak:.0f} MB"))
    return rows


# --- a year of fifty mailboxes --------------------------------------------------------------------


def year() -> None:
    """Write a year of 50 mailboxes, 4 types, 3 windows, a step a day, and say what it took."""
    with tempfile.TemporaryDirectory() as name:
        grid = Grid(1_735_776_000, 1_735_776_000 + 364 * 86_400, 86_400)
        renderer = Renderer(Configuration((), windows=(Window("24h", timedelta(minutes=5)),)))
        series = SeriesTable(renderer, lambda key: key.mailbox_id, [("job", "helpscout")])
        answers = Answers(Path(name) / "answers", {}, 0)
        questions = [
            Question(
                Key("productivity", "acme", box, type_, window, "false"),
                timedelta(minutes=5),
                timedelta(days=1),
                ((), (), ()),
            )
            for box in ("all", *map(str, range(1000, 1050)))
            for type_ in ("all", "email", "chat", "phone")
            for window in ("24h", "7d", "30d")
        ]
        everything = b" ".join([b"3456.789"] * sum(1 for _ in series.series(questions[0])))
        for question in questions:
            for at in grid:
                answers.keep(question.key, at, everything)
        cpu = time.process_time()
        size = samples = 0
        with Path(os.devnull).open("wb") as nowhere:
            for line in exposition(questions, series, answers, (), grid):
                size += nowhere.write(line)
                samples += 1
        cpu = time.process_time() - cpu
        peak = peak_mb("self")
        kept = (Path(name) / "answers").stat().st_size
    print(f"{samples} {size / 1e9:.2f} {kept / 1e6:.0f} {cpu:.0f} {peak:.0f}")


def a_year() -> tuple[str, ...]:
    """Run that in a process of its own that has in memory what the command has."""
    code = "import exporter.cli.app, exporter.cli.backfill; from benchmarks.backfill import year; year()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    samples, size, kept, cpu, peak = done.stdout.split()
    return f"{int(samples):,}", f"{size} GB", f"{kept} MB", f"{cpu} s", f"{peak} MB"


def promtool() -> tuple[str, ...]:
    """Compare what the command says promtool will need with what it takes."""
    with simulator(UNLIMITED) as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backfill(url, folder, "--budget", "1").run()
        text = (folder / "helpscout.om").read_bytes()
        series = len({line.rsplit(b" ", 2)[0] for line in text.split(b"\n") if line[:1] == b"h"})
        command = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet")
        process = subprocess.Popen(
            [*command, "--max-block-duration=744h", folder / "helpscout.om", folder / "blocks"],
            stdout=subprocess.DEVNULL,
        )
        peak = 0
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"RssAnon:\s+(\d+)", status)
            peak = max(peak, int(found[1]) if found else 0)
            time.sleep(0.01)
    return f"{series}", f"{(64e6 + 6000 * series) / 1e6:.0f} MB", f"{peak / 1024:.0f} MB"


def main(wanted: list[str]) -> None:
    """Measure and write the section."""
    every = not wanted
    parts = [machine("requests", "prometheus-client")]
    if every or "pace" in wanted:
        paces = [pace(400, 5), pace(6000, 60)]
        paced = ("limit and budget", "bound, reports/s", "reports/s", "of the bound")
        parts.append(table(paced, paces) + "\nTarget: at least 97 % of the bound.")
    if every or "loop" in wanted:
        ways = ("way", "samples", "CPU", "CPU per 100,000 samples", "peak memory")
        parts.append(
            table(ways, beside_the_loop())
            + "\nThe same 2,160 reports, asked and written. The loop holds everything until it"
            " writes, so its memory grows with the range; that of backfill does not."
        )
    if every or "year" in wanted:
        years = ("samples", "file", "answers", "CPU to write", "peak memory")
        parts.append(
            "A year of 50 mailboxes, 4 types, 3 windows, a step a day, written:\n\n"
            + table(years, [a_year()])
            + "\nTarget: at most 150 MB."
        )
    if every or "promtool" in wanted:
        tools = ("series", "promtool's memory, as said", "as measured")
        parts.append(table(tools, [promtool()]))
    text = "\n\n".join(parts)
    if every:
        write(HEADING, text)
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
