"""Connections that somebody on the way has forgotten while they were idle."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from exporter.helpscout import transport as module
from exporter.helpscout.account import Api
from exporter.helpscout.errors import Unreachable
from exporter.helpscout.transport import Transport
from tests.contract.conftest import Desk, Serve
from tests.contract.scripted import Asked, Reply, as_json, head, reply, reset, stall


def hang_up(connection: socket.socket) -> None:
    """Leave without a word."""


def cut(connection: socket.socket) -> None:
    connection.sendall(head(200, {"Content-Length": "100"}) + b"{")


def by_connection(*scripts: Callable[[int], Reply]) -> Callable[[Asked], Reply]:
    """Answer the nth call of a connection; each new connection has the next script."""
    calls: dict[int, int] = {}
    own: dict[int, Callable[[int], Reply]] = {}

    def script(asked: Asked) -> Reply:
        own.setdefault(asked.port, scripts[min(len(own), len(scripts) - 1)])
        calls[asked.port] = calls.get(asked.port, 0) + 1
        return own[asked.port](calls[asked.port])

    return script


def good(_number: int) -> Reply:
    return reply(b"{}")


def then(failing: Reply) -> Callable[[int], Reply]:
    """The first call is answered, the second one is not."""
    return lambda number: reply(b"{}") if number == 1 else failing


class Payer:
    def __init__(self, *, pays: bool = True) -> None:
        self.pays = pays
        self.left: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.left.append(seconds)
        return self.pays


@pytest.fixture
def payer() -> Payer:
    return Payer()


@pytest.fixture
def _short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.0)


@pytest.mark.usefixtures("_short_rest")
def test_a_connection_that_was_idle_for_long_is_not_used_again(serve: Serve) -> None:
    service = serve(by_connection(good))
    with closing(Transport(service.url, 2, 5)) as transport:
        for _ in range(3):
            transport.send("GET", service.url, auth=None)
    assert len({asked.port for asked in service.asked}) == 3


def test_a_firewall_that_forgets_idle_connections_costs_no_time(
    serve: Serve, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.2)
    last: dict[int, float] = {}

    def forgetful(asked: Asked) -> Reply:
        before, last[asked.port] = last.get(asked.port), time.monotonic()
        return stall(9.0) if before and last[asked.port] - before > 1.2 else reply(b"{}")

    service = serve(forgetful)
    with closing(Transport(service.url, 2, 5)) as transport:
        for rest in (0.0, 0.05, 1.3, 0.05, 1.3):
            time.sleep(rest)
            began = time.monotonic()
            transport.send("GET", service.url, auth=None, again=payer)
            assert time.monotonic() - began < 4.5
    assert payer.left == []


@pytest.mark.parametrize("failing", [reset, hang_up])
def test_a_get_that_dies_on_a_used_connection_is_sent_again_at_once_on_a_new_one(
    serve: Serve, payer: Payer, failing: Reply
) -> None:
    service = serve(by_connection(then(failing), good))
    with closing(Transport(service.url, 2, 30)) as transport:
        transport.send("GET", service.url, auth=None, again=payer)
        assert payer.left == []
        assert transport.send("GET", service.url, auth=None, again=payer).status == 200
    assert len(service.asked) == 3
    (left,) = payer.left
    assert 20 < left < 30


def in_threads(number: int, work: Callable[[], object]) -> None:
    """Run `work` in so many threads, to the end."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def test_every_idle_connection_is_passed_over_then(serve: Serve, payer: Payer) -> None:
    together = threading.Barrier(2)

    def at_once(number: int) -> Reply:
        if number == 1:
            together.wait(5)
        return then(reset)(number)

    service = serve(by_connection(at_once, at_once, good))
    with closing(Transport(service.url, 4, 5)) as transport:
        in_threads(2, lambda: transport.send("GET", service.url, auth=None))
        assert len({asked.port for asked in service.asked}) == 2
        assert transport.send("GET", service.url, auth=None, again=payer).status == 200
    assert len(payer.left) == 1


def test_what_is_sent_again_has_what_is_left_of_the_calls_time(serve: Serve, payer: Payer) -> None:
    service = serve(by_connection(then(reset), lambda _: stall(9.0)))
    with closing(Transport(service.url, 2, 1.5)) as transport:
        transport.send("GET", service.url, auth=None)
        began = time.monotonic()
        with pytest.raises(Unreachable):
            transport.send("GET", service.url, auth=None, again=payer)
        assert time.monotonic() - began < 2.9
    assert len(payer.left) == 1


@pytest.mark.parametrize(
    ("method", "scripts", "pays"),
    [
        ("POST", [then(reset), good], True),
        ("GET", [then(reset), good], False),
        ("GET", [then(cut), good], True),
        ("GET", [then(reset), lambda _: reset], True),
    ],
    ids=["not a question", "no money", "an answer had begun", "the new one dies too"],
)
def test_it_is_not_sent_again(
    serve: Serve, method: str, scripts: list[Callable[[int], Reply]], pays: bool
) -> None:
    service = serve(by_connection(*scripts))
    with closing(Transport(service.url, 2, 5)) as transport:
        transport.send(method, service.url, auth=None)
        with pytest.raises(Unreachable):
            transport.send(method, service.url, auth=None, again=Payer(pays=pays))
    assert len(service.asked) <= 3


def test_on_a_new_connection_it_is_not_sent_again(serve: Serve, payer: Payer) -> None:
    service = serve(lambda _asked: reset)
    with closing(Transport(service.url, 2, 5)) as transport, pytest.raises(Unreachable):
        transport.send("GET", service.url, auth=None, again=payer)
    assert (len(service.asked), payer.left) == (1, [])


def test_what_takes_all_of_its_time_is_not_sent_again(serve: Serve, payer: Payer) -> None:
    service = serve(by_connection(lambda number: reply(b"{}") if number == 1 else b""))
    with closing(Transport(service.url, 2, 2.0)) as transport:
        transport.send("GET", service.url, auth=None)
        with pytest.raises(Unreachable):
            transport.send("GET", service.url, auth=None, again=payer)
    assert payer.left == []


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_call_that_is_sent_again_is_paid_and_counted(desk: Desk, api: Api) -> None:
    listed = as_json({"items": [], "page": 1, "pages": 1})
    if api == "v2":
        listed = as_json({"_embedded": {"mailboxes": []}, "page": {"number": 1, "totalPages": 1}})
    answers: list[Reply] = [listed, reset, listed]
    desk.answer = lambda _asked: answers.pop(0)
    client = desk.client(api)
    client.mailboxes()
    paid = desk.purse.spent
    client.mailboxes()
    assert desk.purse.spent == paid + 2
    assert desk.counted("api_retries_total", reason="unreachable") == 1
    assert desk.counted("api_requests_total", operation="mailboxes", code="200") == 2


def test_as_many_connections_are_kept_as_an_account_has_calls_at_once(desk: Desk) -> None:
    together = threading.Barrier(8)

    def held(_asked: Asked) -> Reply:
        together.wait(10)
        return as_json({"items": [], "page": 1, "pages": 1})

    desk.answer = held
    client = desk.client("v1")
    for _ in range(3):
        in_threads(8, client.mailboxes)
    assert len(desk.asked) == 3 * 8
    assert len({asked.port for asked in desk.asked}) == 8
