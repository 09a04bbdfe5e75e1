"""How one gets in: a Basic key for 1.0, a bearer token that renews itself for 2.0.

Auth objects rather than session headers: netrc would override a header set on a session.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from exporter.helpscout.account import Secret
from exporter.helpscout.errors import HelpScoutError

_MARGIN_SECONDS: Final = 60.0
_NEW_SECONDS: Final = 5.0


class Authentication(Protocol):
    """Makes an auth object for a call, and is notified when the service refused it."""

    def authorize(self) -> AuthBase:
        """Return what authenticates the next call. Raises HelpScoutError if there is no way in."""
        ...

    def renew(self, refused: AuthBase) -> bool:
        """Take note that `refused` brought 401; return whether another try makes sense."""
        ...

    def is_new(self, auth: AuthBase) -> bool:
        """Return whether this was issued a moment ago, and may not be accepted yet."""
        ...

    def accepted(self, auth: AuthBase) -> None:
        """Take note that a call with this was answered."""
        ...


class KeyAuthentication:
    """1.0: the API key is the user name of HTTP Basic, the password a dummy."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def authorize(self) -> AuthBase:
        """Return Basic authentication with the key as it is now. Raises BadCredentials."""
        return HTTPBasicAuth(self._key.read(), "X")

    def renew(self, refused: AuthBase) -> bool:
        """A rotated key file is worth another try; the same key is not."""
        return self.authorize() != refused

    def is_new(self, auth: AuthBase) -> bool:  # noqa: ARG002 - of the protocol
        """A key is not issued by a call: it never is."""
        return False

    def accepted(self, auth: AuthBase) -> None:
        """Nothing depends on it."""


class BearerAuth(AuthBase):
    """One token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class TokenAuthentication:
    """2.0: a token from `fetch`, renewed a little before it expires, by one thread for all."""

    def __init__(
        self, fetch: Callable[[], tuple[str, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._current: BearerAuth | None = None
        self._renew_at = 0.0
        self._fetched_at = float("-inf")
        self._unproven: AuthBase | None = None
        self._fetches = 0
        self._failure: HelpScoutError | None = None

    def authorize(self) -> AuthBase:
        """Return the current token, fetching one if there is none; other threads wait for it.

        Raises what `fetch` raises. A thread that waited for a fetch that failed shares its
        failure: else one refused login would be as many as there are threads, one time-out after
        the other.
        """
        fetches_before = self._fetches
        with self._lock:
            if self._current is None or self._clock() >= self._renew_at:
                if self._failure is not None and self._fetches != fetches_before:
                    raise self._failure
                self._renew()
            assert self._current is not None
            return self._current

    def renew(self, refused: AuthBase) -> bool:
        """Drop the token, unless another thread has replaced it already."""
        with self._lock:
            if self._current is refused:
                self._current = None
        return True

    def is_new(self, auth: AuthBase) -> bool:
        """Return whether this token was issued a moment ago, and has not been accepted yet."""
        with self._lock:
            return self._unproven is auth and self._clock() - self._fetched_at < _NEW_SECONDS

    def accepted(self, auth: AuthBase) -> None:
        """Take note that this token is valid."""
        if self._unproven is auth:
            self._unproven = None

    def _renew(self) -> None:
        self._failure = None
        try:
            token, seconds = self._fetch()
        except HelpScoutError as error:
            self._failure = error
            raise
        finally:
            self._fetches += 1
        self._current, self._fetched_at = BearerAuth(token), self._clock()
        self._unproven = self._current
        # A life shorter than the margin is used for half of it, not fetched again for each call.
        self._renew_at = self._clock() + max(seconds - _MARGIN_SECONDS, seconds / 2)
