"""One connection: uvicorn's, with deadlines and limits.

What uvicorn leaves open is bounded here: how long a request may take to come in and an answer to go
out, how large headers and body are. Measured: a half-sent request would be kept for ever.
"""

import asyncio
from asyncio.events import TimerHandle
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADER_BYTES: Final = 32_768
MAX_BODY_BYTES: Final = 65_536
MAX_PIPELINED: Final = 64
LINGER_SECONDS: Final = 2.0
_MAX_REQUEST_BYTES: Final = MAX_HEADER_BYTES + 2 * MAX_BODY_BYTES
"""Chunks have sizes and trailers, which no callback counts."""
_REQUEST_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0

# Our own: http.client's differ between Pythons.
_PHRASES: Final = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Request Entity Too Large",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
}
_WORDS: Final = {
    408: "the request did not come in time",
    413: "the body is too large",
    429: "too many requests at once",
    431: "the headers are too large",
}


class _Refused(Exception):
    """Thrown through the parser, which ends the request."""


class Connection(HttpToolsProtocol):
    """uvicorn's, with deadlines and limits.

    A request must be complete within `_REQUEST_SECONDS` of the connection or of its first byte, its
    answer taken within `ANSWER_SECONDS`. Between requests uvicorn's own keep-alive counts.
    """

    _deadline: TimerHandle | None = None
    _running: RequestResponseCycle | None = None
    """The request that is answered now, or was last; uvicorn's `cycle` is the last that came."""
    _bytes = 0
    """How much of the request has come, as far as the parser had it in pieces."""
    _body_bytes = 0
    _reading = False
    """Whether a request has begun and not come in whole."""
    _in_head = True
    _ended = False
    """Whether a request ended in what came last."""
    _status = 400
    _refusal: str | None = None
    """What to say once the requests before are answered; nothing is read any more."""
    given_up = False
    """Whether it was closed to make room."""
    _over = False
    """Whether all is said; what still comes is thrown away."""
    waiting_since = 0.0
    """Since when the other side has to do something, in the loop's seconds."""

    @property
    def answering(self) -> bool:
        """Whether a whole request is being answered, or the answer not been taken.

        Of an answer over TLS the part that is encrypted already passes for taken.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or self._reading:
            return False
        return not cycle.response_complete or self.transport.get_write_buffer_size() > 0

    @property
    def idle(self) -> bool:
        """Whether it is kept alive after an answer and nothing more has come."""
        return self.timeout_keep_alive_task is not None and not self._reading

    @property
    def _owing(self) -> bool:
        """Whether an earlier request than the one that is coming in still has no whole answer."""
        running = self._running
        if running is None or running.response_complete:
            return False
        return not (self._in_body and running is self.cycle)

    @property
    def _in_body(self) -> bool:
        return self._reading and not self._in_head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        self._arm(_REQUEST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._over or self._refusal is not None:
            return
        if self._deadline is None or self.idle:
            self.waiting_since = self.loop.time()
            self._arm(_REQUEST_SECONDS)
        self._ended = False
        super().data_received(data)
        if self._reading and not self._ended and not self._over:
            # The parser keeps a header for itself until it has come whole.
            self._bytes += len(data)
            if self._bytes > (MAX_HEADER_BYTES if self._in_head else _MAX_REQUEST_BYTES):
                self._status = 431 if self._in_head else 413
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = self._in_head = True
        self._bytes = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEADER_BYTES:
            self._refuse(431)
        lengths = (value for name, value in self.headers if name == b"content-length")
        if int(next(lengths, b"0")) > MAX_BODY_BYTES:
            self._refuse(413)
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429)
        super().on_headers_complete()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading, self._ended = False, True
        if self.cycle.response_complete:
            self._disarm()
        else:
            self._arm(ANSWER_SECONDS)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.waiting_since = self.loop.time()
        if self._owing:  # the next one has been waiting
            self._arm(ANSWER_SECONDS)
        elif self._refusal is not None:
            self._say_and_close(self._refusal)
        elif self._reading:
            self._arm(_REQUEST_SECONDS)
        elif self.answering or not self.idle:
            self._arm(ANSWER_SECONDS)
        else:
            self._disarm()

    def timeout_keep_alive_handler(self) -> None:
        """Close it; an answer that is not taken by now never will be."""
        self.close()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with the request, after the answers to those before it, and close."""
        words = _WORDS.get(self._status, msg)
        if self._owing:
            self._refusal = words
            if self._in_body:
                self.pipeline.popleft()  # it is not answered
        elif self._in_body and self.cycle.response_started:
            self.close()  # it has its answer, though it had not come whole
        else:
            self._say_and_close(words)

    def shutdown(self) -> None:
        """Let an answer under way end; what has not been asked whole is not waited for."""
        if not self.answering:
            self.transport.abort()
        elif self.cycle.response_complete:
            self.transport.close()
        else:
            super().shutdown()

    def close(self) -> None:
        """Close it, by force if the other side does not take what is left."""
        self._disarm()
        self._over = True
        for cycle in filter(None, (self._running, self.cycle)):
            cycle.disconnected = True
        if self.transport.can_write_eof():
            # Closed with something unread, the kernel would throw away what we have said.
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def give_up(self) -> None:
        """Close it at once, so that another gets in."""
        self.given_up = True
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _say_and_close(self, words: str) -> None:
        body = f"{words}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (self._status, _PHRASES[self._status], len(body), body)
        )
        self.close()

    def _refuse(self, status: int) -> None:
        self._status = status
        raise _Refused

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self._reading and not self._owing:
            self._status = 408
            self.send_400_response("")
        elif not self.idle or self.answering:
            self.transport.abort()
