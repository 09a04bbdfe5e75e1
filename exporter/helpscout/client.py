"""One account of Help Scout's API, of either generation: its mailbox list, and what collectors ask.

Every call pays the account's budget, is counted and timed, and fails as one error of the tree in
errors.py. Nothing is retried here except a call whose token was refused, once: when to ask again
is the poller's business.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NoReturn
from urllib.parse import urlencode

from requests.auth import AuthBase, HTTPBasicAuth

from exporter.helpscout import v1, v2
from exporter.helpscout.account import Account, Secret
from exporter.helpscout.advice import Asked
from exporter.helpscout.auth import (
    Authentication,
    BearerAuth,
    KeyAuthentication,
    TokenAuthentication,
)
from exporter.helpscout.budget import Budget
from exporter.helpscout.causes import proxy_wants_login
from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    Foreign,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    ShortList,
    Suspended,
    Throttled,
    Unreachable,
)
from exporter.helpscout.foreign import (
    content_type,
    describe,
    is_foreign,
    is_json,
    redirect_target,
)
from exporter.helpscout.oddities import Oddities
from exporter.helpscout.transport import Answer, Transport
from exporter.helpscout.wire import (
    MailboxPage,
    describe_error,
    parse_token,
)
from exporter.questions import Get, Mailbox, Reading
from exporter.telemetry import Telemetry

_MAX_PAGES: Final = 400
_READINGS: Final = 3
_MAX_WAIT_SECONDS: Final = 3600.0
_NEW_TOKEN_SECONDS: Final = 1.0
"""How long a token that was just issued may take to be accepted."""
_USELESS_SECONDS: Final = 600.0


class _Listed:
    """What has been read of the mailbox list."""

    def __init__(self) -> None:
        self.found: dict[int, Mailbox] = {}
        self.skipped = 0
        self.total: int | None = None
        self.settled = True
        """Whether all pages say the same total: nothing came or went while they were read."""

    def take(self, page: MailboxPage) -> bool:
        """Take a page in; return whether it has anything that was not there before."""
        known = len(self.found)
        self.found.update((mailbox.id, mailbox) for mailbox in page.mailboxes)
        self.skipped += page.skipped
        self.settled = self.settled and self.total in (None, page.total)
        self.total = page.total
        return len(self.found) > known or page.skipped > 0

    def whole(self) -> list[Mailbox]:
        """Return the mailboxes. Raises ShortList where there should be more, BadResponse."""
        found, seen = list(self.found.values()), len(self.found) + self.skipped
        if self.skipped and not found:
            raise BadResponse("none of the mailboxes in the list can be read")
        if self.total is not None and seen < self.total:
            raise ShortList(
                f"the list is not whole: it has {seen} mailboxes where Help Scout says there are"
                f" {self.total}",
                found,
            )
        return found

    def goes_on(self, page: MailboxPage, number: int) -> bool:
        """Return whether there is another page. The link is the truth where there is one."""
        if page.has_next:
            return True
        if page.pages is None:
            return page.total is not None and len(self.found) + self.skipped < page.total
        return number < page.pages


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
        """Is told what is odd in an answer, one line each."""
        self.skew_seconds = 0.0
        """By how much our clock was ahead of the service's when the mailboxes were last listed."""
        self._useless_renewal_at = float("-inf")
        self._dialect = v1 if account.api == "v1" else v2
        self._transport = Transport(
            account.base_url,
            account.concurrency,
            account.timeout.total_seconds(),
            ca_file=account.ca_file,
            proxy=account.proxy_url,
        )
        self._authentication: Authentication = (
            KeyAuthentication(account.api_key or Secret())
            if account.api == "v1"
            else TokenAuthentication(self._fetch_token, clock)
        )

    def mailboxes(self, *, paid: bool = False) -> list[Mailbox]:
        """Return every mailbox of the account, page by page.

        `paid` says that the first page is paid for. A list that changes while it is read is read
        again. Raises ShortList where fewer arrive than the service says there are, HelpScoutError,
        Stopping.
        """
        for reading in range(1, _READINGS + 1):
            with self._placed("mailboxes"):
                listed = self._read_list(paid and reading == 1)
            if listed.settled:
                break
        with self._placed("mailboxes"):
            return listed.whole()

    def _read_list(self, paid: bool) -> "_Listed":
        listed = _Listed()
        for number in range(1, _MAX_PAGES + 1):
            path = self._dialect.mailboxes_path(number)
            body = self._get("mailboxes", path, paid and number == 1)
            page = self._dialect.mailboxes(body, self.odd)
            is_this = page.number in (None, number)
            if not is_this and number > 1:
                raise BadResponse(f"the list is not whole: page {number} is page {page.number}")
            is_new = listed.take(page)
            if not listed.goes_on(page, number):
                return listed
            if not is_this or not is_new:
                if page.total is not None and not page.mailboxes:
                    return listed  # it ended early; whether it is whole shows in the total
                raise BadResponse(f"the list does not end: page {number} brought nothing new")
        raise BadResponse(f"the list has more than {_MAX_PAGES} pages")

    def probe(self, seconds: float) -> None:
        """Ask the first page of the mailbox list, in so many seconds at most. It is paid for.

        Raises HelpScoutError, Stopping.
        """
        path = self._dialect.mailboxes_path(1)
        with self._placed("mailboxes"):
            body = self._get("mailboxes", path, paid=True, timeout_seconds=seconds)
            self._dialect.mailboxes(body, self.odd)

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
        secret = self._account.client_secret or Secret()
        form = {
            "grant_type": "client_credentials",
            "client_id": self._account.client_id or "",
            "client_secret": secret.read(),
        }
        try:
            return parse_token(self._call("token", "POST", v2.TOKEN_PATH, data=form))
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
            self._telemetry.api_requests.labels(name, operation, code).inc()
            self._telemetry.api_request_duration.labels(name, operation).observe(
                self._clock() - started
            )
        self._budget.observe(
            started,
            _number(answer.headers.get("X-RateLimit-Limit-Minute")),
            _number(answer.headers.get("X-RateLimit-Remaining-Minute")),
        )
        if operation == "mailboxes" and (date := _http_date(answer.headers.get("Date"))):
            self.skew_seconds = (self._now() - date).total_seconds()
        secrets = _secrets(auth, data)
        if answer.status != 200:
            self._refuse(answer, secrets)
        _check_content(answer, secrets)
        return answer.body

    def _again(self, seconds: float) -> bool:
        """Pay for a call that is sent once more; return whether that was possible in time."""
        if not self._budget.spend_within(seconds):
            return False
        self._telemetry.api_retries.labels(self._account.name, Unreachable.reason).inc()
        return True

    def _refuse(self, answer: Answer, secrets: list[str]) -> NoReturn:
        status = answer.status
        if status == 407:
            raise proxy_wants_login()
        text, reference = describe_error(answer.body, secrets)
        reference = reference or answer.headers.get("Correlation-ID")
        if 300 <= status < 400:
            target = _without(redirect_target(answer), secrets)
            to = f" to {target}" if target else ""
            raise Foreign(
                f"HTTP {status}: a redirect{to}, which is not followed",
                status=status,
                reference=reference,
            )
        if is_foreign(answer):
            raise Foreign(_without(describe(answer), secrets), status=status, reference=reference)
        message = f"HTTP {status}" + (f": {text}" if text else "")
        kind: type[HelpScoutError] = {
            401: BadCredentials,
            402: Suspended,
            403: NotAllowed,
            404: NotThere,
            429: Throttled,
        }.get(status, Refused if 400 <= status < 500 else ServiceFailed)
        if status < 300:
            kind = BadResponse
        retry_after = self._retry_after(answer)
        if kind is Throttled:
            self._telemetry.throttled.labels(self._account.name).inc()
            self._budget.close_gate(retry_after)
        raise kind(message, status=status, reference=reference, retry_after=retry_after)

    def _retry_after(self, answer: Answer) -> float | None:
        """Seconds to wait as the service says, None where it says nothing that makes sense."""
        for header in ("X-RateLimit-Retry-After", "Retry-After"):
            text = answer.headers.get(header)
            if text is None:
                continue
            seconds = _number(text)
            if seconds is None:
                # Against the answer's own date, where it has one: our clock may be wrong.
                then, reference = _http_date(text), _http_date(answer.headers.get("Date"))
                seconds = (then - (reference or self._now())).total_seconds() if then else None
            if seconds is not None:
                return min(max(seconds, 0.0), _MAX_WAIT_SECONDS)
        return None


def _number(text: str | None) -> float | None:
    """Return a header's number, None where it is none; of one that was sent twice, the smaller."""
    try:
        values = [float(part) for part in (text or "").split(",")]
    except ValueError:
        return None
    return min(values) if all(0 <= value < float("inf") for value in values) else None


def _http_date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_content(answer: Answer, secrets: list[str]) -> None:
    if not is_json(content_type(answer)) or answer.body.lstrip().startswith(b"<"):
        raise Foreign(_without(describe(answer), secrets), status=200)
    for parameter in answer.headers.get("Content-Type", "").lower().split(";")[1:]:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
            raise BadResponse(
                f"the answer's charset is {charset.strip()[:40]}, not UTF-8", status=200
            )


def _without(text: str, secrets: list[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def _secrets(auth: AuthBase | None, data: dict[str, str] | None) -> list[str]:
    """Return what a call carries that must not be read in a log."""
    carried = [data.get("client_secret", "")] if data else []
    if isinstance(auth, BearerAuth):
        carried.append(auth.token)
    elif isinstance(auth, HTTPBasicAuth):
        carried.append(str(auth.username))
    return carried
