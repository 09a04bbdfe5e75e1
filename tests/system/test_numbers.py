"""Every number of folders and ratings is what a plain count over the world's events gives.

The events, and what is drawn beside them, are the simulator's world. What follows from them is
counted here, by the definitions of docs/metrics.md and docs/api-facts.md, without the simulator's
code or the exporter's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import pytest

from exporter.simulator import Simulator, SimulatorOptions, World, parse_faults
from exporter.simulator.happiness import ratings
from exporter.simulator.world import Conversation, Traits
from tests.support import Metrics, Run

DAY = 86_400
TYPES = ("all", "email", "chat", "phone")
WINDOWS = {"24h": DAY, "30d": 30 * DAY}
VIEWS = 45
CUSTOM = ("Refunds", 'Says "urgent"', "Returns\\2026")
PENDING_TOO = ("unassigned", "assigned", "mine", "team")

Key = tuple[str, frozenset[tuple[str, str]]]

COMMON = {"HELPSCOUT_PRODUCTIVITY__ENABLED": "false", "HELPSCOUT_TYPES": ",".join(TYPES)}
HAPPINESS = {
    "HELPSCOUT_FOLDERS__ENABLED": "false",
    "HELPSCOUT_HAPPINESS__ENABLED": "true",
    "HELPSCOUT_HAPPINESS__TYPES": ",".join(TYPES),
    "HELPSCOUT_HAPPINESS__WINDOWS": ",".join(WINDOWS),
}
BAD_DAY = """
team:
  - {mailbox: 1001, silent: true, start: 2026-03-11T09:00:00Z}
  - {mailbox: 1002, flood: 300, start: 2026-03-11T10:00:00Z}
  - {mailbox: 1003, snooze: 0.5, start: 2026-03-10T09:00:00Z}
  - {mailbox: 1004, late: 3h, start: 2026-03-09T09:00:00Z}
  - {mailbox: 1005, within: 20m, start: 2026-02-01T09:00:00Z}
"""


@dataclass(frozen=True, slots=True)
class Present:
    """A conversation that is there at an instant, told from its events up to then."""

    life: Conversation
    traits: Traits
    asked: list[int]
    answered: list[int]
    closed: bool
    unanswered_since: int | None

    @property
    def keeps_active(self) -> bool:
        """Whether a user replied and left it active."""
        replied = bool(self.asked) and self.unanswered_since is None
        return not self.closed and replied and self.traits.stays_active

    @property
    def active(self) -> bool:
        """Whether it is in the queue of those who have to do something."""
        begun_only = not self.asked
        return not self.closed and (
            begun_only or self.unanswered_since is not None or self.keeps_active
        )

    @property
    def assigned(self) -> bool:
        """Whether somebody has it."""
        return bool(self.answered) or self.traits.is_taken


def present(world: World, box: int, at: int) -> Iterator[Present]:
    """Every conversation of the last days that is there then, from its events."""
    first, last = (datetime.fromtimestamp(at - n * DAY, UTC).date() for n in (14, 0))
    for life in world.conversations(1, box, first, last):
        if life.created <= at < life.gone:
            asked = [moment for moment in life.customer_messages if moment <= at]
            answered = [*life.outgoing, *(reply.at for reply in life.replies)]
            answered = [moment for moment in answered if moment <= at]
            closed = [moment for moment in life.closings if moment <= at]
            waiting = [moment for moment in asked if moment > max(answered, default=0)]
            yield Present(
                life,
                world.traits(life.id),
                asked,
                answered,
                bool(closed) and max(closed) > max(asked),
                min(waiting, default=None),
            )


def series(name: str, **labels: str) -> Key:
    """Return what tells a series from another."""
    return name, frozenset(labels.items())


def folders(world: World, at: int) -> dict[tuple[str, ...], float]:
    """Return every count by mailbox, queue, name and state."""
    found: dict[tuple[str, ...], float] = {}
    for mailbox in world.mailboxes(1):
        total, active = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        places_of = ("team", "Tier 2"), *(("custom", name) for name in CUSTOM)
        named = dict(zip(mailbox.folders, places_of, strict=True))
        places = [(name, "") for name in (*PENDING_TOO[:3], "drafts", "needs_attention", "spam")]
        places += named.values()
        if mailbox.id == 1006:
            places += [("custom", f"View {number}") for number in range(1, VIEWS + 1)]
        total["spam", ""] = world.spam(mailbox, at // DAY)
        for one in present(world, mailbox.id, at):
            if one.closed:
                continue
            into = [("assigned" if one.assigned else "unassigned", ""), named[one.life.folder]]
            if one.assigned and one.traits.is_for_me:
                into.append(("mine", ""))
            if one.active and one.traits.has_draft:
                into.append(("drafts", ""))
            if one.answered and one.traits.bounces:
                into.append(("needs_attention", ""))
            if mailbox.id == 1006:
                into.append(("custom", f"View {one.life.id % VIEWS + 1}"))
            for place in into:
                total[place] += 1
                active[place] += one.active
        for place in places:
            box, queue = str(mailbox.id), place[0]
            if queue in (*PENDING_TOO, "custom"):
                found[box, *place, "active"] = active[place]
            if queue in PENDING_TOO:
                found[box, *place, "pending"] = total[place] - active[place]
            if queue in ("drafts", "needs_attention", "spam"):
                found[box, *place, "all"] = total[place]
    return found


def happiness(world: World, at: int) -> dict[Key, float]:
    """Return every series of the collector `happiness`."""
    found: dict[Key, float] = {}
    boxes = {str(mailbox.id): mailbox.name for mailbox in world.mailboxes(1)}
    first, last = (datetime.fromtimestamp(at - n * DAY, UTC).date() for n in (45, 0))
    given = [
        (str(box), life.type, rating)
        for box in boxes
        for life in world.conversations(1, int(box), first, last)
        for rating in ratings(world, life)
    ]
    for box, type_, (window, length) in product(["all", *boxes], TYPES, WINDOWS.items()):
        cut = {
            "account": "default",
            "mailbox": boxes.get(box, "all"),
            "mailbox_id": box,
            "type": type_,
            "window": window,
            "office_hours": "",
            "segment": "",
        }
        words = Counter(
            rating.rating
            for its, kind, rating in given
            if box in ("all", its) and type_ in ("all", kind) and at - length < rating.at <= at
        )
        for rating, name in (("great", "great"), ("okay", "okay"), ("not_good", "notGood")):
            found[series("helpscout_happiness_ratings", **cut, rating=rating)] = words[name]
        if words:
            score = 100 * (words["great"] - words["notGood"]) / words.total()
            found[series("helpscout_happiness_score", **cut)] = score
    return found


@pytest.fixture(
    scope="module",
    params=[
        ("2026-03-11T14:30:00Z", ""),
        ("2026-03-08T03:00:00Z", ""),
        ("2026-03-11T16:45:00Z", BAD_DAY),
    ],
    ids=["on a Wednesday afternoon", "in a Sunday night", "on a bad day"],
)
def simulator(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A simulator whose clock stands still."""
    at, faults = request.param
    options = SimulatorOptions(
        now=datetime.fromisoformat(at), rate_limit=60_000, faults=parse_faults(faults)
    )
    service = Simulator(options)
    service.start()
    yield service
    service.stop()


def exported(run: Run, simulator: Simulator, api: str, **more: str) -> Metrics:
    """Return what `once` prints over one generation of the API."""
    client_id, client_secret, api_key = simulator.credentials()[0]
    environ = {"HELPSCOUT_BASE_URL": f"{simulator.url}/{api}", **COMMON, **more}
    if api == "v1":
        environ["HELPSCOUT_API_KEY"] = api_key
    else:
        environ |= {"HELPSCOUT_CLIENT_ID": client_id, "HELPSCOUT_CLIENT_SECRET": client_secret}
    moment = datetime.fromtimestamp(now_of(simulator), UTC).isoformat()
    ended = run("once", "--at", moment, environ=environ)
    assert ended.code == 0, ended.stderr
    return Metrics.of_text(ended.stdout)


def now_of(simulator: Simulator) -> int:
    """Return where its clock stands."""
    assert simulator.options.now is not None
    return int(simulator.options.now.timestamp())


API = pytest.mark.parametrize("api", ["v1", "v2"])


@API
def test_folders_are_what_the_events_give(run: Run, simulator: Simulator, api: str) -> None:
    metrics = exported(run, simulator, api)
    queues = {
        (s.labels["mailbox_id"], s.labels["queue"], s.labels["folder"], s.labels["state"]): s.value
        for s in metrics.named("helpscout_queue_conversations")
    }
    assert queues == folders(simulator.world, now_of(simulator))


@API
def test_ratings_are_what_the_events_give(run: Run, simulator: Simulator, api: str) -> None:
    found = exported(run, simulator, api, **HAPPINESS).by_series()
    rated = {k: v for k, v in found.items() if k[0].startswith("helpscout_happiness_")}
    assert rated == pytest.approx(happiness(simulator.world, now_of(simulator)))
