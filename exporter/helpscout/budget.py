"""The share of an account's rate limit that is ours, spent evenly. One per account.

Every call pays here: reports, retries, pages, the token (docs/behaviour.md#budget). A token bucket
of `limit x share` a minute holds one second's worth (at least one call): a burst is never larger.
The limit is the configured one until the service's own header says otherwise.

The account is shared with other tools. What they use is the service's count less our own; what
most that they used in one of the last minutes is reserved for them. A 429 closes the gate for all
calls until its time is over, and the rate then rises slowly.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.telemetry import Telemetry

_MINUTE: Final = 60.0
_DEFAULT_WAIT_SECONDS: Final = 60.0
_RECOVERY_SECONDS: Final = 120.0
_REDUCED: Final = 0.25
_MEMORY_MINUTES: Final = 5
_MARGIN: Final = 0.02
_LEAST_SHARE: Final = 0.02
_RECHECK_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 20.0
_SLACK: Final = 0.03  # of the limit: how far counts may be apart for calls that are on their way
_NEARLY: Final = 0.9  # of the limit
_WHOLE: Final = 1 - 1e-9  # a call's worth, but for rounding


class Stopping(Exception):
    """The exporter is shutting down; what was about to be asked is not asked."""


@dataclass(frozen=True, slots=True)
class Usage:
    """An account's calls a minute: the service's limit, what we allow ourselves, what we made.

    `used` counts our calls of the last 60 s; `closed_seconds` is how long a 429 still holds.
    """

    limit: float
    allowed: float
    used: int
    closed_seconds: float


class _Others:
    """How much of the account's limit is used by somebody else, from the service's own count.

    The service counts in fixed minutes whose beginning shows as a jump of `remaining` to nearly
    the limit. Where none was seen our calls of the last 60 s stand for ours of its minute, which
    never overrates the others.
    """

    def __init__(self) -> None:
        self._ours: deque[float] = deque()
        self._peaks: deque[tuple[int, float]] = deque(maxlen=_MEMORY_MINUTES)
        self._minute_began: float | None = None
        self._ours_in_minute = 0
        self._remaining: float | None = None
        self._seen_at = 0.0

    def spent(self, now: float) -> None:
        """We make a call."""
        if self.remaining(now) is None:
            self._seen_at = now  # one call goes to see; the others wait for what it finds
        self.ours(now)  # where the service never says what remains, only we forget
        self._ours.append(now)
        self._ours_in_minute += 1
        if self._remaining is not None:
            self._remaining -= 1

    def seen(self, now: float, asked_at: float, limit: float, remaining: float) -> None:
        """An answer to what we asked at `asked_at` says what is left of the limit."""
        if self._minute_began is not None and asked_at < self._minute_began:
            return  # it speaks of a minute that is over
        slack = max(3.0, _SLACK * limit)
        low = self._remaining
        if low is not None and remaining > low + slack and remaining >= _NEARLY * limit:
            self.minute_begins(asked_at)
            self._ours_in_minute = sum(at >= asked_at for at in self._ours)
        self._remaining, self._seen_at = remaining, now
        of_last_minute = self.ours(now)
        in_minute = self._minute_began is not None and now - self._minute_began < _MINUTE
        ours = self._ours_in_minute if in_minute else of_last_minute
        others = limit - remaining - ours
        theirs = others if others > slack else 0.0
        minute = int(now // _MINUTE)
        if self._peaks and self._peaks[-1][0] == minute:
            self._peaks[-1] = (minute, max(self._peaks[-1][1], theirs))
        else:
            self._peaks.append((minute, theirs))

    def ours(self, now: float) -> int:
        """Return how many calls we made in the last minute; forget the others."""
        while self._ours and self._ours[0] <= now - _MINUTE:
            self._ours.popleft()
        return len(self._ours)

    def at_most(self, now: float) -> float:
        """Return the most that others used in a minute, of the last few."""
        oldest = now // _MINUTE - _MEMORY_MINUTES
        return max((peak for minute, peak in self._peaks if minute > oldest), default=0.0)

    def remaining(self, now: float) -> float | None:
        """Return what is left of the service's minute by now, None where nothing is known."""
        if self._minute_began is not None and now - self._minute_began >= _MINUTE:
            # The next minute has begun unseen: everything is there again, as far as we know.
            self.minute_begins(self._minute_began + (now - self._minute_began) // _MINUTE * _MINUTE)
        if self._minute_began is None and now - self._seen_at >= _PROBE_SECONDS:
            # Only a call can find out whether there is more by now.
            return None
        return self._remaining

    def minute_begins(self, at: float) -> None:
        """The service counts from nothing again at `at`."""
        self._minute_began = at
        self._ours_in_minute = 0
        self._remaining = None


class Budget:
    """Thread-safe. `clock` is monotonic seconds; `wait` sleeps and returns whether to stop."""

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
        self._others = _Others()
        self._tokens = 1.0
        self._filled_at = clock()
        self._closed_until = float("-inf")
        telemetry.throttled.labels(account)  # there from the start: a rate() needs its zero
        self._publish(self._allowed(clock()))

    @property
    def planned_per_minute(self) -> float:
        """Calls a minute that are ours, a passing 429 aside: what a plan is made for."""
        with self._lock:
            return self._ours(self._clock())

    @property
    def per_minute(self) -> float:
        """Calls a minute that we allow ourselves at present."""
        with self._lock:
            return self._allowed(self._clock())

    @property
    def closed(self) -> bool:
        """Whether the service has said 429 and its time is not over."""
        return self._clock() < self._closed_until

    def usage(self) -> Usage:
        """Return how much of the limit is ours and how much of that is in use."""
        with self._lock:
            now = self._clock()
            closed = max(0.0, self._closed_until - now)
            return Usage(self._limit, self._allowed(now), self._others.ours(now), closed)

    def try_spend(self) -> float:
        """Pay for one call and return 0, or pay nothing and return the seconds until one may."""
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return self._closed_until - now
            per_second = self._allowed(now) / _MINUTE
            capacity = max(1.0, per_second)
            self._tokens = min(capacity, self._tokens + (now - self._filled_at) * per_second)
            self._filled_at = now
            if self._tokens < _WHOLE:
                return (1 - self._tokens) / per_second
            if self._is_short(now):
                return _RECHECK_SECONDS
            self._tokens -= 1
            self._others.spent(now)
            return 0.0

    def spend(self) -> None:
        """Pay for one call, waiting for it if need be. Raises Stopping on shutdown."""
        while (delay := self.try_spend()) > 0:
            if self._wait(delay):
                raise Stopping

    def spend_within(self, seconds: float) -> bool:
        """Pay for one call within so long; return whether that was possible. Raises Stopping."""
        ends = self._clock() + seconds
        while (delay := self.try_spend()) > 0:
            if self._clock() + delay >= ends:
                return False
            if self._wait(delay):
                raise Stopping
        return True

    def pause(self, seconds: float) -> None:
        """Wait without paying. Raises Stopping on shutdown."""
        if self._wait(seconds):
            raise Stopping

    def observe(self, asked_at: float, limit: float | None, remaining: float | None) -> None:
        """Take in what an answer says of the account's limit a minute and of what is left.

        `asked_at` is when the call went out, on this budget's clock.
        """
        with self._lock, self._telemetry.at_once:
            now = self._clock()
            if limit is not None and limit > 0:
                self._limit = limit
            if remaining is not None:
                self._others.seen(now, asked_at, self._limit, remaining)
                self._telemetry.rate_limit_remaining.labels(self._account).set(remaining)
            self._publish(self._allowed(now))

    def publish(self) -> None:
        """Bring the budget's metrics up to date: it changes also while nothing is asked."""
        with self._lock:
            self._publish(self._allowed(self._clock()))

    def close_gate(self, seconds: float | None) -> None:
        """Let no call of this account go out for so long: the service said 429.

        None, where the service said nothing that makes sense, is a default; never no wait.
        """
        with self._lock:
            wait = _DEFAULT_WAIT_SECONDS if seconds is None else max(seconds, 1.0)
            self._closed_until = max(self._closed_until, self._clock() + wait)
            if seconds is not None and wait <= _MINUTE:
                self._others.minute_begins(self._closed_until)

    def _ours(self, now: float) -> float:
        share = self._limit * self._share
        room = self._limit * (1 - _MARGIN) - self._others.at_most(now)
        return max(min(share, room), share * _LEAST_SHARE)

    def _allowed(self, now: float) -> float:
        recovered = (now - self._closed_until) / _RECOVERY_SECONDS
        return self._ours(now) * min(1.0, _REDUCED + (1 - _REDUCED) * max(recovered, 0.0))

    def _is_short(self, now: float) -> bool:
        """Whether so little is left of this minute that it belongs to the others."""
        remaining = self._others.remaining(now)
        return remaining is not None and remaining <= self._limit * _MARGIN

    def _publish(self, per_minute: float) -> None:
        with self._telemetry.at_once:
            self._telemetry.rate_limit.labels(self._account).set(self._limit)
            self._telemetry.rate_budget.labels(self._account).set(per_minute)
