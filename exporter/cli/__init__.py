"""The command line: one module a command, which imports what that command needs and no more.

stdout carries a command's result only; logs, hints and progress go to stderr. Exit codes: 0
success, 1 the job failed, 2 wrong usage or configuration, 130 interrupted
(docs/behaviour.md#command-line).
"""

import signal
import sys
from typing import Final

from exporter.cli.words import VERSION, hush, note, open_closed, say, warn
from exporter.failure import Failure

_RELOADED: Final = (["serve"], ["demo"])
_SERVICES: Final = (*_RELOADED, ["simulate"])
"""What SIGTERM ends well. Any other command has a job to do, which is then not done."""
_INTERRUPTED: Final = 130


def main() -> int:
    """Run the program; return its exit code."""
    open_closed()
    # Until the command has handlers of its own.
    command = sys.argv[1:2]
    code = 0 if command in _SERVICES else _INTERRUPTED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
    if command in _RELOADED:  # the configuration is not read yet
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return _run()
    except Failure as error:
        warn(error.warnings)
        note(str(error))
        return error.exit_code
    except BrokenPipeError:
        hush()  # the reader of our output has enough of it
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run() -> int:
    # A container runs healthcheck every few seconds. typer costs more than the rest of these two.
    match sys.argv[1:]:
        case ["healthcheck", *words]:
            from exporter.cli import healthcheck

            if options := healthcheck.plain_options(words):
                healthcheck.healthcheck(*options)
                return 0
        case ["--version"]:
            say(VERSION)
            return 0
    from exporter.cli.app import run

    return run()
