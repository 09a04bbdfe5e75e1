"""The HTTP side: routes, authentication, rate limit, parameters and faults, as one ASGI app.

A call goes through: whose is it, rate limit, fault, authentication, answer. The limiter and the
tokens live by the monotonic clock: they run on when the world's clock is frozen.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from exporter.simulator.dialects import Generation, Invalid, error_body, mailbox_page, report_body
from exporter.simulator.faults import Call, FaultRule, Faults, Injector, MailboxChange, parse_faults
from exporter.simulator.report import Filter, Reports
from exporter.simulator.world import KINDS, Mailbox, World

_ROUTES: dict[str, tuple[Generation, str, str]] = {
    "/v1/mailboxes.json": (1, "mailboxes", "GET"),
    "/v1/reports/productivity.json": (1, "report", "GET"),
    "/v2/mailboxes": (2, "mailboxes", "GET"),
    "/v2/reports/productivity": (2, "report", "GET"),
    "/v2/oauth2/token": (2, "token", "POST"),
}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_Clock = Callable[[], float]
_INTERVAL = 60  # seconds, of the rate limit; it begins with an account's first call
_MESSAGES = {401: "Unauthorized", 402: "API key is suspended", 403: "Forbidden", 404: "Not found"}


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Mailboxes per account; rate limit in calls per minute and account."""

    seed: int = 1
    mailboxes: int = 6
    accounts: int = 1
    latency_seconds: float = 0.0
    rate_limit: int = 400
    now: datetime | None = None  # with a time zone; freezes the world's clock
    faults: Faults = field(default_factory=Faults)


class _Refused(Exception):
    def __init__(self, status: int, message: str, *invalid: Invalid) -> None:
        super().__init__(message)
        self.status, self.message, self.invalid = status, message, invalid


class _Request:
    """A request as far as it is understood; endpoint: token, mailboxes, report, or ? for none."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method, self.path = request.method, request.url.path
        unknown: tuple[Generation, str, str] = (1 if self.path.startswith("/v1/") else 2, "?", "")
        self.generation, self.endpoint, self.only_method = _ROUTES.get(self.path, unknown)
        self.address = str(request.url).partition("?")[0]
        self.query: Mapping[str, str] = request.query_params
        self.authorization = request.headers.get("authorization", "")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_form = kind == "application/x-www-form-urlencoded"
        self.form = dict(parse_qsl(body.decode("latin-1"))) if is_form else {}


class Service:
    """The ASGI application; `now` is the world's instant in seconds, UTC."""

    def __init__(
        self, world: World, options: SimulatorOptions, now: _Clock, monotonic: _Clock
    ) -> None:
        self.injector = Injector(options.faults)
        self._world, self._options, self._now, self._monotonic = world, options, now, monotonic
        accounts = range(1, options.accounts + 1)
        self._clients = {f"demo-{account}": account for account in accounts}
        self._keys = {f"key-{account}": account for account in accounts}
        self._reports = Reports(world)
        self._tokens: dict[str, tuple[int, float]] = {}  # account, expiry
        self._windows: dict[int, tuple[float, int]] = {}  # begin, calls
        self._calls: Counter[tuple[int, str, int]] = Counter()
        self._errors = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        if scope["path"].startswith("/_"):
            await self._control(request.method, scope["path"], body)(scope, receive, send)
            return
        answer, rule = self._answer(_Request(request, body))
        latency = self.injector.faults.latency
        delay = self._options.latency_seconds if latency is None else latency
        delay += rule.delay if rule else 0
        if delay:
            await asyncio.sleep(delay)
        if rule is None or rule.cut is None:
            await answer(scope, receive, send)
            return
        head = {"status": answer.status_code, "headers": answer.raw_headers}
        part = bytes(answer.body[: min(rule.cut, len(answer.body) - 1)])
        await send({"type": "http.response.start"} | head)
        # Left open like this, the server closes the connection.
        await send({"type": "http.response.body", "body": part, "more_body": True})

    def stats(self) -> dict[str, Any]:
        """Calls so far per account ("0": nobody's), endpoint and status; how many were 429."""
        accounts: dict[str, Any] = {}
        for (account, endpoint, status), count in sorted(self._calls.items()):
            entry = accounts.setdefault(str(account), {"calls": {}, "throttled": 0})
            entry["calls"].setdefault(endpoint, {})[str(status)] = count
            entry["throttled"] += count if status == 429 else 0
        return {"accounts": accounts}

    def _control(self, method: str, path: str, body: bytes) -> Response:
        """The stand-in's own endpoints, which the service does not have."""
        if (method, path) == ("GET", "/_stats"):
            return JSONResponse(self.stats())
        if path != "/_faults" or method not in ("GET", "PUT", "DELETE"):
            return JSONResponse({"error": "GET /_stats; GET, PUT, DELETE /_faults"}, 404)
        try:
            if method != "GET":
                self.injector = Injector(parse_faults(body.decode() if method == "PUT" else ""))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self.injector.faults.document)

    def _answer(self, call: _Request) -> tuple[Response, FaultRule | None]:
        account, authentic = self._identify(call)
        headers, wait = self._spend(account, call.generation) if account else ({}, 0)
        rule = None
        if not wait:
            span = _Parameters(call.query).span("start", "end")
            seconds = span[1] - span[0] + 1 if span else None
            named = f"{call.query.get('mailboxes')},{call.query.get('types')}".split(",")
            rule = self.injector.choose(Call(call.endpoint, account, frozenset(named), seconds))
        if call.generation == 2:
            headers["Correlation-ID"] = str(uuid.uuid4())
        try:
            if wait:
                raise _Refused(429, "API rate limit exceeded")
            if rule and rule.status and rule.status >= 400:
                raise _Refused(rule.status, _MESSAGES.get(rule.status, "Internal error"))
            answer = self._respond(call, account if authentic else 0)
        except _Refused as refused:
            answer = self._error(call.generation, refused)
        answer.headers.update(headers)
        if rule:
            answer = _spoiled(answer, rule)
        self._calls[account, call.endpoint, answer.status_code] += 1
        return answer, rule

    def _identify(self, call: _Request) -> tuple[int, bool]:
        """Whose call it is (0: nobody's that is known), and whether it may be answered."""
        scheme, _, value = call.authorization.partition(" ")
        if call.endpoint == "token":
            account = self._clients.get(call.form.get("client_id", ""), 0)
            return account, call.form.get("client_secret") == f"secret-{account}"
        if call.generation == 2:
            account, expires = self._tokens.get(value, (0, 0.0))
            return account, scheme.lower() == "bearer" and self._monotonic() < expires
        try:
            user = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            user = ""
        account = self._keys.get(user, 0) if scheme.lower() == "basic" else 0
        return account, account > 0

    def _spend(self, account: int, generation: Generation) -> tuple[dict[str, str], int]:
        """Counts a call; gives the rate headers, and the seconds to wait if it was too many."""
        limit = self.injector.faults.rate_limit or self._options.rate_limit
        now = self._monotonic()
        began, used = self._windows.get(account, (-math.inf, 0))
        if now - began >= _INTERVAL:
            began, used = now, 0
        wait = max(1, math.ceil(began + _INTERVAL - now)) if used >= limit else 0
        used += not wait
        self._windows[account] = (began, used)
        headers = {"X-RateLimit-Limit-Minute": str(limit)}
        headers["X-RateLimit-Remaining-Minute"] = str(max(0, limit - used))
        if generation == 1:
            headers["X-RateLimit-Interval-Minute"] = str(_INTERVAL)
        if wait:
            headers["Retry-After" if generation == 1 else "X-RateLimit-Retry-After"] = str(wait)
        return headers, wait

    def _respond(self, call: _Request, account: int) -> Response:
        if call.endpoint == "?":
            raise _Refused(404, f"The specified resource was not found: '{call.path}'")
        if call.method != call.only_method:
            raise _Refused(405, f"{call.method} is not supported")
        if call.endpoint == "token":
            return self._token(call.form, account)
        if not account:
            raise _Refused(401, "Unauthorized")
        return (self._list if call.endpoint == "mailboxes" else self._report)(call, account)

    def _error(self, generation: Generation, refused: _Refused) -> Response:
        if generation == 2 and refused.status == 429:
            return JSONResponse({"message": refused.message}, 429)
        self._errors += 1  # 1.0 answers in its two forms by turns
        older = self._errors % 2 > 0
        body = error_body(generation, refused.status, refused.message, refused.invalid, older)
        kind = None if generation == 1 else "application/vnd.error+json"
        return JSONResponse(body, refused.status, media_type=kind)

    def _token(self, form: Mapping[str, str], account: int) -> Response:
        if form.get("grant_type") != "client_credentials":
            return _token_error(400, "invalid_request", "needs a form with client_credentials")
        if not account:
            return _token_error(401, "invalid_client", "Client authentication failed")
        token, now = secrets.token_hex(16), self._monotonic()
        lifetime = self.injector.faults.token_expires_in
        self._tokens = {key: value for key, value in self._tokens.items() if value[1] > now - 3600}
        self._tokens[token] = (account, now + lifetime)
        answer = {"token_type": "bearer", "access_token": token, "expires_in": int(lifetime)}
        return JSONResponse(answer)

    def _mailboxes(self, account: int, listed: bool) -> list[Mailbox]:
        """The account's mailboxes as they are now; `listed` leaves out the hidden ones."""
        change = self.injector.faults.mailboxes.get
        boxes = [(box, change(box.id, MailboxChange())) for box in self._world.mailboxes(account)]
        return [
            replace(box, name=meanwhile.name) if meanwhile.name else box
            for box, meanwhile in boxes
            if not (meanwhile.deleted or (listed and meanwhile.hidden))
        ]

    def _list(self, call: _Request, account: int) -> Response:
        page = call.query.get("page", "1")
        if not re.fullmatch("[1-9][0-9]{0,8}", page):
            raise _Refused(400, "Bad request", Invalid("page", "must be at least 1", page))
        listed = self._mailboxes(account, True)
        body = mailbox_page(call.generation, listed, int(page), call.address)
        kind = None if call.generation == 1 else "application/hal+json;charset=UTF-8"
        return JSONResponse(body, media_type=kind)

    def _report(self, call: _Request, account: int) -> Response:
        boxes = {str(box.id): box for box in self._mailboxes(account, False)}
        tags = self._world.tags(account)
        folders = [folder for box in boxes.values() for folder in box.folders]
        no, yes = ("0", "1") if call.generation == 1 else ("false", "true")
        check = _Parameters(call.query)
        current = check.span("start", "end")
        second = {"previousStart", "previousEnd"} & set(call.query)
        previous = check.span("previousStart", "previousEnd") if second else None
        wanted = check.words("mailboxes")
        types, office = check.words("types", KINDS), check.words("officeHours", (no, yes))
        chosen_tags, chosen_folders = check.ids("tags", tags), check.ids("folders", folders)
        which = Filter(types, chosen_tags, chosen_folders, office == frozenset({yes}))
        if check.invalid or current is None:
            raise _Refused(400, "Bad request", *check.invalid)
        for key in wanted - boxes.keys() if wanted else ():
            raise _Refused(404, f"Mailbox {key} not found")
        chosen = [box for key, box in boxes.items() if wanted is None or key in wanted]
        now, compute = int(self._now()), self._reports.compute
        earlier = compute(chosen, *previous, now, which) if previous else None
        statistics = compute(chosen, *current, now, which)
        return JSONResponse(report_body(call.generation, tags, statistics, earlier))


class _Parameters:
    """Reads a report's parameters and collects what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.invalid: list[Invalid] = []

    def span(self, start: str, end: str) -> tuple[int, int] | None:
        first, last = self._instant(start), self._instant(end)
        if first is not None and last is not None and first > last:
            self.invalid.append(Invalid(start, f"must not be after {end}", self._query[start]))
        return None if first is None or last is None else (first, last)

    def _instant(self, name: str) -> int | None:
        value = self._query.get(name)
        try:
            if value and _INSTANT.fullmatch(value):
                return int(datetime.fromisoformat(value).timestamp())
        except ValueError:
            pass
        message = "may not be null" if value is None else "must be yyyy-MM-dd'T'HH:mm:ss'Z'"
        self.invalid.append(Invalid(name, message, value))
        return None

    def words(self, name: str, known: Collection[str] | None = None) -> frozenset[str] | None:
        """A comma list; without `known`, of ids."""
        value = self._query.get(name)
        if value is None:
            return None
        words = value.split(",")
        if not all(word in known if known else re.fullmatch("[0-9]+", word) for word in words):
            message = "must be a list " + (f"out of {', '.join(known)}" if known else "of ids")
            self.invalid.append(Invalid(name, message, value))
        return frozenset(words)

    def ids(self, name: str, known: Collection[int]) -> frozenset[int] | None:
        words = self.words(name, {str(key) for key in known})
        return None if words is None or self.invalid else frozenset(map(int, words))


def _token_error(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def _spoiled(answer: Response, rule: FaultRule) -> Response:
    body = bytes(answer.body) if rule.body is None else rule.body.encode()
    if rule.garbage:
        body = body[: len(body) // 2] + b"{]"
    headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
    headers |= {"content-type": rule.content_type} if rule.content_type else {}
    headers |= {name.lower(): str(value) for name, value in rule.headers.items()}
    return Response(body, rule.status or answer.status_code, headers)
