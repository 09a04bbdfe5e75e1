"""What a poll costs: the budget kept, the CPU of a report, the way back after a restart.

`python -m benchmarks.poll` writes the section of RESULTS.md. The simulator runs in a process of
its own; the bare loop beside us asks the same answers of the same server.
"""

import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from benchmarks import peers, shared_account
from benchmarks.filled import answer, parsed
from benchmarks.results import machine, table, verdict, write
from exporter import collectors
from exporter.helpscout.account import Account, Secret
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.poller.dispatcher import utc_now
from exporter.questions import Key, Learned, Mailbox, Question
from exporter.settings import load
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry

Target = tuple[str, float, float, str]


class Simulated:
    """`simulate` as a process; `url` is where it listens."""

    def __init__(self, *arguments: str) -> None:
        port = peers.free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "exporter", "simulate", "--listen", f"127.0.0.1:{port}"]
        self._process = subprocess.Popen(
            [*command, *arguments], cwd=peers.ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def __enter__(self) -> "Simulated":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def stats(self) -> str:
        """Return what the simulator counted."""
        return requests.get(f"{self.url}/_stats", timeout=10).text


def environment(url: str, **more: str) -> dict[str, str]:
    """Return the variables of an exporter on the simulator."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("HELPSCOUT_")},
        "HELPSCOUT_CLIENT_ID": "demo-1",
        "HELPSCOUT_CLIENT_SECRET": "secret-1",
        "HELPSCOUT_BASE_URL": f"{url}/v2",
        "HELPSCOUT_ACCOUNTS__0__COLLECTORS": "productivity",
        "HELPSCOUT_LOG__LEVEL": "error",
        **more,
    }


def filling() -> list[Target]:
    """Fill about 1,000 reports with 50 ms latency and a limit of 4,000 a minute."""
    limit, latency, share, concurrency = 4_000, 0.05, 0.9, 8
    with Simulated("--mailboxes", "83", "--latency", "50ms", "--rate-limit", str(limit)) as service:
        environ = environment(
            service.url,
            HELPSCOUT_ACCOUNTS__0__BUDGET=str(share),
            HELPSCOUT_ACCOUNTS__0__CONCURRENCY=str(concurrency),
            HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE=str(limit),
            # What the simulator computes for a fifth of a second would be measured, not we.
            HELPSCOUT_MAILBOXES__ALL="false",
            HELPSCOUT_LOG__LEVEL="info",
            HELPSCOUT_LOG__FORMAT="json",
        )
        command = [sys.executable, "-m", "exporter", "once"]
        # The simulator makes its world as it is asked for: once, so that the second run pays no part.
        for _ in range(2):
            time.sleep(61)
            started = time.monotonic()
            done = subprocess.run(
                command, cwd=peers.ROOT, env=environ, capture_output=True, text=True, check=True
            )
            whole = time.monotonic() - started
            ended = datetime.now(UTC)
        began = re.search(r'"mailboxes found".*"timestamp": "([^"]+)"', done.stderr)
        assert began
        took = (ended - datetime.fromisoformat(began[1])).total_seconds()
        reports = done.stdout.count("\nhelpscout_report_success{")
        refused = sum(map(int, re.findall(r'"429": (\d+)', service.stats())))
    bound = max(reports / (limit * share / 60), reports * latency / concurrency)
    return [
        (
            f"filling {reports} reports, wall time beside the bound",
            took / bound,
            1.05,
            f"{took / bound:.3f} x ({took:.1f} s from the mailbox list on, bound {bound:.1f} s; with the program's start {whole:.1f} s)",
        ),
        ("429s while filling", refused, 0, str(refused)),
    ]


def sharing() -> list[Target]:
    """Live beside a client that takes 60 % of the limit in bursts, ten simulated minutes."""
    patterns = ("one burst", "three bursts", "late burst", "steady")
    runs = [shared_account.run(p, 0.5, seed) for p in patterns for seed in range(10)]
    refused = max(run[0] for run in runs)
    left = min(run[1] for run in runs)
    return [
        ("429s of all calls beside another client, worst of 40", refused, 0.01, f"{refused:.2%}"),
        (
            "part of what was left that we did not take, worst of 40",
            1 - left,
            0.2,
            f"{1 - left:.1%}",
        ),
        (
            "calls of ours refused with 429 in ten minutes, worst of 40",
            max(run[2] for run in runs),
            1,
            str(max(run[2] for run in runs)),
        ),
    ]


def cpu_a_report() -> list[Target]:
    """Compare parse, store and map with a bare loop on the same answers, in turns."""
    with Simulated("--rate-limit", "1000000", "--now", "2026-11-02T12:00:00Z") as service:
        telemetry = Telemetry(process_metrics=False)
        budget = Budget("a", 1e9, 1.0, telemetry, wait=threading.Event().wait)
        account = Account(
            name="a",
            api="v1",
            base_url=f"{service.url}/v1",
            api_key=Secret("key-1"),
            requests_per_minute=1e9,
            budget=1.0,
        )
        client = Client(account, budget, telemetry)
        key = Key("productivity", "a", "1001", "all", "7d", "false")
        question = Question(key, timedelta(minutes=35), timedelta(days=7), ((1001,), (), ()))
        store = Store()
        store.set_accounts(["a"])
        store.schedule("a", [key])
        path = "/reports/productivity.json"
        query = {
            "start": "2026-10-26T12:00:01Z",
            "end": "2026-11-02T12:00:00Z",
            "mailboxes": "1001",
            "officeHours": "0",
        }

        def ours() -> None:
            store.succeeded(key, collectors.ask(client, question, utc_now(), paid=True).kept)

        def bare() -> None:
            requests.get(
                f"{service.url}/v1{path}", params=query, auth=("key-1", "X"), timeout=30
            ).json()

        ours()
        bare()
        ratios, means = [], []
        for _ in range(15):
            spent = []
            for step in (ours, bare):
                before = _cpu()
                for _ in range(100):
                    step()
                spent.append((_cpu() - before) / 100)
            ratios.append(spent[0] / spent[1])
            means.append(spent)
    ratio = statistics.median(ratios)
    mine, theirs = (statistics.median(column) * 1e3 for column in zip(*means, strict=True))
    return [
        (
            "CPU a report beside requests.get(...).json()",
            ratio,
            1.3,
            f"{ratio:.2f} x ({mine:.2f} ms, {theirs:.2f} ms)",
        )
    ]


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def remembered(environ: dict[str, str]) -> int:
    """Fill the state file as if every report of 249 mailboxes had just come; return how many."""
    configuration = load(None, environ)
    (account,) = configuration.accounts
    boxes = [Mailbox(n, f"Mailbox number {n}", "s", "m@acme.com") for n in range(1, 250)]
    scope = collectors.scope(account, configuration, boxes, {})
    questions = collectors.questions_of(scope)
    chance = random.Random(1)
    readings = [parsed(answer(chance)) for _ in range(50)]
    state = StateFile(configuration.state_file, collectors.codec)
    state.remember_account(account.identity, boxes, Learned())
    for number, question in enumerate(questions):
        state.remember(account.identity, question, readings[number % 50], time.time())
    state.close()
    return len(questions)


def restarting() -> list[Target]:
    """Start with 3,000 reports in the state file, Help Scout away."""
    with tempfile.TemporaryDirectory() as folder:
        port = peers.free_port()
        environ = environment(
            f"http://127.0.0.1:{peers.free_port()}",
            HELPSCOUT_STATE_FILE=str(Path(folder) / "state.db"),
            HELPSCOUT_WEB__LISTEN=f"127.0.0.1:{port}",
        )
        wanted = remembered(environ)
        times, series = [], 0
        for _ in range(5):
            started = time.monotonic()
            daemon = subprocess.Popen(
                [sys.executable, "-m", "exporter", "serve"],
                cwd=peers.ROOT, env=environ, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            while True:
                try:
                    body = peers.get(f"127.0.0.1:{port}", "/metrics", compressed=False)
                except OSError:
                    time.sleep(0.005)
                    continue
                break
            times.append(time.monotonic() - started)
            series = body.count(b"\nhelpscout_conversations{")
            daemon.terminate()
            daemon.wait()
    took = statistics.median(times)
    return [
        (
            "reports back in the first scrape after a restart, missing",
            wanted - series,
            0,
            f"{series} of {wanted}",
        ),
        ("start to that scrape, s", took, 1.5, f"{took:.2f}"),
    ]


def main() -> None:
    """Run all of it, about seven minutes."""
    targets = [*sharing(), *cpu_a_report(), *restarting(), *filling()]
    text = machine("requests", "pydantic", "urllib3") + "\n\n"
    text += table(
        ("", "measured", "must be at most", ""),
        (
            [words, shown, f"{goal:g}", verdict(value, goal)]
            for words, value, goal, shown in targets
        ),
    )
    write("Poll", text)


if __name__ == "__main__":
    main()
