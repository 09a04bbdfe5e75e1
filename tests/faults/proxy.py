"""A small proxy that can be made to behave badly, between the daemon and the simulator.

It understands just enough HTTP/1.1 to tell calls from each other and to spoil an answer where it
hurts. One `Wire` runs every proxy of a test run in one thread of its own; a `Proxy` is switched
from any thread while it is running. Nothing of the exporter is used here.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from tests.support import reserved_port

_SWITCH_SECONDS: Final = 10.0
_ON_ITS_WAY_SECONDS: Final = 0.05

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what it asks for and its headers, whose names are in small letters.

    `at` is when it arrived, in monotonic seconds.
    """

    at: float
    method: str
    target: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def endpoint(self) -> str:
        """What is asked for: token, mailboxes or report."""
        path = urlsplit(self.target).path
        return next(word for word in ("token", "mailboxes", "report", "") if word in path)

    @property
    def query(self) -> dict[str, str]:
        """The parameters, the first value of each."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said, or what somebody says in its place."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """All of it, as it goes over the wire."""
        return self.head + self.body


def answer(
    body: bytes, *, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> Answer:
    """Return an answer of our own; underscores in the names of `headers` stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"Content-Type": kind, "Content-Length": str(len(body))} | named
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return Answer("\r\n".join([*lines, "", ""]).encode(), body)


class Exchange:
    """One call under way: what a fault has in its hands."""

    def __init__(
        self,
        call: Call,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: "_Upstream",
    ) -> None:
        self.call, self._reader, self._writer, self._upstream = call, reader, writer, upstream
        self.keep = False
        """Whether the connection stays open afterwards, as after any answer in good order."""

    async def answer(self) -> Answer:
        """Return what the service really says to this call."""
        return await self._upstream.ask(self.call.raw)

    async def send(self, data: bytes) -> None:
        """Send something to the client."""
        self._writer.write(data)
        await self._writer.drain()

    async def reset(self) -> None:
        """Break the connection with a reset, after what was sent has arrived."""
        await asyncio.sleep(_ON_ITS_WAY_SECONDS)
        own = self._writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Do nothing until the other side has given up."""
        await self._reader.read(1)


Fault = Callable[[Exchange], Awaitable[None]]
"""Does to a call what it wants; afterwards the connection is closed, unless it says `keep`."""


async def reset_before_answer(exchange: Exchange) -> None:
    """Take the call and reset the connection."""
    await exchange.reset()


async def reset_in_body(exchange: Exchange) -> None:
    """Reset the connection when half of the body is sent."""
    whole = await exchange.answer()
    await exchange.send(whole.head + whole.body[: len(whole.body) // 2])
    await exchange.reset()


async def hang_up(exchange: Exchange) -> None:
    """Take the call and close the connection in good order, without a word."""


async def cut(exchange: Exchange) -> None:
    """Close the connection in good order when half of the body is sent."""
    whole = await exchange.answer()
    await exchange.send(whole.head + whole.body[: len(whole.body) // 2])


async def stall(exchange: Exchange) -> None:
    """Take the call and say nothing."""
    await exchange.gone()


async def stall_in_body(exchange: Exchange) -> None:
    """Say nothing more when half of the body is sent."""
    whole = await exchange.answer()
    await exchange.send(whole.head + whole.body[: len(whole.body) // 2])
    await exchange.gone()


async def _drip(exchange: Exchange, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        for byte in data:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(1.0)


async def drip_body(exchange: Exchange) -> None:
    """Send the body a byte a second: no single read ever waits for long."""
    whole = await exchange.answer()
    await exchange.send(whole.head)
    await _drip(exchange, whole.body)


async def flood(exchange: Exchange) -> None:
    """Send a body that has no end, as fast as the other side takes it."""
    await exchange.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with contextlib.suppress(ConnectionError):
        while True:
            await exchange.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


async def flood_head(exchange: Exchange) -> None:
    """Send headers that have no end."""
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            await exchange.send(b"X-More: of the same\r\n" * 100)


async def garble(exchange: Exchange) -> None:
    """Answer as something that is not a web server."""
    await exchange.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\x00\xff\xfe garbage\r\n\r\n")


def say(given: Answer) -> Fault:
    """Return a fault that says the same to everything."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(given.raw)
        exchange.keep = True

    return fault


def say_by(given: Callable[[Call], Answer]) -> Fault:
    """Return a fault whose answer depends on the call."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(given(exchange.call).raw)
        exchange.keep = True

    return fault


def first(number: int, hits: Callable[[Call], bool]) -> Callable[[Call], bool]:
    """Return what picks the first so many of the calls that `hits` picks."""
    left = list(range(number))

    def picks(call: Call) -> bool:
        return hits(call) and bool(left) and left.pop() is not None

    return picks


def by_turns(*faults: Fault) -> Fault:
    """Return a fault that is one of these after the other."""
    turn = iter(range(10**9))

    async def fault(exchange: Exchange) -> None:
        await faults[next(turn) % len(faults)](exchange)

    return fault


class Proxy:
    """Listens on a port of its own and passes calls on to `upstream`, unless told otherwise."""

    def __init__(
        self, wire: "Wire", upstream: tuple[str, int] | None, tls: ssl.SSLContext | None
    ) -> None:
        self._wire, self._upstream, self._tls = wire, upstream, tls
        self._first_tls = tls
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._suffering: set[asyncio.Task[None]] = set()
        self._fault: Fault | None = None
        self._hits: Callable[[Call], bool] = lambda _call: True
        self.port = reserved_port()  # nobody listens there while connections are refused
        self.calls: list[Call] = []
        """Every call that has arrived so far."""
        self.connections = 0
        """How many connections were ever opened."""

    # -- from any thread

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def inject(self, fault: Fault, hits: Callable[[Call], bool] = lambda _call: True) -> None:
        """Do this to every call from now on that `hits` picks."""

        async def switch() -> None:
            self._fault, self._hits = fault, hits

        self._wire.run(switch())

    def refuse(self) -> None:
        """Refuse connections from now on, and drop those that are open."""

        async def switch() -> None:
            await self._close()

        self._wire.run(switch())

    def present(self, tls: ssl.SSLContext) -> None:
        """Show another certificate from now on; open connections are dropped."""

        async def switch() -> None:
            await self._close()
            self._tls = tls
            await self._listen()

        self._wire.run(switch())

    def heal(self) -> None:
        """Pass everything on again, behind the certificate it began with."""

        async def switch() -> None:
            self._fault = None
            self._drop(self._suffering)
            if self._server is None or self._tls is not self._first_tls:
                await self._close()
                self._tls = self._first_tls
                await self._listen()

        self._wire.run(switch())

    def close(self) -> None:
        """End it."""
        self._wire.run(self._close())

    # -- in the wire's thread

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls, backlog=256, reuse_address=True
        )

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._connections)
        self._drop(connections)
        await asyncio.gather(*connections, return_exceptions=True)

    def _drop(self, connections: Collection[asyncio.Task[None]]) -> None:
        for task in connections:
            self._connections[task].transport.abort()
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        self.connections += 1
        upstream = _Upstream(self._upstream)
        try:
            while (call := await _call(reader)) is not None:
                self.calls.append(call)
                fault = self._fault if self._hits(call) else None
                if fault is not None:
                    exchange = Exchange(call, reader, writer, upstream)
                    self._suffering.add(task)
                    await fault(exchange)
                    self._suffering.discard(task)
                    if exchange.keep:
                        continue
                    break
                whole = await upstream.ask(call.raw)
                writer.write(whole.raw)
                await writer.drain()
                if b"connection: close" in whole.head.lower():
                    break
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # one side has gone: so does the other
        finally:
            del self._connections[task]
            self._suffering.discard(task)
            upstream.close()
            writer.close()


class _Upstream:
    """The way on: opened when it is needed, and again when it was closed meanwhile."""

    def __init__(self, address: tuple[str, int] | None) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, raw: bytes) -> Answer:
        if self._address is None:
            raise ConnectionError("there is nothing behind this proxy")
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(raw)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(_headers(head).get("content-length", "0"))
        return Answer(head, await reader.readexactly(length))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


class Wire:
    """Runs proxies in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[_T]) -> _T:
        """Run something in the wire's thread and wait for it."""

        async def wrapped() -> _T:
            return await work

        return asyncio.run_coroutine_threadsafe(wrapped(), self._loop).result(_SWITCH_SECONDS)

    @contextlib.contextmanager
    def proxy(self, upstream: str | None, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
        """Return a proxy to `upstream` (a URL; None: there is nothing behind it)."""
        parts = urlsplit(upstream or "")
        address = (parts.hostname, parts.port) if parts.hostname and parts.port else None
        proxy = Proxy(self, address, tls)
        self.run(proxy._listen())
        try:
            yield proxy
        finally:
            proxy.close()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SWITCH_SECONDS)
        self._loop.close()


async def _call(reader: asyncio.StreamReader) -> Call | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    headers = _headers(head)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(time.monotonic(), method, target, headers, head + body)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
