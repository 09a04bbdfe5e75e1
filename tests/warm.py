"""Starts the program in a fork of a process that has imported it: otherwise that takes a second.

What starts is the command as ever: its own arguments, variables, folder, output and process id.
Only the start of Python is left out; tests that are about that start PROGRAM. If the tests measure
coverage, the processes do so too.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from coverage import Coverage

import exporter
from exporter import cli

_ROOT: Final = Path(__file__).parent.parent
_OURS: Final = Coverage.current()
"""What measures the tests. During some of them it pauses; their processes are measured as ever."""
_START_SECONDS: Final = 60.0


class Child:
    """A process of the program, as far as subprocess.Popen is asked of here."""

    def __init__(
        self,
        arguments: Iterable[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdout: str,
        stderr: str,
    ) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_address())
        wanted = [[*arguments], str(cwd), dict(env), stdout, stderr]
        self._connection.sendall(json.dumps(wanted).encode())
        self._connection.shutdown(socket.SHUT_WR)
        self._lines = self._connection.makefile("r")
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(["exporter"], timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self.returncode


def import_program() -> None:
    """Import all of it, but what runs when it is imported."""
    for module in pkgutil.walk_packages(exporter.__path__, "exporter."):
        if module.name != "exporter.__main__":
            importlib.import_module(module.name)


_started: list[str] = []


def _address() -> str:
    """Return where the warm process listens; start it at the first call."""
    if not _started:
        folder = tempfile.mkdtemp(prefix="warm-")
        address = f"{folder}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(64)
            warm = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(listener.fileno()), _measured()],
                cwd=_ROOT,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        _started.append(address)

        def end() -> None:
            warm.communicate(timeout=_START_SECONDS)
            Path(address).unlink()
            Path(folder).rmdir()

        atexit.register(end)
    return _started[0]


def _measured() -> str:
    """Return what of the program is measured where, as arguments of Coverage; else null."""
    if _OURS is None:
        return "null"
    return json.dumps({"source": _OURS.config.source, "data_file": _OURS.config.data_file})


# --- in the warm process --------------------------------------------------------------------------


def main() -> None:
    """Fork a process for each connection until our parent has ended."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    import_program()
    coverage = _ready_to_measure(json.loads(sys.argv[2]))
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os.killpg(0, signal.SIGTERM)  # whatever the tests have left behind
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _watch(connection, coverage)
            return
        connection.close()


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _ready_to_measure(measured: dict[str, Any] | None) -> Coverage | None:
    """Return what measures the forks, started once: that takes 30 ms, each later start none."""
    if measured is None:
        return None
    coverage = Coverage(**measured, data_suffix=True, config_file=str(_ROOT / "pyproject.toml"))
    coverage.start()
    coverage.stop()
    return coverage


def _watch(connection: socket.socket, coverage: Coverage | None) -> None:
    """Start what is wanted, say its process id, and once it has ended its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    wanted = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(coverage, *wanted)
    with contextlib.suppress(OSError):  # the other side may have gone, with all its processes
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(
    coverage: Coverage | None,
    arguments: list[str],
    cwd: str,
    env: dict[str, str],
    stdout: str,
    stderr: str,
) -> NoReturn:
    for number, path in ((0, os.devnull), (1, stdout), (2, stderr)):
        opened = os.open(path, os.O_RDWR)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    if coverage is not None:
        atexit.register(coverage.save)
        coverage.start()
        if arguments[:1] == ["simulate"]:
            threading.settrace(None)  # its answers are nobody's subject here, how it starts is
    sys.argv = ["helpscout-exporter", *arguments]
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
