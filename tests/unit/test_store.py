"""The latest of everything: immutable snapshots, expiry by the monotonic clock, renames."""

import random
import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from exporter.collectors.productivity.report import ProductivityReport, Statistics
from exporter.health import AccountStatus, Failure, Trouble
from exporter.questions import Key, Mailbox
from exporter.store import Entry, Snapshot, Store, Troubles
from tests.readings import reading

FAILURE = Failure("server_error", "HTTP 503", "ref-1")


class Clocks:
    """Both clocks of a store, set by hand and apart."""

    def __init__(self) -> None:
        self.monotonic, self.wall = 100.0, 1_700_000_000.0

    def pass_(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


def report(closed: int = 1) -> ProductivityReport:
    return ProductivityReport(Statistics(closed=closed))


def key(mailbox_id: str = "1", account: str = "acme", window: str = "24h") -> Key:
    return Key("productivity", account, mailbox_id, "email", window, "false", "")


DAILY = (key("1"), key("2"), key("all"))
SUPPORT, SALES = Mailbox(1, "Support", "s", "s@x"), Mailbox(2, "Sales", "t", "t@x")


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(clocks: Clocks) -> Store:
    """A store with an account, two mailboxes and a key for each and for all."""
    made = Store(clock=lambda: clocks.monotonic, wall=lambda: clocks.wall)
    made.set_accounts(["acme"])
    made.set_mailboxes("acme", [SUPPORT, SALES])
    made.schedule("acme", [key("1"), key("2"), key("all")])
    return made


def test_a_new_store_is_empty() -> None:
    snapshot = Store().snapshot()
    assert (dict(snapshot.entries), snapshot.mailboxes, dict(snapshot.accounts)) == ({}, (), {})


def test_a_snapshot_cannot_be_changed(store: Store) -> None:
    snapshot: Any = store.snapshot()
    with pytest.raises(FrozenInstanceError):
        snapshot.revision = 7
    with pytest.raises(TypeError):
        snapshot.entries[key()] = Entry("x")
    with pytest.raises(TypeError):
        snapshot.accounts["x"] = AccountStatus()
    with pytest.raises(FrozenInstanceError):
        snapshot.entries[key()].reading = None


def test_a_snapshot_stays_as_it_was(store: Store) -> None:
    before = store.snapshot()
    entry = before.entries[key()]
    store.succeeded(key(), reading(report()))
    store.set_status("acme", AccountStatus(True))
    store.set_mailboxes("acme", [])
    store.schedule("acme", [])
    assert before.entries[key()] is entry
    assert before.accounts == {"acme": AccountStatus()}
    assert before.mailboxes == (("acme", SUPPORT), ("acme", SALES))


def test_without_a_change_it_is_the_same_snapshot(store: Store) -> None:
    assert store.snapshot() is store.snapshot()


def test_an_entry_that_did_not_change_is_the_same_object(store: Store) -> None:
    store.succeeded(key("2"), reading(report()))
    before = store.snapshot()
    store.succeeded(key("1"), reading(report()))
    after = store.snapshot()
    assert after.revision == before.revision + 1
    assert after.entries[key("2")] is before.entries[key("2")]
    assert after.entries[key("all")] is before.entries[key("all")]
    assert after.entries[key("1")] is not before.entries[key("1")]


def test_what_changes_nothing_makes_no_new_snapshot(store: Store) -> None:
    store.failed(key(), FAILURE)
    before = store.snapshot()
    store.changed.clear()
    store.failed(key(), FAILURE)
    store.set_status("acme", AccountStatus())
    store.set_mailboxes("acme", [SUPPORT, SALES])
    store.schedule("acme", [key("all"), key("2"), key("1")])
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 7))
    assert store.snapshot() is before
    assert not store.changed.is_set()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.set_accounts([]),
        lambda store: store.set_status("acme", AccountStatus(True)),
        lambda store: store.set_mailboxes("acme", [SUPPORT]),
        lambda store: store.schedule("acme", [key()]),
        lambda store: store.schedule("acme", [key(), key("2"), key("all"), key(window="7d")]),
        lambda store: store.succeeded(key(), reading(report())),
        lambda store: store.failed(key(), FAILURE),
    ],
)
def test_a_change_makes_a_new_snapshot_and_says_so(
    store: Store, change: Callable[[Store], None]
) -> None:
    before = store.snapshot()
    store.changed.clear()
    change(store)
    assert store.changed.is_set()
    assert store.snapshot().revision == before.revision + 1


# --- reports ------------------------------------------------------------------------------------


def test_before_the_first_attempt_nothing_is_known(store: Store) -> None:
    assert store.snapshot().entries[key()] == Entry("Support")
    assert store.snapshot().entries[key()].success is None


def test_a_success_is_kept_with_its_time(store: Store, clocks: Clocks) -> None:
    store.succeeded(key(), reading(report(5)))
    assert store.snapshot().entries[key()] == Entry(
        "Support", reading(report(5)), clocks.wall, clocks.monotonic, True
    )


def test_a_failure_keeps_the_report_and_the_time_of_its_success(
    store: Store, clocks: Clocks
) -> None:
    store.succeeded(key(), reading(report()))
    succeeded_at = clocks.wall
    clocks.pass_(30)
    store.failed(key(), FAILURE)
    entry = store.snapshot().entries[key()]
    assert (entry.reading, entry.succeeded_at, entry.success) == (
        reading(report()),
        succeeded_at,
        False,
    )


def test_a_success_after_a_failure_is_a_success(store: Store) -> None:
    store.failed(key(), FAILURE)
    store.succeeded(key(), reading(report()))
    assert store.snapshot().entries[key()].success is True


def test_a_failure_does_not_make_a_report_fresh(store: Store, clocks: Clocks) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report()))
    clocks.pass_(400)
    store.failed(key(), FAILURE)
    clocks.pass_(201)
    assert store.snapshot().entries[key()].reading is None


# --- what fails ---------------------------------------------------------------------------------


def test_a_trouble_lasts_from_the_first_failure_to_the_next_success(
    store: Store, clocks: Clocks
) -> None:
    began = clocks.wall
    store.failed(key(), FAILURE)
    clocks.pass_(60)
    other = Failure("unreachable", "no answer")
    store.failed(key(), other)
    assert store.troubles().reports == {key(): Trouble(other, began, began + 60)}
    store.succeeded(key(), reading(report()))
    assert store.troubles().reports == {}


def test_a_trouble_goes_with_its_report_its_account_and_nobody_elses(store: Store) -> None:
    for each in (key(), key("2"), key("9")):
        store.failed(each, FAILURE)
    assert set(store.troubles().reports) == {key(), key("2")}
    store.schedule("acme", [key()])
    assert set(store.troubles().reports) == {key()}
    store.set_login("acme", FAILURE)
    store.set_login("nobody", FAILURE)
    assert set(store.troubles().accounts) == {"acme"}
    store.set_accounts([])
    assert store.troubles() == Troubles({}, {}, {}, {})


def test_a_login_that_fails_is_a_trouble_until_it_succeeds(store: Store, clocks: Clocks) -> None:
    began = clocks.wall
    store.set_login("acme", FAILURE)
    clocks.pass_(15)
    store.set_login("acme", FAILURE)
    assert store.troubles().accounts == {"acme": Trouble(FAILURE, began, began + 15)}
    store.set_login("acme", None)
    assert store.troubles().accounts == {}


def test_since_when_an_account_is_ill_does_not_move_while_it_is(
    store: Store, clocks: Clocks
) -> None:
    store.set_status("acme", AccountStatus(up=True))
    assert store.troubles().since == {}
    began = clocks.wall
    store.set_status("acme", AccountStatus(True, frozenset({"throttled"})))
    clocks.pass_(30)
    store.set_status("acme", AccountStatus(False, frozenset({"unreachable"})))
    store.set_accounts(["acme", "new"])
    assert store.troubles().since == {"acme": began, "new": clocks.wall}
    store.set_status("acme", AccountStatus(up=True))
    assert store.troubles().since == {"new": clocks.wall}


@pytest.mark.parametrize(("age", "kept"), [(599.9, True), (600.0, True), (600.1, False)])
def test_a_report_that_is_not_refreshed_expires(
    store: Store, clocks: Clocks, age: float, kept: bool
) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report()))
    clocks.pass_(age)
    assert (store.snapshot().entries[key()].reading is not None) is kept


def test_what_expired_keeps_its_last_success_and_its_outcome(store: Store, clocks: Clocks) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report()))
    succeeded_at = clocks.wall
    store.failed(key(), FAILURE)
    clocks.pass_(10_000)
    entry = store.snapshot().entries[key()]
    assert (entry.reading, entry.succeeded_at, entry.success) == (None, succeeded_at, False)


def test_what_arrives_after_a_look_expires_before_what_was_there(
    store: Store, clocks: Clocks
) -> None:
    store.set_lifetimes("acme", {key("1"): 3_600, key("2"): 600})
    store.snapshot()
    store.succeeded(key("1"), reading(report()))
    store.snapshot()
    store.succeeded(key("2"), reading(report()))
    clocks.pass_(601)
    assert [store.snapshot().entries[key(n)].reading is None for n in "12"] == [False, True]
    clocks.pass_(3_000)
    assert store.snapshot().entries[key("1")].reading is None


def test_a_shorter_lifetime_applies_at_once_to_reports_already_held(
    store: Store, clocks: Clocks
) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 1200))
    store.succeeded(key(), reading(report()))
    store.snapshot()
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    clocks.pass_(601)
    assert store.snapshot().entries[key()].reading is None


@pytest.mark.parametrize(
    ("age", "kept_for"), [(0, 600), (400, 200), (600, 0), (601, -1), (-299, 600), (-301, -1)]
)
def test_a_restored_reading_is_as_old_as_it_was(
    store: Store, clocks: Clocks, age: float, kept_for: float
) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.restore(key(), reading(report()), clocks.wall - age)
    assert (store.snapshot().entries[key()].reading is not None) is (kept_for >= 0)
    if kept_for >= 0:
        assert store.snapshot().entries[key()].succeeded_at == clocks.wall - age
        clocks.pass_(kept_for)
        assert store.snapshot().entries[key()].reading is not None
        clocks.pass_(1)
        assert store.snapshot().entries[key()].reading is None
    else:
        assert store.snapshot().entries[key()] == Entry("Support")


def test_a_restored_reading_does_not_take_the_place_of_an_answer(
    store: Store, clocks: Clocks
) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report(2)))
    store.restore(key(), reading(report(1)), clocks.wall)
    assert store.snapshot().entries[key()].reading == reading(report(2))


def test_expiry_makes_one_new_snapshot_and_then_no_more(store: Store, clocks: Clocks) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report()))
    before = store.snapshot()
    clocks.pass_(601)
    after = store.snapshot()
    assert after.revision == before.revision + 1
    clocks.pass_(601)
    assert store.snapshot() is after


def test_a_success_ends_an_expiry(store: Store, clocks: Clocks) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report(1)))
    clocks.pass_(601)
    assert store.snapshot().entries[key()].reading is None
    store.succeeded(key(), reading(report(2)))
    assert store.snapshot().entries[key()].reading == reading(report(2))


def test_a_lifetime_is_one_windows_of_one_account(store: Store, clocks: Clocks) -> None:
    other, week = key(account="other"), key(window="7d")
    store.set_accounts(["acme", "other"])
    store.schedule("acme", [key(), week])
    store.schedule("other", [other])
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    for each in (key(), week, other):
        store.succeeded(each, reading(report()))
    clocks.pass_(601)
    entries = store.snapshot().entries
    assert [entries[each].reading is None for each in (key(), week, other)] == [True, False, False]


def test_a_longer_lifetime_applies_to_reports_already_held(store: Store, clocks: Clocks) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report()))
    clocks.pass_(500)
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 1200))
    clocks.pass_(500)
    assert store.snapshot().entries[key()].reading == reading(report())


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -1e9, 1e9])
def test_a_jump_of_the_wall_clock_does_not_lose_or_keep_a_report(
    store: Store, clocks: Clocks, jump: float
) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key(), reading(report()))
    before = store.snapshot()
    clocks.wall += jump
    assert store.snapshot() is before
    clocks.monotonic += 601
    assert store.snapshot().entries[key()].reading is None


def test_an_unknown_key_is_ignored(store: Store) -> None:
    before = store.snapshot()
    store.succeeded(key("3"), reading(report()))
    store.failed(key("3"), FAILURE)
    store.succeeded(key(account="stranger"), reading(report()))
    assert store.snapshot() is before


def test_an_answer_for_a_dropped_key_is_ignored(store: Store) -> None:
    store.schedule("acme", [key("2")])
    store.succeeded(key("1"), reading(report()))
    assert set(store.snapshot().entries) == {key("2")}


def test_a_new_plan_keeps_the_reports_that_are_still_wanted(store: Store) -> None:
    store.succeeded(key("1"), reading(report()))
    store.schedule("acme", [key("1"), key(window="7d")])
    entries = store.snapshot().entries
    assert set(entries) == {key("1"), key(window="7d")}
    assert entries[key("1")].reading == reading(report())


# --- mailboxes and accounts ---------------------------------------------------------------------


def test_a_renamed_mailbox_takes_its_reports_along(store: Store) -> None:
    store.succeeded(key("1"), reading(report()))
    before = store.snapshot()
    store.set_mailboxes("acme", [Mailbox(1, "Help", "s", "s@x"), SALES])
    after = store.snapshot()
    assert after.entries[key("1")].mailbox == "Help"
    assert after.entries[key("1")].reading is before.entries[key("1")].reading
    assert after.entries[key("2")] is before.entries[key("2")]
    assert store.mailbox_name(key("1")) == "Help"


def test_a_rename_does_not_make_a_report_fresh(store: Store, clocks: Clocks) -> None:
    store.set_lifetimes("acme", dict.fromkeys(DAILY, 600))
    store.succeeded(key("1"), reading(report()))
    clocks.pass_(400)
    store.set_mailboxes("acme", [Mailbox(1, "Help", "s", "s@x")])
    clocks.pass_(201)
    assert store.snapshot().entries[key("1")].reading is None


def test_a_rename_in_one_account_leaves_the_same_id_of_another_alone(store: Store) -> None:
    store.set_accounts(["acme", "other"])
    store.set_mailboxes("other", [SUPPORT])
    store.schedule("other", [key(account="other")])
    store.set_mailboxes("acme", [Mailbox(1, "Help", "s", "s@x")])
    snapshot = store.snapshot()
    assert snapshot.entries[key(account="other")].mailbox == "Support"
    assert [(account, box.name) for account, box in snapshot.mailboxes] == [
        ("acme", "Help"),
        ("other", "Support"),
    ]


def test_a_deleted_mailboxs_reports_vanish(store: Store) -> None:
    store.succeeded(key("1"), reading(report()))
    store.set_mailboxes("acme", [SALES])
    store.schedule("acme", [key("2"), key("all")])
    snapshot = store.snapshot()
    assert set(snapshot.entries) == {key("2"), key("all")}
    assert snapshot.mailboxes == (("acme", SALES),)


@pytest.mark.parametrize(("mailbox_id", "name"), [("1", "Support"), ("all", "all"), ("9", "9")])
def test_a_key_bears_its_mailboxs_name_or_else_the_id(
    store: Store, mailbox_id: str, name: str
) -> None:
    assert store.mailbox_name(key(mailbox_id)) == name


def test_a_mailbox_called_all_is_not_all(store: Store) -> None:
    store.set_mailboxes("acme", [Mailbox(1, "all", "s", "s@x")])
    entries = store.snapshot().entries
    assert (entries[key("1")].mailbox, entries[key("all")].mailbox) == ("all", "all")


def test_of_another_login_under_an_old_name_nothing_is_known(store: Store) -> None:
    store.set_status("acme", AccountStatus(up=True))
    store.succeeded(key("1"), reading(report()))
    store.failed(key("2"), FAILURE)
    store.set_login("acme", FAILURE)
    store.forget("acme")
    snapshot, troubles = store.picture()
    assert (dict(snapshot.entries), snapshot.mailboxes) == ({}, ())
    assert snapshot.accounts == {"acme": AccountStatus()}
    assert (dict(troubles.reports), dict(troubles.accounts)) == ({}, {})


def test_an_account_taken_out_takes_everything_along(store: Store) -> None:
    store.set_accounts(["acme", "other"])
    store.set_mailboxes("other", [SUPPORT])
    store.schedule("other", [key(account="other")])
    store.set_status("other", AccountStatus(True))
    store.set_accounts(["other"])
    snapshot = store.snapshot()
    assert snapshot.accounts == {"other": AccountStatus(True)}
    assert set(snapshot.entries) == {key(account="other")}
    assert snapshot.mailboxes == (("other", SUPPORT),)


def test_the_last_words_of_an_account_taken_out_are_ignored(store: Store) -> None:
    store.set_accounts([])
    before = store.snapshot()
    store.set_status("acme", AccountStatus(True))
    store.set_mailboxes("acme", [SUPPORT])
    store.schedule("acme", [key()])
    store.succeeded(key(), reading(report()))
    assert store.snapshot() is before


def test_snapshots_are_consistent_while_many_threads_write() -> None:
    store = Store()
    store.set_accounts(["acme"])
    keys = [key(str(number)) for number in range(20)]
    store.schedule("acme", keys)
    seen: list[Snapshot] = []
    stop = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(300):
            store.succeeded(chance.choice(keys), reading(report(number)))
            store.failed(chance.choice(keys), FAILURE)

    def read() -> None:
        while not stop.is_set():
            seen.append(store.snapshot())

    writers = [threading.Thread(daemon=True, target=write, args=(seed,)) for seed in range(4)]
    reader = threading.Thread(daemon=True, target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    last = store.snapshot()
    assert all(set(snapshot.entries) == set(keys) for snapshot in seen)
    revisions = [snapshot.revision for snapshot in [*seen, last]]
    assert revisions == sorted(revisions)
    by_revision = {snapshot.revision: snapshot for snapshot in seen}
    assert all(by_revision[snapshot.revision] is snapshot for snapshot in seen)


# --- what belongs together -----------------------------------------------------------------------


def test_a_reader_sees_all_of_what_is_noted_at_once_or_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store._TURN_SECONDS", 20)
    seen: list[tuple[Snapshot, Troubles]] = []
    reader = threading.Thread(daemon=True, target=lambda: seen.append(store.picture()))
    with store.at_once:
        store.failed(key("1"), FAILURE)
        reader.start()
        reader.join(0.1)
        assert seen == []
        store.set_status("acme", AccountStatus(problems=frozenset({"unreachable"})))
    reader.join(20)
    ((snapshot, troubles),) = seen
    assert snapshot.entries[key("1")].success is False
    assert snapshot.accounts["acme"].problems == {"unreachable"}
    assert set(troubles.reports) == {key("1")}


def test_who_notes_several_things_at_once_sees_each(store: Store) -> None:
    with store.at_once:
        store.failed(key("1"), FAILURE)
        assert store.snapshot().entries[key("1")].success is False


def test_a_change_that_does_not_end_keeps_no_reader(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.store._TURN_SECONDS", 0.01)
    begun, goes_on, released = threading.Event(), threading.Event(), list[bool]()

    def hang() -> None:
        with store.at_once:
            begun.set()
            released.append(goes_on.wait(20))

    writer = threading.Thread(daemon=True, target=hang)
    writer.start()
    assert begun.wait(20)
    assert set(store.snapshot().entries) == set(DAILY)
    goes_on.set()
    writer.join(20)
    assert released == [True], "the reader was served before the change had ended"
