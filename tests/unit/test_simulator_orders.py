"""Orders change a team's part of the world's events, and nothing that happened before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from exporter.simulator.orders import Order, Orders
from exporter.simulator.queue import ConversationState, Queues
from exporter.simulator.world import Conversation, World
from tests.unit.test_simulator_world import office_by_hand

ELEVEN = int(datetime(2026, 3, 11, 11, tzinfo=UTC).timestamp())
HOUR, DAY = 3600, 86_400
DAYS = date(2026, 2, 20), date(2026, 3, 16)
WORLD = World(seed=1, accounts=2, mailboxes=2)


def lives(*orders: Order, account: int = 1, box: int = 1001) -> dict[int, Conversation]:
    world = World(1, 2, 2, Orders(orders)) if orders else WORLD
    return {life.id: life for life in world.conversations(account, box, *DAYS)}


def by_the_team(life: Conversation) -> list[int]:
    replies = [reply.at for reply in life.replies]
    return sorted([*replies, *life.outgoing, *life.closings])


def events(life: Conversation) -> list[int]:
    return sorted([*by_the_team(life), *life.customer_messages, *life.reopenings])


BEFORE = lives()


def test_a_silent_team_does_nothing_from_then_on_and_customers_go_on_writing() -> None:
    after = lives(Order(start=ELEVEN, silent=True))
    for life in after.values():
        assert all(at < ELEVEN for at in by_the_team(life))
        was = events(BEFORE[life.id])
        assert events(life) == was[: len(events(life))], "what is left is as it was"
    lost = BEFORE.keys() - after.keys()
    assert all(BEFORE[id_].outgoing[0] >= ELEVEN for id_ in lost)
    assert lost
    news = [life for life in after.values() if life.created >= ELEVEN]
    assert len(news) > 30
    assert not any(life.replies for life in news)


def test_a_silence_that_ends_is_made_up_for_within_an_hour() -> None:
    end = ELEVEN + 5 * HOUR
    after = lives(Order(start=ELEVEN, end=end, silent=True))
    for life in after.values():
        assert not [at for at in by_the_team(life) if ELEVEN <= at < end]
    late = [
        reply
        for life in after.values()
        for reply in life.replies
        if end <= reply.at < end + HOUR and reply.at - reply.wait < end
    ]
    assert len(late) > 10
    for reply in late:
        assert reply.office_wait == office_by_hand(reply.at - reply.wait, reply.at)


def test_late_replies_are_later_by_so_much_and_all_that_follows_with_them() -> None:
    after = lives(Order(start=ELEVEN, late=2 * HOUR))
    changed = 0
    for life in after.values():
        was = BEFORE[life.id]
        first = next((n for n, reply in enumerate(was.replies) if reply.at >= ELEVEN), None)
        if first is None or first >= len(life.replies):
            continue
        changed += 1
        assert life.replies[first].at == was.replies[first].at + 2 * HOUR
        assert life.replies[first].wait == was.replies[first].wait + 2 * HOUR
        assert life.replies[:first] == was.replies[:first]
        for old, new in ((was.closings, life.closings), (was.reopenings, life.reopenings)):
            for before, later in zip(old, new, strict=False):
                is_later = before >= was.replies[first].at
                assert later - before >= 2 * HOUR if is_later else later == before
    assert changed > 20


def test_a_swift_team_lets_nobody_wait_for_longer_than_that_within_office_hours() -> None:
    after = lives(Order(within=HOUR // 2))
    replies = [reply for life in after.values() for reply in life.replies]
    assert len(replies) > 500
    assert max(reply.office_wait for reply in replies) <= HOUR // 2
    assert max(reply.wait for reply in replies) > 12 * HOUR, "nobody replies at night"


@pytest.mark.parametrize("order", [{"account": 2}, {"mailbox": 1002}, {"mailbox": 101001}])
def test_an_order_leaves_other_teams_alone(order: dict[str, Any]) -> None:
    assert lives(Order(start=ELEVEN, silent=True, **order)) == BEFORE


def test_a_flood_arrives_evenly_with_ids_of_its_own_and_is_never_answered() -> None:
    floods = (
        Order(mailbox=1001, start=ELEVEN, flood=1000),
        Order(mailbox=1001, start=ELEVEN - DAY, end=ELEVEN + DAY, flood=96),
    )
    after = lives(*floods)
    new = [life for id_, life in after.items() if id_ not in BEFORE]
    assert {id_: after[id_] for id_ in BEFORE} == BEFORE
    assert len(new) == 1096
    assert not any(by_the_team(life) for life in new)
    for start, end, number in ((0, ELEVEN, 48), (ELEVEN, ELEVEN + HOUR, 1002)):
        assert sum(start <= life.created < end for life in new) == number


def states(now: int, *orders: Order, box: int = 0) -> tuple[ConversationState, ...]:
    all_orders = Orders(orders)
    world = World(1, 2, 2, all_orders)
    return Queues(world, world.day, all_orders).states(world.mailboxes(1)[box], now)


def test_under_silence_everybody_who_writes_waits_since_then() -> None:
    now = ELEVEN + 6 * HOUR
    found = states(now, Order(start=ELEVEN, silent=True))
    waiting = [one.since for one in found if one.latest == "customer" and one.status == "active"]
    wrote = {
        message
        for life in BEFORE.values()
        for message in life.customer_messages[:1]
        if ELEVEN <= message <= now and not life.outgoing
    }
    assert wrote <= set(waiting)
    assert len(waiting) > len([one for one in states(now) if one.waits])


def test_a_swift_team_has_answered_all_by_the_time_it_falls_silent() -> None:
    orders = Order(within=HOUR // 2), Order(start=ELEVEN, silent=True)
    for now, longest in ((ELEVEN - 1, HOUR // 2), (ELEVEN + 2 * HOUR, HOUR // 2 + 2 * HOUR)):
        waits = [office_by_hand(one.since, now) for one in states(now, *orders) if one.waits]
        assert waits
        assert max(waits) <= longest
    assert max(waits) > HOUR


def test_a_snoozed_share_waits_no_longer_until_the_order_ends() -> None:
    end = ELEVEN + 4 * HOUR
    order = Order(start=ELEVEN, end=end, snooze=1.0)
    during = [one for one in states(end - 1, order) if one.since >= ELEVEN]
    snoozed = [one for one in during if one.status == "active" and one.latest == "customer"]
    assert min(one.snoozed_until or 0 for one in snoozed) == end
    assert not any(one.waits for one in during)
    assert states(end, order) == states(end)
