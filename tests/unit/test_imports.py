"""No command imports another's machinery: a healthcheck in a container runs every few seconds."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHILD = """
import json, sys
from exporter.cli import main
sys.argv = ["helpscout-exporter", *sys.argv[1:]]
try:
    code = main()
finally:
    print(json.dumps([code, list(sys.modules)]), file=sys.stderr)
"""
LISTENING = {"uvicorn", "starlette", "jinja2", "bcrypt", "exporter.web.server", "exporter.status"}
CALLING = {"requests", "urllib3", "exporter.helpscout.client"}
PROGRAM = LISTENING | CALLING | {"pydantic", "structlog", "prometheus_client", "exporter.settings"}
OTHERS = {f"exporter.{name}" for name in ("backfill", "checking", "core", "planning", "simulator")}
LIGHT = PROGRAM | OTHERS | {"rich"}
"""Nothing of it is for a quick command, but that typer converts values with pydantic."""
NO_CONFIG = ("--config", "missing.yml")
RANGE = ("--from", "2026-10-01", "--to", "2026-10-02", "--output", "past")


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    """The address of something that answers like a healthy exporter."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/-/healthy" else 404)
            self.end_headers()
            self.wfile.write(b"healthy\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def modules(tmp_path: Path, *arguments: str, **environ: str) -> tuple[int, set[str], list[str]]:
    """Run a command in a process of its own; return its exit code, its modules and its lines."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HELPSCOUT_")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=tmp_path,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    *lines, last = done.stderr.splitlines()
    code, found = json.loads(last)
    return code, set(found), [*done.stdout.splitlines(), *lines]


@pytest.mark.parametrize("given", ["variable", "file", "flag", "equals", "url"])
def test_a_healthcheck_imports_the_standard_library_and_what_reads_a_file(
    healthy: str, tmp_path: Path, given: str
) -> None:
    web = tmp_path / "web.yml"
    web.write_text("basic_auth_users: {}\n")
    config = tmp_path / "config.yml"
    config.write_text(f'web: {{listen: "{healthy}", config_file: web.yml}}\nwindows: [7x]\n')
    url = f"http://{healthy}/-/healthy"
    arguments, environ = {
        "variable": ((), {"HELPSCOUT_WEB__LISTEN": healthy}),
        "file": ((), {"HELPSCOUT_CONFIG": str(config)}),
        "flag": (("--config", "config.yml"), {}),
        "equals": (("--config=config.yml",), {}),
        "url": (("--url", url), {}),
    }[given]
    code, found, lines = modules(tmp_path, "healthcheck", *arguments, **environ)
    assert (code, lines) == (0, ["healthy"])
    unwanted = LIGHT | {"typer", "dataclasses", "importlib.metadata"}
    if given in ("variable", "url"):
        unwanted |= {"yaml", "pathlib"}
    assert sorted(found & unwanted) == []


@pytest.mark.parametrize(
    ("arguments", "code", "own", "others"),
    [
        (("--version",), 0, set(), LIGHT | {"typer", "http.client"}),
        (("--help",), 0, {"typer"}, LIGHT | {"http.client"}),
        (("serve", "--help"), 0, {"typer"}, LIGHT - {"pydantic"}),
        (("healthcheck", "--help"), 0, {"typer"}, LIGHT - {"pydantic"}),
        (("healthcheck", "surplus"), 2, {"typer"}, LIGHT - {"pydantic"}),
        (("serve", *NO_CONFIG), 2, {"uvicorn", "exporter.core"}, OTHERS - {"exporter.core"}),
        (
            ("demo", "--listen", "nowhere"),
            2,
            {"uvicorn", "exporter.simulator"},
            OTHERS - {"exporter.core", "exporter.simulator"},
        ),
        (
            ("simulate", "--now", "never"),
            2,
            {"exporter.simulator"},
            (OTHERS | CALLING | {"exporter.settings", "structlog", "prometheus_client", "jinja2"})
            - {"exporter.simulator"},
        ),
        (
            ("check", *NO_CONFIG),
            2,
            {"requests", "exporter.checking"},
            (OTHERS | LISTENING | {"exporter.poller", "exporter.web.access"})
            - {"exporter.checking"},
        ),
        (
            ("plan", *NO_CONFIG),
            2,
            {"exporter.planning"},
            (OTHERS | LISTENING | CALLING | {"exporter.poller", "exporter.web"})
            - {"exporter.planning"},
        ),
        (
            ("once", *NO_CONFIG),
            2,
            {"requests", "exporter.core"},
            (OTHERS | LISTENING | {"exporter.daemon", "exporter.web"}) - {"exporter.core"},
        ),
        (
            ("backfill", *RANGE, *NO_CONFIG),
            2,
            {"requests", "exporter.backfill"},
            (OTHERS | LISTENING | {"exporter.daemon", "exporter.web", "exporter.poller"})
            - {"exporter.backfill"},
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_a_command_imports_its_own_machinery_and_no_others(
    tmp_path: Path, arguments: tuple[str, ...], code: int, own: set[str], others: set[str]
) -> None:
    ended, found, _ = modules(tmp_path, *arguments)
    assert ended == code
    assert own <= found
    assert sorted(found & others) == []
