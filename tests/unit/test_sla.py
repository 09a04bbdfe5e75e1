"""Which share of a distribution is within a target: exact at the edges, bounded in between."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.questions import Key
from exporter.sla import EDGES, Compliance, Objective, compliance

tables = st.sampled_from(sorted(set(EDGES.values())))


@st.composite
def distributions(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    edges = draw(tables)
    counts = draw(
        st.lists(st.integers(0, 2**40), min_size=len(edges) + 1, max_size=len(edges) + 1).filter(
            any
        )
    )
    return tuple(counts), edges


def share(counts: tuple[int, ...], edges: tuple[int, ...], target: float) -> float:
    found = compliance(counts, edges, target)
    assert found is not None
    return found.ratio


@given(distributions())
def test_at_an_edge_the_share_is_exactly_what_is_below(
    shape: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    counts, edges = shape
    for position, edge in enumerate(edges, start=1):
        expected = sum(counts[:position]) / sum(counts)
        assert compliance(counts, edges, edge) == Compliance(expected, sum(counts))


@given(distributions(), st.data())
def test_inside_a_range_the_share_is_between_those_of_its_edges(
    shape: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject
) -> None:
    counts, edges = shape
    position = data.draw(st.integers(0, len(edges) - 1))
    lower = 0 if position == 0 else edges[position - 1]
    target = data.draw(
        st.floats(lower, edges[position], exclude_min=True, exclude_max=True, allow_subnormal=False)
    )
    at_most = share(counts, edges, edges[position])
    at_least = 0.0 if position == 0 else share(counts, edges, lower)
    assert at_least <= share(counts, edges, target) <= at_most * (1 + 1e-12)


@given(distributions(), st.data())
def test_a_later_target_never_has_a_smaller_share(
    shape: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject
) -> None:
    counts, edges = shape
    targets = st.floats(0, edges[-1], exclude_min=True)
    earlier, later = sorted((data.draw(targets), data.draw(targets)))
    assert share(counts, edges, earlier) <= share(counts, edges, later) * (1 + 1e-12)


@given(distributions(), st.data())
def test_the_share_is_from_0_to_1_and_of_every_conversation(
    shape: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject
) -> None:
    counts, edges = shape
    found = compliance(counts, edges, data.draw(st.floats(0, edges[-1], exclude_min=True)))
    assert found is not None
    assert 0 <= found.ratio <= 1
    assert found.conversations == sum(counts)


@pytest.mark.parametrize(
    ("counts", "target", "expected"),
    [
        ((4, 0, 0, 0, 0), 60, 1.0),
        ((4, 0, 0, 0, 0), 30, 0.5),
        ((4, 0, 0, 0, 0), 15, 0.25),
        ((1, 2, 1, 0, 0), 90, 0.5),
        ((0, 0, 0, 0, 4), 600, 0.0),
        ((0, 0, 0, 3, 1), 450, 0.375),
    ],
)
def test_inside_a_range_the_share_is_interpolated(
    counts: tuple[int, ...], target: float, expected: float
) -> None:
    assert compliance(counts, EDGES["handle_time"], target) == Compliance(expected, 4)


@pytest.mark.parametrize("statistic", EDGES)
def test_an_empty_distribution_has_no_share(statistic: str) -> None:
    edges = EDGES[statistic]
    assert compliance((0,) * (len(edges) + 1), edges, edges[0]) is None


@pytest.mark.parametrize("target", [0, -1, 600.001, 601, float("inf"), float("nan")])
def test_a_target_outside_of_the_edges_is_refused(target: float) -> None:
    with pytest.raises(ValueError) as caught:
        compliance((1, 1, 1, 1, 1), EDGES["handle_time"], target)
    assert str(caught.value) == "a target is above 0 and at most the last edge, 600"


@pytest.mark.parametrize(
    ("statistic", "target", "expected"),
    [("first_response_time", timedelta(hours=1), 3600.0), ("replies_to_resolve", 2, 2)],
)
def test_a_target_is_measured_in_the_unit_of_the_edges(
    statistic: str, target: timedelta | int, expected: float
) -> None:
    objective = Objective("n", statistic, target, 0.9, ("1d",), ("*",), ("all",), (False,), ("",))
    assert objective.target_value == expected


@pytest.mark.parametrize(
    ("windows", "horizons"),
    [
        (("24h",), ["short"]),
        (("24h", "7d"), ["short", "long"]),
        (("8h", "24h", "7d", "30d"), ["short", "mid", "mid", "long"]),
    ],
)
def test_the_first_window_is_the_short_horizon_and_the_last_of_several_the_long_one(
    windows: tuple[str, ...], horizons: list[str]
) -> None:
    objective = Objective(
        *("a", "first_response_time", timedelta(hours=1), 0.9, windows),
        *(("*",), ("all",), (False,), ("",)),
    )
    assert [objective.horizon(window) for window in windows] == horizons


def test_a_promise_for_a_mailbox_is_none_for_all_of_them_together() -> None:
    ours = Objective(
        "n", "handle_time", timedelta(minutes=1), 0.9, ("1d",), (1,), ("all",), (False,), ("",)
    )
    key = Key("productivity", "acme", "1", "all", "1d", "false")
    assert ours.covers(key, "Support")
    assert not ours.covers(key._replace(mailbox_id="all"), "all")
