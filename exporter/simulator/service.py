"""The simulator: a world behind both dialects, with authentication, rate limit and faults."""

import asyncio
import base64
import logging
import math
import re
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from threading import Thread
from typing import Any, NamedTuple

import uvicorn
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.simulator.answers import Answers, Call, span
from exporter.simulator.dialects import Json, Refused, timestamp
from exporter.simulator.faults import FaultRule, Faults, MailboxChange, parse_faults
from exporter.simulator.orders import Orders
from exporter.simulator.world import Mailbox, World

_ROUTES = {
    "/v1/mailboxes.json": "mailboxes",
    "/v1/mailboxes/*/folders.json": "folders",
    "/v1/tags.json": "tags",
    "/v1/reports/productivity.json": "report",
    "/v1/reports/happiness.json": "happiness",
    "/v2/mailboxes": "mailboxes",
    "/v2/mailboxes/*/folders": "folders",
    "/v2/tags": "tags",
    "/v2/conversations": "conversations",
    "/v2/reports/productivity": "report",
    "/v2/reports/happiness": "happiness",
    "/v2/oauth2/token": "token",
}
_FOLDERS = re.compile(r"(/v[12]/mailboxes/)([^/]+)(/folders(\.json)?)")
_METHODS = {"token": "POST"}  # the others: GET
_MESSAGES = {401: "Unauthorized", 402: "API key is suspended", 403: "Forbidden", 404: "Not found"}
_KINDS = {"_links": "application/hal+json;charset=UTF-8", "logRef": "application/vnd.error+json"}


class SimulatorOptions(NamedTuple):
    seed: int = 1
    mailboxes: int = 6  # of each account
    accounts: int = 1
    latency_seconds: float = 0.0
    rate_limit: int = 400  # calls per minute of each account
    now: datetime | None = None  # with a time zone; freezes the world's clock
    start: datetime | None = None  # with a time zone; where the world's clock starts; None: now
    speed: float = 1.0  # how many times as fast as a client's clock the world's runs
    faults: Faults = Faults()


class Simulator:
    """Serves both generations: base URLs are `url` + /v1 and `url` + /v2.

    `clock` gives a client's now (seconds since the epoch), `monotonic` moves rate limit and token
    expiry. With a speed the world's clock runs ahead of the clients'; what is said to them is as
    long ago on their clock as it is in the world. Raises ValueError for options that make no sense.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options = options or SimulatorOptions()
        for name, moment in (("now", options.now), ("start", options.start)):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"{name}: needs a time zone")
        if not 0 < options.speed < math.inf:
            raise ValueError("speed: must be more than 0")
        self.url = ""
        self._server: _Server | None = None
        self._thread: Thread | None = None
        self._listener: socket.socket | None = None
        self._monotonic, self._started = monotonic, monotonic()
        self._clients_now = clock if options.now is None else options.now.timestamp
        self._client_began = self._world_began = 0.0  # on a client's clock, and on the world's
        if options.speed != 1 or options.start is not None:
            self._client_began = self._world_began = self._clients_now()
        if options.start is not None:
            self._world_began = options.start.timestamp()
        self._orders = Orders()
        self._know(self._orders)
        self.set_faults(options.faults)
        self._clients = {names[0]: n for n, names in enumerate(self.credentials(), 1)}
        self._keys = {names[2]: n for n, names in enumerate(self.credentials(), 1)}
        self._tokens: dict[str, tuple[int, float]] = {}  # account, expiry
        self._used: Counter[tuple[int, float]] = Counter()  # calls by account and minute
        self._calls: Counter[tuple[int, str, int]] = Counter()  # by account, endpoint, status

    def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Returns when listening; port 0 takes a free one. Raises OSError if that fails."""
        family, shown = (socket.AF_INET6, f"[{host}]") if ":" in host else (socket.AF_INET, host)
        listener = socket.create_server((host, port), family=family, backlog=1024)
        self._listener = listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or answers take 40 ms
        self.url = f"http://{shown}:{listener.getsockname()[1]}"
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        quiet["timeout_keep_alive"] = 75  # as any real service: a pause of seconds ends nothing
        self._server = _Server(uvicorn.Config(self, http=_Protocol, **quiet))
        self._thread = Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Closes everything at once, calls in flight included. May be called twice."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(timeout=5)
        if self._listener:
            self._listener.close()  # uvicorn may leave it, told to stop before it had begun

    def credentials(self) -> list[tuple[str, str, str]]:
        """Per account: client id, client secret, API key."""
        accounts = range(1, self.options.accounts + 1)
        return [(f"demo-{n}", f"secret-{n}", f"key-{n}") for n in accounts]

    def set_faults(self, faults: Faults) -> None:
        """Replaces the faults while running. Their counting, and orders without a start, begin."""
        orders = faults.orders(self._worlds(self._clients_now())) if faults.team else Orders()
        if orders.orders != self._orders.orders:
            self._know(orders)
        self._faults = faults.model_copy(deep=True)

    def _know(self, orders: Orders) -> None:
        """Makes the world, and all that is remembered of it, as ordered."""
        o = self.options
        self._orders = orders
        self.world = World(o.seed, o.accounts, o.mailboxes, orders if orders.orders else None)
        self._answers = Answers(self.world, orders)

    def _worlds(self, clients_now: float) -> int:
        """The world's now, where a client's clock says this."""
        return int(self._world_began + (clients_now - self._client_began) * self.options.speed)

    def stats(self) -> Json:
        """What GET /_stats answers: calls per account ("0": nobody's), endpoint and status."""
        accounts: Json = {}
        for (account, endpoint, status), count in sorted(self._calls.items()):
            entry = accounts.setdefault(str(account), {"calls": {}, "throttled": 0})
            entry["calls"].setdefault(endpoint, {})[str(status)] = count
            entry["throttled"] += count if status == 429 else 0
        return {"accounts": accounts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        request, delay = Request(scope, receive), 0.0
        method, path, body = request.method, request.url.path, await request.body()
        if (method, path) == ("GET", "/_stats"):
            answer: Response = JSONResponse(self.stats())
        elif (method, path) == ("GET", "/_clock"):
            now, stands = self._worlds(self._clients_now()), self.options.now is not None
            speed = 0 if stands else self.options.speed
            answer = JSONResponse({"now": timestamp(now), "speed": speed})
        elif path == "/_faults" and method in ("GET", "PUT", "DELETE"):
            answer = self._control(method, body.decode())
        else:
            answer, delay = self._answer(request, QueryParams(body))
        await asyncio.sleep(delay)
        await answer(scope, receive, send)

    def _control(self, method: str, body: str) -> JSONResponse:
        try:
            if method != "GET":
                self.set_faults(parse_faults(body if method == "PUT" else ""))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(self._faults.model_dump(mode="json", exclude_unset=True))

    def _answer(self, request: Request, form: QueryParams) -> tuple[Response, float]:
        """The answer, and how many seconds later to send it."""
        path, query, faults = request.url.path, request.query_params, self._faults
        generation = 1 if path.startswith("/v1/") else 2
        endpoint, path_id = _route(path)
        account, is_authentic = self._identify(generation, request.headers, form)
        headers, is_allowed = self._spend(account, generation) if account else ({}, True)
        mailboxes = [*query.get("mailboxes", "").split(","), query.get("mailbox", ""), path_id]
        status, seconds = 200, 0
        with suppress(Refused):
            start, end = span(query, "start", "end")
            seconds = end - start + 1
        rule = faults.choose(endpoint, account, mailboxes, seconds) if is_allowed else FaultRule()
        try:
            if not is_allowed:
                raise Refused(429, "API rate limit exceeded")
            if rule.status and rule.status >= 400:
                raise Refused(rule.status, _MESSAGES.get(rule.status, "Internal error"))
            if endpoint == "?" or request.method != _METHODS.get(endpoint, "GET"):
                status = 404 if endpoint == "?" else 405
                raise Refused(status, f"There is no {request.method} {path}")
            if endpoint == "token":
                status, body = self._token(account * is_authentic, form)
            elif not (account and is_authentic):
                raise Refused(401, "Unauthorized")
            else:
                boxes, tags = self._mailboxes(account), self.world.tags(account)
                now = self._worlds(clients_now := self._clients_now())
                ahead = now - int(clients_now)
                call = Call(generation, boxes, tags, path_id, query, request.url, now, ahead)
                body = self._answers.answer(endpoint, call)
        except Refused as refused:
            status, body = refused.status, refused.body(generation)
        status = rule.status or status
        self._calls[account, endpoint, status] += 1
        kind = next((kind for key, kind in _KINDS.items() if key in body), "application/json")
        if generation == 2:
            headers["correlation-id"] = str(uuid.uuid4())
        headers["content-type"] = rule.content_type or kind
        headers |= {name.lower(): value for name, value in rule.headers.items()}
        text = bytes(JSONResponse(body).body) if rule.body is None else rule.body.encode()
        if rule.garbage:
            text = text[: len(text) // 2] + b"{]"
        headers["content-length"] = str(len(text))
        if rule.cut is not None:  # less than announced makes the server break the connection
            text = text[: min(rule.cut, len(text) - 1)]
        latency = self.options.latency_seconds if faults.latency is None else faults.latency
        return Response(text, status, headers), latency + rule.delay

    def _identify(self, generation: int, headers: Headers, form: QueryParams) -> tuple[int, bool]:
        """Whose call it is (0: nobody's that is known), and whether it may be answered."""
        if "client_id" in form:
            account = self._clients.get(form["client_id"], 0)
            return account, form.get("client_secret") == f"secret-{account}"
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if generation == 2:
            account, expires = self._tokens.get(value, (0, 0.0))
            return account, scheme.lower() == "bearer" and self._monotonic() < expires
        try:
            user = base64.b64decode(value).decode().partition(":")[0]
        except ValueError:
            user = ""
        return self._keys.get(user, 0), scheme.lower() == "basic"

    def _spend(self, account: int, generation: int) -> tuple[dict[str, str], bool]:
        """Counts a call; gives the rate headers, and whether the call is within the limit."""
        limit = self._faults.rate_limit or self.options.rate_limit
        minute, second = divmod(self._monotonic() - self._started, 60)
        is_allowed = self._used[account, minute] < limit
        self._used[account, minute] += is_allowed
        rates = {"limit": limit, "remaining": max(0, limit - self._used[account, minute])}
        rates |= {"interval": 60} if generation == 1 else {}
        headers = {f"x-ratelimit-{name}-minute": str(value) for name, value in rates.items()}
        if not is_allowed:
            name = "retry-after" if generation == 1 else "x-ratelimit-retry-after"
            headers[name] = str(math.ceil(60 - second))
        return headers, is_allowed

    def _token(self, account: int, form: QueryParams) -> tuple[int, Json]:
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "invalid_request", "error_description": "Wrong grant type"}
        if not account:
            why = "Client authentication failed"
            return 401, {"error": "invalid_client", "error_description": why}
        token, lifetime = uuid.uuid4().hex, self._faults.token_expires_in
        self._tokens[token] = (account, self._monotonic() + lifetime)
        return 200, {"token_type": "bearer", "access_token": token, "expires_in": int(lifetime)}

    def _mailboxes(self, account: int) -> list[Mailbox]:
        change = self._faults.mailboxes.get
        boxes = [(box, change(box.id, MailboxChange())) for box in self.world.mailboxes(account)]
        return [box._replace(name=new.name or box.name) for box, new in boxes if not new.deleted]


def _route(path: str) -> tuple[str, str]:
    """The endpoint, "?" where there is none, and the mailbox's id in its path."""
    found = _FOLDERS.fullmatch(path)
    if found:
        return _ROUTES.get(f"{found[1]}*{found[3]}", "?"), found[2]
    return _ROUTES.get(path, "?"), ""


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Unlike uvicorn's own it waits for nobody."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class _Protocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Unlike uvicorn's own it is silent: cutting a connection is not an error here."""
        super().__init__(*args, **kwargs)
        self.logger = logging.getLogger("exporter.simulator.silent")
        self.logger.disabled = True
