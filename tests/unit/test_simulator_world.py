"""The simulated world is a pure function of its seed, and its reports can be computed by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator.dialects import report_body
from exporter.simulator.report import Filter, Reports, Statistics
from exporter.simulator.world import Conversation, Mailbox, World

NOW = int(datetime(2026, 3, 11, 14, 30, tzinfo=UTC).timestamp())
DAY = 86_400
WORLD = World(seed=7, accounts=2, mailboxes=8)
REPORTS = Reports(WORLD)  # shared: what was asked before must not matter
MINUTES = [15, 30, 60, 120, 180, 360, 720, 1440, 2880]
EXPECTED_FIRST = (100120458000, "email", 1767600586, (506,))


def office_by_hand(start: int, end: int) -> int:
    """Office seconds from start to end, day by day."""
    seconds = 0
    day = datetime.fromtimestamp(start, UTC).replace(hour=0, minute=0, second=0)
    while day.timestamp() < end:
        if day.weekday() < 5:
            opens, closes = (int((day + timedelta(hours=h)).timestamp()) for h in (9, 17))
            seconds += max(0, min(end, closes) - max(start, opens))
        day += timedelta(days=1)
    return seconds


def by_hand(
    conversations: list[Conversation], start: int, end: int, now: int, office: bool
) -> dict[str, Any]:
    """The figures of report.py's docstring, one plain step after the other."""

    def inside(at: int) -> bool:
        return start <= at <= end and at <= now

    def position(value: float, bounds: list[int]) -> int:
        return sum(value >= bound for bound in bounds)

    waits, firsts, handles, resolutions, to_resolution = [], [], [], [], []
    ranges = {"response": [0] * 10, "first": [0] * 10, "handle": [0] * 5, "replies": [0] * 5}
    by_replies = [0] * 5
    counted = closed = sent = 0
    for conversation in conversations:
        closed += sum(map(inside, conversation.closings))
        sent += sum(map(inside, conversation.outgoing))
        replies = [reply for reply in conversation.replies if inside(reply.at)]
        sent += len(replies)
        if not replies:
            continue
        counted += 1
        its = []
        for reply in replies:
            wait = office_by_hand(reply.at - reply.wait, reply.at) if office else reply.wait
            its.append(wait)
            if reply is conversation.replies[0]:
                firsts.append(wait)
                ranges["first"][position(wait, [m * 60 for m in MINUTES])] += 1
        waits += its
        ranges["response"][position(sum(its) / len(its), [m * 60 for m in MINUTES])] += 1
        handling = [reply.handle for reply in replies]
        handles += handling
        ranges["handle"][position(sum(handling) / len(handling), [60, 120, 300, 600])] += 1
        closings = [at for at in conversation.closings if at >= conversation.replies[0].at]
        if closings and inside(closings[0]):
            before = sum(reply.at <= closings[0] for reply in conversation.replies)
            taken = closings[0] - conversation.created
            if office:
                taken = office_by_hand(conversation.created, closings[0])
            resolutions.append(taken)
            to_resolution.append(before)
            ranges["replies"][min(before, 5) - 1] += 1
            by_replies[min(before, 5) - 1] += taken
    return {
        "start": start,
        "end": end,
        "conversations": counted,
        "replies": len(waits),
        "wait": sum(waits),
        "first_replies": len(firsts),
        "first_wait": sum(firsts),
        "handle": sum(handles),
        "resolved": len(resolutions),
        "resolved_on_first_reply": to_resolution.count(1),
        "resolution": sum(resolutions),
        "resolution_replies": sum(to_resolution),
        "closed": closed,
        "replies_sent": sent,
        "response_ranges": tuple(ranges["response"]),
        "first_response_ranges": tuple(ranges["first"]),
        "handle_ranges": tuple(ranges["handle"]),
        "replies_ranges": tuple(ranges["replies"]),
        "resolution_by_replies": tuple(by_replies),
    }


def summed(found: Statistics) -> dict[str, Any]:
    """What a report makes of its statistics, in the form of `by_hand`."""
    by_replies = [0] * 5
    for replies, taken in zip(found.repliesToResolve, found.resolutionTime, strict=True):
        by_replies[min(replies, 5) - 1] += taken
    return {
        "start": found.start,
        "end": found.end,
        "conversations": sum(found.response_ranges),
        "replies": len(found.responseTime),
        "wait": sum(found.responseTime),
        "first_replies": len(found.firstResponseTime),
        "first_wait": sum(found.firstResponseTime),
        "handle": sum(found.handleTime),
        "resolved": len(found.resolutionTime),
        "resolved_on_first_reply": found.repliesToResolve.count(1),
        "resolution": sum(found.resolutionTime),
        "resolution_replies": sum(found.repliesToResolve),
        "closed": len(found.closed),
        "replies_sent": len(found.responseTime) + len(found.outgoing),
        "response_ranges": found.response_ranges,
        "first_response_ranges": found.first_response_ranges,
        "handle_ranges": found.handle_ranges,
        "replies_ranges": found.replies_ranges,
        "resolution_by_replies": tuple(by_replies),
    }


def day_of(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def lives(mailbox: Mailbox, start: int, end: int) -> list[Conversation]:
    days = range(start // DAY - 15, end // DAY + 1)
    return [conversation for day in days for conversation in REPORTS.day(mailbox, day)]


@settings(max_examples=60, deadline=None)
@given(
    seconds_back=st.integers(-DAY, 40 * DAY),
    length=st.one_of(st.integers(1, 3 * DAY), st.integers(1, 30 * DAY)),
    boxes=st.sets(st.integers(0, 7), min_size=1, max_size=3),
    types=st.sets(st.sampled_from(["email", "chat", "phone"])),
    tags=st.sets(st.sampled_from(sorted(WORLD.tags(1)))),
    folder=st.integers(0, 4),
    office=st.booleans(),
)
def test_every_figure_is_what_a_plain_count_over_the_events_gives(
    seconds_back: int,
    length: int,
    boxes: set[int],
    types: set[str],
    tags: set[int],
    folder: int,
    office: bool,
) -> None:
    mailboxes = [WORLD.mailboxes(1)[box] for box in sorted(boxes)]
    end = NOW - seconds_back
    start = end - length + 1
    folders = {box.folders[folder - 1] for box in mailboxes} if folder else set()
    conversations = [
        conversation
        for mailbox in mailboxes
        for conversation in lives(mailbox, start, end)
        if (not types or conversation.type in types)
        and (not tags or tags & (set(conversation.tags) or {1}))
        and (not folders or conversation.folder in folders)
    ]
    which = Filter(
        frozenset(types) or None, frozenset(tags) or None, frozenset(folders) or None, office
    )
    found = REPORTS.compute(mailboxes, start, end, NOW, which)
    assert summed(found) == by_hand(conversations, start, end, NOW, office)


def test_the_same_seed_gives_the_same_events_whatever_was_asked_before() -> None:
    one, other = World(3, 2, 3), World(3, 1, 40)
    days = date(2026, 1, 5), date(2026, 1, 9)
    late = one.conversations(1, 1002, days[1], days[1])
    assert one.conversations(1, 1001, *days) == other.conversations(1, 1001, *days)
    assert other.conversations(1, 1002, *days)[-len(late) :] == late


def test_another_seed_gives_another_world() -> None:
    days = date(2026, 1, 5), date(2026, 1, 9)
    assert World(1).conversations(1, 1001, *days) != World(2).conversations(1, 1001, *days)


def test_the_world_of_seed_one_is_the_same_on_every_machine_and_in_every_process() -> None:
    first = World(1).conversations(1, 1001, date(2026, 1, 5), date(2026, 1, 5))[0]
    assert (first.id, first.type, first.created, first.tags) == EXPECTED_FIRST


@given(later=st.integers(0, 30 * DAY))
@settings(max_examples=20, deadline=None)
def test_a_later_clock_never_changes_the_past(later: int) -> None:
    boxes = WORLD.mailboxes(2)[:2]
    span = NOW - 2 * DAY, NOW
    assert REPORTS.compute(boxes, *span, NOW, Filter()) == Reports(WORLD).compute(
        boxes, *span, NOW + later, Filter()
    )


def test_events_after_now_have_not_happened() -> None:
    boxes = WORLD.mailboxes(1)[:1]
    until_now = REPORTS.compute(boxes, NOW - DAY, NOW, NOW, Filter())
    beyond = REPORTS.compute(boxes, NOW - DAY, NOW + 5 * DAY, NOW, Filter())
    assert beyond._replace(end=NOW) == until_now
    assert REPORTS.compute(boxes, NOW + 1, NOW + DAY, NOW, Filter()) == Statistics(
        NOW + 1, NOW + DAY
    )


def test_moving_the_window_moves_the_answer_and_adjacent_windows_share_no_event() -> None:
    boxes = WORLD.mailboxes(1)
    edges = [NOW - hours * 3600 for hours in (48, 36, 24, 12, 0)]
    parts = [summed(REPORTS.compute(boxes, a + 1, b, NOW, Filter())) for a, b in pairwise(edges)]
    whole = summed(REPORTS.compute(boxes, edges[0] + 1, NOW, NOW, Filter()))
    assert len({part["replies_sent"] for part in parts}) > 1
    for name in ("replies", "wait", "handle", "first_replies", "closed", "replies_sent"):
        assert sum(part[name] for part in parts) == whole[name]


@pytest.mark.parametrize("office", [False, True])
@pytest.mark.no_cover
def test_a_month_fills_every_range_of_every_distribution(office: bool) -> None:
    boxes = WORLD.mailboxes(1)[:6]
    month = summed(REPORTS.compute(boxes, NOW - 30 * DAY, NOW, NOW, Filter(office_hours=office)))
    assert all(month["response_ranges"] + month["first_response_ranges"])
    assert all(month["handle_ranges"] + month["replies_ranges"])


def test_office_hours_drop_no_conversation_and_leave_the_handle_time_alone() -> None:
    span = NOW - 7 * DAY, NOW
    always = summed(REPORTS.compute(WORLD.mailboxes(1), *span, NOW, Filter()))
    office = summed(REPORTS.compute(WORLD.mailboxes(1), *span, NOW, Filter(office_hours=True)))
    same = ("conversations", "replies", "handle", "resolved", "closed", "replies_sent")
    assert [always[name] for name in same] == [office[name] for name in same]
    assert office["wait"] < always["wait"]
    assert office["resolution"] < always["resolution"]


MEANS = ("responseTime", "firstResponseTime", "handleTime", "resolutionTime", "repliesToResolve")
LATE_REPLY = {"responseTime": (7,), "handleTime": (3,), "response_ranges": (1, *[0] * 9)}


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(
    ("items", "means"),
    [
        (LATE_REPLY, (7, None, 3, None, None)),
        ({"outgoing": (1,)}, (None, None, None, None, None)),
        ({"closed": (1,)}, (None, None, None, None, None)),
        ({}, (0, 0, 0, None, None)),
    ],
    ids=["no first reply", "only unsolicited threads", "only closed", "nothing at all"],
)
def test_a_mean_over_nothing_is_null_except_where_a_range_is_wholly_empty(
    generation: int, items: dict[str, tuple[int, ...]], means: tuple[int | None, ...]
) -> None:
    body = report_body(generation, Statistics(NOW, NOW + DAY, **items), None)
    assert tuple(body["current"][name] for name in MEANS) == means


@pytest.mark.no_cover
def test_about_forty_conversations_arrive_a_mailbox_and_day_and_fewer_at_weekends() -> None:
    first, last = date(2026, 1, 5), date(2026, 3, 1)  # eight whole weeks
    created = [
        datetime.fromtimestamp(conversation.created, UTC)
        for mailbox in WORLD.mailboxes(1)
        for conversation in WORLD.conversations(1, mailbox.id, first, last)
    ]
    assert 34 < len(created) / 8 / 56 < 46
    weekend = sum(moment.weekday() >= 5 for moment in created)
    assert weekend / 2 < (len(created) - weekend) / 5
    assert sum(9 <= moment.hour < 17 for moment in created) > len(created) / 2


@pytest.mark.no_cover
def test_a_life_is_in_order_bounded_and_made_of_every_kind_of_event() -> None:
    conversations = [
        conversation
        for mailbox in WORLD.mailboxes(1)
        for conversation in WORLD.conversations(1, mailbox.id, date(2026, 2, 1), date(2026, 2, 14))
    ]
    assert len({conversation.id for conversation in conversations}) == len(conversations)
    assert {conversation.type for conversation in conversations} == {"email", "chat", "phone"}
    for kind in ("outgoing", "closings", "reopenings", "replies", "tags"):
        assert any(getattr(conversation, kind) for conversation in conversations)
    assert any(not conversation.replies for conversation in conversations)
    for conversation in conversations:
        replies = [reply.at for reply in conversation.replies]
        events = [conversation.customer_messages, replies, conversation.outgoing]
        for instants in [*events, conversation.closings, conversation.reopenings]:
            assert list(instants) == sorted(instants)
            assert all(0 <= at - conversation.created < 14 * DAY for at in instants)
        assert [reply.is_first for reply in conversation.replies] == [
            index == 0 for index in range(len(replies))
        ]


def test_a_wait_begins_with_the_earliest_message_after_the_last_reply() -> None:
    for conversation in lives(WORLD.mailboxes(1)[0], NOW - 7 * DAY, NOW):
        answered = 0
        for reply in conversation.replies:
            waiting = [at for at in conversation.customer_messages if answered < at <= reply.at]
            assert reply.at - reply.wait == min(waiting)
            assert reply.office_wait == office_by_hand(reply.at - reply.wait, reply.at)
            answered = reply.at


def test_the_names_are_as_hostile_as_life() -> None:
    names = [mailbox.name for mailbox in World(1).mailboxes(1)]
    assert len(names) == 6
    assert names.count("Support") == 2
    for part in ('"', "\\", "\n", "🌻"):
        assert any(part in name for name in names)
    many = [mailbox.name for mailbox in World(1, 1, 120).mailboxes(1)]
    assert many[:6] == names
    assert len(set(many)) == 119


def test_mailbox_ids_are_unique_over_accounts_and_do_not_depend_on_how_many_there_are() -> None:
    ids = [box.id for account in (1, 2, 3) for box in World(1, 3, 50).mailboxes(account)]
    assert len(set(ids)) == 150
    assert World(1, 3, 50).mailboxes(2)[:3] == World(1, 2, 3).mailboxes(2)


def test_another_accounts_mailbox_is_not_found() -> None:
    with pytest.raises(KeyError):
        WORLD.conversations(2, 1001, date(2026, 1, 1), date(2026, 1, 1))


def test_before_its_creation_a_mailbox_has_no_conversations() -> None:
    mailbox = WORLD.mailboxes(1)[0]
    born = day_of(mailbox.created)
    assert WORLD.conversations(1, mailbox.id, date(2014, 1, 1), born) == []
    assert WORLD.conversations(1, mailbox.id, born, born + timedelta(days=3))
    ancient = REPORTS.compute([mailbox], 0, mailbox.created - DAY, NOW, Filter())
    assert ancient == Statistics(0, mailbox.created - DAY)


@pytest.mark.parametrize(("accounts", "mailboxes"), [(0, 6), (1, -1), (1, 100_000)])
def test_a_world_of_senseless_size_is_refused(accounts: int, mailboxes: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        World(1, accounts, mailboxes)
