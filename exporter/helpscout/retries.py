"""When to ask the same again after a failure: for the poller, and for commands, which wait."""

from collections.abc import Callable
from itertools import count
from typing import Final, TypeVar

import structlog

from exporter.helpscout.errors import BadCredentials, HelpScoutError

RETRIES: Final = 3
_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 60.0
_WORTH_SAYING_SECONDS: Final = 5.0
"""From here on somebody may wonder what the command waits for."""

_T = TypeVar("_T")


def pause_seconds(error: HelpScoutError, failures: int, jitter: float = 1.0) -> float:
    """Return how long to wait after so many failures in a row, before the same is asked again.

    It doubles, times `jitter` from 0 to 1; what the service asks for is kept to.
    """
    backoff: float = _FIRST_RETRY_SECONDS * 2 ** (failures - 1) * jitter
    return max(backoff, error.retry_after or 0.0)


def may_pass(error: HelpScoutError, failures: int) -> bool:
    """Return whether a command asks the same again soon, after so many failures in a row.

    It has no next turn, so it is more patient than the poller. A refused login is worth one more
    attempt: a token may become valid a moment after it was given.
    """
    if isinstance(error, BadCredentials):
        return failures <= 1 and error.status is not None
    return failures <= RETRIES and not error.refusal


def persistently(account: str, ask: Callable[[], _T], wait: Callable[[float], bool]) -> _T:
    """Return what `ask` returns, asking again after what may pass.

    `wait` sleeps so many seconds and returns whether to stop. Raises what `ask` raises after the
    last attempt, or at once where the service wants to be left alone for over a minute.
    """
    for failures in count(1):
        try:
            return ask()
        except HelpScoutError as error:
            seconds = pause_seconds(error, failures)
            if not may_pass(error, failures) or seconds > _LONGEST_WAIT_SECONDS:
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
