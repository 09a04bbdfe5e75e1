"""What the commands have in common: lines of output, and arguments that are checked by hand."""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from exporter import __version__
from exporter.failure import Failure, WrongUsage

if TYPE_CHECKING:
    from datetime import datetime

_T = TypeVar("_T")
VERSION: Final = f"helpscout-exporter {__version__}"


def open_closed() -> None:
    """Open what was closed at the start: nothing that is opened later may be taken for it.

    stderr is thrown away then; a result for stdout is still refused by `put`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def put(result: bytes) -> None:
    """Write a command's result to stdout. Raises Failure where that cannot be written to."""
    if sys.stdout is None:
        raise Failure("stdout: it is closed: the result is not written")
    try:
        sys.stdout.buffer.write(result)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        hush()
        raise Failure(f"stdout: {error.strerror}: the result is not written") from None


def say(text: str) -> None:
    """Print a line of a command's result to stdout; what its encoding lacks is escaped."""
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    put(f"{text}\n".encode(encoding, "backslashreplace"))


def note(text: str) -> None:
    """Print a line to stderr, if there is anything that takes it."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def hush() -> None:
    """Write nothing more to stdout: what is left of the result would be tried again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(warnings: Iterable[str]) -> None:
    """Print warnings to stderr."""
    for warning in warnings:
        note(f"warning: {warning}")


def checked(option: str, parse: Callable[[str], _T], text: str) -> _T:
    """Return an option's value. Raises WrongUsage with the words of the parser's ValueError."""
    try:
        return parse(text)
    except ValueError as error:
        raise WrongUsage(f"{option}: {error}") from None


def instant(text: str) -> "datetime":
    """Return an ISO 8601 time from 1970 on; without an offset it is UTC. Raises ValueError."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is not a time like 2026-11-01T00:00:00Z') from None
    if moment.year < 1970:
        raise ValueError(f'"{text}" is before 1970')
    return moment
