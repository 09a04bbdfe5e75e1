"""What the exporter is measured beside: each serves the same series from a process of its own."""

import contextlib
import gzip
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_STOCK = """
import sys, time
from prometheus_client import CollectorRegistry, Gauge, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
kind, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
families = list(text_string_to_metric_families(open(path, encoding="utf-8").read()))
registry = CollectorRegistry()
if kind == "gauges":
    for family in families:
        names = {}
        for sample in family.samples:
            names.setdefault(sample.name, []).append(sample)
        for name, samples in names.items():
            labels = list(samples[0].labels)
            gauge = Gauge(name, "help", labels, registry=registry)
            for sample in samples:
                child = gauge.labels(**sample.labels) if labels else gauge
                child.set(sample.value)
else:
    class Collector:
        def collect(self):
            for family in families:
                names = {}
                for sample in family.samples:
                    metric = names.get(sample.name)
                    if metric is None:
                        metric = names[sample.name] = GaugeMetricFamily(
                            sample.name, "help", labels=list(sample.labels))
                    metric.add_metric(list(sample.labels.values()), sample.value)
                yield from names.values()
    registry.register(Collector())
start_http_server(port, "127.0.0.1", registry)
time.sleep(1e6)
"""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(host: str, path: str, *, compressed: bool) -> bytes:
    """Return a body as it is sent. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(host, timeout=60)
    headers = {"Accept-Encoding": "gzip" if compressed else "identity"}
    connection.request("GET", path, headers=headers)
    body = connection.getresponse().read()
    connection.close()
    return body


@contextlib.contextmanager
def process(command: list[str], port: int, path: str) -> Iterator[int]:
    """Run a server until the block ends; its process id once it answers."""
    started = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                get(f"127.0.0.1:{port}", path, compressed=False)
                break
            if time.monotonic() > until or started.poll() is not None:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.1)
        yield started.pid
    finally:
        started.terminate()
        started.wait()


@contextlib.contextmanager
def exporter(series: int, *arguments: str) -> Iterator[tuple[str, int]]:
    """Run benchmarks/filled.py; its host and process id."""
    command = [sys.executable, "-m", "benchmarks.filled", "--series", str(series), *arguments]
    started = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdin is not None
    assert started.stdout is not None
    try:
        yield started.stdout.readline().strip().removeprefix("http://"), started.pid
    finally:
        started.stdin.close()
        started.wait()


@contextlib.contextmanager
def stock(kind: str, text: bytes) -> Iterator[str]:
    """Run the client library's own server, with `gauges` or a `collector`; its host."""
    port = free_port()
    with tempfile.NamedTemporaryFile(suffix=".prom") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-c", _STOCK, kind, str(port), file.name]
        with process(command, port, "/metrics"):
            yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def pushgateway(text: bytes) -> Iterator[str]:
    """Run Debian's Pushgateway with the same samples pushed; its host."""
    port = free_port()
    command = [
        shutil.which("prometheus-pushgateway") or "pushgateway",
        f"--web.listen-address=127.0.0.1:{port}",
        "--persistence.file=",
    ]
    with process(command, port, "/-/ready"):
        connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=120)
        connection.request("PUT", "/metrics/job/bench", body=text)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise RuntimeError(f"pushgateway: {answer.status} {answer.read()[:300]!r}")
        answer.read()
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def nginx(text: bytes, report: bytes = b"") -> Iterator[str]:
    """Run Debian's nginx with the bytes as a file, plain and precompressed; its host.

    `report` is what it answers as Help Scout's API 1.0, whatever is asked.
    """
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="bench-nginx-"))
    (folder / "metrics").write_bytes(text)
    (folder / "metrics.gz").write_bytes(gzip.compress(text, 6))
    (folder / "v1" / "reports").mkdir(parents=True)
    (folder / "v1" / "reports" / "productivity.json").write_bytes(report)
    folder.chmod(0o755)
    (folder / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
sendfile on; tcp_nopush on; keepalive_requests 1000000;
server {{ listen 127.0.0.1:{port}; root {folder}; gzip_static on; default_type text/plain;
types {{ application/json json; }} }} }}
""",
        encoding="utf-8",
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    try:
        with process([program, "-c", str(folder / "nginx.conf")], port, "/metrics"):
            yield f"127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder)
