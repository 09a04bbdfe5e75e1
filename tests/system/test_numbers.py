"""Every number about now and about ratings is what a plain count over the world's events gives.

The events, and what is drawn beside them, are the simulator's world. What follows from them is
counted here, by the definitions of docs/metrics.md and docs/api-facts.md, without the simulator's
code or the exporter's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product

import pytest

from exporter.simulator import Simulator, SimulatorOptions, World, parse_faults
from exporter.simulator.happiness import ratings
from exporter.simulator.world import Conversation, Traits
from tests.support import Metrics, Run

HOUR, DAY = 3600, 86_400
TYPES = ("all", "email", "chat", "phone")
SEGMENTS = {"": None, "vip": 501}
WINDOWS = {"24h": DAY, "30d": 30 * DAY}
TARGETS = {"reply-4h": 4 * HOUR, "first-1h": HOUR}
AT_RISK = 0.75
EDGES = tuple(60 * n for n in (15, 30, 60, 120, 180, 360, 720, 1440, 2880))
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
WAITING = {
    "HELPSCOUT_FOLDERS__ENABLED": "false",
    "HELPSCOUT_WAITING__ENABLED": "true",
    "HELPSCOUT_WAITING__AT_RISK": str(AT_RISK),
    "HELPSCOUT_WAITING__MAX_PAGES": "50",
    "HELPSCOUT_SEGMENTS": "[{name: vip, tags: [vip]}]",
    "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__TIMEZONE": "UTC",
    "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__HOURS": '{mon-fri: "09:00-17:00"}',
    "HELPSCOUT_OFFICE_HOURS": "[false, true]",
    "HELPSCOUT_WINDOWS": "24h",
    "HELPSCOUT_SLA": """[
      {name: reply-4h, statistic: response_time, target: 4h, objective: 0.9, windows: [24h],
        types: [all, email], office_hours: [false, true], segments: ["", vip]},
      {name: first-1h, statistic: first_response_time, target: 1h, objective: 0.9,
        windows: [24h], types: [email], office_hours: [true]},
    ]""",
}
BAD_DAY = """
team:
  - {mailbox: 1001, silent: true, start: 2026-03-11T09:00:00Z}
  - {mailbox: 1002, flood: 300, start: 2026-03-11T10:00:00Z}
  - {mailbox: 1003, snooze: 0.5, start: 2026-03-10T09:00:00Z}
  - {mailbox: 1004, late: 3h, start: 2026-03-09T09:00:00Z}
  - {mailbox: 1005, within: 20m, start: 2026-02-01T09:00:00Z}
"""
ORDERED_SNOOZE = 1003, int(datetime(2026, 3, 10, 9, tzinfo=UTC).timestamp()), 0.5
"""On the bad day: mailbox, since when, and the share of the customers."""

# What runs here in the tests' own process is measured elsewhere.
pytestmark = pytest.mark.no_cover


def office_seconds(start: float, end: float) -> float:
    """Return the seconds between that are on a working day from 09:00 to 17:00 UTC."""
    seconds = 0.0
    day = datetime.fromtimestamp(start, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while day.timestamp() < end:
        if day.weekday() < 5:
            opens, closes = day + timedelta(hours=9), day + timedelta(hours=17)
            seconds += max(0.0, min(end, closes.timestamp()) - max(start, opens.timestamp()))
        day += timedelta(days=1)
    return seconds


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

    def snoozed(self, at: int, share: float, start: int) -> bool:
        """Whether it was put off until later; `share` of those who wait since `start` were."""
        since = self.unanswered_since
        if since is None:
            return False
        morning = (since // DAY + 1) * DAY + 9 * HOUR
        by_itself = self.traits.snooze < 1 / 32 and since + 600 <= at < morning
        return by_itself or (since >= start and self.traits.snooze < share)

    def waited_since(self, at: int, share: float, start: int) -> int | None:
        """Return since when a customer waits; None if none does, or the service does not say."""
        if not self.active or self.unanswered_since is None or self.snoozed(at, share, start):
            return None
        is_said = self.traits.time_form in ("plain", "fraction")
        return self.unanswered_since if is_said else None


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


@cache  # each generation of the API is compared with it
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


def waiting(world: World, at: int, is_bad_day: bool) -> dict[Key, float]:
    """Return every series of the collector `waiting` but the reports of how its asking goes."""
    found: dict[Key, float] = {}
    for mailbox in world.mailboxes(1):
        own = {"account": "default", "mailbox": mailbox.name, "mailbox_id": str(mailbox.id)}
        found[series("helpscout_waiting_truncated", **own)] = 0
        box, start, share = ORDERED_SNOOZE
        share = share if is_bad_day and box == mailbox.id else 0.0
        rows = [
            (one.life, since)
            for one in present(world, mailbox.id, at)
            if (since := one.waited_since(at, share, start)) is not None
        ]
        for type_, (segment, tag), office in product(TYPES, SEGMENTS.items(), (False, True)):
            cut = own | {"type": type_, "segment": segment, "office_hours": str(office).lower()}
            moments = [
                moment
                for life, moment in rows
                if type_ in ("all", life.type) and (tag is None or tag in life.tags)
            ]
            waits = [office_seconds(m, at) if office else at - m for m in moments]
            found[series("helpscout_waiting_conversations", **cut)] = len(waits)
            if moments and not office:
                name = "helpscout_waiting_since_timestamp_seconds"
                found[series(name, **cut)] = min(moments)
            for edge in (*EDGES, math.inf):
                le = "+Inf" if edge == math.inf else str(float(edge))
                name = "helpscout_waiting_distribution_seconds_bucket"
                found[series(name, **cut, le=le)] = sum(wait <= edge for wait in waits)
            for sla, target in TARGETS.items():
                covered = (
                    type_ in ("all", "email")
                    if sla == "reply-4h"
                    else (type_, segment, office) == ("email", "", True)
                )
                for threshold, share in (("target", 1), ("at_risk", AT_RISK)) if covered else ():
                    name = "helpscout_sla_waiting_conversations"
                    labels = cut | {"sla": sla, "threshold": threshold}
                    found[series(name, **labels)] = sum(wait > share * target for wait in waits)
    return found


@cache
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


def test_waiting_customers_are_what_the_events_give(run: Run, simulator: Simulator) -> None:
    found = exported(run, simulator, "v2", **WAITING).by_series()
    is_bad_day = simulator.options.faults == parse_faults(BAD_DAY)
    prefixes = ("helpscout_waiting_", "helpscout_sla_waiting_")
    waits = {key: value for key, value in found.items() if key[0].startswith(prefixes)}
    assert waits == pytest.approx(waiting(simulator.world, now_of(simulator), is_bad_day))


@API
def test_ratings_are_what_the_events_give(run: Run, simulator: Simulator, api: str) -> None:
    found = exported(run, simulator, api, **HAPPINESS).by_series()
    rated = {k: v for k, v in found.items() if k[0].startswith("helpscout_happiness_")}
    assert rated == pytest.approx(happiness(simulator.world, now_of(simulator)))
