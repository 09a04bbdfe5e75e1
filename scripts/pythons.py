"""Runs the unit and contract tests under every Python, 3.11 or newer, on PATH and in pyenv.

`python -m scripts.pythons [--lowest] [VERSION ...]`: each has a virtual environment of its own in
`.pythons`, which the Makefile makes as it makes `.venv`, and which is kept. With `--lowest` it has
the lowest versions that pyproject.toml allows and that have wheels for this Python; what they need
in turn, and the tools, is the newest. Ends with a table; exits 1 if any failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

OLDEST: Final = (3, 11)
_ENVIRONMENTS: Final = Path(".pythons")
_TESTS: Final = ("tests/unit", "tests/contract")
_ASK: Final = """
import importlib.util, json, sys
whole = bool(importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"))
print(json.dumps([sys.implementation.name, list(sys.version_info[:4]), sys.executable, whole]))
"""


def programs(environ: dict[str, str]) -> Iterator[Path]:
    """Yield what is called python3.N on PATH, then pyenv's versions."""
    for folder in environ.get("PATH", "").split(os.pathsep):
        if folder:
            found = Path(folder).glob("python3.*")
            yield from sorted(path for path in found if re.fullmatch(r"python3\.\d+", path.name))
    root = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob("versions/*/bin/python"))


def interpreters(environ: dict[str, str]) -> dict[str, str]:
    """Return the program of every version that is new enough and can make environments."""
    found: dict[str, str] = {}
    for program in programs(environ):
        try:
            asked = subprocess.run(
                [program, "-c", _ASK], capture_output=True, text=True, timeout=30, check=True
            )
        except (OSError, subprocess.SubprocessError):
            continue  # one of pyenv's programs for a version that is not chosen
        name, version, executable, whole = json.loads(asked.stdout)
        if tuple(version[:2]) >= OLDEST:
            release = "" if version[3] == "final" else version[3]
            label = ".".join(map(str, version[:3])) + release
            label = label if name == "cpython" else f"{name}-{label}"
            if whole:
                found.setdefault(label, executable)
            else:
                print(f"{executable}: left out, it cannot make environments (no ensurepip)")
    return dict(
        sorted(found.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])])
    )


def lowest(label: str) -> list[str]:
    """Write what is the lowest for an interpreter; return make's variables for it."""
    _ENVIRONMENTS.mkdir(exist_ok=True)
    version = ".".join(label.split(".")[:2])
    lock, lock_dev = (_ENVIRONMENTS / f"lowest-{version}{which}.txt" for which in ("", "-dev"))
    compiled = ["scripts/uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    compiled += ["--no-emit-index-url", "--only-binary", ":all:", "--python-version", version]
    # Without --upgrade what an earlier run wrote would be kept, also where a bound is lower by now.
    compiled += ["--upgrade", "-c", "requirements-build.txt", "pyproject.toml"]
    subprocess.run([*compiled, "--resolution", "lowest-direct", "-o", lock], check=True)
    subprocess.run([*compiled, "--extra", "dev", "-c", lock, "-o", lock_dev], check=True)
    return [f"LOCK={lock}", f"LOCK_DEV={lock_dev}"]


def tested(folder: Path, program: str, *variables: str) -> tuple[bool, str]:
    """Set up the environment of an interpreter and run the tests; return the last line."""
    make = ["make", "--no-print-directory", f"VENV={folder}", f"PYTHON={program}", *variables]
    if subprocess.run([*make, f"{folder}/.dev-ready"], check=False).returncode:
        return False, "the environment cannot be made, see above"
    command = [str(folder / "bin" / "pytest"), "-p", "no:cacheprovider", *_TESTS]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        for line in running.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    said = [line for line in lines if re.search(r"\d+ (passed|failed|error)", line)]
    return running.returncode == 0, said[-1].strip("= \n") if said else "no test ran"


def main() -> int:
    """Run all; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lowest", action="store_true")
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="like 3.11; default: all")
    given = parser.parse_args()
    rows: list[tuple[str, str, float, str]] = []
    for label, program in interpreters(dict(os.environ)).items():
        minor = label.rpartition(".")[0]
        if given.versions and not label.startswith(tuple(given.versions)):
            continue
        if given.lowest and any(row[0].startswith(minor) for row in rows):
            continue  # what has wheels for one has them for the other
        print(f"--- Python {label} ({program})", flush=True)
        began = time.monotonic()
        folder = _ENVIRONMENTS / (f"lowest-{label}" if given.lowest else label)
        passed, words = tested(folder, program, *(lowest(label) if given.lowest else ()))
        rows.append((label, "passed" if passed else "FAILED", time.monotonic() - began, words))
    print(f"\n{'Python':<14}{'':<8}{'time':>7}")
    for label, verdict, seconds, words in rows:
        print(f"{label:<14}{verdict:<8}{seconds:>5.0f} s  {words}")
    return 0 if rows and all(row[1] == "passed" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
