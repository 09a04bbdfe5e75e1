"""Stores of made-up reports, by hand and by hypothesis, for the tests of the exposition."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from exporter.collectors.folders import Folder
from exporter.collectors.happiness import Ratings
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.collectors.waiting import Waiting
from exporter.collectors.waiting.wire import Row
from exporter.health import AccountStatus, Failure
from exporter.questions import ALL, Key, Mailbox, Window
from exporter.reasons import PROBLEMS
from exporter.sla import Objective
from exporter.store import Store
from tests.readings import AT, reading

DAY = Window("24h", timedelta(minutes=5))
WEEK = Window("7d", timedelta(minutes=35))
WINDOWS = (DAY, WEEK)
FAILURE = Failure("server_error", "HTTP 503", "ref-1")

OBJECTIVES = (
    Objective(
        "first-reply-1h",
        "first_response_time",
        timedelta(hours=1),
        0.9,
        ("24h", "7d"),
        ("*",),
        ("email",),
        (False,),
        ("",),
    ),
    Objective(
        'quick "handling"',
        "handle_time",
        timedelta(seconds=90),
        0.995,
        ("7d",),
        (2,),
        ("all", "email"),
        (False, True),
        ("", "vip"),
    ),
    Objective("two-replies", "replies_to_resolve", 2, 0.5, ("24h",), ("*",), ("all",), (True,), ()),
)

NASTY_NAMES = (
    'He said "hi"',
    "back\\slash",
    "line\nbreak",
    "carriage\rreturn",
    'all \\"\n\r at once\\',
    "🦊 emoji 👩‍👩‍👧",
    "",
    " ",
    "},{",
    'le="1.0"} 5\n# HELP x y',
    "\x00\x1b[31m\x85\u2028\u202e",
    "all",
    "+Inf",
    "Поддержка",
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.sampled_from(NASTY_NAMES) | text
# 2**53 is the most that enters at the edge; what is rendered is right beyond it, too.
means = st.floats(0, allow_nan=False, allow_infinity=False) | st.integers(0, 2**53)
counts = st.integers(0, 2**53)
statistics = st.builds(
    Statistics,
    *(st.none() | each for each in (counts, means, means, means, means, means)),
    *(st.none() | counts for _ in range(4)),
)


def distributions(ranges: int) -> st.SearchStrategy[Distribution | None]:
    """Distributions of so many ranges, some of them missing or empty."""
    some = st.tuples(*[counts] * ranges) | st.just((0,) * ranges)
    return st.none() | st.builds(Distribution, some, some)


reports = st.builds(
    ProductivityReport,
    statistics,
    st.none() | statistics,
    distributions(10),
    distributions(10),
    distributions(5),
    distributions(5),
    st.tuples(*[st.none() | means] * 5),
)

folders = st.lists(
    st.builds(
        Folder,
        st.integers(1, 5),
        st.sampled_from(["unassigned", "team", "custom"]),
        names,
        st.just(()) | st.tuples(st.tuples(st.just("active"), counts)),
    ),
    max_size=3,
    unique_by=lambda folder: folder.id,
).map(tuple)
waiting = st.builds(
    Waiting,
    st.lists(
        st.builds(
            Row,
            st.integers(1_773_000_000, 1_773_250_000),  # the readings are as of 1_773_239_400
            st.sampled_from(["email", "chat", ""]),
            st.just(()),
        ),
        max_size=4,
    ).map(tuple),
    st.just(()),
    st.booleans(),
)

ACCOUNTS = ("acme", 'other "one"\\')
SEGMENTS = ("", "vip", 'a "segment"\n')
keys = st.builds(
    Key,
    st.just("productivity"),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(["1", "2", "10", ALL]),
    st.sampled_from(["email", "chat", ALL]),
    st.sampled_from(["24h", "7d"]),
    st.sampled_from(["true", "false"]),
    st.sampled_from(SEGMENTS),
)
folder_keys = st.builds(
    Key, st.just("folders"), st.sampled_from(ACCOUNTS), st.sampled_from(["1", "2", "10"])
)
waiting_keys = st.builds(
    lambda account, mailbox_id: Key("waiting", account, mailbox_id),
    st.sampled_from(ACCOUNTS),
    st.sampled_from(["1", "2", "10"]),
)
statuses = st.builds(
    AccountStatus, st.booleans(), st.frozensets(st.sampled_from(list(PROBLEMS)), max_size=3)
)


def mailboxes(draw: st.DrawFn) -> list[Mailbox]:
    """The mailboxes that the keys speak of, under drawn names."""
    return [Mailbox(id_, draw(names), draw(names), draw(names)) for id_ in (1, 2, 10)]


@st.composite
def stores(draw: st.DrawFn) -> Store:
    """A store with a few reports, known, failed and not asked yet."""
    store = Store()
    store.set_accounts(ACCOUNTS)
    for account in ACCOUNTS:
        store.set_mailboxes(account, mailboxes(draw))
        store.set_status(account, draw(statuses))
    chosen = draw(st.lists(keys | folder_keys | waiting_keys, unique=True, max_size=6))
    for account in ACCOUNTS:
        store.schedule(account, [key for key in chosen if key.account == account])
    for key in chosen:
        if draw(st.booleans()):
            value = draw({"folders": folders, "waiting": waiting}.get(key.collector, reports))
            store.succeeded(key, reading(value))
        if draw(st.booleans()):
            store.failed(key, FAILURE)
    return store


def full_store() -> Store:
    """A store whose exposition has a sample of every family."""
    store = Store(clock=lambda: 100.0, wall=lambda: 1_700_000_000.0)
    store.set_accounts(["acme"])
    store.set_status(
        "acme",
        AccountStatus(
            True, frozenset({"throttled"}), (("productivity", False),), (("vip", False),), True
        ),
    )
    store.set_mailboxes("acme", [Mailbox(2, 'Sales "EU"', "5a1e5", "sales@example.com")])
    key = Key("productivity", "acme", "2", "email", "7d", "false", "")
    queues = Key("folders", "acme", "2")
    ratings = Key("happiness", "acme", "2", "email", "7d")
    waits = Key("waiting", "acme", "2")
    store.schedule("acme", [key, queues, ratings, waits])
    store.succeeded(ratings, reading(Ratings(41, 34, 35)))
    store.succeeded(key, reading(published_like()))
    folders = (
        Folder(501, "unassigned", "", (("active", 27), ("pending", 4))),
        Folder(508, "team", 'Tier "2"', (("active", 5),)),
    )
    store.succeeded(queues, reading(folders))
    since = int(AT.timestamp()) - 4000
    store.succeeded(waits, reading(Waiting((Row(since, "email", ()), Row(since + 2000, "", ())))))
    return store


def published_like() -> ProductivityReport:
    """A report with every figure known, in this period and in the one before."""
    return ProductivityReport(
        Statistics(20, 5400.5, 3600, 120.25, 86400, 1.75, 8, 2, 9, 31),
        Statistics(16, 5400.5, 7200, 100, 43200, 1.5, 10, 5, 8, 0),
        Distribution((1, 2, 3, 0, 0, 0, 0, 0, 0, 4), (0,) * 10),
        Distribution((4, 3, 2, 1, 0, 0, 0, 0, 0, 0), (0,) * 10),
        Distribution((5, 5, 0, 0, 0), (0,) * 5),
        Distribution((2, 3, 1, 1, 1), (0,) * 5),
        (3600.0, 7200.5, None, 0.0, 172800.0),
    )
