"""A scripted service, and a client of it whose clocks and purse belong to the test."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import pytest
import structlog
from structlog.testing import LogCapture

from exporter.core import Exporter
from exporter.exposition import TEXT
from exporter.helpscout.account import Account, Api, Secret
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.simulator.world import Conversation, Mailbox, World
from exporter.telemetry import Telemetry
from tests.contract.scripted import Asked, Reply, Script, Service, as_json
from tests.support import eventually

Serve = Callable[..., Service]

UNHURRIED: Final = {"HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE": "60000"}
"""For an account whose calls need not wait for the budget."""
KEY, CLIENT_ID, CLIENT_SECRET = "s3cret-api-key", "app-id", "s3cret-client-secret"


def scraped(exporter: Exporter) -> str:
    """Return the exposition as it is now."""
    exporter.exposition.assemble()
    return b"".join(exporter.exposition.body(TEXT, gzipped=False).made()).decode()


def a_round(exporter: Exporter) -> str:
    """Poll until all has been asked once; return the exposition."""
    exporter.poller.start()
    try:
        eventually(lambda: exporter.poller.first_round_done, "the first round")
    finally:
        exporter.stop()
    return scraped(exporter)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, bundle or netrc of this machine."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    authorities = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    for name in (*authorities, "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="session", autouse=True)
def _one_past() -> Iterator[None]:
    """Make a day of a simulated mailbox once for all simulators: it depends on the seed alone."""
    drawn = World.day
    days: dict[tuple[int, Mailbox, int], list[Conversation]] = {}

    def day(world: World, mailbox: Mailbox, number: int) -> list[Conversation]:
        if world._orders is not None:
            return drawn(world, mailbox, number)
        key = world.seed, mailbox, number
        if key not in days:
            days[key] = drawn(world, mailbox, number)
        return days[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "day", day)
        yield


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts services that are closed at the end."""
    services: list[Service] = []

    def start(script: Script, tls: ssl.SSLContext | None = None) -> Service:
        services.append(Service(script, tls))
        return services[-1]

    yield start
    for service in services:
        service.close()


class Purse:
    """Stands for the budget: there is always enough, and everything is remembered."""

    def __init__(self) -> None:
        self.spent = 0
        self.observed: list[tuple[float | None, float | None]] = []
        self.asked_at: list[float] = []
        self.closed: list[float | None] = []
        self.paused: list[float] = []

    def spend(self) -> None:
        self.spent += 1

    def spend_within(self, seconds: float) -> bool:
        assert seconds >= 0
        self.spent += 1
        return True

    def observe(self, asked_at: float, limit: float | None, remaining: float | None) -> None:
        self.asked_at.append(asked_at)
        self.observed.append((limit, remaining))

    def close_gate(self, seconds: float | None) -> None:
        self.closed.append(seconds)

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)


@dataclass
class Secrets:
    """What the account of a test gets in with."""

    key: Secret
    client_secret: Secret


class Desk:
    """A service that speaks both dialects' login, and clients of it."""

    def __init__(self, serve: Serve) -> None:
        self.service = serve(self._script)
        self.answer: Callable[[Asked], Reply] = lambda asked: as_json({"current": {}})
        self.token: Callable[[Asked], Reply] = self._next_token
        self.token_seconds = 7200.0
        self.purse, self.telemetry = Purse(), Telemetry(process_metrics=False)
        self.seconds = 1000.0
        self.now = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
        self.secrets = Secrets(Secret(KEY), Secret(CLIENT_SECRET))
        self._clients: list[Client] = []
        self._tokens = 0

    def client(
        self, api: Api = "v2", timeout: float = 5.0, base_url: str | None = None, **more: Any
    ) -> Client:
        """A client of the service, or of another one at `base_url`."""
        account = Account(
            name="acme",
            api=api,
            base_url=base_url or f"{self.service.url}/{api}",
            client_id=more.pop("client_id", CLIENT_ID) if api == "v2" else None,
            client_secret=self.secrets.client_secret if api == "v2" else None,
            api_key=self.secrets.key if api == "v1" else None,
            requests_per_minute=200,
            budget=0.5,
            concurrency=8,
            timeout=timedelta(seconds=timeout),
            **more,
        )
        client = Client(
            account,
            cast(Budget, self.purse),
            self.telemetry,
            clock=lambda: self.seconds,
            now=lambda: self.now,
        )
        self._clients.append(client)
        return client

    @property
    def asked(self) -> list[Asked]:
        """The calls so far, but for those of the token."""
        return [asked for asked in self.service.asked if not asked.target.endswith("/token")]

    @property
    def token_calls(self) -> list[Asked]:
        """The calls of the token endpoint so far."""
        return [asked for asked in self.service.asked if asked.target.endswith("/token")]

    def counted(self, name: str, **labels: str) -> float:
        """The value of one of the exporter's own metrics, 0 where there is no sample."""
        full = f"helpscout_exporter_{name}"
        return self.telemetry.registry.get_sample_value(full, {"account": "acme"} | labels) or 0.0

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _script(self, asked: Asked) -> Reply:
        return (self.token if asked.target.endswith("/token") else self.answer)(asked)

    def _next_token(self, _asked: Asked) -> Reply:
        self._tokens += 1
        return as_json({"access_token": f"token-{self._tokens}", "expires_in": self.token_seconds})


@pytest.fixture
def desk(serve: Serve) -> Iterator[Desk]:
    made = Desk(serve)
    yield made
    made.close()


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its key."""

    path: Path
    context: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Certificate]:
    """Makes certificates for a subject alternative name such as `IP:127.0.0.1`."""
    made: dict[str, Certificate] = {}

    def make(name: str) -> Certificate:
        if name not in made:
            folder = tmp_path_factory.mktemp("certificate")
            certificate, key = folder / "certificate.pem", folder / "key.pem"
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=test"),
                    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                    *("-addext", f"subjectAltName={name}"),
                    *("-keyout", str(key), "-out", str(certificate)),
                ],
                check=True,
                capture_output=True,
            )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            made[name] = Certificate(certificate, context)
        return made[name]

    return make


@pytest.fixture
def log() -> Iterator[LogCapture]:
    """What is logged while the test runs, as events with their fields."""
    captured = LogCapture()
    structlog.configure(processors=[captured])
    yield captured
    structlog.reset_defaults()
