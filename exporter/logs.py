"""Log lines as events with fields, on stderr: console, JSON or logfmt.

What comes from outside (mailbox names, the service's messages) cannot forge a line or steer a
terminal: control characters are escaped before any renderer sees them.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TextIO

import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json", "logfmt"]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Lossy:
    """A stream that loses what it cannot write: a full disk must not end the thread that logs."""

    output: TextIO

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it was closed
            self.output.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self.output.flush()


# structlog keeps a lock for each file while the object lives: with another one after each reload,
# two threads would write into each other's lines.
_lossy = lru_cache(maxsize=1)(_Lossy)


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002
    """Set level and form of every later log line; may be called again on a reload.

    `auto` is console on a terminal and JSON elsewhere. Times are UTC. A logger with values of its
    own is `structlog.get_logger(name=value)`: one made by `bind` would stay as it was configured.
    """
    output = stream or sys.stderr
    if format == "auto":
        format = "console" if output.isatty() else "json"  # noqa: A001
    renderer: Any
    if format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    elif format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], drop_missing=True, bool_as_flag=False
        )
    # asyncio warns in plain text, past this log, of every client that hangs up during an answer.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _escape_controls,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(_lossy(output)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


def _escape_controls(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key == "exception":
            # A traceback has lines of its own: set off, none of them passes for a record's.
            event[key] = "\n    ".join(map(_printable, str(value).split("\n")))
        else:
            event[key] = _printable(value)
    return event


def _printable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
