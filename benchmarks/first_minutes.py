"""How long a newcomer waits: from a fresh clone to the first metric, to Prometheus, to an alert.

`python -m benchmarks.first_minutes` does what the README says, in a clone with an empty environment,
and writes the section of RESULTS.md. The packages' download is part of it, and so the network.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from benchmarks import peers
from benchmarks.results import machine, table, write

_PATIENCE_SECONDS = 1_200


def until(look: Callable[[], Any], started: float) -> float:
    """Return the seconds from `started` to the first true look."""
    while time.monotonic() - started < _PATIENCE_SECONDS:
        try:
            if look():
                return time.monotonic() - started
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.1)
    raise TimeoutError


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="first-minutes-"))
    clone = folder / "clone"
    exporter, prometheus = "http://127.0.0.1:9877", f"http://127.0.0.1:{peers.free_port()}"
    running: list[subprocess.Popen[bytes]] = []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def start(*command: str, cwd: Path) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(command, cwd=cwd, start_new_session=True, **quiet))  # type: ignore[call-overload]
        return running[-1]

    def ask(path: str, **query: str) -> Any:
        return requests.get(f"{prometheus}{path}", params=query, timeout=5).json()["data"]

    def has_metrics() -> bool:
        answer = requests.get(f"{exporter}/metrics", timeout=5)
        return b"helpscout_response_time_seconds{" in answer.content

    def fires(alert: str) -> bool:
        found = ask("/api/v1/alerts")["alerts"]
        return any(a["labels"]["alertname"] == alert and a["state"] == "firing" for a in found)

    try:
        started = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(peers.ROOT), str(clone)], check=True)
        demo = start("make", "demo", cwd=clone)
        metric = until(has_metrics, started)
        os.killpg(demo.pid, signal.SIGTERM)
        demo.wait()
        again = time.monotonic()
        demo = start("make", "demo", cwd=clone)
        second = until(has_metrics, again)
        readme = (clone / "README.md").read_text(encoding="utf-8")
        block = readme.partition("<!-- scrape-config -->\n```yaml\n")[2].partition("```")[0]
        (clone / "prometheus.yml").write_text(block, encoding="utf-8")
        began = time.monotonic()
        start(
            "prometheus",
            "--config.file=prometheus.yml",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={prometheus.removeprefix('http://')}",
            cwd=clone,
        )
        scraped = until(
            lambda: ask("/api/v1/query", query="helpscout_response_time_seconds")["result"], began
        )
        os.killpg(demo.pid, signal.SIGTERM)
        stopped = time.monotonic()
        firing = until(lambda: fires("HelpscoutExporterDown"), stopped)
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder)
    rows = [
        ("`git clone` and `make demo`, to the first metric", f"{metric:.0f} s"),
        ("`make demo` again, to the first metric", f"{second:.1f} s"),
        (
            "`prometheus` with the README's configuration, to a query with a result",
            f"{scraped:.0f} s",
        ),
        ("the exporter stopped, to HelpscoutExporterDown firing", f"{firing:.0f} s"),
    ]
    write("The first minutes", f"{machine()}\n\n{table(('', 'time'), rows)}")


if __name__ == "__main__":
    main()
