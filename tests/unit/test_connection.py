"""One connection of the real server: deadlines, limits, order, and how it all stops."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from structlog.testing import capture_logs

from exporter.web import connection, server
from exporter.web.access import Access
from exporter.web.connection import MAX_BODY_BYTES, MAX_HEADER_BYTES, Connection, Phase
from exporter.web.server import Server
from tests.support import eventually
from tests.unit.test_web import SETTINGS

BIG = b"x" * 8_000_000
"""More than the buffers of two sockets take."""
GET = b"GET /word HTTP/1.1\r\nHost: x\r\n"
REQUEST_SECONDS = 1.0
ANSWER_SECONDS = 0.6
KEEP_ALIVE_SECONDS = 2
SLACK_SECONDS = 5.0
"""What a busy machine may add to any of these."""


async def word(request: Request) -> Response:
    return PlainTextResponse(f"word {request.url.query}")


async def big(_request: Request) -> Response:
    return Response(BIG)


async def parts(_request: Request) -> Response:
    return StreamingResponse(BIG[:100_000] for _ in range(len(BIG) // 100_000))


async def halves(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one half"
        await asyncio.sleep(REQUEST_SECONDS)
        yield b"the other"

    return StreamingResponse(pieces())


async def nothing(_request: Request) -> Response:
    return Response(b"")


async def length(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def broken(_request: Request) -> Response:
    raise RuntimeError("\nforged: line")


ROUTES = [
    Route("/word", word),
    Route("/big", big),
    Route("/parts", parts),
    Route("/halves", halves),
    Route("/nothing", nothing),
    Route("/length", length, methods=["POST"]),
    Route("/broken", broken),
]


class Client(contextlib.ExitStack):
    """A connection that sends what it likes and reads what arrives."""

    def __init__(self, made: socket.socket) -> None:
        super().__init__()
        self.socket = self.enter_context(made)
        self.socket.settimeout(20)
        self._more = b""

    def send(self, data: bytes) -> "Client":
        """Send it; nothing happens if the other side has closed by now."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.socket.sendall(data)
        return self

    def rest(self) -> bytes:
        """Return everything until the other side closes, in good order or not."""
        found, self._more = self._more, b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while data := self.socket.recv(1_000_000):
                found += data
        return found

    def until(self, end: bytes) -> bytes:
        """Return what arrives, up to and with `end`."""
        while end not in self._more:
            data = self.socket.recv(4096)
            assert data, self._more
            self._more += data
        found, _, self._more = self._more.partition(end)
        return found + end


@dataclass
class RunningServer:
    """A server over a small application."""

    server: Server
    authority: trustme.CA | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.server.url.rpartition(":")[2])

    def raw(self, buffer: int = 0) -> socket.socket:
        """Return a connection, with a small receive buffer if one is given."""
        made = socket.socket()
        if buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.settimeout(20)
        made.connect(self.address)
        return made

    def client(self, buffer: int = 0) -> Client:
        """Return a connection, over TLS if that is what the server speaks."""
        made = self.raw(buffer)
        if self.authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without this machine's authorities
            self.authority.configure_trust(context)
            made = context.wrap_socket(made, server_hostname="127.0.0.1")
        return Client(made)

    @property
    def connections(self) -> set[Connection]:
        """All that are open, handshakes included."""
        return self.server.connections.held.copy()

    def empty(self) -> bool:
        return not self.connections


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    # Good clients shake hands under it, too, on a busy machine.
    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", 3.0)
    monkeypatch.setattr(connection, "REQUEST_SECONDS", REQUEST_SECONDS)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", ANSWER_SECONDS)
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", KEEP_ALIVE_SECONDS)
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.3)
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", KEEP_ALIVE_SECONDS)
    monkeypatch.setattr(server, "STOP_SECONDS", 1)


def built(kind: str, folder: Path) -> RunningServer:
    """Return a server that is not started yet."""
    authority, config = None, None
    if kind == "tls":
        authority, config = trustme.CA(), folder / "web.yml"
        made = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem
        made.write_to_path(folder / "both.pem")
        config.write_text("tls_server_config: {cert_file: both.pem, key_file: both.pem}\n")
    return RunningServer(Server(SETTINGS, Router(ROUTES), Access(config)), authority)


@pytest.fixture(params=["plain", "tls"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """A server in the clear and one over TLS, for a test that has it alone."""
    made = built(request.param, tmp_path)
    made.server.start()
    yield made
    made.server.stop()
    assert not made.server.alive


@pytest.fixture(scope="module", params=["plain", "tls"])
def _shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    made = built(request.param, tmp_path_factory.mktemp("shared"))
    made.server.start()
    yield made
    eventually(made.empty, "no connection left")
    made.server.stop()


@pytest.fixture
def shared(_shared: RunningServer) -> Iterator[RunningServer]:
    """The same for all tests: whatever they do to it, it goes on and keeps no connection."""
    yield _shared
    alive(_shared)


plain = pytest.mark.parametrize("running", ["plain"], indirect=True)
tls = pytest.mark.parametrize("running", ["tls"], indirect=True)
tls_shared = pytest.mark.parametrize("_shared", ["tls"], indirect=True)


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client does is worth a line, in our log or past it."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # as exporter.logs has it
    with capture_logs() as logs:
        yield
    assert logs == []
    assert caplog.records == []


def alive(running: RunningServer) -> None:
    """The server still answers."""
    with running.client() as client:
        answer = client.send(GET + b"Connection: close\r\n\r\n").rest()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def head_and_body(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head.lower(), answer
    return head, body


def told(shared: RunningServer, answer: bytes, status: bytes) -> None:
    """Assert that this is one refusal, if the client did not send too much to be told."""
    # Over TLS, what arrives after our answer takes it along.
    if answer or shared.authority is None:
        refused(answer, status)


def refused(answer: bytes, status: bytes) -> bytes:
    """Assert that this is one refusal and all there is; return its words."""
    head, body = head_and_body(answer)
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close" in head
    return body


# --- deadlines ----------------------------------------------------------------------------------


HALVES = (b"G", b"GET /", GET, GET + b"\r", b"\r\nGET / HTTP/1.1\r\nX-A: b")


@pytest.mark.usefixtures("short")
def test_half_a_request_is_408_and_the_connection_is_closed(running: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        clients = [stack.enter_context(running.client()).send(half) for half in HALVES]
        for client in clients:
            words = refused(client.rest(), b"408 Request Timeout")
            assert words == b"the request did not arrive in time\n"
        took = time.monotonic() - began
    assert REQUEST_SECONDS * 0.9 < took < REQUEST_SECONDS + SLACK_SECONDS
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
def test_a_client_that_asks_nothing_is_disconnected(running: RunningServer) -> None:
    with running.client() as silent, running.client() as blank:
        blank.send(b"\r\n\r\n")
        assert (silent.rest(), blank.rest()) == (b"", b"")
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
def test_a_byte_now_and_then_does_not_keep_the_connection(running: RunningServer) -> None:
    with running.client() as one, running.client() as other:

        def drip() -> None:
            for first, second in zip(GET + b"X: " + b"y" * 1000, b"\r\n" * 1000, strict=False):
                one.send(bytes([first]))
                other.send(bytes([second]))
                time.sleep(0.02)
                if running.empty():
                    return

        assert seconds(drip) < REQUEST_SECONDS + SLACK_SECONDS
        assert running.empty()


@pytest.mark.usefixtures("short")
def test_half_a_body_is_408(running: RunningServer) -> None:
    with running.client() as client:
        client.send(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        assert refused(client.rest(), b"408") == b"the request did not arrive in time\n"
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
def test_half_a_body_that_nobody_wants_is_answered_once_and_closed(running: RunningServer) -> None:
    with running.client() as client:
        client.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\n").send(
            b"Content-Length: 10\r\n\r\nhalf"
        )
        head, body = head_and_body(client.rest())
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 404 Not Found", b"Not Found")
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
def test_half_of_a_pipelined_request_has_no_more_time_than_any_other(
    running: RunningServer,
) -> None:
    with running.client() as client:
        client.send(GET + b"\r\n" + GET)
        answer, _, rest = client.rest().partition(b"word ")
        assert answer.startswith(b"HTTP/1.1 200")
        refused(rest, b"408")
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
def test_a_client_that_does_not_read_a_large_answer_is_disconnected(running: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for path in (b"/big", b"/parts"):
            for close in (b"", b"Connection: close\r\n"):
                client = stack.enter_context(running.client(buffer=4096))
                client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, close))
                assert client.socket.recv(1)
        alive(running)
        eventually(lambda: not running.connections, "nobody connected any more", 15)
        alive(running)


@tls
def test_a_client_that_reads_slowly_gets_all_of_it(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.1)
    with running.client(buffer=65_536) as big, running.client(buffer=65_536) as parts:
        for client, path in ((big, b"/big"), (parts, b"/parts")):
            client.send(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path)
        time.sleep(2.5)
        for client in (big, parts):
            assert client.rest().count(b"x") >= len(BIG)


@pytest.mark.usefixtures("short")
def test_an_idle_connection_is_closed_after_its_time(running: RunningServer) -> None:
    with running.client() as client:
        began = time.monotonic()
        client.send(GET + b"\r\n").until(b"word ")
        assert client.rest() == b""
        took = time.monotonic() - began
    assert KEEP_ALIVE_SECONDS * 0.9 < took < KEEP_ALIVE_SECONDS + SLACK_SECONDS
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("idle", [0.0, REQUEST_SECONDS * 1.2], ids=["at once", "after a while"])
def test_half_of_a_second_request_has_no_more_time_than_the_first(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch, idle: float
) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 60)  # as ours, uvicorn's stays
    with running.client() as client:
        client.send(GET + b"\r\n").until(b"word ")
        eventually(lambda: [c.phase for c in running.connections] == [Phase.IDLE], "an idle one")
        time.sleep(idle)
        client.send(HALVES[0])
        rest = list[bytes]()
        took = seconds(lambda: rest.append(client.rest()))
    assert refused(rest[0], b"408") == b"the request did not arrive in time\n"
    assert took < REQUEST_SECONDS + SLACK_SECONDS
    eventually(running.empty, "no connection left")


@pytest.mark.usefixtures("short")
def test_the_next_request_has_its_own_time(running: RunningServer) -> None:
    with running.client() as client:
        for _ in range(3):  # together they take longer than one may
            client.send(GET)
            time.sleep(REQUEST_SECONDS * 0.4)
            client.send(b"\r\n").until(b"word ")


@pytest.mark.usefixtures("short")
@tls
def test_half_a_handshake_is_given_up(running: RunningServer) -> None:
    with Client(running.raw()) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01")
        eventually(lambda: len(running.connections) == 1, "the handshake")
        assert client.rest() == b""
    eventually(running.empty, "no connection left")


@tls_shared
@pytest.mark.parametrize("said", [GET + b"\r\n", b"\0" * 100, b"SSH-2.0-x\r\n"])
def test_a_client_without_tls_is_disconnected_by_a_tls_port(
    shared: RunningServer, said: bytes
) -> None:
    with Client(shared.raw()) as client:
        assert b"HTTP" not in client.send(said).rest()


# --- limits -------------------------------------------------------------------------------------

LONG = b"y" * 40_000


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Long: " + LONG + b"\r\n\r\n",
        GET + LONG + b": z\r\n\r\n",
        b"GET /" + LONG + b" HTTP/1.1\r\n\r\n",
        GET + b"".join(b"X-%d: y\r\n" % number for number in range(4000)) + b"\r\n",
        GET + b"a:\r\n" * 10_000 + b"\r\n",
    ],
    ids=["value", "name", "path", "many", "empty"],
)
@pytest.mark.parametrize("piece", [100_000, 1000])
def test_headers_of_40_kb_are_431_in_one_piece_and_in_many(
    shared: RunningServer, head: bytes, piece: int
) -> None:
    with shared.client() as client:
        for start in range(0, len(head), piece):
            client.send(head[start : start + piece])
        told(shared, client.rest(), b"431 Request Header Fields Too Large")


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_headers_without_end_are_431_before_they_end(shared: RunningServer, end: bytes) -> None:
    with shared.client() as client:
        client.send(GET + b"X-Long: ")
        for _ in range(100):
            client.send(b"y" * 10_000)
        told(shared, client.send(end).rest(), b"431 ")


def test_headers_as_large_as_they_may_be_are_taken(shared: RunningServer) -> None:
    with shared.client() as client:
        client.send(GET + b"X-Long: " + b"y" * (MAX_HEADER_BYTES - 200) + b"\r\n\r\n")
        client.until(b"word ")


def post(body: bytes, headers: bytes = b"") -> bytes:
    return b"POST /length HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body


def chunks(size: int, count: int) -> bytes:
    return (b"%x\r\n%s\r\n" % (size, b"z" * size)) * count


CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"Content-Length: 65537\r\n", b"z" * 65_537),
        (b"Content-Length: 99999999999999\r\n", b""),
        (b"Content-Length: 1000000\r\n", b"z" * 1_000_000),
        (CHUNKED, chunks(10_000, 10)),
        (CHUNKED, chunks(1, 70_000)),
        (CHUNKED, b"1;" + b"e" * 400_000),
        (CHUNKED, b"0\r\n" + b"T: z\r\n" * 100_000),
    ],
    ids=["one more", "huge", "much", "chunked", "small chunks", "chunk extension", "trailers"],
)
def test_a_body_over_64_kb_is_413(shared: RunningServer, headers: bytes, body: bytes) -> None:
    message = post(body, headers)
    with shared.client() as client:
        for start in range(0, len(message), 16_384):
            client.send(message[start : start + 16_384])
        told(shared, client.rest(), b"413 Request Entity Too Large")


@pytest.mark.parametrize(
    "message",
    [
        post(b"z" * MAX_BODY_BYTES, b"Content-Length: %d\r\n" % MAX_BODY_BYTES),
        post(chunks(4096, 16) + b"0\r\n\r\n", CHUNKED),
    ],
)
def test_a_body_as_large_as_it_may_be_is_taken(shared: RunningServer, message: bytes) -> None:
    with shared.client() as client:
        client.send(message).until(b"\r\n\r\n65536")


def test_a_request_is_measured_by_its_own_head_and_body(shared: RunningServer) -> None:
    filler = b"X-Long: " + b"y" * 30_000 + b"\r\n"
    length = b"Content-Length: %d\r\n" % MAX_BODY_BYTES
    with shared.client() as client:
        client.send(post(b"z" * MAX_BODY_BYTES, length + filler)).until(b"\r\n\r\n65536")
        client.send(GET + filler + b"\r\n").until(b"word ")


def test_a_body_that_was_waited_for_is_asked_for(shared: RunningServer) -> None:
    with shared.client() as client:
        client.send(post(b"", b"Content-Length: 2\r\nExpect: 100-continue\r\n"))
        client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"ab").until(b"\r\n\r\n2")


@pytest.mark.parametrize(
    "garbage",
    [
        b"garbage\r\n\r\n",
        b"\0\1\2\3" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET /word HTTP/9.9\r\n\r\n",
        b"get /word HTTP/1.1\r\n\r\n",
        b"GET /w\xc3\xb6rd HTTP/1.1\r\n\r\n",
        b"GET /word HTTP/1.1\r\nHo st: x\r\n\r\n",
        b"GET /word HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET /word HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET /word HTTP/1.1\nHost: x\n\n",
        post(b"ab", b"Content-Length: 2\r\nContent-Length: 3\r\n"),
        post(b"ab", b"Content-Length: -2\r\n"),
        post(b"ab", b"Content-Length: 0x2\r\n"),
        post(b"ab", b"Content-Length: 99999999999999999999999\r\n"),
        post(b"0\r\n\r\n", b"Content-Length: 2\r\n" + CHUNKED),
        post(b"zz\r\n", CHUNKED),
        post(b"fffffffffffffffff\r\n", CHUNKED),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET http://example.com HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_is_400_and_none_of_it_is_quoted(shared: RunningServer, garbage: bytes) -> None:
    with shared.client() as client:
        answer = client.send(garbage).rest()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer
    refused(answer, b"400")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://example.com/word HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /word\r\n\r\n", b"200"),
        (b"GET //example.com/word HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"GET /word#x HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /%77ord?%ff HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /%ff%00%0d%0a HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (b"DELETE /word HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"GET /word HTTP/1.1\r\n\r\n", b"200"),
        (GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"200"),
        (GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", b"200"),
    ],
)
def test_an_unusual_request_gets_a_usual_answer(
    shared: RunningServer, request_: bytes, status: bytes
) -> None:
    with shared.client() as client:
        assert client.send(request_).until(b"\r\n").startswith(b"HTTP/1.1 " + status)


def test_what_follows_an_upgrade_request_does_not_crash_it(shared: RunningServer) -> None:
    upgrade = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with shared.client() as client:
        client.send(upgrade).until(b"word ")
        client.send(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
        assert client.rest().startswith((b"", b"HTTP/1.1 400"))


@pytest.mark.parametrize("keep", [b"", b"Connection: keep-alive\r\n"])
def test_http_1_0_is_answered_and_closed(shared: RunningServer, keep: bytes) -> None:
    with shared.client() as client:
        head, body = head_and_body(client.send(b"GET /word HTTP/1.0\r\n" + keep + b"\r\n").rest())
    assert head.startswith(b"HTTP/1.1 200")
    assert b"keep-alive" not in head  # so it is closed, in HTTP/1.0
    assert body == b"word "


@pytest.mark.parametrize("_shared", ["plain"], indirect=True)
def test_an_answer_is_one_piece(shared: RunningServer) -> None:
    with shared.client() as client:
        for _ in range(200):  # two pieces may arrive together, too
            client.send(GET + b"\r\n")
            head, body = head_and_body(client.socket.recv(65_536))
            assert (head[:12], body) == (b"HTTP/1.1 200", b"word ")


def test_a_small_piece_is_not_kept_until_the_next(shared: RunningServer) -> None:
    with shared.client() as client:
        client.send(b"GET /halves HTTP/1.1\r\nHost: x\r\n\r\n").until(b"one half")
        assert client.until(b"the other").count(b"half") == 0


def test_an_answer_without_a_body_leaves_nothing_to_do(shared: RunningServer) -> None:
    with shared.client() as client:
        client.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        used = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - used < 0.2


# --- several requests in one piece --------------------------------------------------------------


def asks(*words: bytes) -> bytes:
    return b"".join(b"GET /word?%s HTTP/1.1\r\nHost: x\r\n\r\n" % each for each in words)


def answers(text: bytes) -> list[bytes]:
    """Return the words of each good answer, in order."""
    return [part.partition(b"HTTP/1.1")[0] for part in text.split(b"\r\n\r\nword ")[1:]]


def test_pipelined_requests_are_answered_in_order(shared: RunningServer) -> None:
    words = [b"%d" % number for number in range(20)]
    with shared.client() as client:
        text = client.send(asks(*words)).until(b"word 19")
    assert answers(text) == words


def test_large_and_small_answers_stay_in_order(shared: RunningServer) -> None:
    with shared.client() as client:
        client.send(asks(b"1") + b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\n" + asks(b"2"))
        client.send(GET + b"Connection: close\r\n\r\n")
        text = client.rest()
    assert answers(text)[0] == b"1"
    assert text.index(b"word 2") > text.index(b"x" * 1000) > text.index(b"word 1")
    assert text.endswith(b"word ")


@pytest.mark.no_cover
def test_thousands_of_requests_at_once_are_answered_a_few_at_a_time(shared: RunningServer) -> None:
    words = [b"%d" % number for number in range(5000)]
    with shared.client() as client:
        client.send(asks(*words))
        text, most = b"", 0
        while not text.endswith(b"word " + words[-1]):
            most = max([most, *(len(each.pipeline) for each in shared.connections)])
            text += client.socket.recv(4096)
    assert answers(text) == words
    assert most < 60


def test_a_client_that_takes_no_answer_cannot_go_on_asking(shared: RunningServer) -> None:
    sent, most = 0, 8 * len(BIG)  # more than two kernels keep
    with shared.client() as client:
        client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while sent < most:
                sent += client.socket.send((GET + b"\r\n") * 2000)
    assert sent < most


def test_many_requests_that_arrive_in_pieces_are_all_answered(
    shared: RunningServer,
) -> None:
    """They are more than headers may be: what is counted is each request alone."""
    with shared.client() as client:
        for batch in range(3):
            words = [b"%d-%d-%s" % (batch, number, b"a" * 2000) for number in range(50)]
            whole = asks(*words)
            text = client.send(whole[:-9]).send(whole[-9:]).until(words[-1])
            assert answers(text) == words


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"\0", GET + b"b ad: x\r\n\r\n"])
def test_garbage_after_a_good_request_is_400_after_its_answer(
    shared: RunningServer, garbage: bytes
) -> None:
    with shared.client() as client:
        text = client.send(asks(b"1", b"2") + garbage).rest()
    good, _, last = text.rpartition(b"HTTP/1.1 400")
    assert answers(good) == [b"1", b"2"]
    refused(b"HTTP/1.1 400" + last, b"400")


@pytest.mark.parametrize("garbage", [b"garbage", asks(b"2") + b"garbage"])
@pytest.mark.no_cover
def test_no_answer_has_a_refusal_in_its_middle(shared: RunningServer, garbage: bytes) -> None:
    with shared.client(buffer=65_536) as client:
        client.send(b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        client.send(garbage)
        time.sleep(0.2)
        client.send(b"and more of it")
        text = client.rest()
    assert text.index(b"HTTP/1.1 400") > text.rindex(b"\r\n0\r\n\r\n")
    assert text.count(b"x") >= len(BIG)
    assert text.endswith(b"this is not a valid HTTP request\n")


def test_a_large_body_after_a_good_request_is_refused_after_its_answer(
    shared: RunningServer,
) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with shared.client() as client:
        text = client.send(asks(b"1") + head + chunks(10_000, 8)).rest()
    good, _, last = text.rpartition(b"HTTP/1.1 413")
    assert answers(good) == [b"1"]
    refused(b"HTTP/1.1 413" + last, b"413")


@pytest.mark.usefixtures("short")
def test_garbage_behind_an_answer_that_is_not_taken_does_not_keep_the_connection(
    running: RunningServer,
) -> None:
    with running.client(buffer=4096) as client:
        client.send(b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        client.send(b"garbage")
        eventually(lambda: not running.connections, "nobody connected any more", 15)


def test_an_error_of_the_application_is_500_without_details(shared: RunningServer) -> None:
    with shared.client() as client:
        head, body = head_and_body(client.send(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n").rest())
    assert head.startswith(b"HTTP/1.1 500")
    assert body == b"Internal Server Error"


# --- too many -----------------------------------------------------------------------------------


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, running: RunningServer) -> RunningServer:
    """A running with room for three."""
    monkeypatch.setattr(running.server.connections, "most", 3)
    return running


def test_a_half_request_gives_way_before_an_idle_connection(three: RunningServer) -> None:
    with three.client() as idle, three.client() as half, three.client() as other:
        idle.send(GET + b"\r\n").until(b"word ")
        half.send(GET)
        other.send(GET)
        eventually(lambda: sum(each._reading for each in three.connections) == 2, "two halves")
        alive(three)
        assert half.rest() == b""
        idle.send(GET + b"\r\n").until(b"word ")
        other.send(b"\r\n").until(b"word ")


def test_the_connection_that_has_been_idle_longest_gives_way(three: RunningServer) -> None:
    with three.client() as first, three.client() as second, three.client() as third:
        for client in (first, second, third):
            client.send(GET + b"\r\n").until(b"word ")
        first.send(GET + b"\r\n").until(b"word ")
        alive(three)
        assert second.rest() == b""
        for client in (first, third):
            client.send(GET + b"\r\n").until(b"word ")


def test_answers_that_nobody_takes_give_way_if_there_is_nothing_else(three: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(three.client(buffer=4096))
            client.send(b"GET /parts HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        alive(three)
        eventually(lambda: len(three.connections) <= 3, "room again")


@tls
def test_half_a_handshake_gives_way(three: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(three.raw())
        eventually(lambda: len(three.connections) == 3, "three handshakes")
        alive(three)


@pytest.mark.parametrize(
    ("files", "most"), [(100, 50), (4, 8), (65_536, 512), (resource.RLIM_INFINITY, 512)]
)
def test_half_of_the_descriptors_are_left_to_the_poller(
    files: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert Server(SETTINGS, Router(ROUTES), Access(None)).connections.most == most


@tls
def test_the_url_of_a_port_with_tls_is_https(running: RunningServer) -> None:
    assert running.server.url == "https://{}:{}".format(*running.address)


def test_a_crowd_that_arrives_at_once_is_kept_to_the_bound(three: RunningServer) -> None:
    most = 0
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(three.raw())
            most = max(most, len(three.connections))
        eventually(lambda: len(three.connections) <= 3, "the bound")
        alive(three)
    assert most <= 3 + 10


@plain
def test_without_descriptors_it_makes_room_and_goes_on(running: RunningServer) -> None:
    """The kernel says no; the connections that have waited longest go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    made = [socket.socket() for _ in range(8)]
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Client(each)) for each in made]
        last = stack.enter_context(Client(socket.socket()))
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 4, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for each in made:
            each.connect(running.address)
        last.socket.connect(running.address)
        assert b"word " in last.send(GET + b"Connection: close\r\n\r\n").rest()
        assert [client.rest() for client in silent[:2]] == [b"", b""]


# --- stopping -----------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop that waits for somebody is noticed, also on a busy machine."""
    monkeypatch.setattr(server, "STOP_SECONDS", 60)


@pytest.mark.usefixtures("patient")
def test_it_stops_at_once_where_nothing_is_under_way(running: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for sent in (b"", GET, GET + b"\r\n", GET + b"\r\n" + GET, post(b"", CHUNKED)):
            for _ in range(5):
                stack.enter_context(running.client()).send(sent)
        for _ in range(5):
            stack.enter_context(running.raw())
        time.sleep(0.2)
        assert seconds(running.server.stop) < 20


@pytest.mark.usefixtures("short")
def test_it_stops_in_its_time_though_answers_are_not_taken(running: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for path in (b"/big", b"/parts") * 3:
            client = stack.enter_context(running.client(buffer=4096))
            client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path).until(b"\r\n\r\n")
        assert seconds(running.server.stop) < 1 + 2  # _STOP_SECONDS, and the threads'
    assert not running.server.alive


@plain
@pytest.mark.parametrize("path", [b"/big", b"/parts"])
def test_an_answer_under_way_is_sent_to_its_end_before_it_stops(
    running: RunningServer, path: bytes
) -> None:
    import threading

    with running.client(buffer=65_536) as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path).until(b"\r\n\r\n")
        stopping = threading.Thread(daemon=True, target=running.server.stop)
        stopping.start()
        time.sleep(0.5)
        assert client.rest().count(b"x") >= len(BIG)
        stopping.join()
