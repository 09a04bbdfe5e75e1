"""One connection: uvicorn's, with deadlines and limits.

What uvicorn leaves open is bounded here: how long a request may take to come in and an answer to go
out, how large headers and body are. Measured: a half-sent request would be kept for ever.
"""

import asyncio
import http.client
from asyncio.events import TimerHandle
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADER_BYTES: Final = 32_768
MAX_BODY_BYTES: Final = 65_536
LINGER_SECONDS: Final = 2.0
_REQUEST_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0

_TOO_LARGE: Final = {431: "the headers are too large", 413: "the body is too large"}


class _Refused(Exception):
    """Thrown through the parser, which ends the request."""


class Connection(HttpToolsProtocol):
    """uvicorn's, with deadlines and limits.

    A request must be complete within `_REQUEST_SECONDS` of the connection or of its first byte, its
    answer taken within `_ANSWER_SECONDS`. Between requests uvicorn's own keep-alive counts.
    """

    _deadline: TimerHandle | None = None
    _head_bytes = 0
    _body_bytes = 0
    _reading = True
    """Whether the request has not come in whole."""
    _in_head = True
    _status = 400
    waiting_since = 0.0
    """Since when the other side has to do something, in the loop's seconds."""

    @property
    def answering(self) -> bool:
        """Whether a whole request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete and not self._reading

    @property
    def idle(self) -> bool:
        """Whether it is kept alive after an answer and nothing more has come."""
        return self.timeout_keep_alive_task is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        self._arm(_REQUEST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:
            self.waiting_since = self.loop.time()
            self._arm(_REQUEST_SECONDS)
        super().data_received(data)
        if self._in_head and self._reading:
            # The parser keeps a header for itself until it has come whole.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self._status = 431
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = self._in_head = True
        self._head_bytes = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEADER_BYTES:
            self._refuse(431)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading = False
        if self.cycle.response_complete:
            self._disarm()
        else:
            self._arm(_ANSWER_SECONDS)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.waiting_since = self.loop.time()
        if self.idle and not self._reading:
            self._disarm()
        elif not self.idle:  # the next one has been waiting
            self._arm(_ANSWER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with the request, and close."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()  # Nothing can be said in the middle of another answer
            return
        text = _TOO_LARGE.get(self._status) or msg or "the request did not come in time"
        body = f"{text}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s"
            % (self._status, http.client.responses[self._status].encode(), len(body), body)
        )
        self.close()

    def shutdown(self) -> None:
        """Let an answer under way end; what has not been asked whole is not waited for."""
        if self.answering:
            super().shutdown()
        else:
            self.transport.abort()

    def close(self) -> None:
        """Close it, by force if the other side does not take what is left."""
        self._disarm()
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

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
        if self._head_bytes and not self.answering:
            self._status = 408
            self.send_400_response("")
        else:
            self.transport.abort()
