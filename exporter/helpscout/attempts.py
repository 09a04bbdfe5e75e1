"""What an attempt to ask Help Scout brings, and when the same is asked again after it failed.

The poller and the backfill make attempts and have a later turn for what failed; commands wait here.
"""

from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final, TypeVar

import structlog

from exporter.helpscout.budget import Stopping
from exporter.helpscout.errors import BadCredentials, Defect, HelpScoutError

RETRIES: Final = 3
_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 60.0
_WORTH_SAYING_SECONDS: Final = 5.0
"""From here on somebody may wonder what the command waits for."""
_MOST_DOUBLINGS: Final = 30
"""More than any limit here lets through; a power of hundreds is not a float."""

_T = TypeVar("_T")


def attempt(ask: Callable[[], _T], about: object) -> _T | HelpScoutError:
    """Return what `ask` returns, or why it failed; the log names `about`. Raises Stopping alone."""
    try:
        return ask()
    except HelpScoutError as error:
        return error
    except Stopping:
        raise
    except Exception:
        # A mistake of ours must cost this one question, not the thread and all that follow.
        structlog.get_logger().exception(
            "a report failed by a defect of the exporter", job=str(about)
        )
        return Defect()


def backoff_seconds(first: float, failures: int, longest: float = inf) -> float:
    """Return how long to wait after so many failures in a row: `first`, then doubling."""
    return min(first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), longest)


def pause_before_retry(
    error: HelpScoutError,
    failures: int,
    longest: float = _LONGEST_WAIT_SECONDS,
    *,
    jitter: float = 1.0,
    patient: bool = True,
) -> float | None:
    """Return for how many seconds to wait before the same is asked again; None: it is given up.

    `failures` counts those in a row. The pause doubles, times `jitter` from 0 to 1, and is as long
    as the service asks for at least; what needs more than `longest` is given up. `patient` is for
    what has no later turn: it is asked again unless it was refused. A refused login is worth one
    more attempt: a token may become valid a moment after it was given.
    """
    backoff = backoff_seconds(_FIRST_RETRY_SECONDS, failures) * jitter
    seconds = max(backoff, error.retry_after or 0.0)
    most, may_pass = RETRIES, error.transient
    if patient and isinstance(error, BadCredentials):
        most, may_pass = 1, error.status is not None
    elif patient:
        may_pass = not error.refusal
    return seconds if may_pass and failures <= most and seconds <= longest else None


def persistently(account: str, ask: Callable[[], _T], wait: Callable[[float], bool]) -> _T:
    """Return what `ask` returns, asking again after what may pass.

    `wait` sleeps so many seconds and returns whether to stop. Raises what `ask` raises after the
    last attempt, or at once where the service wants to be left alone for over a minute.
    """
    for failures in count(1):
        try:
            return ask()
        except HelpScoutError as error:
            seconds = pause_before_retry(error, failures)
            if seconds is None:
                raise
            log = structlog.get_logger()
            (log.info if seconds >= _WORTH_SAYING_SECONDS else log.debug)(
                "asking again what failed",
                account=account,
                error=str(error),
                wait_seconds=round(seconds, 1),
            )
            if wait(seconds):
                raise
    raise AssertionError
