"""Names and addresses that lead nowhere, on loopback: what connecting costs, and how it ends."""

from __future__ import annotations

import errno
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from exporter.helpscout.connecting import connect
from exporter.helpscout.errors import Unreachable
from exporter.helpscout.transport import Transport
from tests.contract.conftest import Certificate, Serve
from tests.contract.scripted import Asked, Reply, Service, reply, stall

HOST = "helpscout.test"
PROBED = {
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 10_000,
}
"""Seconds, a number, and milliseconds: some firewalls forget a connection after a minute."""


def answer(_asked: Asked) -> Reply:
    return reply(b"{}")


class Names:
    """A resolver whose answers belong to the test, and addresses that never answer."""

    def __init__(self) -> None:
        self.known: dict[str, list[tuple[str, int]]] = {}
        self.asked: list[str] = []
        self.hangs = threading.Event()
        self.hangs.set()
        self._sockets: list[socket.socket] = []
        self._real = socket.getaddrinfo

    def look_up(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(host)
        self.hangs.wait(20)
        if host not in self.known:
            return self._real(host, port, *args, **kwargs)
        return [
            (
                socket.AF_INET6 if ":" in ip else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (ip, own or port, 0, 0) if ":" in ip else (ip, own or port),
            )
            for ip, own in self.known[host]
        ]

    def dead(self) -> tuple[str, int]:
        """An address where connecting never ends: its listener takes no more."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._sockets.append(listener)
        where: tuple[str, int] = listener.getsockname()
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(where)
            self._sockets.append(filler)
        return where

    def refusing(self) -> tuple[str, int]:
        """An address where nobody listens."""
        unused = socket.socket()
        unused.bind(("127.0.0.1", 0))
        self._sockets.append(unused)
        where: tuple[str, int] = unused.getsockname()
        return where

    def close(self) -> None:
        self.hangs.set()
        for each in self._sockets:
            each.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.look_up)
    yield made
    made.close()


@contextmanager
def taking(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began < most


def asked(url: str, timeout: float) -> int:
    with closing(Transport(url, 2, timeout)) as transport:
        return transport.send("GET", url, auth=None).status


def failure(url: str, timeout: float) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        asked(url, timeout)
    return caught.value


def place(service: Service) -> tuple[str, int]:
    return "127.0.0.1", service.port


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_addresses_that_do_not_answer_share_the_calls_time(names: Names, scheme: str) -> None:
    names.known[HOST] = [names.dead() for _ in range(4)]
    with taking(0.9, 3.5):
        error = failure(f"{scheme}://{HOST}:1234", 1.0)
    assert error.cause == "no connection in time"
    assert (error.step, error.host) == ("connect", f"{HOST}:1234")


@pytest.mark.parametrize("number", [1, 3])
def test_dead_addresses_before_a_good_one_cost_a_head_start_each(
    names: Names, serve: Serve, number: int
) -> None:
    good = serve(answer)
    names.known[HOST] = [*(names.dead() for _ in range(number)), place(good)]
    with taking(0.2 * number, 0.25 * number + 2.0):  # a share of the call's time is more
        assert asked(f"http://{HOST}:1", 10.0) == 200


def test_an_address_that_refuses_makes_room_for_the_next_one_at_once(
    names: Names, serve: Serve
) -> None:
    names.known[HOST] = [*(names.refusing() for _ in range(32)), place(serve(answer))]
    with taking(0.0, 7.5):  # one after the other with a pause each, they would take 8 s
        assert asked(f"http://{HOST}:1", 20.0) == 200


def test_the_other_family_is_tried_second(names: Names, serve: Serve) -> None:
    names.known[HOST] = [*(names.dead() for _ in range(8)), ("::1", serve(answer).port)]
    with taking(0.0, 3.0), pytest.raises(Unreachable):  # the service listens on IPv4 only
        asked(f"http://{HOST}:1", 1.0)
    names.known[HOST] = [("::1", 0)] * 32 + [place(serve(answer))]
    with taking(0.0, 7.5):
        assert asked(f"http://{HOST}:1", 20.0) == 200


def test_a_dead_family_costs_one_head_start_however_many_addresses_it_has(names: Names) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as good:
        there = ("::1", good.getsockname()[1])
        names.known[HOST] = [*(names.dead() for _ in range(16)), there]
        with taking(0.2, 3.5), connect(HOST, 1, time.monotonic() + 20.0) as connected:
            assert connected.getpeername()[:2] == there


def test_without_ipv6_the_other_addresses_are_used(
    names: Names, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket

    def without(family: int = socket.AF_INET, *args: Any, **kwargs: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *args, **kwargs)

    names.known[HOST] = [("::1", 1), place(serve(answer))]
    monkeypatch.setattr(socket, "socket", without)
    assert asked(f"http://{HOST}:1", 5.0) == 200
    names.known[HOST] = [("::1", 1), names.refusing()]
    assert failure(f"http://{HOST}:1", 5.0).cause == "connection refused"


def test_a_name_without_addresses_is_not_connected_to(names: Names) -> None:
    names.known[HOST] = []
    with pytest.raises(OSError, match="has no address"):
        connect(HOST, 1, time.monotonic() + 1)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".test"])
def test_what_cannot_be_a_name_does_not_resolve(host: str) -> None:
    with pytest.raises(socket.gaierror):
        connect(host, 1, time.monotonic() + 1)


def test_a_resolver_that_hangs_is_asked_once_and_waited_for_no_longer_than_the_call(
    names: Names, serve: Serve
) -> None:
    names.known[HOST] = [place(serve(answer))]
    names.hangs.clear()
    errors: list[Unreachable] = []

    def ask() -> None:
        errors.append(failure(f"http://{HOST}:1", 1.0))

    threads = [threading.Thread(daemon=True, target=ask) for _ in range(5)]
    with taking(0.9, 4.5):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [error.step for error in errors] == ["connect"] * 5
    assert names.asked == [HOST]
    names.hangs.set()
    assert asked(f"http://{HOST}:1", 5.0) == 200


def test_a_resolver_does_not_keep_the_program_from_ending(names: Names) -> None:
    names.hangs.clear()
    failure(f"http://{HOST}:1", 0.2)
    (resolver,) = (each for each in threading.enumerate() if each.name == "resolver")
    assert resolver.daemon


def test_a_connection_is_probed_while_it_is_idle(serve: Serve) -> None:
    with connect("127.0.0.1", serve(answer).port, time.monotonic() + 5) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        for name, value in PROBED.items():
            if hasattr(socket, name):
                assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


# --- through a proxy ----------------------------------------------------------------------------


def tunnel(target: Service, wait_seconds: float = 0.0) -> Callable[[Asked], Reply]:
    """A proxy that opens a way to the target, whatever it is asked for."""

    def script(asked: Asked) -> Reply:
        assert asked.method == "CONNECT"

        def connected(connection: socket.socket) -> None:
            time.sleep(wait_seconds)
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            # One thread for both ways: OpenSSL allows no more on one connection.
            with socket.create_connection(place(target)) as upstream, suppress(OSError):
                other = {connection: upstream, upstream: connection}
                while connection in other:
                    unread = isinstance(connection, ssl.SSLSocket) and connection.pending()
                    ready = [connection] if unread else select.select(other, [], [])[0]
                    for source in ready:
                        if data := source.recv(65_536):
                            other[source].sendall(data)
                        else:
                            del other[source]

        return connected

    return script


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_with_a_dead_address_leads_on(
    names: Names,
    serve: Serve,
    certificates: Callable[[str], Certificate],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    certificate = certificates(f"DNS:{HOST}")
    target = serve(answer, certificate.context)
    proxy = serve(tunnel(target))
    names.known["proxy.test"] = [names.dead(), place(proxy)]
    monkeypatch.setenv(variable, "http://proxy.test:3128\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    with taking(0.2, 18.0):  # the dead one alone would take 20 s
        assert asked(f"https://{HOST}", 20.0) == 200
    assert [each.target for each in proxy.asked] == [f"{HOST}:443"]
    assert HOST not in names.asked  # the proxy looks it up


def test_a_proxy_whose_addresses_are_dead_ends_at_the_calls_time(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.known["proxy.test"] = [names.dead() for _ in range(4)]
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    with taking(0.9, 3.5):
        error = failure(f"https://{HOST}", 1.0)
    assert (error.step, error.host) == ("connect", "proxy.test:3128")


def test_what_the_proxy_takes_is_not_there_for_the_handshake(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = serve(lambda _asked: stall(9.0))
    monkeypatch.setenv("https_proxy", serve(tunnel(silent, 1.5)).url)
    with taking(1.9, 3.4):
        error = failure(f"https://{HOST}", 2.0)
    assert (error.step, error.host) == ("tls", f"{HOST}:443")


def test_a_proxy_that_speaks_tls_is_trusted_by_the_same_authorities(
    serve: Serve, certificates: Callable[[str], Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certificates(f"DNS:{HOST},IP:127.0.0.1")
    proxy = serve(tunnel(serve(answer, certificate.context)), certificate.context)
    monkeypatch.setenv("https_proxy", proxy.url)
    assert proxy.url.startswith("https://")
    assert "not trusted" in str(failure(f"https://{HOST}", 5.0))
    assert proxy.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    assert asked(f"https://{HOST}", 5.0) == 200
