"""One connection, from TCP to HTTP: between asyncio, which accepts, and uvicorn, which answers.

uvicorn is given no TLS. So each TCP connection is counted here before its handshake: beyond the
bound, the connection that has waited longest is closed. asyncio's `start_tls` encrypts it under the
context of that moment; then it belongs to uvicorn's HTTP protocol. What uvicorn leaves open is
bounded here: the time for handshake, request and answer, and the size of a request.
"""

import asyncio
import contextlib
import heapq
from asyncio.events import TimerHandle
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exporter.web.tls import Encryption

MAX_HEADER_BYTES: Final = 32_768
MAX_BODY_BYTES: Final = 65_536
HANDSHAKE_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
KEEP_ALIVE_SECONDS: Final = 75
LINGER_SECONDS: Final = 2.0
_PIECE: Final = 1024
"""Bytes given to the parser at once: how exactly a request is measured, how much is pipelined."""
_CHUNK_OVERHEAD: Final = 4096
"""What a chunked body may add: sizes, extensions and trailers are kept like the body."""
_WRITE_BUFFER: Final = 65_536
_SMALL_BYTES: Final = 4096
"""A piece of an answer that waits for the next one: a head."""

# Our own phrases: those of http.HTTPStatus differ between versions of Python.
_REFUSALS: Final = {
    400: ("Bad Request", "this is not a valid HTTP request"),
    408: ("Request Timeout", "the request did not arrive in time"),
    413: ("Request Entity Too Large", f"the body is larger than {MAX_BODY_BYTES} bytes"),
    431: (
        "Request Header Fields Too Large",
        f"path and headers are larger than {MAX_HEADER_BYTES} bytes",
    ),
}


class Phase(IntEnum):
    """What a connection is doing, in the order in which connections are closed to make room."""

    WAITING = 0
    """For a handshake, or for the rest of a request."""
    IDLE = 1
    """Kept alive after an answer."""
    ANSWERING = 2
    """A request is being answered, or its answer sent."""


class Connections:
    """All open connections, `most` at a time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held: set[Connection] = set()

    def add(self, connection: "Connection") -> None:
        """Take one in, in place of another if there are too many."""
        self.drop(len(self.held) + 1 - self.most)
        self.held.add(connection)

    def drop(self, number: int) -> None:
        """Close the connections that have waited longest: half requests before idle ones."""
        for each in heapq.nsmallest(number, self.held, key=lambda one: (one.phase, one.since)):
            each.drop()


class _Refused(Exception):
    """Thrown through the parser, which then calls `send_400_response`."""


class _Joined:
    """A transport that sends the head of an answer together with what follows it.

    Sent alone it wakes the client for nothing, and beside busy threads each send waits for the
    interpreter: under eight pollers a scrape takes a quarter less time this way.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes | memoryview] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        """Send, a small piece by the loop's next turn at the latest."""
        if not data:
            return  # an empty piece would keep asyncio's `writelines` busy for ever
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        if len(data) > _SMALL_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, []
        if self._transport.is_closing():
            return
        if len(held) > 1:
            self._transport.writelines(held)
            # Since Python 3.12 `writelines` itself need not pause who writes on; the limits do.
            low, high = self._transport.get_write_buffer_limits()
            self._transport.set_write_buffer_limits(high, low)
        elif held:  # before, `writelines` would copy it
            self._transport.write(*held)

    def write_eof(self) -> None:
        """Send what is held, and no more."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send what is held and close."""
        self.flush()
        self._transport.close()


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol behind TLS, with deadlines and limits.

    `context` returns what a connection that begins now is encrypted with, None for plain HTTP.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        context: Callable[[], Encryption | None],
        **uvicorns: Any,
    ) -> None:
        super().__init__(**uvicorns)
        self._all = connections
        self._context = context
        self._raw: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._unread = bytearray()
        """What has arrived and the parser not seen; it waits for handshake and answer."""
        self._phase = Phase.WAITING
        self.since = self.loop.time()
        """Since when it is in its phase, in the loop's seconds."""
        self._until = self.since
        """When its phase must be over, in the loop's seconds."""
        self._timer: TimerHandle | None = None
        self._unanswered = 0
        """Requests whose headers have arrived and whose answers are not complete."""
        self._reading = False
        """Whether a request has begun and not arrived whole."""
        self._in_head = True
        self._bytes = 0
        """The size of the head, or else of the body, that is arriving."""
        self._status = 400
        self._last_words: bytes | None = None
        """What to say once the requests before are answered; nothing more is read."""

    @property
    def phase(self) -> Phase:
        """What it is doing; an answer that the client has not taken is not over."""
        if self._phase is Phase.IDLE and self._raw and self._raw.get_write_buffer_size():
            return Phase.ANSWERING
        return self._phase

    # --- from TCP to HTTP -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        self._all.add(self)
        self.connections.add(self)  # those that uvicorn shuts down
        context = self._context()
        if context is None:
            self._begin(transport)
        else:
            self._handshake = self.loop.create_task(self._encrypt(transport, context))

    async def _encrypt(self, raw: asyncio.Transport, context: Encryption) -> None:
        encrypted = None
        # A client that speaks no TLS, or shows no good certificate, is hung up on.
        with contextlib.suppress(OSError):
            if not raw.is_closing():
                encrypted = await self.loop.start_tls(
                    raw,
                    self,
                    context,
                    server_side=True,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                    # It counts while the last answer is on its way, too.
                    ssl_shutdown_timeout=ANSWER_SECONDS,
                )
        if (
            encrypted is None
            or encrypted.is_closing()
            or not context.is_for(encrypted.get_extra_info("peercert"))
        ):
            self.drop()
        else:
            encrypted.set_write_buffer_limits(_WRITE_BUFFER)
            self._begin(encrypted)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._joined = _Joined(transport, self.loop)
        super().connection_made(self._joined)  # type: ignore[arg-type]
        self._enter(Phase.WAITING, REQUEST_SECONDS)
        self._parse()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - all the same here
        self._leave()
        if self.transport is not None:
            super().connection_lost(None)  # with an exception it would keep its timer

    def drop(self) -> None:
        """Close it at once."""
        self._leave()
        if self._raw is not None:
            self._raw.abort()

    def shutdown(self) -> None:
        """Let an answer under way end; nothing else is waited for when the server stops."""
        if self.phase is Phase.ANSWERING:
            super().shutdown()
        else:
            self.drop()

    def _enter(self, phase: Phase, seconds: float) -> None:
        self._phase, self.since = phase, self.loop.time()
        self._until = self.since + seconds
        # A timer that ends before that stays, and looks again then: most requests set none.
        if self._timer is None or self._timer.when() > self._until:
            self._wait()

    def _leave(self) -> None:
        self._all.held.discard(self)
        self.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(self._until, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self.loop.time() < self._until:
            self._wait()
        elif self._reading and self._phase is Phase.WAITING and self._last_words is None:
            self._status = 408
            self.send_400_response("")
        else:
            self.drop()

    # --- requests: what uvicorn's protocol calls, and the parser ----------------------------------

    def data_received(self, data: bytes) -> None:
        if self._last_words is not None:
            return
        self._unread += data
        if self.transport is not None:
            self._parse()

    def _parse(self) -> None:
        while self._unread and self._last_words is None:
            if self._phase is Phase.ANSWERING:
                self.transport.pause_reading()
                return
            if self._phase is Phase.IDLE:
                self._enter(Phase.WAITING, REQUEST_SECONDS)
            piece = bytes(self._unread[:_PIECE])
            del self._unread[:_PIECE]
            self._bytes += len(piece)
            super().data_received(piece)
            most = MAX_HEADER_BYTES if self._in_head else MAX_BODY_BYTES + _CHUNK_OVERHEAD
            if self._bytes > most and self._last_words is None:
                self._status = 431 if self._in_head else 413
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = self._in_head = True

    def on_headers_complete(self) -> None:
        lengths = (value for name, value in self.headers if name == b"content-length")
        if int(next(lengths, b"0")) > MAX_BODY_BYTES:
            self._status = 413
            raise _Refused
        super().on_headers_complete()
        self._in_head, self._bytes = False, 0
        self._unanswered += 1

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading, self._in_head, self._bytes = False, True, 0
        if self._unanswered:
            self._enter(Phase.ANSWERING, ANSWER_SECONDS)
        else:
            self._await_request()

    def on_response_complete(self) -> None:
        self._joined.flush()
        super().on_response_complete()
        self._unanswered -= 1
        if self.transport.is_closing() or self._earlier_unanswered:
            self._enter(Phase.ANSWERING, ANSWER_SECONDS)
        elif self._last_words is not None:
            self._end()
        else:
            self._await_request()
            self.transport.resume_reading()
            self._parse()

    def _await_request(self) -> None:
        if self._reading:
            self._enter(Phase.WAITING, REQUEST_SECONDS)
        else:
            # uvicorn closes it before that, but waits for a client that takes nothing.
            self._enter(Phase.IDLE, KEEP_ALIVE_SECONDS + LINGER_SECONDS)

    @property
    def _in_body(self) -> bool:
        return self._reading and not self._in_head

    @property
    def _earlier_unanswered(self) -> bool:
        """Whether a request before the one that is arriving has no whole answer."""
        return self._unanswered > self._in_body

    # --- refusals ---------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - has words of its own
        """Say what is wrong with the request, after the answers to those before it, and close."""
        phrase, words = _REFUSALS[self._status]
        head = (
            f"HTTP/1.1 {self._status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(words) + 1}\r\nConnection: close\r\n\r\n"
        )
        # A request whose body had not arrived whole may have its answer.
        answered = self._in_body and self.cycle.response_started
        self._last_words = b"" if answered else f"{head}{words}\n".encode()
        if not self._earlier_unanswered:
            self._end()

    def _end(self) -> None:
        """Say the last words and close, by force if the client does not take them."""
        self._enter(Phase.WAITING, LINGER_SECONDS)
        if self.cycle is not None:
            self.cycle.disconnected = True
        if self._last_words:
            self.transport.write(self._last_words)
        if self.transport.can_write_eof():
            # Closed with something unread, the kernel would throw away what was said.
            self.transport.write_eof()
            self.transport.resume_reading()
        else:
            self.transport.close()
