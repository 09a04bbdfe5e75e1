"""A small service on loopback whose every byte a test decides, and that remembers the asking."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Reply = bytes | Callable[[socket.socket], None]
"""Bytes to send, the connection staying open; or what to do with it before it is closed."""


@dataclass(frozen=True)
class Asked:
    """A request as it arrived over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    port: int
    """The client's: it tells one connection from another."""

    def header(self, name: str) -> str | None:
        """The value of a header, None without it."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} was sent {len(found)} times"
        return found[0] if found else None


Script = Callable[[Asked], Reply]


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        port = self.client_address[1]
        self.server.owner.open.add(port)
        with contextlib.suppress(OSError):
            self._answer()
        self.server.owner.open.discard(port)

    def _answer(self) -> None:
        while (asked := self._read()) is not None:
            self.server.owner.asked.append(asked)
            reply = self.server.owner.script(asked)
            if not isinstance(reply, bytes):
                reply(self.connection)
                return
            self.connection.sendall(reply)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def _read(self) -> Asked | None:
        line = self.rfile.readline().decode("latin-1")
        if not line.strip():
            return None
        method, target, _ = line.split(" ", 2)
        headers = []
        while (text := self.rfile.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = text.partition(":")
            headers.append((name, value.strip()))
        length = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
        body = self.rfile.read(length)
        return Asked(method, target, tuple(headers), body, self.client_address[1])


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, owner: Service) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(10)
        if self.owner.tls is not None:
            connection = self.owner.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests; a wrong script is seen by its client."""


class Service:
    """Answers every request by `script`, from a thread each."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.asked: list[Asked] = []
        self.open: set[int] = set()
        """The clients' ports of the connections that are open."""
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def reply(
    body: bytes = b"",
    status: int = 200,
    content_type: str | None = "application/json",
    **headers: str,
) -> bytes:
    """A whole answer; underscores in the names of `headers` stand for dashes."""
    return head(
        status,
        {"Content-Length": str(len(body))}
        | ({"Content-Type": content_type} if content_type else {})
        | {name.replace("_", "-"): value for name, value in headers.items()},
    ) + (body)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A status line and headers."""
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def as_json(document: object, status: int = 200, **headers: str) -> bytes:
    """A whole answer with a JSON body."""
    return reply(json.dumps(document).encode(), status, **headers)


def reset(connection: socket.socket) -> None:
    """Break the connection as a crashed machine does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(
    before: bytes, dripped: bytes, pause_seconds: float = 0.1
) -> Callable[[socket.socket], None]:
    """Send `before` at once, then one byte after the other, each well within any read time-out."""

    def send(connection: socket.socket) -> None:
        connection.sendall(before)
        stopped = threading.Event()
        for byte in dripped:
            connection.sendall(bytes([byte]))
            stopped.wait(pause_seconds)

    return send


def stall(seconds: float = 3.0) -> Callable[[socket.socket], None]:
    """Say nothing for so long, unless the client leaves."""

    def wait(connection: socket.socket) -> None:
        connection.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            connection.recv(1)

    return wait
