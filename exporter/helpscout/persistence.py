"""Repeats a call that a passing fault may have failed, for commands that ask one thing at a time.

The poller retries in its own way: nothing of it sleeps.
"""

from collections.abc import Callable
from itertools import count
from typing import Final, TypeVar

import structlog

from exporter.helpscout.errors import BadCredentials, BadResponse, HelpScoutError

RETRIES: Final = 3
FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 60.0
_WORTH_SAYING_SECONDS: Final = 5.0
"""From here on somebody may wonder what the command waits for."""

_T = TypeVar("_T")


def may_pass(error: HelpScoutError, failures: int) -> bool:
    """Return whether to ask the same again soon, after so many failures in a row.

    A refused login is worth one more attempt: a token may become valid a moment after it was given.
    """
    if isinstance(error, BadCredentials):
        return failures <= 1 and error.status is not None
    return failures <= RETRIES and (error.transient or isinstance(error, BadResponse))


def persistently(account: str, ask: Callable[[], _T], wait: Callable[[float], bool]) -> _T:
    """Return what `ask` returns, asking again after what may pass.

    `wait` sleeps so many seconds and tells whether to stop. Raises what `ask` raises after the last
    attempt, or at once where the service wants to be left alone for over a minute.
    """
    for failures in count(1):
        try:
            return ask()
        except HelpScoutError as error:
            seconds = max(FIRST_RETRY_SECONDS * 2 ** (failures - 1), error.retry_after or 0.0)
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
