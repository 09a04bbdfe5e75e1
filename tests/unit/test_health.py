"""helpscout_up and helpscout_account_problem, from sequences (docs/behaviour.md#health)."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.health import ACCOUNT_WIDE, REASONS, AccountHealth, AccountStatus
from exporter.helpscout import errors

Event = tuple[object, ...]
"""("list", failure), ("report", seconds, mailbox, failure) or ("keep", mailboxes)."""

FOUND: Final = ("list", None)


def ok(at: float, mailbox: str = "1") -> Event:
    return ("report", at, mailbox, None)


def bad(at: float, failure: str, mailbox: str = "1") -> Event:
    return ("report", at, mailbox, failure)


def judge(events: list[Event], at: float, *, gate_closed: bool = False) -> AccountStatus:
    """Feed the events, looking after each as the poller does, and judge at last."""
    health = AccountHealth()
    for event in events:
        match event:
            case ("list", failure):
                assert failure is None or isinstance(failure, str)
                health.discovery(failure)
            case ("report", float() | int() as now, str() as mailbox, failure):
                assert failure is None or isinstance(failure, str)
                health.report(now, mailbox, failure)
                health.status(now, gate_closed=False)
            case ("keep", set() as mailboxes):
                health.keep(mailboxes)
            case _:
                raise AssertionError(event)
    return health.status(at, gate_closed=gate_closed)


UP: Final = True
DOWN: Final = False

CASES: Final[list[tuple[str, list[Event], float, bool, set[str]]]] = [
    # -- login and discovery
    ("before the first answer", [], 0, DOWN, set()),
    ("the mailboxes are listed", [FOUND], 0, UP, set()),
    ("login refused", [("list", "credentials")], 0, DOWN, {"credentials"}),
    ("the first list times out", [("list", "unreachable")], 0, DOWN, {"unreachable"}),
    ("the first list brings 500", [("list", "server_error")], 0, DOWN, {"unreachable"}),
    ("the first list is no JSON", [("list", "bad_response")], 0, DOWN, {"bad_response"}),
    ("the list is 403", [("list", "plan")], 0, DOWN, {"plan"}),
    ("the list is 402", [("list", "suspended")], 0, DOWN, {"suspended"}),
    ("the list is 404", [("list", "not_found")], 0, DOWN, {"bad_response"}),
    ("the list is 400", [("list", "bad_request")], 0, DOWN, {"bad_response"}),
    ("login works at last", [("list", "credentials"), FOUND], 0, UP, set()),
    (
        "a later list fails while reports work",
        [FOUND, ok(1), ("list", "unreachable")],
        2,
        DOWN,
        {"unreachable"},
    ),
    ("a later list works again", [FOUND, ok(1), ("list", "unreachable"), FOUND], 2, UP, set()),
    # -- every call of the last minute failed
    ("reports work", [FOUND, ok(1), ok(2, "2")], 3, UP, set()),
    (
        "every call times out, of two mailboxes",
        [FOUND, bad(1, "unreachable"), bad(2, "unreachable", "2")],
        3,
        DOWN,
        {"unreachable"},
    ),
    (
        "the only mailbox times out",
        [FOUND, ok(1), bad(62, "unreachable")],
        62,
        DOWN,
        {"unreachable"},
    ),
    (
        "one call of the last minute worked",
        [FOUND, ok(10), bad(20, "server_error", "2"), bad(69, "server_error", "3")],
        70,
        UP,
        set(),
    ),
    (
        "that one is more than a minute ago",
        [FOUND, ok(10), bad(20, "server_error", "2"), bad(69, "server_error", "3")],
        70.5,
        DOWN,
        {"unreachable"},
    ),
    (
        "no call in the last minute and the last one worked",
        [FOUND, bad(1, "server_error"), ok(2)],
        9000,
        UP,
        set(),
    ),
    (
        "no call in the last minute and the last one failed",
        [FOUND, ok(1), bad(100, "server_error")],
        9000,
        DOWN,
        {"unreachable"},
    ),
    (
        "the problem is that of the last call",
        [FOUND, bad(1, "unreachable"), bad(2, "bad_response")],
        3,
        DOWN,
        {"bad_response"},
    ),
    ("recovery", [FOUND, bad(1, "unreachable"), ok(2)], 2, UP, set()),
    # -- one ill mailbox
    (
        "one mailbox is 404 in a quiet minute",
        [FOUND, ok(0, "1"), bad(100, "not_found", "2")],
        101,
        UP,
        set(),
    ),
    (
        "one mailbox is 403 in a quiet minute",
        [FOUND, ok(0, "1"), bad(100, "plan", "2")],
        101,
        UP,
        set(),
    ),
    (
        "one mailbox brings garbage in a quiet minute",
        [FOUND, ok(0, "1"), bad(100, "bad_response", "2")],
        101,
        UP,
        set(),
    ),
    (
        "one mailbox brings 500 in a quiet minute, retries included",
        [FOUND, ok(0, "1"), *(bad(100 + n, "server_error", "2") for n in range(4))],
        104,
        UP,
        set(),
    ),
    (
        "one mailbox takes too long in a quiet minute",
        [FOUND, ok(0, "1"), bad(100, "unreachable", "2")],
        101,
        UP,
        set(),
    ),
    (
        "one mailbox is ill and so is the report over all",
        [FOUND, ok(0, "1"), bad(100, "server_error", "2"), bad(101, "server_error", "all")],
        102,
        UP,
        set(),
    ),
    (
        "two mailboxes bring 500 in one minute",
        [FOUND, ok(0, "1"), bad(100, "server_error", "2"), bad(101, "server_error", "3")],
        102,
        DOWN,
        {"unreachable"},
    ),
    (
        "the ill mailbox is deleted",
        [FOUND, bad(1, "not_found", "2"), ("keep", {"1"}), FOUND],
        2,
        UP,
        set(),
    ),
    (
        "the last mailbox is deleted",
        [FOUND, bad(1, "not_found", "1"), ("keep", set()), FOUND],
        2,
        UP,
        set(),
    ),
    # -- what is never one mailbox's fault
    (
        "403 on every report",
        [FOUND, bad(1, "plan", "1"), bad(2, "plan", "2"), bad(3, "plan", "all")],
        4,
        DOWN,
        {"plan"},
    ),
    (
        "403 on every report, long ago: nothing is asked any more",
        [FOUND, bad(1, "plan", "1"), bad(2, "plan", "2")],
        500,
        DOWN,
        {"plan"},
    ),
    ("402", [FOUND, ok(0, "1"), bad(100, "suspended", "2")], 101, DOWN, {"suspended"}),
    (
        "the token is refused twice",
        [FOUND, ok(0, "1"), bad(100, "credentials", "2")],
        101,
        DOWN,
        {"credentials"},
    ),
    ("429", [FOUND, ok(0, "1"), bad(100, "throttled", "2")], 101, DOWN, {"throttled"}),
]


@pytest.mark.parametrize(
    ("events", "at", "up", "problems"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_an_accounts_state_follows_from_its_calls(
    events: list[Event], at: float, up: bool, problems: set[str]
) -> None:
    assert judge(events, at) == AccountStatus(up, frozenset(problems))


def test_a_closed_gate_is_a_problem_while_it_lasts() -> None:
    events: list[Event] = [FOUND, ok(0), bad(30, "throttled")]
    assert judge(events, 31, gate_closed=True) == AccountStatus(True, frozenset({"throttled"}))
    assert judge(events, 31, gate_closed=False) == AccountStatus(True, frozenset())


def test_several_problems_are_told_at_once() -> None:
    events: list[Event] = [FOUND, bad(1, "suspended"), ("list", "credentials")]
    assert judge(events, 2, gate_closed=True).problems == {"throttled", "suspended", "credentials"}


def test_every_reason_of_an_error_is_a_problem_with_a_series() -> None:
    kinds = errors.HelpScoutError.__subclasses__()
    assert kinds
    for kind in kinds:
        status = judge([("list", kind.reason)], 0)
        assert len(status.problems) == 1
        assert status.problems <= set(REASONS)


def test_account_wide_reasons_are_reasons_of_errors() -> None:
    assert {kind.reason for kind in errors.HelpScoutError.__subclasses__()} >= ACCOUNT_WIDE


outcomes = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.sampled_from(["1", "2", "all"]),
        st.sampled_from([None, None, "server_error", "plan", "bad_response", "throttled"]),
    )
)


@given(outcomes)
def test_who_had_a_good_call_in_the_last_minute_is_up(
    calls: list[tuple[float, str, str | None]],
) -> None:
    events: list[Event] = [FOUND]
    now, last_good = 0.0, None
    for pause, mailbox, failure in calls:
        now += pause
        last_good = now if failure is None else last_good
        events.append(("report", now, mailbox, failure))
    if last_good is not None and now - last_good <= 60:
        assert judge(events, now) == AccountStatus(True, frozenset())


@given(outcomes)
def test_who_is_down_after_discovery_has_a_problem(
    calls: list[tuple[float, str, str | None]],
) -> None:
    events: list[Event] = [FOUND]
    now = 0.0
    for pause, mailbox, failure in calls:
        now += pause
        events.append(("report", now, mailbox, failure))
    status = judge(events, now)
    assert status.up is not bool(status.problems)
