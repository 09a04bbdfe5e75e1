"""What the commands have in common: lines of output, and arguments that are checked by hand."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

from exporter import __version__
from exporter.failure import WrongUsage

if TYPE_CHECKING:
    from datetime import datetime

_T = TypeVar("_T")
VERSION: Final = f"helpscout-exporter {__version__}"


def say(text: str) -> None:
    """Print a line of a command's result to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a line to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


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
    """Return an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a time like 2026-11-01T00:00:00Z') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
