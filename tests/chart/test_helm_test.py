"""The script that `helm test` runs, as it stands in the rendered pod, against a real exporter."""

import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from tests.chart.rendering import rendered
from tests.system.conftest import Start, address, start_once  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def port(start_once: Start) -> str:  # noqa: F811 - the fixture
    """A demo's port, once it listens."""
    return str(urlsplit(address(start_once("demo", "--listen", "127.0.0.1:0"))).port)


def run(*arguments: str, seconds: str = "60") -> subprocess.CompletedProcess[str]:
    """Run the pod's command on this machine, with a shorter patience if asked to."""
    (pod,) = rendered("existing-secret").every("Pod")
    (container,) = pod["spec"]["containers"]
    python, option, script = container["command"]
    assert (python, option) == ("python3", "-c")
    assert "SECONDS = 60\n" in script
    return subprocess.run(
        [
            sys.executable,
            option,
            script.replace("SECONDS = 60", f"SECONDS = {seconds}"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_shows_which_exporter_answers(port: str) -> None:
    done = run("http", "127.0.0.1", port, "/metrics")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("helpscout_exporter_build_info{")


def test_behind_a_password_it_asks_only_whether_the_exporter_is_healthy(port: str) -> None:
    done = run("http", "127.0.0.1", port, "")
    assert (done.returncode, done.stdout) == (0, f"http://127.0.0.1:{port} is healthy\n")


def test_behind_a_client_certificate_it_asks_only_whether_the_port_answers(port: str) -> None:
    done = run("tcp", "127.0.0.1", port, "/metrics")
    assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{port} answers\n")


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_it_fails_with_one_line_where_nobody_answers(scheme: str) -> None:
    done = run(scheme, "127.0.0.1", "1", "/metrics", seconds="0")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_it_fails_where_something_else_answers(port: str) -> None:
    done = run("http", "127.0.0.1", port, "/", seconds="0")
    assert done.returncode == 1
    assert "shows no helpscout_exporter_build_info" in done.stderr
