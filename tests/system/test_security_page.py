"""Every command of docs/security.md runs as it is written there, up to a scrape by Prometheus."""

import os
import re
import stat
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from exporter.web import connection, server
from tests.servers import EACH_VERSION, prometheus
from tests.support import ROOT, code_block, environment, eventually
from tests.system.conftest import Desk, Start

PAGE = "docs/security.md"
TRIED = {
    "state folder",
    "certificate",
    "users",
    "clients",
    "serve",
    "look",
    "prometheus",
    "rotate secret",
    "rotate certificate",
    "audit",
}


def shell(
    folder: Path, mark: str, variables: Mapping[str, str] | None = None, port: int = 9877
) -> str:
    """Run a block of the page as it is, except for the port; return what it prints."""
    block = code_block(f"security: {mark}", PAGE).replace("localhost:9877", f"localhost:{port}")
    done = subprocess.run(
        ["sh", "-euc", block],
        cwd=folder,
        env=environment(**variables or {}, no_proxy="*"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the environment in its usual place."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_every_block_of_the_page_is_tried_here() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- security: (.+) -->", text)) == TRIED
    assert text.count("\n```") == 2 * len(TRIED)


@EACH_VERSION
def test_from_certificates_to_a_scrape_by_prometheus(
    start: Start, running_desk: Desk, folder: Path, version: str
) -> None:
    for mark in ("certificate", "users", "clients"):
        shell(folder, mark)
    for name in ("web.yml", "web.key", "scraper.password", "prometheus.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) & 0o077 == 0, name
    environ = running_desk.environ("v2")
    command = code_block("security: serve", PAGE).replace("web.yml", str(folder / "web.yml"))
    served = start("-euc", f"cd {folder}; exec env {command}", command=("sh",), environ=environ)
    port = int(served.says(r'"url": "https://127.0.0.1:(\d+)"'))

    assert "helpscout_up" in shell(folder, "look", port=port)
    before = (folder / "web.crt").read_text()
    shell(folder, "rotate certificate")
    assert (folder / "web.crt").read_text() != before
    assert "helpscout_up" in shell(folder, "look", port=port)

    config = code_block("security: prometheus", PAGE).replace(":9877", f":{port}")
    server = prometheus(
        start, folder, f"global: {{scrape_interval: 1s}}\n{config}", version=version
    )
    eventually(
        partial(server.query, 'up{job="helpscout"} == 1'),
        "a scrape over TLS with a password and a certificate",
    )
    assert served.end() == 0


def test_a_client_secret_is_rotated_by_writing_its_file(
    start: Start, running_desk: Desk, folder: Path
) -> None:
    environ = running_desk.environ("v2", HELPSCOUT_CLIENT_SECRET_FILE="client_secret")
    del environ["HELPSCOUT_CLIENT_SECRET"]
    (folder / "client_secret").write_text("old")
    printed = shell(folder, "rotate secret", environ | {"NEW_SECRET": "secret-1"})
    assert printed.startswith("default: login good")


def test_the_state_folder_is_the_exporters_own(folder: Path) -> None:
    shell(folder, "state folder")
    assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o700


def test_the_audit_is_of_what_is_pinned_and_names_no_index() -> None:
    (command,) = code_block("security: audit", PAGE).splitlines()
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        [*command.split(), "--dry-run"], cwd=ROOT, env=quiet, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert "pip-audit --strict --require-hashes" in last
    assert last.endswith("-r requirements.txt")
    assert "://" not in last


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        ("connections", f"{server.MAX_CONNECTIONS}, at most half"),
        ("a TLS handshake", f"{connection.HANDSHAKE_SECONDS:.0f} s"),
        ("a request, from its first byte", f"{connection.REQUEST_SECONDS:.0f} s"),
        ("path and headers", f"{connection.MAX_HEADER_BYTES // 1024} KiB"),
        ("body", f"{connection.MAX_BODY_BYTES // 1024} KiB"),
        ("taking an answer", f"{connection.ANSWER_SECONDS:.0f} s"),
        ("idle between requests", f"{connection.KEEP_ALIVE_SECONDS} s"),
        ("ending", f"{server.STOP_SECONDS} s"),
    ],
)
def test_the_limits_on_the_page_are_the_codes(row: str, limit: str) -> None:
    assert f"\n| {row} | {limit}" in (ROOT / PAGE).read_text(encoding="utf-8")
