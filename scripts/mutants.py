"""Put known faults into the code, one at a time, and see whether the tests notice: `make mutants`.

The faults are in mutants.yml, by file: `old` is text that occurs once in it, `new` what the fault
makes of it, `tests` what pytest is given. A fault that no test can notice has `equivalent`, the
reason; it is tried too, for the reason may be wrong. Everything happens in copies of the tree.

This is a list to hold, not a search: a tool that makes up faults by the thousand takes hours here,
for many tests start real processes, and most of what it finds is a matter of log lines.
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from exporter.yaml_file import parse_yaml

ROOT: Final = Path(__file__).parent.parent
_TABLE: Final = Path(__file__).with_suffix(".yml")
_HANGS_SECONDS: Final = 600
_PASSED, _FAILED, _HANGS = 0, 1, -1000
"""Exit codes of pytest, and no exit code at all. With any other one no test judged the code."""
_TIMES: Final = count(1_000_000_000)
_SAID: Final = "said"
_ONE_AT_A_TIME: Final = threading.Lock()
# What tests import beside our own code, and what takes longest of it: a fork has it already.
_PRELOADED: Final = (
    "pytest", "hypothesis.strategies", "pydantic", "pydantic_settings", "requests", "yaml",
    "prometheus_client.openmetrics.parser", "starlette.routing",
    "uvicorn.protocols.http.httptools_impl", "structlog", "structlog.testing", "jinja2", "typer",
    "bcrypt", "cryptography.x509", "sqlite3", "coverage",
)  # fmt: skip
_OURS: Final = ("exporter", "tests", "benchmarks", "scripts")


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
    """Return all of them, as they are in the table. Raises ValueError for a file listed twice."""
    table = parse_yaml(_TABLE.read_text(encoding="utf-8"))
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


def warm() -> Any:
    """Return what makes processes that have the libraries imported: else each takes a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED])
    return context


def tried(processes: Any, fault: Fault, tree: Path) -> tuple[int, str]:
    """Put a fault into a copy of the tree and run its tests; return as `ran` does.

    A few examples of each property first: most faults are noticed by them.
    """
    with put_in(fault, tree):
        code, said = ran(processes, ("--hypothesis-profile=few", *fault.tests), tree)
        many = ("--hypothesis-profile=many", *fault.tests)
        return ran(processes, many, tree) if code == _PASSED else (code, said)


def ran(processes: Any, tests: tuple[str, ...], tree: Path) -> tuple[int, str]:
    """Run tests in a copy of the tree; return pytest's exit code and the first that failed."""
    process = processes.Process(target=_run, args=(tests, tree))
    # A start looks after all processes, and the second reader of how one ended reads nothing.
    with _ONE_AT_A_TIME:
        process.start()
    wait([process.sentinel], _HANGS_SECONDS)
    with _ONE_AT_A_TIME:
        code = process.exitcode
    if code is None:
        os.killpg(process.pid, signal.SIGKILL)
        return _HANGS, "hangs"
    lines = (tree / _SAID).read_text(encoding="utf-8", errors="replace").splitlines()
    failed = (line for line in lines if line.startswith(("FAILED", "ERROR")))
    return code, next(failed, "" if code == _PASSED else f"exit code {code}: {lines[-1:]}")


def _run(tests: tuple[str, ...], tree: Path) -> None:
    """Become pytest in a copy of the tree. Whatever of ours is imported is not the copy's."""
    sys.dont_write_bytecode = False  # whatever the environment says: the copy keeps it
    os.setsid()
    os.chdir(tree)
    tempfile.tempdir = os.environ["TMPDIR"] = str(tree.parent)
    os.environ["PYTHONPATH"] = str(tree)
    os.environ["COLUMNS"] = "300"  # the line of what failed has the reason, too
    sys.path[:] = [str(tree), *(path for path in sys.path if Path(path).resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    said = os.open(_SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(said, stream)
    import pytest
    from hypothesis import HealthCheck, Phase, settings

    # It fails: nobody asks for the smallest example.
    many = settings(
        phases=(Phase.explicit, Phase.generate), deadline=None, suppress_health_check=[*HealthCheck]
    )
    settings.register_profile("many", many)
    settings.register_profile("few", many, max_examples=10)
    options = ("-x", "-q", "-p", "no:cacheprovider", "--assert=plain")
    code = pytest.main([*options, *tests])
    sys.stdout.flush()
    os._exit(code)


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
    for words in (["init", "-q"], ["add", "-A"]):  # some tests ask git which files there are
        subprocess.run(["git", *words], cwd=tree, check=True)
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
    processes, wrong = warm(), list[str]()

    def without_a_fault(test: str) -> tuple[str, bool]:
        tree = trees.get()
        code, said = ran(processes, (test,), tree)
        trees.put(tree)
        if code != _PASSED:
            wrong.append(f"fails without any fault: {test}: {said}")
        return test, code == _PASSED

    def with_fault(fault: Fault) -> None:
        tree, began = trees.get(), time.monotonic()
        code, said = tried(processes, fault, tree)
        trees.put(tree)
        verdict = "SURVIVES" if code == _PASSED else "noticed"
        line = f"{fault.file}: {fault.what}"
        print(f"{verdict:8} {time.monotonic() - began:4.0f} s  {line}  {said}", flush=True)
        if code not in (_PASSED, _FAILED, _HANGS):
            wrong.append(f"no test judged it, {said}: {line}")
        elif (code == _PASSED) != bool(fault.equivalent):
            wrong.append(f"{verdict}, equivalent: {fault.equivalent or 'no'}: {line}")

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for number in range(options.jobs):
            trees.put(copied(Path(folder) / str(number) / "tree"))
        with ThreadPoolExecutor(options.jobs) as pool:
            named = dict.fromkeys(test for fault in chosen for test in fault.tests)
            sound = dict(pool.map(without_a_fault, named))
            tryable = (fault for fault in chosen if all(sound[test] for test in fault.tests))
            list(pool.map(with_fault, tryable))
    equivalent = sum(bool(fault.equivalent) for fault in chosen)
    took = f"in {(time.monotonic() - began) / 60:.0f} minutes"
    print(f"{len(chosen)} faults, {equivalent} of them equivalent, {took}", *wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
