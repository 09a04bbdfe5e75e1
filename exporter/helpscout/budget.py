"""The share of an account's rate limit that is ours, spent evenly. One per account.

A token bucket of `limit x share` a minute that holds one second's worth (at least one call): a
burst is never larger. The limit is the configured one until the service's own header says
otherwise. Every call pays here: reports, retries, pages, the token (design.md, section 6).
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from exporter.telemetry import Telemetry

_DEFAULT_WAIT_SECONDS: Final = 60.0


class Stopping(Exception):
    """The exporter is shutting down; what was about to be asked is not asked."""


class Budget:
    """Thread-safe. `clock` is monotonic seconds; `wait` sleeps and tells whether to stop."""

    def __init__(
        self,
        account: str,
        limit_per_minute: float,
        share: float,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool],
    ) -> None:
        self._account, self._share, self._telemetry = account, share, telemetry
        self._clock, self._wait = clock, wait
        self._lock = threading.Lock()
        self._limit = limit_per_minute
        self._tokens = 1.0
        self._filled_at = clock()
        self._closed_until = float("-inf")
        self._publish()

    @property
    def per_minute(self) -> float:
        """Calls a minute that we allow ourselves."""
        return self._limit * self._share

    @property
    def closed(self) -> bool:
        """Whether the service has said 429 and its time is not over."""
        return self._clock() < self._closed_until

    def try_spend(self) -> float:
        """Pay for one call and return 0, or pay nothing and return the seconds until one may."""
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return self._closed_until - now
            per_second = self.per_minute / 60
            capacity = max(1.0, per_second)
            self._tokens = min(capacity, self._tokens + (now - self._filled_at) * per_second)
            self._filled_at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / per_second

    def spend(self) -> None:
        """Pay for one call, waiting for it if need be. Raises Stopping on shutdown."""
        while (delay := self.try_spend()) > 0:
            if self._wait(delay):
                raise Stopping

    def observe(self, limit: float | None, remaining: float | None) -> None:
        """Take in what the service says of the account's limit a minute and of what is left."""
        if limit is not None and limit > 0:
            with self._lock:
                self._limit = limit
            self._publish()
        if remaining is not None:
            self._telemetry.rate_limit_remaining.labels(self._account).set(remaining)

    def close(self, seconds: float | None) -> None:
        """Let no call of this account go out for so long: the service said 429.

        None, where the service said nothing that makes sense, is a default; never no wait.
        """
        with self._lock:
            wait = _DEFAULT_WAIT_SECONDS if seconds is None else max(seconds, 1.0)
            self._closed_until = max(self._closed_until, self._clock() + wait)

    def _publish(self) -> None:
        self._telemetry.rate_limit.labels(self._account).set(self._limit)
        self._telemetry.rate_budget.labels(self._account).set(self.per_minute)
