"""What `healthcheck` asks: the configured listener, or the socket that lies open for it."""

import http.client
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from starlette.responses import PlainTextResponse
from structlog.testing import capture_logs

from exporter.probe import Listener, ask_listener, health_url
from exporter.settings import WebSettings
from exporter.web.doors import Doors, Guarded
from exporter.web.listener import Server
from exporter.web.probes import listen_for_probes
from tests.unit.test_web import SETTINGS

TLS = "tls_server_config:\n  cert_file: both.pem\n  key_file: both.pem\n"
CLIENTS = "  client_ca_file: both.pem\n  client_auth_type: {}\n"
USERS = "basic_auth_users: {alice: $2b$04$U3LF9m1fkgYsrRXBarodnOI9dUh40UY61U.VESP.Pk2yMJk3PoJ7u}\n"
REQUIRED = TLS + CLIENTS.format("RequireAndVerifyClientCert")

Serve = Callable[[str], WebSettings]


def listener(settings: WebSettings) -> Listener:
    return Listener(settings.host, settings.port, settings.config_file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = trustme.CA().issue_cert("somewhere.example")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Serve under this web.yml; return the settings with the port."""
    servers = []

    def start(text: str) -> WebSettings:
        config = folder / "web.yml"
        config.write_text(text)
        settings = replace(SETTINGS, config_file=config)
        doors = Doors(config)
        server = Server(settings, Guarded(PlainTextResponse("healthy\n"), doors), doors)
        server.start()
        servers.append(server)
        return replace(settings, port=int(server.url.rpartition(":")[2]))

    yield start
    for server in servers:
        assert server.alive
        server.stop()


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("", "http"),
        (USERS, "http"),
        (TLS, "https"),
        (TLS + "  min_version: TLS13\n" + USERS, "https"),
        (TLS + CLIENTS.format("VerifyClientCertIfGiven"), "https"),
        (REQUIRED, "https"),
        (REQUIRED + USERS, "https"),
    ],
)
def test_the_listener_is_asked_as_it_is_configured(text: str, scheme: str, serve: Serve) -> None:
    settings = serve(text)
    assert health_url(listener(settings)) == f"{scheme}://127.0.0.1:{settings.port}/-/healthy"
    assert ask_listener(listener(settings)) == (200, "healthy")


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("", 1, "http://127.0.0.1:1/-/healthy"),
        ("0.0.0.0", 2, "http://127.0.0.1:2/-/healthy"),
        ("::", 3, "http://127.0.0.1:3/-/healthy"),
        ("::1", 4, "http://[::1]:4/-/healthy"),
        ("exporter.example", 5, "http://exporter.example:5/-/healthy"),
    ],
)
def test_the_url_names_an_address_that_can_be_asked(host: str, port: int, expected: str) -> None:
    assert health_url(Listener(host, port)) == expected


@pytest.mark.parametrize("text", ["", TLS, REQUIRED])
def test_where_nobody_listens_there_is_no_answer(text: str, folder: Path) -> None:
    config = folder / "web.yml"
    config.write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(OSError):
        ask_listener(Listener(SETTINGS.host, port, config))


@pytest.mark.parametrize("text", ["", USERS, TLS, REQUIRED])
def test_a_file_that_went_bad_since_does_not_make_a_healthy_exporter_ill(
    text: str, serve: Serve
) -> None:
    settings = serve(text)
    assert settings.config_file is not None
    settings.config_file.write_text("tls_server_config: {cert_")
    assert ask_listener(listener(settings)) == (200, "healthy")


def test_the_probes_own_socket_has_no_place_in_the_file_system_and_ends_with_the_server(
    serve: Serve, folder: Path
) -> None:
    settings = serve(REQUIRED)
    name = f"helpscout-exporter/127.0.0.1:{settings.port}"
    assert f"@{name}" in Path("/proc/net/unix").read_text()
    assert not list(folder.glob("*exporter*"))


def test_the_probes_own_socket_answers_probes_alone(serve: Serve) -> None:
    settings = serve(REQUIRED)
    for path, status in (("/-/healthy", 200), ("/-/ready", 200), ("/metrics", 404), ("/", 404)):
        connection = http.client.HTTPConnection("localhost")
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.connect(f"\0helpscout-exporter/127.0.0.1:{settings.port}")
            connection.request("GET", path)
            assert connection.getresponse().status == status


def test_a_socket_that_someone_else_has_is_told_and_the_rest_goes_on() -> None:
    first = listen_for_probes("127.0.0.1", 1)
    assert first is not None
    with first, capture_logs() as logs:
        assert listen_for_probes("127.0.0.1", 1) is None
    assert [(line["log_level"], line["error"]) for line in logs] == [
        ("warning", "Address already in use")
    ]


def test_a_system_without_such_sockets_is_told_and_serves(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with capture_logs() as logs:
        serve(REQUIRED)
    (line,) = logs
    assert line["error"] == "this system has no such sockets"
