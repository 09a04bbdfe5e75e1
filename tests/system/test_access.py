"""The listeners of a running exporter: TLS, certificates, passwords, and a crowd before them."""

import contextlib
import http.client
import json
import socket
import ssl
import statistics
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
import pytest
import trustme

from tests.support import Ended, Process, Run, eventually
from tests.system.conftest import Desk, Start

PASSWORD = "correct horse"
NOBODY, IF_GIVEN, REQUIRED = "NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"
KINDS = (NOBODY, IF_GIVEN, REQUIRED)
MOST = 512
QUICK_SECONDS = 0.1
HUNG_UP = "EOF|PROTOCOL_VERSION"
"""What a client says when the other side ends its handshake, and not the client itself."""


def write(path: Path, text: str) -> Path:
    """Write a file as renewals do: whole, by a rename."""
    new = path.with_suffix(".new")
    new.write_text(text)
    return new.replace(path)


def users() -> str:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    return f"basic_auth_users:\n  scraper: {hashed}\n"


def authorization(password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"scraper:{password}".encode()).decode()}


class Place:
    """A folder with an authority, and what it has signed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(path / "ca.crt")
        self.good = self.client("good", self.authority)
        self.foreign = self.client("foreign", trustme.CA())
        self.certify()

    def client(self, name: str, authority: trustme.CA) -> Path:
        file = self.path / f"{name}.pem"
        made = authority.issue_cert(f"{name}@example.com")
        made.private_key_and_cert_chain_pem.write_to_path(file)
        return file

    def certify(self) -> None:
        """Write a new certificate with its key into one file."""
        made = self.authority.issue_cert("127.0.0.1", "localhost")
        write(self.path / "web.pem", made.private_key_and_cert_chain_pem.bytes().decode())

    def config(self, name: str, *lines: str, tls: bool = True, auth: bool = True) -> Path:
        text = "tls_server_config:\n  cert_file: web.pem\n  key_file: web.pem\n" if tls else ""
        text += "".join(f"  {line}\n" for line in lines)
        return write(self.path / f"{name}.yml", text + (users() if auth else ""))

    def kind(self, kind: str, *lines: str) -> Path:
        if kind != NOBODY:
            lines = (*lines, "client_ca_file: ca.crt", f"client_auth_type: {kind}")
        return self.config(kind, *lines)

    def context(self, client: Path | None = None) -> ssl.SSLContext:
        """Return what a client trusts and shows."""
        context = ssl.create_default_context(cafile=str(self.path / "ca.crt"))
        if client is not None:
            context.load_cert_chain(client)
        return context


@dataclass
class Listener:
    """A running exporter, its address, and how it is asked."""

    process: Process
    environ: dict[str, str]

    @property
    def url(self) -> str:
        return self.process.says(r'"url": "(https?://[^"]+)"')

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        if context is None:
            return http.client.HTTPConnection(*self.address, timeout=20)
        return http.client.HTTPSConnection(*self.address, timeout=20, context=context)

    def ask(
        self, path: str, context: ssl.SSLContext | None = None, password: str | None = PASSWORD
    ) -> tuple[int, str]:
        with contextlib.closing(self.connect(context)) as connection:
            headers = authorization(password) if password is not None else {}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


def serve(start: Start, desk: Desk, config: Path) -> Listener:
    environ = desk.environ("v2", HELPSCOUT_WEB__CONFIG_FILE=str(config))
    return Listener(start("serve", environ=environ), environ)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("listeners"))


@pytest.fixture(scope="module")
def listeners(start_once: Start, running_desk: Desk, place: Place) -> dict[str, Listener]:
    """One exporter for each way to ask for clients' certificates; one of them TLS 1.3 only."""
    lines = {IF_GIVEN: ("min_version: TLS13",)}
    started = {
        kind: serve(start_once, running_desk, place.kind(kind, *lines.get(kind, ())))
        for kind in KINDS
    }
    for listener in started.values():
        assert listener.url.startswith("https://127.0.0.1:")
    return started


def refused(ask: Callable[[], object]) -> None:
    """TLS ends it, in one of the ways in which that reaches a client."""
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask()


# --- who is let in ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shown", "let_in"),
    [
        (NOBODY, None, True),
        (NOBODY, "good", True),
        (NOBODY, "foreign", True),
        (IF_GIVEN, None, True),
        (IF_GIVEN, "good", True),
        (IF_GIVEN, "foreign", False),
        (REQUIRED, None, False),
        (REQUIRED, "good", True),
        (REQUIRED, "foreign", False),
    ],
)
def test_a_client_certificate_is_accepted_as_the_file_says(
    listeners: dict[str, Listener], place: Place, kind: str, shown: str | None, let_in: bool
) -> None:
    context = place.context(place.path / f"{shown}.pem" if shown else None)
    if let_in:
        status, text = listeners[kind].ask("/metrics", context)
        assert status == 200
        assert "helpscout_up" in text
    else:
        refused(lambda: listeners[kind].ask("/metrics", context))
        refused(lambda: listeners[kind].ask("/-/healthy", context))


def test_only_the_clients_whose_names_are_listed_are_let_in(
    start: Start, running_desk: Desk, place: Place
) -> None:
    other = place.client("other", place.authority)
    lines = (
        "client_ca_file: ca.crt",
        f"client_auth_type: {REQUIRED}",
        "client_allowed_sans: [nobody, good@example.com]",
    )
    listener = serve(start, running_desk, place.config("listed", *lines))
    assert listener.ask("/metrics", place.context(place.good))[0] == 200
    for client in (None, other, place.foreign):
        refused(partial(listener.ask, "/metrics", place.context(client)))
        refused(partial(listener.ask, "/-/healthy", place.context(client)))


def test_the_files_headers_are_on_every_answer(
    start: Start, running_desk: Desk, place: Place
) -> None:
    config = write(
        place.path / "headers.yml",
        "http_server_config:\n  http2: false\n  headers: {X-Frame-Options: deny}\n" + users(),
    )
    listener = serve(start, running_desk, config)
    for path, headers, status in (
        ("/", authorization(), 200),
        ("/metrics", authorization(), 200),
        ("/metrics", {}, 401),
        ("/nowhere", authorization(), 404),
    ):
        with contextlib.closing(listener.connect()) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            assert (answer.status, answer.headers["X-Frame-Options"]) == (status, "deny")


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_is_not_a_password(
    listeners: dict[str, Listener], place: Place, kind: str
) -> None:
    ask = partial(listeners[kind].ask, context=place.context(place.good))
    assert ask("/metrics", password="wrong")[0] == 401
    assert ask("/metrics", password=None)[0] == 401
    assert ask("/config", password=None)[0] == 401
    assert ask("/", password=None)[0] == 401
    assert ask("/nowhere", password=None)[0] == 401
    assert ask("/-/reload", password=None)[0] == 401
    assert ask("/metrics")[0] == 200
    assert ask("/-/healthy", password=None) == (200, "healthy\n")
    is_ready = (200, "ready\n")
    eventually(lambda: ask("/-/ready", password=None) == is_ready, "it is ready")


def test_the_clients_trust_is_real(listeners: dict[str, Listener]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        listeners[NOBODY].ask("/metrics", ssl.create_default_context())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_an_old_protocol_is_refused(listeners: dict[str, Listener], place: Place) -> None:
    old = place.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=HUNG_UP):
        listeners[NOBODY].ask("/metrics", old)


def test_min_version_holds(listeners: dict[str, Listener], place: Place) -> None:
    middle = place.context()
    middle.maximum_version = ssl.TLSVersion.TLSv1_2
    assert listeners[NOBODY].ask("/metrics", middle)[0] == 200
    with pytest.raises(ssl.SSLError, match=HUNG_UP):
        listeners[IF_GIVEN].ask("/metrics", middle)


def test_http_in_the_clear_gets_nothing_from_a_tls_port(listeners: dict[str, Listener]) -> None:
    with socket.create_connection(listeners[NOBODY].address, timeout=20) as plain:
        plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        found = b""
        with contextlib.suppress(ConnectionError):
            while data := plain.recv(1000):
                found += data
    assert b"HTTP" not in found
    assert b"helpscout" not in found


def test_refused_clients_leave_traces_in_the_log_only(listeners: dict[str, Listener]) -> None:
    for listener in listeners.values():
        for line in listener.process.stderr.splitlines():
            assert json.loads(line)["event"]
            assert PASSWORD not in line
            assert "$2b$" not in line


# --- probes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_healthcheck_succeeds_whatever_clients_must_show(
    run: Run, listeners: dict[str, Listener], kind: str
) -> None:
    host, port = listeners[kind].address
    environ = listeners[kind].environ | {"HELPSCOUT_WEB__LISTEN": f"{host}:{port}"}
    assert run("healthcheck", environ=environ) == Ended(0, "healthy\n", "")


class Local(http.client.HTTPConnection):
    """To the socket that is open for probes."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(f"\0helpscout-exporter/{self.host}:{self.port}")


def test_the_probes_own_socket_gives_away_nothing_else(listeners: dict[str, Listener]) -> None:
    seen = {}
    for method, path in (
        ("GET", "/-/healthy"),
        ("GET", "/metrics"),
        ("GET", "/config"),
        ("GET", "/"),
        ("GET", "/-/healthy/../../metrics"),
        ("POST", "/-/reload"),
    ):
        with contextlib.closing(Local(*listeners[REQUIRED].address)) as connection:
            connection.request(method, path, headers=authorization())
            answer = connection.getresponse()
            seen[path] = answer.status
            assert b"helpscout" not in answer.read()
    assert seen.pop("/-/healthy") == 200
    assert set(seen.values()) == {404}
    for kind in (NOBODY, IF_GIVEN):
        with (
            contextlib.closing(Local(*listeners[kind].address)) as connection,
            pytest.raises(ConnectionRefusedError),
        ):
            connection.connect()


# --- renewal ------------------------------------------------------------------------------------


def serial(connection: http.client.HTTPConnection) -> str:
    """Ask once over this connection; return the certificate's number."""
    connection.request("GET", "/metrics", headers=authorization())
    answer = connection.getresponse()
    assert (answer.status, bool(answer.read())) == (200, True)
    assert isinstance(connection.sock, ssl.SSLSocket)
    shown = connection.sock.getpeercert()
    assert shown
    return str(shown["serialNumber"])


def test_certificates_and_passwords_are_renewed_while_it_runs(
    start: Start, running_desk: Desk, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    config = place.config("web")
    listener = serve(start, running_desk, config)

    def fresh() -> str:
        with contextlib.closing(listener.connect(place.context())) as connection:
            return serial(connection)

    with contextlib.closing(listener.connect(place.context())) as open_connection:
        first = serial(open_connection)
        place.certify()
        second = fresh()
        assert second != first
        assert serial(open_connection) == first

        write(tmp_path / "web.pem", "half a certif")
        assert fresh() == second
        write(config, config.read_text()[:40])
        assert fresh() == second
        write(config, "")
        assert fresh() == second
        place.certify()
        place.config("web")
        assert fresh() not in (first, second)
        assert serial(open_connection) == first

    other = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
    write(
        config,
        config.read_text().partition("basic_auth")[0] + f"basic_auth_users: {{scraper: {other}}}\n",
    )
    assert listener.ask("/metrics", place.context())[0] == 401
    assert listener.ask("/metrics", place.context(), "other")[0] == 200

    lines = [json.loads(line) for line in listener.process.stderr.splitlines()]
    told = [line["event"] for line in lines if line["event"].startswith("web.config_file")]
    good, bad = (
        "web.config_file or a certificate is new",
        ("web.config_file cannot be used, the last one stays"),
    )
    assert told == [good, bad, bad, bad, good, good]


# --- what cannot be used ------------------------------------------------------------------------


def test_serve_and_check_refuse_a_bad_file_with_one_line(
    run: Run, running_desk: Desk, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    (tmp_path / "other.pem").write_text("no certificate")
    bad = {
        "missing": "cannot be read: No such file or directory",
        "key": "tls_server_config.cipher_suites[0]: is not supported here",
        "pair": "are not a certificate and its key",
        "user": "basic_auth_users.scraper: is not a bcrypt hash",
    }
    place.config("key", "cipher_suites: [x]")
    write(tmp_path / "pair.yml", "tls_server_config: {cert_file: other.pem, key_file: web.pem}\n")
    write(tmp_path / "user.yml", f"basic_auth_users: {{scraper: {PASSWORD}}}\n")
    outcomes = {
        (command, name): run(
            command,
            environ=running_desk.environ(
                "v2", HELPSCOUT_WEB__CONFIG_FILE=str(tmp_path / f"{name}.yml")
            ),
        )
        for command, name in (*(("serve", name) for name in bad), ("check", "pair"))
    }
    for (_, name), ended in outcomes.items():
        assert (ended.code, ended.stdout) == (2, "")
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"{tmp_path}/{name}.yml: ")
        assert bad[name] in line
        assert PASSWORD not in line


# --- a crowd ------------------------------------------------------------------------------------


class Crowd(contextlib.ExitStack):
    """Connections that ask half a thing and wait."""

    def __init__(self, listener: Listener, context: ssl.SSLContext | None) -> None:
        super().__init__()
        self._door, self._context = listener, context
        self.size = 0
        self.descriptors = 0
        """The most that the exporter has had: nobody may be slow for more than ten seconds."""

    def grow(self, number: int) -> None:
        """Over TLS, every other one stops in its handshake."""
        for _ in range(number):
            self.size += 1
            made = self.enter_context(socket.create_connection(self._door.address, timeout=20))
            with contextlib.suppress(OSError):
                if self._context is None:
                    made.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                elif self.size % 2:
                    made.sendall(b"\x16\x03\x01\x02\x00\x01")
                else:
                    wrapped = self._context.wrap_socket(made, server_hostname="127.0.0.1")
                    self.enter_context(wrapped)
                    wrapped.sendall(b"GET /metrics HTTP/1.1\r\n")
            if self.size % 20 == 0:
                self.descriptors = max(self.descriptors, descriptors(self._door.process))


def scrapes(number: int, *asks: Callable[[], tuple[int, str]]) -> list[list[float]]:
    """Scrape each in turn, over a connection of its own; return how many seconds it took."""
    took: list[list[float]] = [[] for _ in asks]
    for _ in range(number):
        for ask, durations in zip(asks, took, strict=True):
            began = time.monotonic()
            status, text = ask()
            durations.append(time.monotonic() - began)
            assert status == 200
            assert "helpscout_up" in text
            time.sleep(0.01)
    return took


def descriptors(process: Process) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_crowd_of_slow_connections_keeps_nobody_out(
    start: Start, running_desk: Desk, place: Place, tls: bool
) -> None:
    config = place.config(f"crowd-{tls}", tls=tls)
    listener, quiet = (serve(start, running_desk, config) for _ in range(2))
    context = place.context() if tls else None
    ask, ask_quiet = (partial(each.ask, "/metrics", context) for each in (listener, quiet))
    scrapes(10, ask, ask_quiet)
    before = descriptors(listener.process)
    with Crowd(listener, context) as crowd:
        crowd.grow(500)
        # Beside one that nobody disturbs: what that one takes is the machine's.
        among, undisturbed = scrapes(40, ask, ask_quiet)
        bound = QUICK_SECONDS + 4 * statistics.quantiles(undisturbed, n=20)[-1]
        assert statistics.median(among) < bound, (undisturbed, among)

        crowd.grow(200)
        assert ask()[0] == 200
        assert crowd.descriptors > 400
        assert descriptors(listener.process) <= before + MOST + 20

        crowd.grow(300)
        began = time.monotonic()
        assert listener.process.end() == 0, listener.process.stderr
        assert time.monotonic() - began < 25
