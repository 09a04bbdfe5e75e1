"""Put known faults into the code, one at a time, and see whether the tests notice: `make mutants`.

The faults are in mutants.yml, by file: `old` is text that occurs once in it, `new` what the fault
makes of it, `tests` what pytest is given. A fault that no test can notice has `equivalent`, the
reason; it is tried too, for the reason may be wrong. Everything happens in copies of the tree.

This is a list to hold, not a search: a tool that makes up faults by the thousand takes hours here,
for many tests start real processes, and most of what it finds is a matter of log lines.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import yaml

ROOT: Final = Path(__file__).parent.parent
_TABLE: Final = Path(__file__).with_suffix(".yml")
_HANGS_SECONDS: Final = 600
_PASSED, _FAILED, _BROKEN, _HANGS = 0, 1, 2, -1
"""Exit codes of pytest; _BROKEN where a module cannot even be imported."""
_TIMES: Final = count(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in one file; `what` says what a user would see of it."""

    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""


def faults() -> list[Fault]:
    """Return all of them, as they are in the table."""
    table = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return [
        Fault(file, **{**fault, "tests": tuple(fault.get("tests", of_file["tests"]))})
        for file, of_file in table.items()
        for fault in of_file["faults"]
    ]


@contextmanager
def put_in(fault: Fault, tree: Path) -> Iterator[None]:
    """Put a fault into a copy of the tree and take it out again."""
    path = tree / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise SystemExit(f"{fault.file}: occurs {text.count(fault.old)} times: {fault.old}")
    _write(path, text.replace(fault.old, fault.new))
    try:
        yield
    finally:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    """Write a file of another time than any before: Python trusts its bytecode by the second."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (time.time(), next(_TIMES)))


def tried(tests: tuple[str, ...], tree: Path) -> tuple[int, str]:
    """Run tests in a copy of the tree; return pytest's exit code and the end of what it says."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environ = os.environ | {"PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environ, timeout=_HANGS_SECONDS, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return _HANGS, "hangs"
    if done.returncode not in (_PASSED, _FAILED, _BROKEN):
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, said[0] if said else ""


def copied(tree: Path) -> Path:
    """Copy what git knows, as it is in the working tree."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in files.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    return tree


def main() -> int:
    """Try them all, or those in files whose name contains one of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", help="only faults whose file or text contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    chosen = [
        fault
        for fault in faults()
        if not options.files or any(w in f"{fault.file} {fault.what}" for w in options.files)
    ]
    trees: SimpleQueue[Path] = SimpleQueue()
    wrong: list[str] = []

    def without_a_fault(tests: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
        tree = trees.get()
        code, said = tried(tests, tree)
        trees.put(tree)
        if code != _PASSED:
            wrong.append(f"fails without any fault: {' '.join(tests)}: {said}")
        return tests, code == _PASSED

    def with_fault(fault: Fault) -> None:
        tree, began = trees.get(), time.monotonic()
        with put_in(fault, tree):
            code, said = tried(fault.tests, tree)
        trees.put(tree)
        verdict = "SURVIVES" if code == _PASSED else "noticed"
        line = f"{fault.file}: {fault.what}"
        print(f"{verdict:8} {time.monotonic() - began:4.0f} s  {line}  {said}", flush=True)
        if code == _BROKEN:
            wrong.append(f"cannot even be imported: {line}")
        elif (code == _PASSED) != bool(fault.equivalent):
            wrong.append(f"{verdict}, equivalent: {fault.equivalent or 'no'}: {line}")

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for number in range(options.jobs):
            trees.put(copied(Path(folder) / str(number)))
        with ThreadPoolExecutor(options.jobs) as pool:
            sound = dict(pool.map(without_a_fault, dict.fromkeys(fault.tests for fault in chosen)))
            list(pool.map(with_fault, (fault for fault in chosen if sound[fault.tests])))
    equivalent = sum(bool(fault.equivalent) for fault in chosen)
    print(f"{len(chosen)} faults, {equivalent} of them equivalent", *wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
