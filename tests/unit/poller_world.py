"""A poller with everything around it but the network, and a clock that is set by hand."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from exporter.collectors import codec
from exporter.collectors.productivity.report import ProductivityReport, Statistics
from exporter.helpscout.account import Account, Secret
from exporter.helpscout.answering import PROBE_SECONDS
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError, Throttled, Unreachable
from exporter.poller.account import AccountPoller, Job
from exporter.questions import Key, Mailbox, Window
from exporter.selection import MailboxChoice
from exporter.settings import Configuration
from exporter.settings.collectors import FoldersSettings
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry
from tests.readings import reading, settings

ACCOUNT = Account(
    name="acme",
    api="v1",
    base_url="http://127.0.0.1:1/v1",
    api_key=Secret("key"),
    requests_per_minute=60_000,
)
DAY = Window("24h", timedelta(minutes=5))
WEEK = Window("7d", timedelta(minutes=35))
MONTH = Window("30d", timedelta(hours=1))
SETTINGS = Configuration(
    accounts=(ACCOUNT,),
    mailboxes=MailboxChoice(all=False),
    types=("all",),
    windows=(DAY, MONTH),
    folders=FoldersSettings(enabled=False),
)
BOXES = [Mailbox(1, "Support", "s", "s@acme.com"), Mailbox(2, "Sales", "t", "t@acme.com")]
REPORT = ProductivityReport(current=Statistics(conversations=1, response_time=60.0, replies_sent=1))


class World:
    """The poller of one account; each test says how its calls end."""

    def __init__(
        self,
        configuration: Configuration = SETTINGS,
        state: StateFile | None = None,
        *,
        limit: float = 60_000,
        stale_after: float = 3,
        account: Account = ACCOUNT,
        jitter: bool = False,
        wall: float = 4e9,  # later than any real time: the file forgets what is a month old
    ) -> None:
        self.now = 1_000.0
        self.wall = wall
        self.telemetry = Telemetry(process_metrics=False)
        self.store = Store(clock=lambda: self.now, wall=lambda: self.wall)
        self.store.set_accounts(["acme"])
        self.budget = Budget(
            "acme", limit, 0.5, self.telemetry, clock=lambda: self.now, wait=lambda _: False
        )
        self.state = state or StateFile(None, codec)
        self.list_error: HelpScoutError | None = None
        """How a probe ends that `job` meets."""
        self._configuration = settings(configuration, account, stale_after=stale_after)
        self._jitter: dict[str, Callable[[], float]] = {} if jitter else {"jitter": lambda: 1.0}
        self.poller = self._poller(account)
        self.taken: list[Job] = []
        """What `job` has returned."""

    def _poller(self, account: Account) -> AccountPoller:
        return AccountPoller(
            account,
            self._configuration,
            Client(account, self.budget, self.telemetry),
            self.budget,
            self.store,
            self.telemetry,
            self.state,
            lambda: self.now,
            wall=lambda: self.wall,
            **self._jitter,
        )

    def reload(self, account: Account) -> None:
        """Let another poller take over, as where a reload changes the account."""
        before, self.poller = self.poller, self._poller(account)
        self.poller.recall(before)

    def job(self) -> Job | None:
        """The next job that is not a probe, if one is due now; the budget is never the reason.

        A probe ends at once.
        """
        while True:
            job, again = self.poller.next_job(self.now)
            if job is not None and job.probe:
                self.probe(self.list_error)
            elif job is not None:
                self.taken.append(job)
                return job
            elif again > self.now + 0.01:
                return None
            else:
                self.now = again

    def next_report(self, within: float) -> float | None:
        """Let time pass until a report is asked; return the seconds, None if none is."""
        began = self.now
        while self.now - began <= within:
            if self.job() is not None:
                return self.now - began
            self.now += 0.25
        return None

    def probe(self, error: HelpScoutError | None) -> None:
        """Let the probe that is out end so."""
        if error is None:
            self.poller.probed()
        else:
            self.poller.probe_failed(error)

    def discover(self, mailboxes: list[Mailbox] | HelpScoutError = BOXES) -> None:
        job = self.job()
        assert job is not None
        assert job.question is None
        if isinstance(mailboxes, HelpScoutError):
            self.poller.discovery_failed(mailboxes)
        else:
            self.poller.discovered(mailboxes)

    def answer(
        self,
        outcome: HelpScoutError | ProductivityReport = REPORT,
        tags: dict[str, int] | None = None,
    ) -> Key | None:
        """Let the next due report have this outcome; return its key."""
        job = self.job()
        if job is None or job.question is None:
            return None
        if isinstance(outcome, HelpScoutError):
            self.poller.failed(job, outcome)
        else:
            self.poller.answered(job, reading(outcome, tags))
        return job.question.key

    def answer_all(self, outcome: HelpScoutError | ProductivityReport = REPORT) -> int:
        number = 0
        while self.answer(outcome) is not None:
            number += 1
        return number

    def metric(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(
            f"helpscout_exporter_{name}", {"account": "acme", **labels}
        )

    def report_metric(self, name: str, window: str) -> float | None:
        return self.metric(name, collector="productivity", window=window)

    def up(self) -> bool:
        return self.store.snapshot().accounts["acme"].up

    @property
    def collector_up(self) -> bool | None:
        return dict(self.store.snapshot().accounts["acme"].collectors).get("productivity")

    @property
    def problems(self) -> set[str]:
        return set(self.store.snapshot().accounts["acme"].problems)

    def successes(self) -> list[bool | None]:
        return [entry.success for entry in self.store.snapshot().entries.values()]


Service = Callable[[float, Job], HelpScoutError | float | None]
"""What becomes of a job at so many seconds: an error, a time for which it stalls, or a success."""


@dataclass
class Run:
    """Lets time pass: the dispatcher's loop, without threads. Times are seconds from the start."""

    world: World
    service: Service
    boxes: list[Mailbox] = field(default_factory=lambda: list(BOXES))
    latency: float = 0.1
    tick: float = 1.0
    """How many seconds the dispatcher sleeps at most."""
    tags: dict[str, int] | None = None
    asked: list[tuple[float, str, Key | None]] = field(default_factory=list)
    changes: list[tuple[float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.world.now
        self._flying: list[tuple[float, int, Job, HelpScoutError | None]] = []
        self._numbers = count()

    @property
    def at(self) -> float:
        return self.world.now - self._began

    def until(self, at: float) -> World:
        """Go on until then; return the world as it is."""
        world = self.world
        while True:
            while self._flying and self._flying[0][0] <= world.now:
                _, _, landed, error = heapq.heappop(self._flying)
                self._land(landed, error)
            job, again = world.poller.next_job(world.now)
            while job is not None:
                self._launch(job)
                job, again = world.poller.next_job(world.now)
            if not self.changes or self.changes[-1][1] != world.up():
                self.changes.append((self.at, world.up()))
            if self.at >= at:
                world.poller.tick(world.now)
                return world
            landing = self._flying[0][0] if self._flying else float("inf")
            world.poller.tick(world.now)
            wait = min(again, landing, world.now + self.tick, self._began + at) - world.now
            world.now += max(wait, 0.001)
            world.wall += max(wait, 0.001)

    def up_at(self, at: float) -> bool:
        """Whether the account was up then."""
        return [up for when, up in self.changes if when <= at][-1]

    def _launch(self, job: Job) -> None:
        kind = "probe" if job.probe else "list" if job.question is None else "report"
        self.asked.append((self.at, kind, job.question.key if job.question else None))
        outcome, seconds = self.service(self.at, job), self.latency
        if isinstance(outcome, float):
            seconds = min(outcome, PROBE_SECONDS if job.probe else 30.0)
            outcome = Unreachable(f"no whole answer within {seconds:g} s")
        heapq.heappush(self._flying, (self.world.now + seconds, next(self._numbers), job, outcome))

    def _land(self, job: Job, error: HelpScoutError | None) -> None:
        poller = self.world.poller
        if isinstance(error, Throttled):
            self.world.budget.close_gate(error.retry_after)
        if job.probe:
            self.world.probe(error)
        elif job.question is None:
            if error is None:
                poller.discovered(self.boxes)
            else:
                poller.discovery_failed(error)
        elif error is None:
            poller.answered(job, reading(REPORT, self.tags))
        else:
            poller.failed(job, error)
