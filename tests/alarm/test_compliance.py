"""The exporter's share within a target, against the conversations the simulator reports on.

Exact at the edges of the ranges; elsewhere within the bounds of the range that the target is in.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import World
from exporter.simulator.report import Filter, Reports
from exporter.sla import EDGES, compliance

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANTS = st.integers(0, 20 * 86_400)
LENGTHS = st.integers(3600, 8 * 86_400)


@lru_cache(64)
def figures(seed: int, since: int, seconds: int) -> dict[str, list[float]]:
    """Return what was measured of each conversation that was answered in a range."""
    first = int(START.timestamp()) + since
    last = first + seconds - 1
    world, _ = service(seed)
    (mailbox,) = world.mailboxes(1)
    found: dict[str, list[float]] = {name: [] for name in EDGES}
    days = (
        datetime.fromtimestamp(first, UTC).date() - timedelta(15),
        datetime.fromtimestamp(last, UTC).date(),
    )
    for conversation in world.conversations(1, mailbox.id, *days):
        replies = [reply for reply in conversation.replies if first <= reply.at <= last]
        if not replies:
            continue
        found["response_time"].append(sum(reply.wait for reply in replies) / len(replies))
        found["handle_time"].append(sum(reply.handle for reply in replies) / len(replies))
        found["first_response_time"] += [reply.wait for reply in replies if reply.is_first]
        began = conversation.replies[0].at
        resolved = next((at for at in conversation.closings if at >= began), None)
        if resolved is not None and first <= resolved <= last:
            until = [reply for reply in conversation.replies if reply.at <= resolved]
            found["replies_to_resolve"].append(len(until))
    return found


RANGES = {
    "response_time": "response_ranges",
    "first_response_time": "first_response_ranges",
    "handle_time": "handle_ranges",
    "replies_to_resolve": "replies_ranges",
}


@lru_cache(5)
def service(seed: int) -> tuple[World, Reports]:
    """Return a world and what reports on it."""
    world = World(seed, mailboxes=1)
    return world, Reports(world)


def distribution(seed: int, since: int, seconds: int, statistic: str) -> tuple[int, ...]:
    """Return the distribution that the simulated Help Scout reports for a range."""
    world, reports = service(seed)
    first = int(START.timestamp()) + since
    last = first + seconds - 1
    found = reports.compute(world.mailboxes(1), first, last, last, Filter())
    counts: tuple[int, ...] = getattr(found, RANGES[statistic])
    return counts


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), INSTANTS, LENGTHS, st.sampled_from(sorted(EDGES)), st.data())
def test_the_share_is_exact_at_edges_and_within_the_ranges_bounds_elsewhere(
    seed: int, since: int, seconds: int, statistic: str, data: st.DataObject
) -> None:
    values, edges = figures(seed, since, seconds)[statistic], EDGES[statistic]
    replies = statistic == "replies_to_resolve"
    counts = distribution(seed, since, seconds, statistic)
    target = data.draw(
        st.sampled_from(edges) | st.floats(0, edges[-1], exclude_min=True, allow_subnormal=False)
    )
    share = compliance(counts, edges, target)
    if not values:
        assert share is None
        return
    assert share is not None
    assert share.conversations == len(values)

    def within(bound: float) -> float:
        return sum(value <= bound if replies else value < bound for value in values) / len(values)

    if target in edges:
        assert share.ratio == within(target)
    else:
        position = bisect_right(edges, target)
        lower = edges[position - 1] if position else 0
        assert within(lower) - 1e-12 <= share.ratio <= within(edges[position]) + 1e-12
