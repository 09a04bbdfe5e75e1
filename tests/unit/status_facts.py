"""Facts for the status page, made up: a store on clocks set by hand, and a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

from exporter.health import AccountStatus
from exporter.helpscout.budget import Usage
from exporter.questions import Key, Mailbox, Window
from exporter.schedule import Group, GroupOutlook, Outlook
from exporter.settings import Configuration, load
from exporter.status import Facts, ReloadFailure
from exporter.store import Store
from tests.readings import reading
from tests.unit.exposed import published_like

NOW = 1_773_239_400.0
"""2026-03-11 14:30:00 UTC, a Wednesday."""
DAY = Window("24h", timedelta(minutes=5))
WEEK = Window("7d", timedelta(minutes=35))
ENVIRON = {
    "HELPSCOUT_ACCOUNTS__0__NAME": "acme",
    "HELPSCOUT_ACCOUNTS__0__CLIENT_ID": "an-id",
    "HELPSCOUT_ACCOUNTS__0__CLIENT_SECRET": "a-secret",
    "HELPSCOUT_WINDOWS": "[24h, 7d]",
    "HELPSCOUT_SLA": "[{name: first-1h, statistic: first_response_time, target: 1h, objective: 0.9}"
    ", {name: quick, statistic: handle_time, target: 2m, objective: 0.995}"
    ", {name: two, statistic: replies_to_resolve, target: 2, objective: 0.5}]",
}


@dataclass
class World:
    """A desk with two mailboxes whose reports have all arrived, and what can be done to it."""

    environ: Mapping[str, str] = field(default_factory=dict)
    mailboxes: tuple[Mailbox, ...] = (
        Mailbox(2, "Support", "s", "s@acme.com"),
        Mailbox(10, 'Sales "EU"', "e", "e@acme.com"),
    )
    account: str = "acme"
    now: float = NOW
    clock: float = 50_000.0
    usage: Usage = field(default_factory=lambda: Usage(200, 100, 12, 0.0))
    outlook: Outlook = field(
        default_factory=lambda: Outlook(
            (
                GroupOutlook(Group("productivity", "24h", 300.0), 8, 300.0, 50_012.0),
                GroupOutlook(Group("productivity", "7d", 2100.0), 8, 2100.0, None),
            ),
            discovery_due=50_100.0,
        )
    )
    reload_failure: ReloadFailure | None = None
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(clock=lambda: self.clock, wall=lambda: self.now)
        self.store.set_accounts([self.account])
        self.store.set_status(self.account, AccountStatus(up=True))
        self.store.set_mailboxes(self.account, self.mailboxes)
        seconds = {"24h": 900.0, "7d": 6_300.0, "30d": 10_800.0}
        self.store.schedule(self.account, self.reports())
        self.store.set_lifetimes(self.account, {k: seconds[k.window] for k in self.reports()})
        for key in self.reports():
            self.store.succeeded(key, reading(published_like()))

    def reports(self) -> list[Key]:
        """Every report that is asked."""
        configuration = self.configuration
        return [
            Key(
                "productivity",
                self.account,
                mailbox_id,
                type_,
                window.text,
                str(hours).lower(),
                segment,
            )
            for mailbox_id in ("all", *(str(mailbox.id) for mailbox in self.mailboxes))
            for type_ in configuration.types
            for window in configuration.windows
            for hours in configuration.office_hours
            for segment in ("", *(segment.name for segment in configuration.segments))
        ]

    def key(self, mailbox_id: str = "2", type_: str = "all", window: str = "24h") -> Key:
        """One of them."""
        return Key("productivity", self.account, mailbox_id, type_, window, "false", "")

    @property
    def configuration(self) -> Configuration:
        """What is configured."""
        return _loaded(frozenset({**ENVIRON, **self.environ}.items()))

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds
        self.clock += seconds

    def facts(self) -> Facts:
        """What is known now."""
        return Facts(
            now=self.now,
            clock=self.clock,
            configuration=self.configuration,
            snapshot=self.store.snapshot(),
            troubles=self.store.troubles(),
            progress={self.account: (self.outlook, self.usage)},
            started_at=NOW - 3600,
            loaded_at=NOW - 1800,
            reload_failure=self.reload_failure,
        )


@cache
def _loaded(environ: frozenset[tuple[str, str]]) -> Configuration:
    return load(None, dict(environ))
