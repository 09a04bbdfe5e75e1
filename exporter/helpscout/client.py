"""One account of Help Scout's API, of either generation: its mailbox list, and what collectors ask.

Every call pays the account's budget, is counted and timed, and fails as one error of the tree in
errors.py. Nothing is retried here except a call whose token was refused, once: when to ask again
is the poller's business.
"""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Final
from urllib.parse import quote_plus, urlencode

from requests.auth import AuthBase, HTTPBasicAuth

from exporter.helpscout.account import Account, Secret
from exporter.helpscout.advice import Asked
from exporter.helpscout.auth import (
    Authentication,
    BearerAuth,
    KeyAuthentication,
    TokenAuthentication,
)
from exporter.helpscout.budget import Budget
from exporter.helpscout.errors import (
    BadCredentials,
    HelpScoutError,
    Refused,
    Throttled,
    Unreachable,
)
from exporter.helpscout.judging import http_date, number, usable_body
from exporter.helpscout.mailboxes import MAILBOXES, parse_mailboxes
from exporter.helpscout.oddities import Oddities
from exporter.helpscout.pages import Page, list_path, read_list
from exporter.helpscout.tags import TAGS, Tag, parse_tags
from exporter.helpscout.transport import Transport
from exporter.helpscout.wire import parse_token
from exporter.questions import Get, Learned, Mailbox, Reading
from exporter.telemetry import Telemetry

_TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path, not a secret
_NEW_TOKEN_SECONDS: Final = 1.0
"""How long a token that was just issued may take to be accepted."""
_USELESS_SECONDS: Final = 600.0


class Client:
    """One account. Thread-safe; `clock` is monotonic seconds, `now` the wall clock in UTC."""

    def __init__(
        self,
        account: Account,
        budget: Budget,
        telemetry: Telemetry,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._account, self._budget, self._telemetry = account, budget, telemetry
        self._clock, self._now = clock, now
        self.api = account.api
        self.odd = Oddities(account.name)
        """Called with what is odd in an answer, one line each."""
        self.skew_seconds = 0.0
        """By how much our clock was ahead of the service's when the mailboxes were last listed."""
        self._useless_renewal_at = float("-inf")
        self._transport = Transport(
            account.base_url,
            account.concurrency,
            account.timeout.total_seconds(),
            ca_file=account.ca_file,
            proxy=account.secret("proxy_url"),
        )
        self._authentication: Authentication = (
            KeyAuthentication(account.secret("api_key") or Secret())
            if account.api == "v1"
            else TokenAuthentication(self._fetch_token, clock)
        )

    def mailboxes(self, *, paid: bool = False) -> list[Mailbox]:
        """Return every mailbox of the account, page by page.

        `paid` says that the first page is paid for. Raises ShortList where fewer arrive than the
        service says there are, HelpScoutError, Stopping.
        """
        unpaid = count()

        def page(number: int) -> Page[Mailbox]:
            path = list_path(self.api, MAILBOXES, number)
            body = self._get("mailboxes", path, paid and next(unpaid) == 0)
            return parse_mailboxes(self.api, body, self.odd)

        with self._placed("mailboxes"):
            return read_list(MAILBOXES, page)

    def tags(self) -> Learned:
        """Return every tag of the account, page by page. Raises HelpScoutError, Stopping."""

        def page(number: int) -> Page[Tag]:
            body = self._get("tags", list_path(self.api, TAGS, number), paid=False)
            return parse_tags(self.api, body, self.odd)

        with self._placed("tags"):
            return Learned({tag.name: tag.id for tag in read_list(TAGS, page)})

    def probe(self, seconds: float) -> None:
        """Ask the first page of the mailbox list, in so many seconds at most. It is paid for.

        Raises HelpScoutError, Stopping.
        """
        path = list_path(self.api, MAILBOXES, 1)
        with self._placed("mailboxes"):
            body = self._get("mailboxes", path, paid=True, timeout_seconds=seconds)
            parse_mailboxes(self.api, body, self.odd)

    def ask(self, operation: str, ask: Callable[[Get], Reading], *, paid: bool = False) -> Reading:
        """Return what `ask` returns, which is given what fetches a path with a query.

        `paid` says that the first call is paid for. What is odd in the answer is logged. Raises
        HelpScoutError, Stopping.
        """
        calls = 0

        def get(path: str, query: Mapping[str, str]) -> bytes:
            nonlocal calls
            calls += 1
            target = f"{path}?{urlencode(query, safe=':,')}" if query else path
            return self._get(operation, target, paid and calls == 1)

        with self._placed(operation):
            reading = ask(get)
        for line in reading.odd:
            self.odd(line)
        return replace(reading, calls=calls)

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    @contextmanager
    def _placed(self, operation: str) -> Iterator[None]:
        """Say of a failure at which step and host it happened, and what to do about it."""
        try:
            yield
        except HelpScoutError as error:
            if not error.where:
                asked = Asked(self._account, operation)
                error.where, error.remedy = asked.where(error), asked.remedy(error)
            raise

    def _authorize(self) -> AuthBase:
        with self._placed("token"):
            return self._authentication.authorize()

    def _get(
        self, operation: str, path: str, paid: bool, timeout_seconds: float | None = None
    ) -> bytes:
        """Call; where the token is refused, once more with a new one.

        A new token may take a moment to become valid, so where it is refused it is tried again.
        """
        auth, renewed, waited = self._authorize(), False, False
        while True:
            try:
                body = self._call(
                    operation, "GET", path, auth=auth, paid=paid, timeout_seconds=timeout_seconds
                )
            except BadCredentials as error:
                new, paid = self._authentication.is_new(auth), False
                if new and not waited:
                    self._budget.pause(_NEW_TOKEN_SECONDS)
                    waited = True
                elif not new and not renewed and self._may_renew(operation, auth):
                    auth = self._authorize()
                    renewed = True
                else:
                    if renewed:
                        self._useless_renewal_at = self._clock()
                    raise
                self._telemetry.api_retries.labels(self._account.name, error.reason).inc()
            else:
                self._authentication.accepted(auth)
                return body

    def _may_renew(self, operation: str, refused: AuthBase) -> bool:
        """Drop a refused token and return whether to fetch another one.

        Where the last one was of no use, one question is refused and not the account: then only the
        mailbox list may have it renewed again for a while.
        """
        useless = self._clock() - self._useless_renewal_at < _USELESS_SECONDS
        if useless and operation != "mailboxes":
            return False
        return self._authentication.renew(refused)

    def _fetch_token(self) -> tuple[str, float]:
        secret = self._account.secret("client_secret") or Secret()
        form = {
            "grant_type": "client_credentials",
            "client_id": self._account.app_id(),
            "client_secret": secret.read(),
        }
        try:
            return parse_token(self._call("token", "POST", _TOKEN_PATH, data=form))
        except Refused as error:
            # A wrong secret is 400 or 401 here: what is refused is the login, not the question.
            raise BadCredentials(
                error.cause, status=error.status, reference=error.reference
            ) from None

    def _call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        auth: AuthBase | None = None,
        data: dict[str, str] | None = None,
        paid: bool = False,
        timeout_seconds: float | None = None,
    ) -> bytes:
        if not paid:
            self._budget.spend()
        name, code = self._account.name, ""
        started = self._clock()
        try:
            answer = self._transport.send(
                method,
                self._account.base_url + path,
                auth=auth,
                data=data,
                timeout_seconds=timeout_seconds,
                again=self._again,
            )
            code = str(answer.status)
        except HelpScoutError as error:
            code = error.reason
            raise
        finally:
            with self._telemetry.at_once:
                self._telemetry.api_requests.labels(name, operation, code).inc()
                self._telemetry.api_request_duration.labels(name, operation).observe(
                    self._clock() - started
                )
        self._budget.observe(
            started,
            number(answer.headers.get("X-RateLimit-Limit-Minute")),
            number(answer.headers.get("X-RateLimit-Remaining-Minute")),
        )
        if operation == "mailboxes" and (date := http_date(answer.headers.get("Date"))):
            self.skew_seconds = (self._now() - date).total_seconds()
        try:
            return usable_body(answer, _secrets(auth, data), self._now())
        except Throttled as error:
            self._telemetry.throttled.labels(name).inc()
            self._budget.close_gate(error.retry_after)
            raise

    def _again(self, seconds: float) -> bool:
        """Pay for a call that is sent once more; return whether that was possible in time."""
        if not self._budget.spend_within(seconds):
            return False
        self._telemetry.api_retries.labels(self._account.name, Unreachable.reason).inc()
        return True


def _secrets(auth: AuthBase | None, data: dict[str, str] | None) -> list[str]:
    """Return what a call carries that must not be read in a log, as it is sent, too."""
    if data:
        secret = data.get("client_secret", "")
        return [secret, quote_plus(secret)]
    if isinstance(auth, BearerAuth):
        return [auth.token]
    if isinstance(auth, HTTPBasicAuth):
        key, dummy = str(auth.username), str(auth.password)
        return [key, b64encode(f"{key}:{dummy}".encode("latin-1")).decode()]
    return []
