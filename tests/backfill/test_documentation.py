"""Every command of docs/backfill.md runs as it is written there, where its tool is here."""

import subprocess
import sys
from pathlib import Path

import pytest

from exporter.simulator import SimulatorOptions
from tests.backfill.conftest import Filling, environ, simulating
from tests.servers import prometheus, victoriametrics
from tests.support import VERSIONS, code_block, environment, get
from tests.system.conftest import Start

pytestmark = pytest.mark.timeout(300)

PAGE = "docs/backfill.md"
CONFIG = "mailboxes: {include: [1001]}\ntypes: [all]\nwindows: [24h]\n"
ELSEWHERE = {"mimir": "mimirtool", "thanos": "thanos"}
"""Commands whose tools nobody packages here: a stand-in notes what it is given."""


def shell(
    filling: Filling, mark: str, config: str = CONFIG, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a block of the page as it is, the program by its own name."""
    (filling.folder / "config.yml").write_text(config)
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    return subprocess.run(
        ["sh", "-euc", code_block(f"backfill: {mark}", PAGE)],
        cwd=filling.folder,
        env=environment(**environ(filling.simulator), **variables, PATH=path, no_proxy="*"),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def filled(filling: Filling) -> Filling:
    """Dry run and run, as the page has them."""
    dry = shell(filling, "dry run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith("account default: 610 reports; 610 requests take ")
    assert filling.reports_asked() == 0
    outcome = shell(filling, "run")
    assert outcome.returncode == 0, outcome.stderr
    assert filling.reports_asked() == 610
    return filling


def test_the_dry_run_says_what_the_page_shows(tmp_path: Path) -> None:
    for simulator in simulating(SimulatorOptions()):
        dry = shell(Filling(simulator, tmp_path), "dry run", config="{}\n")
        assert dry.stdout == code_block("backfill: what a dry run says", PAGE)


def test_the_way_into_prometheus_and_victoriametrics(filled: Filling, start: Start) -> None:
    folder = filled.folder
    query = code_block("backfill: query", PAGE)
    at = filled.points("helpscout_replies_sent")[0].at + 40_000

    for version in VERSIONS:
        victoria = victoriametrics(start, folder / f"victoria-{version}", version=version)
        sent = shell(filled, "victoriametrics", VICTORIA=victoria.url)
        assert sent.returncode == 0, sent.stderr
        get(f"{victoria.url}/internal/force_flush")
        assert len(victoria.query(query, at)) == 1

    own = folder / "prometheus"
    (own / "data").mkdir(parents=True)
    moved = shell(filled, "prometheus", DATA=str(own / "data"))
    assert moved.returncode == 0, moved.stderr
    server = prometheus(start, own, "{}", "--storage.tsdb.retention.time=10y")
    (row,) = server.query(query, at)
    assert row["metric"]["instance"] == "helpscout-exporter:9877"
    assert float(row["value"][0]) == at


@pytest.mark.parametrize(("mark", "tool"), ELSEWHERE.items())
def test_commands_of_other_systems_give_their_tools_the_blocks(
    filling: Filling, mark: str, tool: str
) -> None:
    told = filling.folder / "told"
    stand_in = filling.folder / "bin" / tool
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{told}\n')
    stand_in.chmod(0o755)
    (filling.folder / "helpscout.om").write_text("# TYPE a gauge\na 1 1772323200\n# EOF\n")
    path = f"{stand_in.parent}:{environment()['PATH']}"
    block = code_block(f"backfill: {mark}", PAGE)
    done = subprocess.run(
        ["sh", "-euc", block],
        cwd=filling.folder,
        env=environment(MIMIR="http://127.0.0.1:1", TENANT="a", PATH=path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    arguments = told.read_text().splitlines()
    assert any("blocks" in argument for argument in arguments), arguments
    assert not any("*" in argument or "$" in argument for argument in arguments), arguments
