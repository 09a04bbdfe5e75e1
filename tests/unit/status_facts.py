"""Facts for the status page, made up: a store on clocks set by hand, and a configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from exporter.health import AccountStatus
from exporter.helpscout.budget import Usage
from exporter.reports import Mailbox, ReportKey, Window
from exporter.schedule import Outlook, WindowOutlook
from exporter.settings import Configuration, load
from exporter.status import Facts, ReloadFailure
from exporter.store import Store
from tests.unit.exposed import published_like

NOW = 1_773_239_400.0
"""2026-03-11 14:30:00 UTC, a Wednesday."""
DAY = Window("24h", timedelta(hours=24), timedelta(minutes=5))
WEEK = Window("7d", timedelta(days=7), timedelta(minutes=35))
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
    """A desk with two mailboxes whose reports have all come, and what can be done to it."""

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
            (WindowOutlook(DAY, 8, 300.0, 50_012.0), WindowOutlook(WEEK, 8, 2100.0, None)),
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
        for window, seconds in (("24h", 900), ("7d", 6_300), ("30d", 10_800)):
            self.store.set_lifetime(self.account, window, seconds)
        self.store.schedule(self.account, self.reports())
        for key in self.reports():
            self.store.succeeded(key, published_like())

    def reports(self) -> list[ReportKey]:
        """Every report that is asked."""
        selection = self.configuration.selection
        return [
            ReportKey(self.account, mailbox_id, type_, window.text, hours, segment)
            for mailbox_id in ("all", *(str(mailbox.id) for mailbox in self.mailboxes))
            for type_ in selection.types
            for window in selection.windows
            for hours in selection.office_hours
            for segment in ("", *(segment.name for segment in selection.segments))
        ]

    def key(self, mailbox_id: str = "2", type_: str = "all", window: str = "24h") -> ReportKey:
        """One of them."""
        return ReportKey(self.account, mailbox_id, type_, window, False, "")

    @property
    def configuration(self) -> Configuration:
        """What is configured."""
        return load(None, {**ENVIRON, **self.environ}, {})

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
