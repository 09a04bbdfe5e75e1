"""Programs that only note how they were called, in place of those that a script or make calls."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_NOTED: Final = '#!/bin/sh\necho "${0##*/} $*" >> "$CALLS"\n'

Ran = tuple[subprocess.CompletedProcess[str], list[str]]
"""How a command ended, and the command lines of the stand-ins that it called."""


def program(folder: Path, name: str, does: str = "") -> None:
    """Write a stand-in, which notes how it was called and then does this."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(_NOTED + does)
    (folder / name).chmod(0o755)


def run(
    folder: Path, *command: str | Path, path: str, environ: Mapping[str, str] | None = None
) -> Ran:
    """Run a command in a folder, with nothing of this process's environment."""
    calls = folder / "calls"
    calls.write_text("")
    given = {"PATH": path, "CALLS": str(calls), "HOME": str(folder), **(environ or {})}
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)
    return done, calls.read_text().splitlines()
