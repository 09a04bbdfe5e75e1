"""What `healthcheck` asks: the configured listener, or the socket that is open for it."""

import http.client
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
import trustme
from starlette.responses import PlainTextResponse
from structlog.testing import capture_logs

from exporter.cli import healthcheck
from exporter.probe import (
    LISTEN_VARIABLE,
    Listener,
    ask_listener,
    ask_url,
    configured,
    health_url,
    host_and_port,
)
from exporter.settings import ConfigurationError, WebSettings, load
from exporter.started import Started
from exporter.web.access import Access, BasicAuth
from exporter.web.server import Server
from exporter.web.sockets import listen_for_probes
from tests.contract.scripted import Service, reply
from tests.support import reserved_port
from tests.unit.test_web import SETTINGS

TLS = "tls_server_config:\n  cert_file: both.pem\n  key_file: both.pem\n"
CLIENTS = "  client_ca_file: both.pem\n  client_auth_type: {}\n"
USERS = "basic_auth_users: {alice: $2b$04$U3LF9m1fkgYsrRXBarodnOI9dUh40UY61U.VESP.Pk2yMJk3PoJ7u}\n"
REQUIRED = TLS + CLIENTS.format("RequireAndVerifyClientCert")

Serve = Callable[[str], WebSettings]


def listener(settings: WebSettings) -> Listener:
    return Listener(*host_and_port(settings.listen[0]), settings.config_file)


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
        access = Access(config)
        server = Server(settings, BasicAuth(PlainTextResponse("healthy\n"), access), access)
        server.start()
        servers.append(server)
        return replace(settings, listen=(server.url.rpartition("/")[2],))

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
    assert health_url(listener(settings)) == f"{scheme}://{settings.listen[0]}/-/healthy"
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
    with pytest.raises(OSError):
        ask_listener(Listener("127.0.0.1", reserved_port(), config))


@pytest.mark.parametrize("text", ["", USERS, TLS, REQUIRED])
def test_a_file_that_went_bad_since_does_not_make_a_healthy_exporter_ill(
    text: str, serve: Serve
) -> None:
    settings = serve(text)
    assert settings.config_file is not None
    settings.config_file.write_text("tls_server_config: {cert_")
    assert ask_listener(listener(settings)) == (200, "healthy")


def test_a_file_that_lost_its_tls_since_does_not_make_a_healthy_exporter_ill(serve: Serve) -> None:
    settings = serve(TLS)
    assert settings.config_file is not None
    settings.config_file.write_text("basic_auth_users: {}\n")
    assert ask_listener(listener(settings)) == (200, "healthy")


def test_all_ways_to_a_listener_share_five_seconds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, given = [100.0], list[float | None]()

    def request(connection: http.client.HTTPConnection, *_: object, **__: object) -> None:
        given.append(connection.timeout)
        seconds[0] += 2.0
        raise TimeoutError

    monkeypatch.setattr("exporter.probe.time.monotonic", lambda: seconds[0])
    monkeypatch.setattr(http.client.HTTPConnection, "request", request)
    config = folder / "web.yml"
    config.write_text(TLS)
    with pytest.raises(TimeoutError):
        ask_listener(Listener("127.0.0.1", 1, config))
    assert given == [5.0, 3.0, 1.0]


def test_the_probes_own_socket_has_no_place_in_the_file_system_and_ends_with_the_server(
    serve: Serve, folder: Path
) -> None:
    settings = serve(REQUIRED)
    name = f"helpscout-exporter/{settings.listen[0]}"
    assert f"@{name}" in Path("/proc/net/unix").read_text()
    assert not list(folder.glob("*exporter*"))


def test_the_probes_own_socket_answers_probes_alone(serve: Serve) -> None:
    settings = serve(REQUIRED)
    for path, status in (("/-/healthy", 200), ("/-/ready", 200), ("/metrics", 404), ("/", 404)):
        connection = http.client.HTTPConnection("localhost")
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.connect(f"\0helpscout-exporter/{settings.listen[0]}")
            connection.request("GET", path)
            assert connection.getresponse().status == status


def test_a_socket_that_someone_else_has_is_reported_and_the_rest_goes_on() -> None:
    first = listen_for_probes("127.0.0.1", 1)
    assert first is not None
    with first, capture_logs() as logs:
        assert listen_for_probes("127.0.0.1", 1) is None
    assert [(line["log_level"], line["error"]) for line in logs] == [
        ("warning", "Address already in use")
    ]


def test_a_system_without_such_sockets_is_reported_and_serves(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with capture_logs() as logs:
        serve(REQUIRED)
    (line,) = logs
    assert line["error"] == "this system has no such sockets"


KEY = {"HELPSCOUT_API_KEY": "a-key"}


@pytest.mark.parametrize(
    ("file", "environ"),
    [
        (None, {}),
        ("", {}),
        ("web: null", {}),
        ("web: {listen: null}", {}),
        ('web: {listen: ":1"}', {}),
        ('web: {listen: "[::1]:9877", config_file: web.yml}', {}),
        ("web: {listen: localhost:12, config_file: /etc/web.yml}", {}),
        ('web: {listen: "0.0.0.0:65535", config_file: null}', {}),
        ("web: {listen: 9877}", {}),
        ("web: {listen: nowhere}", {}),
        ("web: {listen: ['[::1]:1', ':2'], config_file: web.yml}", {}),
        ("web: {listen: []}", {}),
        ("web: {listen: systemd}", {}),
        ("web: {listen: [':1', ':3']}", {"LISTEN__0": ":2"}),
        (None, {"LISTEN": "localhost:1, :2"}),
        (None, {"LISTEN": "systemd"}),
        ("web: {listen: 127.0.0.1:65536}", {}),
        ("web: {config_file: 5}", {}),
        ("web: [listen]", {}),
        ("web: {", {}),
        ("web: {listen: 127.0.0.1:1}", {"LISTEN": "127.0.0.1:2"}),
        ("web: {listen: 127.0.0.1:1}", {"LISTEN": ""}),
        ("web: {config_file: web.yml}", {"CONFIG_FILE": "other.yml"}),
        ("web: {config_file: web.yml}", {"CONFIG_FILE": "null"}),
        ("web: {config_file: web.yml}", {"CONFIG_FILE": "NULL"}),
        (None, {"CONFIG_FILE": "sub/web.yml", "LISTEN": "localhost:1"}),
        (None, {"LISTEN": "nowhere"}),
        (None, {"": "{listen: '127.0.0.1:5'}"}),
    ],
)
def test_the_quick_reader_finds_the_listener_that_the_whole_loader_finds_or_leaves_it_to_that(
    file: str | None, environ: dict[str, str], tmp_path: Path
) -> None:
    config = None
    if file is not None:
        config = tmp_path / "config.yml"
        config.write_text(file)
    given = {f"HELPSCOUT_WEB__{key}".removesuffix("__"): text for key, text in environ.items()}
    found = configured(config, given)
    try:
        loaded = listener(load(config, KEY | given).web)
    except ConfigurationError:
        assert found is None
    except ValueError:
        assert found is None  # systemd's
    else:
        assert found in (None, loaded)
        assert (
            found is not None
            or {"", "LISTEN__0"} & {*environ}
            or environ.get("CONFIG_FILE", "").lower() == "null"
        )


def test_the_images_listener_is_found_where_nothing_else_is_said() -> None:
    environ = KEY | {LISTEN_VARIABLE: "0.0.0.0:9999"}
    assert configured(None, environ) == listener(load(None, environ).web)
    assert configured(None, environ) == Listener("0.0.0.0", 9999)


def test_a_url_is_asked_as_it_says(serve: Serve) -> None:
    hashed = bcrypt.hashpw(b"a word", bcrypt.gensalt(4)).decode()
    settings = serve(f"basic_auth_users: {{alice: {hashed}}}")
    assert ask_url(f"http://{settings.listen[0]}/-/healthy?x=y") == (200, "healthy")
    assert ask_url(f"http://{settings.listen[0]}")[0] == 401
    assert ask_url(f"http://alice:wrong@{settings.listen[0]}/")[0] == 401
    assert ask_url(f"http://alice:a%20word@{settings.listen[0]}/") == (200, "healthy")


@pytest.mark.parametrize(
    ("rest", "target"),
    [("/x/-/healthy?a=b&c=%20#d", "/x/-/healthy?a=b&c=%20"), ("?a=b", "/?a=b"), ("", "/")],
)
def test_path_and_query_of_a_url_are_asked_as_given(rest: str, target: str) -> None:
    with closing(Service(lambda _: reply(b"fine"))) as service:
        assert ask_url(service.url + rest) == (200, "fine")
        assert [asked.target for asked in service.asked] == [target]


def test_a_url_with_an_untrusted_certificate_has_no_answer(serve: Serve) -> None:
    with pytest.raises(OSError):
        ask_url(f"https://{serve(TLS).listen[0]}/-/healthy")


@pytest.mark.parametrize(
    "url", ["nowhere", "http://", "http:///-/healthy", "ftp://a/", "http://a:b/", "http://[::1/"]
)
def test_what_is_not_a_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        ask_url(url)


@pytest.mark.parametrize(
    ("given", "main", "environ", "expected"),
    [
        ("given.yml", Started("serve", "main.yml"), "env.yml", ("given.yml", None)),
        (None, Started("serve", "main.yml", ":1"), "env.yml", ("main.yml", ":1")),
        (None, Started("serve"), " env.yml ", ("env.yml", None)),
        (None, None, "", (None, None)),
        ("given.yml", Started("demo", None, ":2"), "env.yml", (None, ":2")),
    ],
    ids=["its own file", "the main process's", "the environment's", "none", "a demo's"],
)
def test_healthcheck_goes_by_the_nearest_file(
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    main: Started | None,
    environ: str,
    expected: tuple[str | None, str | None],
) -> None:
    asked: list[tuple[object, str | None]] = []

    def found(config: object, environ: Mapping[str, str]) -> Listener:
        asked.append((config, environ.get("HELPSCOUT_WEB__LISTEN")))
        return Listener("127.0.0.1", 1)

    monkeypatch.setenv("HELPSCOUT_CONFIG", environ)
    monkeypatch.delenv("HELPSCOUT_WEB__LISTEN", raising=False)
    monkeypatch.setattr(healthcheck, "main_process", lambda: main)
    monkeypatch.setattr(healthcheck, "configured", found)
    monkeypatch.setattr(healthcheck, "ask_listener", lambda _: (200, "healthy"))
    healthcheck.healthcheck(None, given)
    assert asked == [expected]
