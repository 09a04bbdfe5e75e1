"""HTTP with the real server: routes, what is negotiated, what is sent, and how it stops."""

import errno
import fcntl
import gzip
import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import Exposition
from exporter.exposition.assembly import Body
from exporter.probe import ask_url
from exporter.settings import WebSettings
from exporter.telemetry import Telemetry
from exporter.web.access import Access
from exporter.web.application import Backend, accepts_gzip, application, negotiate
from exporter.web.connection import Connection
from exporter.web.server import Server
from exporter.web.sockets import CannotListen, listen
from tests.readings import renderer
from tests.support import reserved_port, resolves_nothing
from tests.unit.exposed import OBJECTIVES, WINDOWS, full_store

# Written out: what Prometheus is told, whatever the code calls it.
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

SETTINGS = WebSettings(
    listen=("127.0.0.1:0",),
    telemetry_path="/metrics",
    config_file=None,
    enable_lifecycle=True,
)


def at(host: str, port: int = 0) -> WebSettings:
    where = f"[{host}]" if ":" in host else host
    return replace(SETTINGS, listen=(f"{where}:{port}",))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Site:
    """A server over a store with one report, and what its backend says."""

    exposition: Exposition
    healthy: bool = True
    ready: bool = True
    problems: tuple[str, ...] = ()
    reloads: list[None] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    first: Callable[[], object] = lambda: None
    """Called before a reload and before a page."""
    server: Server | None = None

    def start(self, settings: WebSettings = SETTINGS) -> None:
        def reload() -> tuple[str, ...]:
            self.first()
            self.reloads.append(None)
            return self.problems

        def page(query: Mapping[str, str]) -> tuple[str, str]:
            self.first()
            self.queries.append(dict(query))
            return "<h1>Help Scout exporter</h1>", "default-src 'none'; style-src 'sha256-x'"

        backend = Backend(
            exposition=self.exposition,
            configuration=lambda: "accounts:\n- api_key: <secret>\n",
            healthy=lambda: self.healthy,
            ready=lambda: self.ready,
            reload=reload,
            page=page,
        )
        self.server = Server(settings, application(settings, backend), Access(None))
        self.server.start()

    @property
    def address(self) -> tuple[str, int]:
        assert self.server is not None
        parts = urlsplit(self.server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask once; underscores in the names of `headers` stand for dashes."""
        with closing(http.client.HTTPConnection(*self.address, timeout=10)) as connection:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())


@pytest.fixture
def site() -> Iterator[Site]:
    telemetry = Telemetry(process_metrics=False)
    made = Site(Exposition(full_store(), telemetry, renderer(OBJECTIVES, WINDOWS)))
    yield made
    if made.server is not None:
        made.server.stop()


def text_body(site: Site) -> bytes:
    return b"".join(site.exposition.body(TEXT, gzipped=False).made())


def openmetrics_body(site: Site) -> bytes:
    return b"".join(site.exposition.body(OPENMETRICS, gzipped=False).made())


# --- routes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content_type", "words"),
    [
        ("/", "text/html; charset=utf-8", "Help Scout exporter"),
        ("/config", "text/plain; charset=utf-8", "api_key: <secret>"),
        ("/metrics", TEXT, "# TYPE helpscout_up gauge"),
        ("/-/healthy", "text/plain; charset=utf-8", "healthy"),
        ("/-/ready", "text/plain; charset=utf-8", "ready"),
    ],
)
def test_a_route_answers(site: Site, path: str, content_type: str, words: str) -> None:
    site.start()
    answer = site.ask(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == content_type
    assert words in answer.text
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(
    "path",
    [
        "/metric",
        "/metrics/",
        "//metrics",
        "/METRICS",
        "/-/",
        "/-/healthy/",
        "/config/x",
        "/favicon.ico",
        "/%2e%2e/etc/passwd",
        "/../etc/passwd",
    ],
)
def test_anything_else_is_404(site: Site, path: str) -> None:
    site.start()
    assert site.ask(path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("PUT", "/metrics", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD"}),
        ("POST", "/config", {"GET", "HEAD"}),
        ("POST", "/-/healthy", {"GET", "HEAD"}),
        ("OPTIONS", "/-/ready", {"GET", "HEAD"}),
        ("GET", "/-/reload", {"POST"}),
        ("HEAD", "/-/reload", {"POST"}),
        ("PUT", "/-/reload", {"POST"}),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(
    site: Site, method: str, path: str, allowed: set[str]
) -> None:
    site.start()
    answer = site.ask(path, method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert site.reloads == []


@pytest.mark.parametrize("path", ["/", "/config", "/-/healthy", "/-/ready", "/metrics"])
def test_head_has_the_headers_of_get_and_no_body(site: Site, path: str) -> None:
    site.start()
    got, head = site.ask(path), site.ask(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    same = ("content-type", "content-length")
    assert [head.headers[name] for name in same] == [got.headers[name] for name in same]


def test_the_metrics_can_have_another_path(site: Site) -> None:
    site.start(replace(SETTINGS, telemetry_path="/own<>metrics"))
    assert site.ask("/metrics").status == 404
    assert site.ask("/own%3C%3Emetrics").status == 200


@pytest.mark.parametrize("path", ["/", "/config"])
def test_pages_load_nothing_and_are_what_they_say(site: Site, path: str) -> None:
    site.start()
    headers = site.ask(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_the_status_page_is_sent_with_its_own_policy(site: Site) -> None:
    site.start()
    policy = site.ask("/").headers["content-security-policy"]
    assert policy == "default-src 'none'; style-src 'sha256-x'"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("?q=a%20b&type=email", {"q": "a b", "type": "email"}),
        ("?type=chat&type=email", {"type": "email"}),
        ("?q=%ff&q", {"q": "\N{REPLACEMENT CHARACTER}"}),
        ("?&&=&%", {}),
    ],
)
def test_the_status_page_is_made_for_the_query(
    site: Site, query: str, expected: dict[str, str]
) -> None:
    site.start()
    assert site.ask(f"/{query}").status == 200
    assert site.queries == [expected]


def test_no_answer_names_the_server_program(site: Site) -> None:
    site.start()
    assert "server" not in site.ask("/metrics").headers


def test_an_answer_is_sent_at_once_whatever_the_client_has_acknowledged(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nagle's algorithm and a client's delayed acknowledgement make an answer wait for 40 ms.
    delayed: list[int] = []
    usual = Connection.connection_made

    def made(self: Connection, transport: Any) -> None:
        accepted = transport.get_extra_info("socket")
        delayed.append(not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        usual(self, transport)

    monkeypatch.setattr(Connection, "connection_made", made)
    site.start()
    assert site.ask("/metrics").status == 200
    assert delayed == [False]


# --- probes and reload --------------------------------------------------------------------------


def test_ready_is_503_until_it_is(site: Site) -> None:
    site.ready = False
    site.start()
    answer = site.ask("/-/ready")
    assert (answer.status, answer.text) == (
        503,
        "not ready yet: logging in and listing mailboxes\n",
    )
    assert site.ask("/-/healthy").status == 200
    site.ready = True
    assert (site.ask("/-/ready").status, site.ask("/-/ready").text) == (200, "ready\n")


def test_healthy_is_503_when_a_loop_stands_still(site: Site) -> None:
    site.healthy = False
    site.start()
    answer = site.ask("/-/healthy")
    assert (answer.status, answer.text) == (503, "a loop of the exporter has stopped\n")
    assert site.ask("/metrics").status == 200


def test_a_reload_is_403_where_it_is_off(site: Site) -> None:
    site.start(replace(SETTINGS, enable_lifecycle=False))
    answer = site.ask("/-/reload", "POST")
    assert (answer.status, answer.text) == (
        403,
        "reloading over HTTP is off: set web.enable_lifecycle, or send SIGHUP\n",
    )
    assert site.reloads == []


def test_a_reload_of_a_bad_file_is_400_with_what_is_wrong(site: Site) -> None:
    site.problems = ("config.yml: budget: 2 is not in (0, 1]", "config.yml: typse: unknown key")
    site.start()
    answer = site.ask("/-/reload", "POST")
    assert answer.status == 400
    assert answer.text.splitlines() == list(site.problems)


def test_a_reload_of_a_good_file_is_200(site: Site) -> None:
    site.start()
    answer = site.ask("/-/reload", "POST")
    assert (answer.status, answer.text) == (200, "reloaded\n")
    assert len(site.reloads) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/-/reload"), ("GET", "/"), ("GET", "/metrics"), ("GET", "/metrics?name[]=x")],
)
def test_what_takes_a_while_keeps_no_probe_waiting(
    site: Site, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    answers: list[Answer] = []

    def slowly(*_: object) -> tuple[bytes, ...]:
        at_work.set()
        assert go_on.wait(20)
        return (b"",)

    site.first = slowly
    monkeypatch.setattr(Body, "made", slowly)
    monkeypatch.setattr(site.exposition, "selected", lambda *_: slowly()[0])
    site.start()
    asking = threading.Thread(target=lambda: answers.append(site.ask(path, method)), daemon=True)
    asking.start()
    try:
        assert at_work.wait(10)
        assert site.ask("/-/healthy").status == 200
    finally:
        go_on.set()
        asking.join(10)
    assert [answer.status for answer in answers] == [200]


# --- which format -------------------------------------------------------------------------------

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_PROTO = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_3_PROTO, OPENMETRICS),
        (BROWSER, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/*", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ('Application/OpenMetrics-Text; Version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.5,text/plain;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", TEXT),
        ("text/plain;q=0.4,application/openmetrics-text;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0.9,*/*", TEXT),
        ("application/openmetrics-text;q=0.3,text/plain;version=1.0.0;q=0.5", TEXT),
        (
            "application/openmetrics-text,text/plain;q=0.8,application/openmetrics-text;q=0.1",
            OPENMETRICS,
        ),
        ("text/plain,application/openmetrics-text;q=0.8,*/*;q=0.1", TEXT),
        ("application/openmetrics-text;q=x,text/plain", TEXT),
        ("application/openmetrics-text;q=nan", TEXT),
        ("application/openmetrics-text;q=-1", TEXT),
        (" application/openmetrics-text ; q = 1 ", OPENMETRICS),
        (";;;,,,=;q", TEXT),
        ("application/json", TEXT),
        ("\x00\xff", TEXT),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, expected: str) -> None:
    assert negotiate(accept) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [(PROMETHEUS_2, OPENMETRICS), (PROMETHEUS_3, OPENMETRICS), ("*/*", TEXT)],
)
def test_the_body_is_in_the_format_that_was_agreed_on(
    site: Site, accept: str, expected: str
) -> None:
    site.start()
    answer = site.ask("/metrics", Accept=accept)
    assert answer.headers["content-type"] == expected
    assert answer.body == (openmetrics_body if expected == OPENMETRICS else text_body)(site)
    assert answer.headers["vary"] == "accept, accept-encoding"


def test_without_an_accept_header_it_is_the_text_format(site: Site) -> None:
    site.start()
    assert site.ask("/metrics").headers["content-type"] == TEXT


@pytest.mark.parametrize("turned", [False, True])
def test_several_accept_headers_count_together(turned: bool, site: Site) -> None:
    site.start()
    headers = [
        ("Accept", "text/plain;q=0.5"),
        ("Accept", "application/openmetrics-text"),
        ("Accept-Encoding", "br"),
        ("Accept-Encoding", "gzip"),
    ]
    with closing(http.client.HTTPConnection(*site.address, timeout=10)) as connection:
        connection.putrequest("GET", "/metrics", skip_accept_encoding=True)
        for name, value in reversed(headers) if turned else headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
    assert response.getheader("Content-Type") == OPENMETRICS
    assert gzip.decompress(body) == openmetrics_body(site)


# --- gzip ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br", True),
        ("deflate, gzip;q=0.5", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("*;q=0.5", True),
        ("", False),
        ("identity", False),
        ("deflate", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=x", False),
        ("xgzip", False),
        (";,;=", False),
    ],
)
def test_gzip_is_used_where_the_accept_encoding_header_allows_it(
    site: Site, encoding: str, expected: bool
) -> None:
    assert accepts_gzip(encoding) is expected
    site.start()
    answer = site.ask("/metrics", Accept_Encoding=encoding)
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers.get("content-encoding") == ("gzip" if expected else None)
    assert (gzip.decompress(answer.body) if expected else answer.body) == text_body(site)


def test_head_of_a_gzipped_body_has_its_length(site: Site) -> None:
    site.start()
    answer = site.ask("/metrics", "HEAD", Accept_Encoding="gzip")
    assert answer.headers["content-length"] == str(
        len(site.ask("/metrics", Accept_Encoding="gzip").body)
    )
    assert answer.body == b""


# --- name[] -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=helpscout_up", {"helpscout_up"}),
        ("name%5B%5D=helpscout_up", {"helpscout_up"}),
        (
            "name[]=helpscout_up&name[]=helpscout_exporter_shards",
            {"helpscout_up", "helpscout_exporter_shards"},
        ),
        (
            "name[]=helpscout_replies_to_resolve_distribution_bucket",
            {"helpscout_replies_to_resolve_distribution_bucket"},
        ),
        ("name[]=nothing", set()),
        ("x=y&name[]=helpscout_up", {"helpscout_up"}),
    ],
)
def test_names_choose_what_is_sent(site: Site, query: str, names: set[str]) -> None:
    site.start()
    answer = site.ask(f"/metrics?{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == TEXT
    assert answer.headers["content-length"] == str(len(answer.body))
    parsed = parse_text(answer.text)
    assert {sample.name for family in parsed for sample in family.samples} == names


def test_names_choose_in_openmetrics_too(site: Site) -> None:
    site.start()
    answer = site.ask("/metrics?name[]=helpscout_up", Accept=PROMETHEUS_3)
    assert answer.headers["content-type"] == OPENMETRICS
    parsed = parse_openmetrics(answer.text)  # type: ignore[no-untyped-call]
    assert [family.name for family in parsed] == ["helpscout_up"]


@pytest.mark.parametrize("query", ["", "name[]=", "name=helpscout_up", "%", "name[]", "&&&", "%ff"])
def test_a_query_without_a_name_chooses_nothing_out(site: Site, query: str) -> None:
    site.start()
    assert site.ask(f"/metrics?{query}").body == text_body(site)


# --- listening and stopping ---------------------------------------------------------------------


def test_a_port_in_use_is_said_in_one_line(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as caught:
            site.start(at("127.0.0.1", port))
    assert str(caught.value) == (
        f"web.listen: cannot listen on 127.0.0.1:{port}: Address already in use:"
        " stop what has it, or choose another port"
    )
    site.server = None


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, ".."])
def test_a_name_that_does_not_resolve_is_said_in_one_line(
    site: Site, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host == "no-such-host.invalid":  # the others are not names for a resolver
        monkeypatch.setattr(socket, "getaddrinfo", resolves_nothing)
    with pytest.raises(CannotListen) as caught:
        site.start(at(host, 1))
    assert str(caught.value) == (
        f"web.listen: cannot listen on {host}:1: the name does not resolve"
    )
    site.server = None


def test_an_address_of_another_machine_is_said_in_one_line(site: Site) -> None:
    with pytest.raises(CannotListen) as caught:
        site.start(at("192.0.2.1", 9877))
    assert str(caught.value) == (
        "web.listen: cannot listen on 192.0.2.1:9877: Cannot assign requested address"
    )
    site.server = None


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without IPv6."""
    real = socket.socket

    def ipv4_only(family: int = -1, *args: Any, **kwargs: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *args, **kwargs)

    monkeypatch.setattr(socket, "socket", ipv4_only)


def families_reached(port: int, *of: str) -> list[str]:
    reached = []
    for address in of or ("127.0.0.1", "::1"):
        with suppress(OSError), socket.create_connection((address, port), timeout=5) as client:
            # Answered, not accepted alone: what is accepted while a server closes, asyncio forgets.
            client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            reached.append(address)
    return reached


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("", ["127.0.0.1", "::1"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("LocalHost", ["127.0.0.1", "::1"]),
        ("0.0.0.0", ["127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
    ],
)
def test_every_family_of_a_host_is_listened_on(site: Site, host: str, reached: list[str]) -> None:
    site.start(at(host))
    assert families_reached(site.address[1]) == reached


@pytest.mark.usefixtures("without_ipv6")
@pytest.mark.parametrize("host", ["", "localhost"])
def test_without_ipv6_it_is_ipv4_alone(site: Site, host: str) -> None:
    site.start(at(host))
    with socket.create_connection(("127.0.0.1", site.address[1]), timeout=5):
        assert site.ask("/-/healthy").status == 200


@pytest.mark.usefixtures("without_ipv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_an_ipv6_address_without_ipv6_is_said_in_one_line(site: Site, host: str) -> None:
    with pytest.raises(CannotListen) as caught:
        site.start(at(host, 1))
    assert str(caught.value) == (
        f"web.listen: cannot listen on [{host}]:1: this machine has no IPv6"
    )
    site.server = None


@pytest.mark.parametrize("taken_by", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_port_that_is_in_use_in_one_family_is_in_use(
    site: Site, host: str, taken_by: str
) -> None:
    family = socket.AF_INET6 if ":" in taken_by else socket.AF_INET
    with socket.create_server((taken_by, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match="Address already in use"):
            site.start(at(host, port))
        other = {"127.0.0.1": "::1", "::1": "127.0.0.1"}[taken_by]
        assert families_reached(port, other) == []
    site.server = None


@pytest.mark.parametrize("host", ["localhost", "", "0.0.0.0"])
def test_the_url_is_one_that_a_person_on_this_machine_reaches(site: Site, host: str) -> None:
    site.start(at(host))
    assert site.server is not None
    assert site.server.url.startswith(("http://127.0.0.1:", "http://localhost:"))
    assert site.ask("/-/healthy").status == 200


def test_several_addresses_are_listened_on_and_the_first_is_the_url(site: Site) -> None:
    site.start(replace(SETTINGS, listen=("127.0.0.1:0", "[::1]:0")))
    assert site.server is not None
    first, second = site.server.urls
    assert (first, site.server.url) == (first, first)
    assert first.startswith("http://127.0.0.1:")
    assert second.startswith("http://[::1]:")
    for url in (first, second):
        assert ask_url(f"{url}/-/healthy") == (200, "healthy")


def test_if_one_of_several_addresses_cannot_be_had_none_is_listened_on(site: Site) -> None:
    port = reserved_port()
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:1: "):
        site.start(replace(SETTINGS, listen=(f"127.0.0.1:{port}", "192.0.2.1:1")))
    assert families_reached(port) == []
    site.server = None


def passed(monkeypatch: pytest.MonkeyPatch, made: socket.socket) -> dict[str, str]:
    """Pass a socket as systemd does; return the variables."""
    monkeypatch.setattr("exporter.web.sockets._FIRST_DESCRIPTOR", made.detach())
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}


@pytest.mark.parametrize(
    ("family", "address"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_UNIX, "")],
)
def test_the_sockets_of_systemd_are_served(
    site: Site, family: int, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = socket.socket(family)
    made.bind(str(tmp_path / "web") if family == socket.AF_UNIX else (address, 0))
    made.listen()
    where = made.getsockname()
    for name, value in passed(monkeypatch, made).items():
        monkeypatch.setenv(name, value)
    site.start(replace(SETTINGS, listen=("systemd",)))
    with socket.socket(family) as client:
        client.connect(where)
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert site.server is not None
    assert str(where if family == socket.AF_UNIX else where[1]) in site.server.url


def test_every_socket_of_systemd_is_taken_and_no_child_inherits_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in made]
    first, second = (fcntl.fcntl(each, fcntl.F_DUPFD, 300) for each in made)
    assert second == first + 1
    assert os.get_inheritable(first)
    for each in made:
        each.close()
    monkeypatch.setattr("exporter.web.sockets._FIRST_DESCRIPTOR", first)
    found = listen(("systemd",), {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
    sockets = [each for _, of_address in found for each in of_address]
    assert [each.getsockname()[1] for each in sockets] == ports
    assert not any(os.get_inheritable(each.fileno()) for each in sockets)
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"},
    ],
)
def test_without_sockets_of_systemd_it_says_so_in_one_line(environ: dict[str, str]) -> None:
    with pytest.raises(CannotListen) as caught:
        listen(("systemd",), environ)
    assert str(caught.value) == (
        "web.listen: systemd has passed no socket to this process (LISTEN_PID, LISTEN_FDS):"
        " it does for a service with a .socket unit"
    )


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_does_not_accept_is_said_in_one_line(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = passed(monkeypatch, socket.socket(socket.AF_INET, kind))
    with pytest.raises(CannotListen, match=r"the \.socket unit needs ListenStream= and Accept=no"):
        listen(("systemd",), environ)


def test_it_stops_at_once_though_a_connection_is_kept_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.server.STOP_SECONDS", 60)
    site.start()
    assert site.server is not None
    address = site.address
    with closing(http.client.HTTPConnection(*address, timeout=10)) as connection:
        connection.request("GET", "/metrics")
        assert connection.getresponse().read()
        began = time.monotonic()
        site.server.stop()
        assert time.monotonic() - began < 20
        assert not site.server.alive
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_it_stops_at_once_though_a_request_never_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.web.server.STOP_SECONDS", 60)
    monkeypatch.setattr("exporter.web.connection.REQUEST_SECONDS", 60)
    site.start()
    assert site.server is not None
    with socket.create_connection(site.address, timeout=10) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        site.server.stop()
        assert time.monotonic() - began < 20


def test_one_connection_serves_many_scrapes(site: Site) -> None:
    site.start()
    with closing(http.client.HTTPConnection(*site.address, timeout=10)) as connection:
        local = set()
        for _ in range(3):
            connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
            assert gzip.decompress(connection.getresponse().read()) == text_body(site)
            local.add(connection.sock.getsockname())
    assert len(local) == 1


@pytest.mark.no_cover
def test_many_scrapers_get_whole_bodies_while_the_exposition_changes(site: Site) -> None:
    site.start()
    stop = threading.Event()
    seen: list[bytes] = []

    def assemble() -> None:
        while not stop.is_set():
            site.exposition._telemetry.throttled.labels("acme").inc()
            site.exposition.assemble()

    def scrape() -> None:
        for _ in range(15):
            answer = site.ask("/metrics", Accept_Encoding="gzip")
            seen.append(gzip.decompress(answer.body))

    assembler = threading.Thread(daemon=True, target=assemble)
    scrapers = [threading.Thread(daemon=True, target=scrape) for _ in range(4)]
    for thread in (assembler, *scrapers):
        thread.start()
    for thread in scrapers:
        thread.join()
    stop.set()
    assembler.join()
    assert len(seen) == 60
    assert {len(list(parse_text(body.decode()))) for body in seen} == {
        len(list(parse_text(text_body(site).decode())))
    }
