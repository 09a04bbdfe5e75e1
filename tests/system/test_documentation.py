"""The commands of README and docs/scaling.md run as they are written; other pages have tests beside
what they are about."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from exporter.settings import load
from tests.servers import EACH_VERSION, promtool
from tests.support import ROOT, Process, environment, eventually, get, need, round_is_complete
from tests.system.conftest import Desk, Start, address

BIN = ROOT / ".venv" / "bin"
CREDENTIALS = {"your-app-id": "demo-1", "your-app-secret": "secret-1", "your-api-key": "key-1"}
ELSEWHERE = {
    "make test": "is what runs this",
    "make install": "has run, or this would not",
}


def commands(page: str) -> list[str]:
    """Return the lines of a page's shell blocks, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = (line.partition("    #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def credentials(line: str) -> dict[str, str]:
    """Return what an export line of the README sets, the simulator's in place of one's own."""
    words = (word.partition("=") for word in shlex.split(line)[1:])
    return {name: CREDENTIALS.get(value, value) for name, _, value in words}


def test_every_command_of_the_readme_is_run_here() -> None:
    known = [
        *ELSEWHERE,
        "make demo",
        "curl -s http://127.0.0.1:9877/metrics | grep helpscout_response_time_seconds",
        "export HELPSCOUT_CLIENT_ID=your-app-id HELPSCOUT_CLIENT_SECRET=your-app-secret",
        ".venv/bin/helpscout-exporter check",
        ".venv/bin/helpscout-exporter serve",
        "export HELPSCOUT_API=v1 HELPSCOUT_API_KEY=your-api-key",
        ".venv/bin/helpscout-exporter check && .venv/bin/helpscout-exporter serve",
    ]
    assert sorted(commands("README.md")) == sorted(known)


def test_make_demo_shows_what_the_readme_says(start: Start) -> None:
    command, curl, pkill = (need("make"), "-C", str(ROOT), "demo"), need("curl"), need("pkill")
    process = start(command=command, environ={"HELPSCOUT_WEB__LISTEN": "127.0.0.1:0"})
    url = address(process)
    try:
        eventually(lambda: round_is_complete(url, 60), "the demo's whole round")
        line = next(each for each in commands("README.md") if each.startswith("curl"))
        line = line.replace("http://127.0.0.1:9877", url).replace("curl", curl, 1)
        shown = subprocess.run(
            line, shell=True, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        block = re.search(r"```text\n(.*?)```", readme, re.DOTALL)
        assert block
        series = {line.rpartition(" ")[0] for line in shown}
        for example in block[1].splitlines():
            name = example.rpartition(" ")[0]
            # On a Sunday nobody may have replied for a day.
            assert {name, name.replace('window="24h"', 'window="7d"')} & series, example
        assert "Accounts up" in get(f"{url}/").text
    finally:
        # make waits for the program, and does not pass signals on.
        subprocess.run([pkill, "-TERM", "-P", str(process.pid)], check=False)
        process.wait()


@pytest.mark.parametrize("export", [c for c in commands("README.md") if c.startswith("export")])
def test_check_and_serve_work_with_the_readmes_variables(
    start: Start, running_desk: Desk, export: str
) -> None:
    given = credentials(export)
    environ = environment(
        **given,
        HELPSCOUT_BASE_URL=f"{running_desk.url}/{given.get('HELPSCOUT_API', 'v2')}",
        HELPSCOUT_WEB__LISTEN="127.0.0.1:0",
    )
    checked = subprocess.run(
        [BIN / "helpscout-exporter", "check"], env=environ, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert "login good" in checked.stdout
    serving: Process = start("serve", command=(str(BIN / "helpscout-exporter"),), environ=environ)
    assert get(f"{address(serving)}/-/healthy").ok


def test_scalings_plan_runs_and_counts_what_the_page_counts(tmp_path: Path) -> None:
    (line,) = commands("docs/scaling.md")
    (tmp_path / "config.yml").write_text("accounts: [{api_key: key}]\n")
    words = shlex.split(line)
    shown = subprocess.run(
        [BIN / words[0], *words[1:]],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    # 61 x 4 x 3 reports of 48 series, 0.08 calls a minute for each mailbox and type.
    rows = [row.split() for row in shown.splitlines() if row]
    reports = [row for row in rows if row[0] == "productivity"]
    assert [int(row[2]) for row in reports] == [61 * 4] * 3
    assert [int(row[-1]) for row in reports] == [61 * 4 * 48] * 3
    assert abs(sum(float(row[3]) for row in reports) / (61 * 4) - 0.245) < 0.01
    (folders,) = (row for row in rows if row[0] == "folders")
    assert (int(folders[1]), float(folders[2]), int(folders[-1])) == (60, 60 * 0.2, 60 * 14)


@EACH_VERSION
def test_scalings_configurations_are_accepted(version: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    shard, prometheus = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "config.yml").write_text("accounts: [{api_key: key}]\n" + shard)
    loaded = load(tmp_path / "config.yml", {}, hostname=lambda: "exporter-3.example")
    assert (loaded.shard.index, loaded.shard.total) == (3, 4)
    assert yaml.safe_load(prometheus)
    (tmp_path / "prometheus.yml").write_text(prometheus)
    code, said = promtool("check", "config", tmp_path / "prometheus.yml", version=version)
    assert code == 0, said
