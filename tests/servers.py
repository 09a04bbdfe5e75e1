"""Real Prometheus and VictoriaMetrics servers and their tools, in an older and a newer version."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
import requests

from tests.support import VERSIONS, eventually, get, need, reserved_port
from tests.system.conftest import Start

EACH_VERSION: Final = pytest.mark.parametrize("version", VERSIONS)
LISTENING: Final = r"msg=.?Listening on.? .*?address=(127\.0\.0\.1:\d+)"
"""What Prometheus and Alertmanager log once they listen: they are not ready then."""


def promtool(
    *arguments: str | Path, version: str = "installed", stdin: str | None = None
) -> tuple[int, str]:
    """Run promtool; return its exit code and what it said."""
    done = subprocess.run(
        [need("promtool", version), *arguments],
        input=stdin, capture_output=True, text=True, check=False,
        env=os.environ | {"GOGC": "400"},  # a quarter of its time went into collecting garbage
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server that answers Prometheus's queries."""

    url: str

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the result of an instant query, now or `at` Unix seconds."""
        return self._ask("query", query=expression, **({} if at is None else {"time": at}))

    def range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return a range query's result."""
        return self._ask("query_range", query=expression, start=start, end=end, step=step)

    def _ask(self, endpoint: str, **parameters: object) -> list[dict[str, Any]]:
        answer = get(f"{self.url}/api/v1/{endpoint}?{urlencode(parameters)}", timeout=20)
        found = answer.json()
        assert found["status"] == "success", f"{parameters}: {found['error']}"
        result: list[dict[str, Any]] = found["data"]["result"]
        return result


def prometheus(
    start: Start, folder: Path, config: str, *arguments: str, version: str = "installed"
) -> Prometheus:
    """Start a Prometheus whose data is in `folder`; return it once it is ready."""
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(config)
    process = start(
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        *arguments,
        command=(need("prometheus", version),),
    )
    url = "http://" + process.says(LISTENING)
    eventually(lambda: get(f"{url}/-/ready").ok, "Prometheus is ready")
    return Prometheus(url)


def _answers(url: str) -> bool:
    try:
        return get(url).status_code > 0
    except requests.ConnectionError:
        return False


def nginx(start: Start, folder: Path, locations: str) -> str:
    """Start an nginx with these locations; return its URL once it listens."""
    port = reserved_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder / 'nginx.pid'}; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {paths}\n"
        f"server {{ listen 127.0.0.1:{port};\n{locations}\n}} }}\n"
    )
    start("-e", "stderr", "-c", str(folder / "nginx.conf"), command=(need("nginx"),))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: _answers(url), "nginx listens")
    return url


def victoriametrics(
    start: Start, folder: Path, *arguments: str, version: str = "installed"
) -> Prometheus:
    """Start a VictoriaMetrics whose data is in `folder`; return it once it is ready."""
    listen = f"127.0.0.1:{reserved_port()}"
    process = start(
        f"-storageDataPath={folder}",
        f"-httpListenAddr={listen}",
        "-retentionPeriod=10y",
        *arguments,
        command=(need("victoria-metrics", version),),
    )
    process.says(r"((?:started|starting) (?:http )?server)")
    eventually(lambda: get(f"http://{listen}/health").ok, "VictoriaMetrics is ready")
    return Prometheus(f"http://{listen}")
