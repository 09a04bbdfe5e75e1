"""HTTP within bounds, against a service that does everything wrong that can be done."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import requests
from requests.auth import HTTPBasicAuth

from exporter import __version__
from exporter.helpscout.errors import BadResponse, HelpScoutError, Unreachable
from exporter.helpscout.transport import MAX_BODY_BYTES, Answer, Transport
from tests.contract.conftest import Certificate, Serve
from tests.contract.scripted import Asked, Reply, Service, drip, head, reply, reset, stall
from tests.support import resolves_nothing

AUTH = HTTPBasicAuth("s3cret", "X")


def send(url: str, timeout: float = 5.0, method: str = "GET") -> Answer:
    """One call with a transport of its own."""
    with closing(Transport(url, 2, timeout)) as transport:
        return transport.send(method, f"{url}/v2/reports?secret=s3cret", auth=AUTH)


def always(answer: Reply) -> Callable[[Asked], Reply]:
    return lambda asked: answer


def failure(url: str, timeout: float = 5.0) -> HelpScoutError:
    with pytest.raises(HelpScoutError) as caught:
        send(url, timeout)
    assert "s3cret" not in f"{caught.value!r}"
    return caught.value


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


# --- what is sent -------------------------------------------------------------------------------


def test_a_call_says_who_we_are_and_what_we_accept(serve: Serve) -> None:
    service = serve(always(reply(b"{}")))
    send(service.url)
    (asked,) = service.asked
    assert (asked.method, asked.target) == ("GET", "/v2/reports?secret=s3cret")
    assert asked.header("User-Agent") == f"helpscout-exporter/{__version__}"
    assert asked.header("Accept") == "application/json, application/hal+json"
    assert asked.header("Accept-Encoding") == "gzip"
    assert asked.header("Authorization") == "Basic czNjcmV0Olg="


@pytest.mark.parametrize("status", [200, 429, 302])
def test_connections_are_kept_and_used_again(serve: Serve, status: int) -> None:
    service = serve(always(reply(b"{}", status, Location="/x")))
    with closing(Transport(service.url, 2, 5)) as transport:
        for _ in range(3):
            transport.send("GET", service.url, auth=None)
    assert len(service.asked) == 3
    assert len({asked.port for asked in service.asked}) == 1


def test_a_connection_whose_answer_was_not_read_whole_is_not_used_again(serve: Serve) -> None:
    answers = [reply(b" " * (3 * MAX_BODY_BYTES)), reply(b"{}")]
    service = serve(lambda asked: answers.pop(0))
    with closing(Transport(service.url, 2, 5)) as transport:
        with pytest.raises(BadResponse):
            transport.send("GET", service.url, auth=None)
        assert transport.send("GET", service.url, auth=None).body == b"{}"
    assert len({asked.port for asked in service.asked}) == 2


def test_cookies_are_not_kept(serve: Serve) -> None:
    service = serve(always(reply(b"{}", Set_Cookie="session=1; Path=/")))
    with closing(Transport(service.url, 2, 5)) as transport:
        for _ in range(2):
            transport.send("GET", service.url, auth=None)
        assert not transport._session.cookies
    assert [asked.header("Cookie") for asked in service.asked] == [None, None]


# --- what is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 429, 500, 503, 599])
def test_an_answer_of_any_status_is_returned_whole(serve: Serve, status: int) -> None:
    body = b"" if status == 204 else b'{"a": 1}'
    answer = send(serve(always(reply(body, status, x_hEaDeR="v"))).url)
    assert (answer.status, answer.body, answer.headers["X-Header"]) == (status, body, "v")


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("gzip", gzip.compress(b'{"a": 1}')),
        ("GZIP", gzip.compress(b'{"a": 1}')),
        ("deflate", zlib.compress(b'{"a": 1}')),
        ("identity", b'{"a": 1}'),
    ],
)
def test_a_compressed_body_is_decompressed(serve: Serve, encoding: str, compressed: bytes) -> None:
    assert send(serve(always(reply(compressed, Content_Encoding=encoding))).url).body == b'{"a": 1}'


def test_a_chunked_body_is_joined(serve: Serve) -> None:
    chunks = b'3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
    answer = head(200, {"Transfer-Encoding": "chunked"}) + chunks
    assert send(serve(always(answer)).url).body == b'{"a": 1}'


def test_a_body_of_exactly_the_bound_is_taken(serve: Serve) -> None:
    assert len(send(serve(always(reply(b" " * MAX_BODY_BYTES))).url).body) == MAX_BODY_BYTES


@pytest.mark.parametrize("status", [200, 302, 500])
@pytest.mark.parametrize(
    "make",
    [
        lambda size: (b" " * size, {"Content-Length": str(size)}),
        lambda size: (b" " * size, {}),
        lambda size: (gzip.compress(b" " * size), {"Content-Encoding": "gzip"}),
    ],
    ids=["plain", "without a length", "gzip"],
)
def test_a_body_beyond_the_bound_is_refused(
    serve: Serve, status: int, make: Callable[[int], tuple[bytes, dict[str, str]]]
) -> None:
    body, headers = make(MAX_BODY_BYTES + 1)
    headers |= {"Location": "http://127.0.0.1:1/", "Connection": "close"}

    def script(connection: socket.socket) -> None:
        connection.sendall(head(status, headers) + body)

    error = failure(serve(always(script)).url)
    assert isinstance(error, BadResponse)
    assert error.cause == "the answer is larger than 5 MB"
    assert error.status == status


@pytest.mark.parametrize("status", [200, 302])
def test_a_gzip_bomb_is_not_unpacked(serve: Serve, status: int) -> None:
    deflater = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = b"".join(deflater.compress(b" " * 1_000_000) for _ in range(200)) + deflater.flush()
    assert len(bomb) < 1_000_000
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(bomb)), "Location": "/x"}
    service = serve(always(head(status, headers) + bomb))
    tracemalloc.start()
    try:
        error = failure(service.url, 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.cause == "the answer is larger than 5 MB"
    assert peak < 8 * MAX_BODY_BYTES


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}")[:-9] + b"garbage"])
def test_a_body_that_does_not_decompress_is_refused(serve: Serve, body: bytes) -> None:
    error = failure(serve(always(reply(body, Content_Encoding="gzip"))).url)
    assert isinstance(error, BadResponse)
    assert error.cause == "the answer does not decompress"


# --- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_no_secret_goes_with_it(serve: Serve, status: int) -> None:
    other = serve(always(reply(b"{}")))
    service = serve(always(reply(b"", status, Location=f"{other.url}/elsewhere")))
    assert send(service.url).status == status
    assert other.asked == []
    assert len(service.asked) == 1


@pytest.mark.parametrize("location", ["http://[::1/", "//[", "", "\x00", "http://", "x:y", "/" * 9])
def test_a_redirect_to_nowhere_is_an_answer_like_any_other(serve: Serve, location: str) -> None:
    assert send(serve(always(reply(b"", 302, Location=location))).url).status == 302


# --- connections that fail ----------------------------------------------------------------------


def cut(connection: socket.socket) -> None:
    connection.sendall(head(200, {"Content-Length": "100"}) + b"{")


def cut_chunk(connection: socket.socket) -> None:
    connection.sendall(head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n{")


def reset_in_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")
    reset(connection)


def reset_in_body(connection: socket.socket) -> None:
    cut(connection)
    reset(connection)


def hang_up(connection: socket.socket) -> None:
    """Leave without a word."""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (hang_up, "the connection was closed without an answer"),
        (reset, "connection reset"),
        (reset_in_head, "connection reset"),
        (reset_in_body, "connection reset"),
        (cut, "the connection broke in the middle of the answer"),
        (cut_chunk, "the connection broke in the middle of the answer"),
        (
            head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\n{}",
            "the connection broke in the middle of the answer",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "what answers does not speak HTTP"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "what answers does not speak HTTP"),
        (head(200, {"X": "a" * 70_000}), "the headers of the answer are too large"),
        (head(200, {f"X-{n}": "1" for n in range(200)}), "the headers of the answer are too large"),
    ],
)
def test_a_connection_that_breaks_is_named(serve: Serve, script: Reply, words: str) -> None:
    error = failure(serve(always(script)).url)
    assert isinstance(error, Unreachable)
    assert error.cause == words


def test_a_refused_connection_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert isinstance(error, Unreachable)
    assert error.cause == "connection refused"


def test_a_name_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolves_nothing)
    error = failure("http://no-such-host.invalid")
    assert isinstance(error, Unreachable)
    assert error.cause == "its name does not resolve"


@pytest.mark.parametrize(
    "script",
    [
        stall(10.0),
        drip(b"", b"HTTP/1.1 200 OK\r\n" * 3),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-Long: " + b"a" * 50),
        drip(b"HTTP/1.1 200 OK\r\n", b"A: 1\r\n" * 10),
        drip(head(200, {"Content-Length": "100"}), b" " * 50),
        drip(head(302, {"Content-Length": "100", "Location": "/x"}), b" " * 50),
        drip(head(200, {"Transfer-Encoding": "chunked"}), b"1\r\n \r\n" * 10),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3),
        head(200, {"Content-Length": "100"}) + b"{",
    ],
    ids=[
        "no answer",
        "status line",
        "one header",
        "headers",
        "body",
        "redirect",
        "chunks",
        "continue",
        "rest never arrives",
    ],
)
def test_a_call_ends_at_its_time_whatever_trickles_in(serve: Serve, script: Reply) -> None:
    url = serve(always(script)).url
    with within(4.5):
        error = failure(url, timeout=1.0)
    assert isinstance(error, Unreachable)
    assert error.cause == "no whole answer within 1 s"


def test_a_read_gets_only_what_is_left_of_the_calls_time(serve: Serve) -> None:
    def late(connection: socket.socket) -> None:
        threading.Event().wait(1.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        stall(5.0)(connection)

    url = serve(always(late)).url
    with within(3.4):
        assert failure(url, timeout=2.0).cause == "no whole answer within 2 s"


def test_a_drip_that_is_done_in_time_is_an_answer(serve: Serve) -> None:
    script = drip(head(200, {"Content-Length": "8"}), b'{"a": 1}', pause_seconds=0.01)
    assert send(serve(always(script)).url).body == b'{"a": 1}'


def test_each_thread_has_a_time_of_its_own(serve: Serve) -> None:
    slow = serve(always(stall(10.0)))
    quick = serve(always(reply(b"{}")))
    seen: list[str] = []
    with closing(Transport(slow.url, 2, 3.0)) as transport:

        def wait() -> None:
            with pytest.raises(Unreachable):
                transport.send("GET", slow.url, auth=None)
            seen.append("timed out")

        thread = threading.Thread(daemon=True, target=wait)
        thread.start()
        while not slow.asked:
            threading.Event().wait(0.01)
        assert transport.send("GET", quick.url, auth=None).status == 200
        assert seen == []
        thread.join(9)
    assert seen == ["timed out"]


def test_a_listener_that_never_accepts_is_not_waited_for_longer_than_the_call(
    serve: Serve,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        with within(10):
            error = failure(f"http://127.0.0.1:{port}", timeout=1.0)
        for filler in fillers:
            filler.close()
    assert isinstance(error, Unreachable)
    assert error.cause in ("no connection in time", "no whole answer within 1 s")


# --- TLS ----------------------------------------------------------------------------------------

Certificates = Callable[[str], Certificate]


def test_a_certificate_that_is_not_trusted_is_named(
    serve: Serve, certificates: Certificates
) -> None:
    service = serve(always(reply(b"{}")), certificates("IP:127.0.0.1").context)
    error = failure(service.url)
    assert isinstance(error, Unreachable)
    assert error.cause == "its TLS certificate is not trusted: it is self-signed"
    assert service.asked == []


def test_a_bundle_from_the_environment_is_trusted_and_read_once(
    serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificates("IP:127.0.0.1")
    service = serve(always(reply(b"{}")), certificate.context)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(certificate.path))
            transport = Transport(service.url, 2, 5)
        with closing(transport):
            assert transport.send("GET", service.url, auth=None).status == 200


def test_a_certificate_for_another_name_is_not_trusted(
    serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificates("DNS:other.test")
    service = serve(always(reply(b"{}")), certificate.context)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    assert failure(service.url).cause == "its TLS certificate is for another address"


def test_a_service_that_speaks_no_tls_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(daemon=True, target=greet)
        thread.start()
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(5)
    assert error.cause == "it does not speak TLS"


def test_a_handshake_that_does_not_go_on_ends_at_the_calls_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, within(10):
        error = failure(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=1.0)
    assert isinstance(error, Unreachable)


# --- proxies ------------------------------------------------------------------------------------


@pytest.fixture
def proxy(serve: Serve) -> Service:
    """A proxy that answers itself."""
    return serve(always(reply(b'{"proxied": true}')))


def test_a_proxy_from_the_environment_is_used_and_looked_up_once(
    proxy: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    transport = Transport("http://helpscout.test/v2", 2, 5)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with closing(transport):
        for _ in range(2):
            answer = transport.send("GET", "http://helpscout.test/v2/mailboxes?page=1", auth=AUTH)
            assert answer.body == b'{"proxied": true}'
    assert [asked.target for asked in proxy.asked] == [
        "http://helpscout.test/v2/mailboxes?page=1"
    ] * 2


def test_the_environment_is_not_read_at_each_call(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(always(reply(b"{}")))
    with closing(Transport(service.url, 2, 5)) as transport:

        def forbidden(*_: object, **__: object) -> None:
            raise AssertionError("looked up at a call")

        for name in ("get_environ_proxies", "get_netrc_auth", "should_bypass_proxies"):
            for module in (requests.sessions, requests.utils):
                monkeypatch.setattr(module, name, forbidden, raising=False)
        assert transport.send("GET", service.url, auth=None).status == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_loopback_is_asked_without_a_proxy(
    serve: Serve, proxy: Service, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    service = serve(always(reply(b"{}")))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("all_proxy", proxy.url)
    send(service.url.replace("127.0.0.1", name))
    assert proxy.asked == []
    assert len(service.asked) == 1


def test_no_proxy_is_honoured(proxy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "no-such-host.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", resolves_nothing)
    assert failure("http://no-such-host.invalid").cause == "its name does not resolve"
    assert proxy.asked == []


def test_a_proxy_that_refuses_is_named_and_sees_no_secret(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(always(reply(b"", 403)))
    monkeypatch.setenv("https_proxy", service.url)
    error = failure("https://helpscout.test")
    assert isinstance(error, Unreachable)
    assert error.cause == "the proxy refuses the connection (403)"
    (asked,) = service.asked
    assert (asked.method, asked.target) == ("CONNECT", "helpscout.test:443")
    assert asked.header("Authorization") is None


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{unused.getsockname()[1]}")
        error = failure("https://helpscout.test")
    assert error.cause == "the proxy cannot be used: connection refused"


def test_a_proxy_that_trickles_ends_at_the_calls_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(always(drip(b"HTTP/1.1 200 OK\r\n", b"X: " + b"a" * 50)))
    monkeypatch.setenv("https_proxy", service.url)
    with within(2.5):
        assert isinstance(failure("https://helpscout.test", timeout=1.0), Unreachable)
