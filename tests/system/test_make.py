"""`make` runs every check and says which one failed; the programs that check are stand-ins."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support import ROOT
from tests.system.standins import Ran, program, run

TOOLS: Final = (
    *("pytest", "ruff", "actionlint", "mypy", "lint-imports", "coverage", "hadolint"),
    *("helpscout-exporter", "python"),
)
SCRIPTS: Final = ("debian-packages", "newer-programs", "image")
FAILS: Final = """case "${0##*/} $*" in *"$FAILS"*) exit 1 ;; esac\n"""
IMAGE: Final = "tests/image"
"""These run where an image can be built."""


def _test_files() -> Iterator[str]:
    for path in (ROOT / "tests").rglob("test_*.py"):
        yield str(path.relative_to(ROOT))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Our Makefile in a project that is set up, with the names of our tests."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder, names in ((".venv/bin", TOOLS), ("scripts", SCRIPTS)):
        for name in names:
            program(tmp_path / folder, name, FAILS)
    locks = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt", "pyproject.toml")
    stamps = (".venv/.ready", ".venv/.dev-ready")
    for name in (*_test_files(), *locks, "exporter/__init__.py", *stamps):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def make(
    project: Path, target: str, fails: str = "nothing", python: str | Path = sys.executable
) -> Ran:
    """Run make; a program whose command line has `fails` fails."""
    command = ("make", f"PYTHON={python}", target)
    return run(project, *command, path=os.environ["PATH"], environ={"FAILS": fails})


def _runs(call: str, file: str) -> bool:
    """Return whether a command line of pytest is about a file."""
    words = call.split()
    named = any(word == file or file.startswith(f"{word}/") for word in words)
    return words[0] == "pytest" and named and f"--ignore={file}" not in words


def test_make_test_runs_every_test_and_every_tool(project: Path) -> None:
    done, calls = make(project, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    for file in _test_files():
        assert file.startswith(IMAGE) or any(_runs(call, file) for call in calls), file
    tools = {call.split()[0] for call in calls}
    assert tools >= {*TOOLS} - {"helpscout-exporter", "python"}
    assert "ruff format --check ." in calls
    assert "coverage report" in calls


@pytest.mark.parametrize(
    ("fails", "group"),
    [
        ("tests/contract", "contract"),
        ("ruff check", "lint"),
        ("coverage report", "coverage"),
        ("tests/alarm/test_story.py", "story"),
        ("tests/faults", "faults"),
    ],
)
def test_a_check_that_fails_is_told_and_the_others_go_on(
    project: Path, fails: str, group: str
) -> None:
    done, calls = make(project, "test", fails)
    assert done.returncode != 0
    assert f": {group}] Error 1" in done.stderr
    for folder in ("tests/unit", "tests/backfill", "tests/faults"):
        assert any(folder in call for call in calls), folder
    assert "mypy " in calls


def test_make_demo_starts_the_demo(project: Path) -> None:
    done, calls = make(project, "demo")
    assert done.returncode == 0, done.stderr
    assert calls == ["helpscout-exporter demo"]


def test_a_python_that_is_too_old_is_told_before_anything_is_made(project: Path) -> None:
    shutil.rmtree(project / ".venv")
    python = project / "python3"
    old = "import sys; sys.version_info = (3, 10, 4); exec(sys.argv[2])"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{old}' \"$@\"\n")
    python.chmod(0o755)
    done, _ = make(project, "demo", python=python)
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, this is 3.10" in done.stderr
    assert not (project / ".venv").exists()
