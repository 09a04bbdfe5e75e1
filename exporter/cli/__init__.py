"""The command line: one module a command, which imports what that command needs and no more.

stdout carries a command's result only; logs, hints and progress go to stderr. Exit codes: 0
success, 1 the job failed, 2 wrong usage or configuration (docs/behaviour.md#command-line).
"""

import os
import signal
import sys

from exporter.cli.words import VERSION, note, say, warn
from exporter.failure import Failure


def main() -> int:
    """Run the program; return its exit code."""
    # SIGTERM before a command has its own handler ends it like Ctrl-C: nothing is half done yet.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _run()
    except Failure as error:
        warn(error.warnings)
        note(str(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has enough of it; say nothing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


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
