"""What a scrape costs: the exporter beside the client library, Pushgateway and nginx, in one run.

`python -m benchmarks.scrape [--quick]` writes the section of RESULTS.md. The servers take turns
scrape by scrape, so that what the machine does meanwhile hits all of them.
"""

import argparse
import contextlib
import http.client
import multiprocessing
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import peers
from benchmarks.filled import answer
from benchmarks.results import machine, table, verdict, write

_WHY = """A body is compressed for the first scrape after a change; the median scrape here finds it made. nginx
compressed its file once at level 6, which leaves 16 % less to send than `isal` does at level 1. The slow
servers empty the processor's caches between two scrapes of the quick ones, whose order changes from turn to
turn: where exporter and nginx serve alone, a gzip scrape takes 1.2 to 1.4 times as long as nginx's, a bare
asyncio protocol 0.9 to 1.1. With 1,000 series, where a request's own cost counts, it is 1.4 to 1.8 times.

On a machine two to three times as slow, the plain scrape took 1.33 to 1.45 times as long as nginx's, and p99
under eight pollers was 23 to 30 ms. Sent by `sendfile` out of a file in memory the plain one took 1.15 times
as long there; but to write 14 MB into that file took 11 ms of CPU at every change, and saved 2 ms a scrape."""
SIZES = (1_000, 10_000, 100_000)
NAMES = ("exporter", "nginx", "pushgateway", "stock gauges", "stock collector")


def scrape(connection: http.client.HTTPConnection, *, compressed: bool) -> float:
    """Return how long one scrape over a kept connection took, in seconds."""
    started = time.perf_counter()
    headers = {"Accept-Encoding": "gzip" if compressed else "identity"}
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    answer.read()
    return time.perf_counter() - started


def worker(
    host: str, compressed: bool, rounds: int, gate: "multiprocessing.synchronize.Barrier",
    out: "multiprocessing.Queue[list[float]]",
) -> None:  # fmt: skip
    """One scraper of several: all begin together."""
    connection = http.client.HTTPConnection(host, timeout=120)
    scrape(connection, compressed=compressed)
    gate.wait()
    out.put([scrape(connection, compressed=compressed) for _ in range(rounds)])


def side_by_side(
    hosts: dict[str, str], *, compressed: bool, scrapers: int, seconds: float
) -> dict[str, list[float]]:
    """Return the times of each server's scrapes, a like share of the time for each."""
    times: dict[str, list[float]] = {name: [] for name in hosts}
    if scrapers == 1:
        connections = {
            name: http.client.HTTPConnection(host, timeout=120) for name, host in hosts.items()
        }
        for connection in connections.values():
            scrape(connection, compressed=compressed)
        until = time.monotonic() + seconds * len(hosts)
        turn, order = 0, list(hosts)
        while time.monotonic() < until and turn < 400:
            random.shuffle(order)  # what a slow one leaves behind hits no other one each time
            for name in order:
                # A peer that takes seconds gets fewer turns, or the quick ones would get hardly any.
                if turn < 3 or statistics.median(times[name]) < 0.05 or turn % 20 == 0:
                    times[name].append(scrape(connections[name], compressed=compressed))
            turn += 1
        return times
    context = multiprocessing.get_context("fork")
    for name, host in hosts.items():
        one = http.client.HTTPConnection(host, timeout=120)
        rounds = max(2, min(100, int(seconds / (scrapers * scrape(one, compressed=compressed)))))
        gate, out = context.Barrier(scrapers), context.Queue()
        workers = [
            context.Process(target=worker, args=(host, compressed, rounds, gate, out))
            for _ in range(scrapers)
        ]
        for each in workers:
            each.start()
        for _ in workers:
            times[name] += out.get()
        for each in workers:
            each.join()
    return times


def quantile(times: list[float], share: float) -> float:
    """Return the time that so many of the times do not exceed."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def memory_mib(pid: int) -> float:
    """Return a process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """Return what a process has used of a core so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def compare(size: int, seconds: float) -> tuple[list[list[str]], dict[tuple[str, str], float]]:
    """Return the table's rows for one size, and the medians by server and encoding."""
    rows, medians = [], {}
    with contextlib.ExitStack() as stack:
        host, _ = stack.enter_context(peers.exporter(size))
        text = peers.get(host, "/metrics", compressed=False)
        # What a Pushgateway or a registry of ours would hold: the reports' samples alone.
        own = b"\n".join(
            line for line in text.splitlines() if b"helpscout_" in line and b"exporter_" not in line
        )
        hosts = {
            "exporter": host,
            "nginx": stack.enter_context(peers.nginx(text)),
            "pushgateway": stack.enter_context(peers.pushgateway(own + b"\n")),
            "stock gauges": stack.enter_context(peers.stock("gauges", own + b"\n")),
            "stock collector": stack.enter_context(peers.stock("collector", own + b"\n")),
        }
        for scrapers in (1, 4):
            for compressed in (True, False):
                times = side_by_side(
                    hosts, compressed=compressed, scrapers=scrapers, seconds=seconds
                )
                encoding = "gzip" if compressed else "identity"
                cells = []
                for name in NAMES:
                    median = statistics.median(times[name])
                    cells.append(f"{median * 1e3:.2f} / {quantile(times[name], 0.99) * 1e3:.1f}")
                    if scrapers == 1:
                        medians[name, encoding] = median
                rows.append([f"{size:,}, {encoding}, {scrapers}", *cells])
    return rows, medians


def under_polling(threads: int = 8) -> tuple[float, float, float]:
    """Return median and p99 of a gzip scrape, and polls a second, while threads poll at full speed.

    What they poll is nginx, which answers as fast as anything can.
    """
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(peers.nginx(b"", answer(random.Random(2))))
        arguments = ("--poll", str(threads), "--service", f"http://{service}")
        host, _ = stack.enter_context(peers.exporter(100_000, *arguments))
        time.sleep(2)
        connection = http.client.HTTPConnection(host, timeout=120)
        times, started, before = [], time.monotonic(), polls(host)
        for _ in range(500):
            times.append(scrape(connection, compressed=True))
            time.sleep(0.02)
        rate = (polls(host) - before) / (time.monotonic() - started)
    return statistics.median(times), quantile(times, 0.99), rate


def polls(host: str) -> float:
    """Return how many reports an exporter has asked for so far."""
    name = "helpscout_exporter_api_requests_total"
    text = peers.get(host, f"/metrics?name[]={name}", compressed=False).decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def steady(size: int, seconds: float) -> tuple[float, float, float]:
    """Return share of a core, first and last memory: a scrape each 15 s and 60 polls a minute."""
    with peers.exporter(size, "--every", "1") as (host, pid):
        connection = http.client.HTTPConnection(host, timeout=120)
        time.sleep(3)
        before, first = cpu_seconds(pid), memory_mib(pid)
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            scrape(connection, compressed=True)
            time.sleep(15)
        used = (cpu_seconds(pid) - before) / (time.monotonic() - started)
        return used, first, memory_mib(pid)


def arrival(changes: int = 30) -> float:
    """Return the longest time in seconds from a report's arrival to its bytes in a scrape."""
    moment = re.compile(rb"^helpscout_report_last_success_timestamp_seconds{.*} (\S+)$", re.M)
    with peers.exporter(100_000, "--every", "0.7") as (host, _):
        time.sleep(3)
        seen, lags = 0.0, list[float]()
        while len(lags) <= changes:
            text = peers.get(host, "/metrics", compressed=False)
            now, newest = time.time(), max(map(float, moment.findall(text)))
            if newest > seen:
                lags.append(now - newest)
            seen = newest
        return max(lags[1:])


def settled(size: int) -> float:
    """Return the memory of a serving process, in MiB, once it has been scraped a few times."""
    with peers.exporter(size, "--every", "1") as (host, pid):
        for _ in range(10):
            peers.get(host, "/metrics", compressed=True)
            time.sleep(0.5)
        return memory_mib(pid)


def inside(code: str) -> list[float]:
    """Return the numbers that a program prints, run in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=peers.ROOT, capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


_ONE_CHANGE = """
import random, statistics, time
from benchmarks.filled import *
from exporter.exposition import OPENMETRICS
def memory():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024
store, telemetry = Store(), Telemetry()
keys = fill(store, {size} // SERIES_PER_REPORT)
store.set_lifetimes("acme", dict.fromkeys(keys, 1e6))
exposition = Exposition(store, telemetry, Renderer(Configuration(())))
chance = random.Random(3)
body = answer(chance)
changes, plain, compressed, levels = [], [], [], []
def spend(times, work):
    started = time.process_time()
    work()
    times.append(time.process_time() - started)
for _ in range(60):
    store.succeeded(chance.choice(keys), parsed(body))
    spend(changes, exposition.assemble)
    spend(plain, exposition.body(OPENMETRICS, gzipped=False).made)
    spend(compressed, exposition.body(OPENMETRICS, gzipped=True).made)
    # Makes again what was asked for, so that the next assembly does not.
    exposition.assemble()
for polls in range(12_000):
    store.succeeded(chance.choice(keys), parsed(body))
    if polls % 100 == 0:
        exposition.assemble()
    if polls in (2_000, 11_999):
        levels.append(memory())
print(*map(statistics.median, (changes, plain, compressed)), *levels)
"""


def start_up() -> tuple[float, float]:
    """Return the time to the first answered scrape, and that of importing what we depend on."""
    imports = "import prometheus_client, requests, pydantic, pydantic_settings, structlog, uvicorn"
    imports += ", httptools, starlette, typer, yaml, rich, jinja2, bcrypt"
    bare, ours = [], []
    for _ in range(7):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", imports], check=True)
        bare.append(time.monotonic() - started)
        port = peers.free_port()
        environ = {
            "HELPSCOUT_CLIENT_ID": "a",
            "HELPSCOUT_CLIENT_SECRET": "b",
            "HELPSCOUT_BASE_URL": f"http://127.0.0.1:{peers.free_port()}/v2",
        }
        started = time.monotonic()
        command = [sys.executable, "-m", "exporter", "serve", "--listen", f"127.0.0.1:{port}"]
        daemon = subprocess.Popen(command, cwd=peers.ROOT, env=environ, stderr=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                peers.get(f"127.0.0.1:{port}", "/metrics", compressed=True)
                break
            time.sleep(0.005)
        ours.append(time.monotonic() - started)
        daemon.terminate()
        daemon.wait()
    return statistics.median(ours), statistics.median(bare)


def what_it_costs() -> dict[int, list[float]]:
    """Write the section about CPU alone; return what _ONE_CHANGE prints, by series."""
    costs = {size: inside(_ONE_CHANGE.format(size=size)) for size in (4_000, 100_000)}
    text = machine("prometheus-client", "isal") + "\n\nMedian CPU in ms.\n\n"
    text += table(
        ("", *(f"{size:,} series" for size in costs)),
        (
            [words, *(f"{cost[at] * 1e3:.2f}" for cost in costs.values())]
            for at, words in enumerate(
                (
                    "a changed report, rendered and joined",
                    "the exporter's own metrics, for the first scrape after that",
                    "compression, for the first scrape after that",
                )
            )
        ),
    )
    write("What it costs", text)
    return costs


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--quick", action="store_true", help="shorter rounds")
    arguments.add_argument("--costs", action="store_true", help="CPU alone, without peers")
    options = arguments.parse_args()
    if options.costs:
        what_it_costs()
        return
    seconds = 4.0 if options.quick else 12.0
    rows = []
    medians: dict[tuple[str, str], float] = {}
    for size in SIZES:
        print(f"{size} series ...", file=sys.stderr, flush=True)
        more, medians = compare(size, seconds)
        rows += more
    targets: list[tuple[str, float, float, str]] = []

    def ratio(words: str, a: tuple[str, str], b: tuple[str, str], target: float) -> None:
        value = medians[a] / medians[b]
        targets.append(
            (words, value, target, f"{value:.2f} x" if value > 0.1 else f"1 / {1 / value:,.0f}")
        )

    ratio(
        "gzip scrape beside nginx's precompressed file",
        ("exporter", "gzip"),
        ("nginx", "gzip"),
        1.5,
    )
    ratio("gzip scrape beside Pushgateway", ("exporter", "gzip"), ("pushgateway", "gzip"), 1 / 500)
    ratio(
        "gzip scrape beside stock gauges", ("exporter", "gzip"), ("stock gauges", "gzip"), 1 / 2000
    )
    ratio("plain scrape beside nginx", ("exporter", "identity"), ("nginx", "identity"), 1.3)
    ratio(
        "plain scrape beside Pushgateway",
        ("exporter", "identity"),
        ("pushgateway", "identity"),
        1 / 60,
    )
    median, p99, rate = under_polling()
    targets.append(
        (
            "p99 of a gzip scrape under eight pollers, ms",
            p99 * 1e3,
            20,
            f"{p99 * 1e3:.1f} (median {median * 1e3:.1f}, {rate:.0f} polls a second)",
        )
    )
    costs = what_it_costs()
    *_, first, last = costs[100_000]
    for size, target in ((4_000, 1.2), (100_000, 30)):
        change = costs[size][0] * 1e3
        words = f"CPU of a changed report at {size:,} series, ms"
        targets.append((words, change, target, f"{change:.2f}"))
    lag = arrival()
    targets.append(("from arrival to scrape, worst of 30, s", lag, 1.2, f"{lag:.2f}"))
    targets.append(
        (
            "growth over 10,000 polls",
            last / first,
            1.02,
            f"{last / first:.3f} x ({first:.0f} to {last:.0f} MiB)",
        )
    )
    used, before, after = steady(100_000, seconds * 4)
    targets.append(
        (
            "resident memory of the serving process, MiB",
            max(before, after),
            140,
            f"{max(before, after):.0f}",
        )
    )
    targets.append(("share of a core at 100,000 series", used, 0.04, f"{used:.1%}"))
    used_small, _, _ = steady(1_000, seconds * 4)
    targets.append(("share of a core at 1,000 series", used_small, 0.01, f"{used_small:.1%}"))
    base, middle, large = (settled(size) for size in SIZES)
    per_small, per_large = (middle - base) / 9_000, (large - base) / 99_000
    targets.append(
        (
            "memory a series, 100,000 against 10,000",
            per_large / per_small,
            1.0,
            f"{per_large * 1024:.2f} against {per_small * 1024:.2f} KiB",
        )
    )
    ours, bare = start_up()
    targets.append(
        (
            "start to first scrape beside importing the dependencies",
            ours / bare,
            2.2,
            f"{ours / bare:.2f} x ({ours:.2f} s, {bare:.2f} s)",
        )
    )

    text = machine("prometheus-client", "uvicorn", "starlette") + "\n\n"
    text += "Median / p99 of a scrape in ms, by series, encoding and number of scrapers.\n\n"
    text += table(("series", *NAMES), rows)
    text += "\n" + table(
        ("at 100,000 series", "measured", "must be at most", ""),
        (
            [words, shown, f"{target:g}", verdict(value, target)]
            for words, value, target, shown in targets
        ),
    )
    text += f"\n{_WHY}\n"
    write("Scrape", text)


if __name__ == "__main__":
    main()
