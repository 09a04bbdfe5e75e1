"""One browser, and the sites it visits: real daemons, and pages of made-up facts where time is.

What takes a daemon ten minutes to show (a report too old) or much work to ask (500 mailboxes) is
served by the real web server from a store whose clocks are set by hand.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import requests
import yaml
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from benchmarks.filled import fill
from exporter.exposition import Exposition
from exporter.health import AccountStatus, Failure
from exporter.settings import WebSettings
from exporter.status import render, view
from exporter.telemetry import Telemetry
from exporter.web.access import Access
from exporter.web.application import Backend, application
from exporter.web.server import Server
from tests.readings import reading, renderer
from tests.support import eventually, get, need, round_is_complete, scrape
from tests.system.conftest import Start, address, desk, start, start_once  # noqa: F401 - fixtures
from tests.unit.exposed import published_like
from tests.unit.status_facts import World

_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_TIMEOUT_SECONDS: Final = 300
expect.set_options(timeout=30_000)  # the page is there at once, but for a machine with other work
DEMO_REPORTS: Final = 5 * 4 * 3
ATTACK: Final = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
RIGHT_TO_LEFT: Final = "\N{RIGHT-TO-LEFT OVERRIDE}Desk <b>"
SECRET: Final = "not-the-secret"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder more time than those that start nothing."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The one browser."""
    program = need("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        yield started
        started.close()


@dataclass
class Visit:
    """A page that is looked at, and everything that must not have happened meanwhile."""

    page: Page
    url: str
    console: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("dialog", lambda dialog: self.console.append(dialog.message))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requested.append(request.url)

    def go(self, path: str = "/") -> Page:
        """Open a path of the site."""
        self.page.goto(self.url + path)
        return self.page

    @property
    def outside(self) -> list[str]:
        """What was asked of anybody else."""
        return [
            url
            for url in self.requested
            if url != self.url and not url.startswith((f"{self.url}/", "data:image/svg"))
        ]


Open = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture
def visit(browser: Browser) -> Open:
    """Open a site: `visit(url, width=…, dark=…, script=…)`."""

    @contextmanager
    def opened(
        url: str, *, width: int = 1240, dark: bool = False, script: bool = True
    ) -> Iterator[Visit]:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        found = Visit(context.new_page(), url)
        yield found
        context.close()
        assert found.console == []
        assert found.outside == []

    return opened


# --- sites --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(start_once: Start) -> str:  # noqa: F811 - the fixture
    """The demo after a whole round."""
    url = address(start_once("demo", "--listen", "127.0.0.1:0"))
    eventually(lambda: round_is_complete(url, DEMO_REPORTS), "a whole round of the demo")
    return url


@pytest.fixture(scope="module")
def troubled(start_once: Start, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: F811
    """A daemon with an account that is refused, and one with hostile names and an ill mailbox."""
    simulator = desk(start_once, "--accounts", "2").url
    _put(
        f"{simulator}/_faults",
        {
            "mailboxes": {1002: {"name": ATTACK}, 1003: {"name": RIGHT_TO_LEFT}},
            "faults": [
                {
                    "endpoint": "report",
                    "account": 1,
                    "mailbox": 1001,
                    "status": 404,
                    "content_type": "application/json",
                    "body": '{"logRef": "ref-4711", "message": "<b>gone</b>"}',
                }
            ],
        },
    )
    accounts = [
        {"name": "hostile", "client_id": "demo-1", "client_secret": "secret-1"},
        {"name": "refused", "client_id": "demo-2", "client_secret": SECRET},
    ]
    settings = {
        "accounts": [
            {**account, "base_url": f"{simulator}/v2", "requests_per_minute": 60_000}
            for account in accounts
        ],
        "types": ["all", "email"],
        "windows": ["24h", "7d"],
        "office_hours": [False, True],
        "segments": [{"name": "vip", "tags": ["vip"]}],
        "web": {"listen": "127.0.0.1:0"},
        "log": {"format": "json"},
    }
    config = tmp_path_factory.mktemp("troubled") / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    url = address(start_once("serve", "--config", str(config)))
    eventually(lambda: _every_cut_has_come(url), "reports of every cut")
    eventually(lambda: "ref-4711" in get(url).text, "the ill mailbox")
    eventually(lambda: "Help Scout refuses" in get(url).text, "the refused account")
    return url


def _every_cut_has_come(url: str) -> bool:
    """Whether a mailbox has its reports of two types, windows, kinds of hours and segments."""
    name = "helpscout_report_success"
    found = scrape(url, name).named(name, mailbox_id="1002", collector="productivity")
    return [sample.value for sample in found] == [1] * 16


def _put(url: str, document: Mapping[str, object]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        assert session.put(url, data=yaml.safe_dump(document), timeout=10).ok


class Site:
    """Made-up facts behind the real web server."""

    def __init__(self, world: World) -> None:
        self.world = world
        settings = WebSettings(("127.0.0.1:0",), "/metrics", None, enable_lifecycle=False)
        backend = Backend(
            exposition=Exposition(world.store, Telemetry(process_metrics=False), renderer()),
            configuration=lambda: "",
            healthy=lambda: True,
            ready=lambda: True,
            reload=tuple,
            page=lambda query: render(view(world.facts(), query)),
        )
        self.server = Server(settings, application(settings, backend), Access(None))
        self.server.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return self.server.url


@pytest.fixture(scope="session")
def stale() -> Iterator[str]:
    """A desk on which one report became too old, one is late, and one never arrived."""
    world = World()
    failure = Failure("unreachable", "no answer within 30 s", "ref-stale")
    for key in world.reports():
        if key.window == "24h" and key.mailbox_id == "2":
            world.store.failed(key, failure)
    world.wait(1_000)
    for key in world.reports():
        if key not in (world.key(), world.key("10")):
            world.store.succeeded(key, reading(published_like()))
    world.store.failed(world.key("10", window="7d"), failure)
    site = Site(world)
    yield site.url
    site.server.stop()


@pytest.fixture(scope="session")
def many() -> Iterator[str]:
    """500 mailboxes with four types and three windows each."""
    world = World(environ={"HELPSCOUT_WINDOWS": "[24h, 7d, 30d]"})
    fill(world.store, 6_000)
    world.store.set_status("acme", AccountStatus(up=True))
    site = Site(world)
    yield site.url
    site.server.stop()


@pytest.fixture
def changing() -> Iterator[Site]:
    """A site of one test alone, whose facts change."""
    site = Site(World())
    yield site
    site.server.stop()
