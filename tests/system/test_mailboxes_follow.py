"""Mailboxes that are renamed, deleted or new follow at the next discovery, ten minutes later.

The poller runs in this process with a clock that jumps; simulator, HTTP and threads are real.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from exporter.collectors import codec
from exporter.exposition import TEXT, Exposition, Renderer
from exporter.poller import Poller
from exporter.settings import load
from exporter.simulator import Simulator, SimulatorOptions, parse_faults
from exporter.state_file import StateFile
from exporter.store import Store
from exporter.telemetry import Telemetry
from tests.support import Metrics, eventually

TEN_MINUTES = 600.0


@dataclass(slots=True)
class Clock:
    """The monotonic clock, and what it was put forward by."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@dataclass(frozen=True, slots=True)
class Polled:
    """A simulator that is polled, what is shown of it, and the clock of it all."""

    simulator: Simulator
    exposition: Exposition
    clock: Clock

    def names(self) -> dict[str, set[str]]:
        """Return the names of each mailbox id in all series that bear one, `all` left out."""
        self.exposition.assemble()
        text = b"".join(self.exposition.body(TEXT, gzipped=False).made()).decode()
        names = dict[str, set[str]]()
        for sample in Metrics.of_text(text).samples:
            if sample.labels.get("mailbox_id", "all") != "all":
                names.setdefault(sample.labels["mailbox_id"], set()).add(sample.labels["mailbox"])
        return names

    def asked(self, endpoint: str) -> int:
        """Return how often the account has been asked for this."""
        calls: dict[str, int] = self.simulator.stats()["accounts"]["1"]["calls"].get(endpoint, {})
        return sum(calls.values())

    def happens(self, faults: str) -> None:
        """Change the account's mailboxes."""
        self.simulator.set_faults(parse_faults(faults))


@pytest.fixture
def polled() -> Iterator[Polled]:
    simulator = Simulator(SimulatorOptions(mailboxes=4, rate_limit=60_000))
    simulator.start()
    environ = {
        "HELPSCOUT_API_KEY": "key-1",
        "HELPSCOUT_BASE_URL": f"{simulator.url}/v1",
        "HELPSCOUT_TYPES": "[all]",
        "HELPSCOUT_WINDOWS": "[24h]",
    }
    configuration = load(None, environ)
    clock, telemetry = Clock(), Telemetry(process_metrics=False)
    store = Store(clock=clock)
    poller = Poller(store, telemetry, StateFile(None, codec), clock=clock)
    poller.configure(configuration)
    poller.start()
    exposition = Exposition(store, telemetry, Renderer(configuration))
    try:
        yield Polled(simulator, exposition, clock)
    finally:
        poller.stop()
        simulator.stop()


ALL_FOUR = {
    "1001": {"Support"},
    "1002": {"Support"},
    "1003": {'The "Desk"'},
    "1004": {"Back\\slash"},
}
WITHOUT_LAST = {key: names for key, names in ALL_FOUR.items() if key != "1004"}


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("", '{mailboxes: {"1001": {name: "Front desk"}}}', ALL_FOUR | {"1001": {"Front desk"}}),
        ("", '{mailboxes: {"1004": {deleted: true}}}', WITHOUT_LAST),
        ('{mailboxes: {"1004": {deleted: true}}}', "", ALL_FOUR),
        (
            '{mailboxes: {"1004": {deleted: true}}}',
            '{mailboxes: {"1001": {name: "Support, 2"}, "1002": {name: "Support, 1"}}}',
            ALL_FOUR | {"1001": {"Support, 2"}, "1002": {"Support, 1"}},
        ),
    ],
    ids=["renamed", "deleted", "new", "all at once"],
)
def test_the_series_follow_the_mailboxes_after_ten_minutes(
    polled: Polled, before: str, change: str, after: dict[str, set[str]]
) -> None:
    first = WITHOUT_LAST if before else ALL_FOUR
    eventually(lambda: polled.names() == ALL_FOUR, "every mailbox")
    if before:
        polled.happens(before)
        polled.clock.ahead += TEN_MINUTES
        eventually(lambda: polled.names() == first, f"{first}")
    polled.happens(change)
    reports = polled.asked("report")
    polled.clock.ahead += TEN_MINUTES / 2
    eventually(lambda: polled.asked("report") > reports, "the next turn of the reports")
    # The list may have been asked as a probe after the silence: it is not taken before its time.
    assert polled.names() == first
    polled.clock.ahead += TEN_MINUTES / 2
    eventually(lambda: polled.names() == after, f"{after}")


def test_a_list_that_fails_keeps_every_series(polled: Polled) -> None:
    eventually(lambda: polled.names() == ALL_FOUR, "every mailbox")
    lists = polled.asked("mailboxes")
    polled.happens(
        'faults: [{endpoint: mailboxes, status: 500}]\nmailboxes: {"1001": {deleted: true}}'
    )
    polled.clock.ahead += TEN_MINUTES
    eventually(lambda: polled.asked("mailboxes") > lists, "the list asked in vain")
    assert polled.names() == ALL_FOUR
