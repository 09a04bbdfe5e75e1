"""The log of a bad day: a line when something changes, none while it only goes on."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

from structlog.testing import LogCapture

from exporter.health import AccountStatus
from exporter.helpscout.errors import HelpScoutError, NotAllowed, Unreachable
from exporter.poller.account_log import AccountLog
from exporter.questions import Key, Mailbox


def key(mailbox: int, window: str = "24h") -> Key:
    return Key("productivity", "acme", str(mailbox), "all", window, "false", "")


def fail(events: AccountLog, mailboxes: int, error: HelpScoutError) -> None:
    for mailbox in range(mailboxes):
        for window in ("24h", "7d"):
            events.report_failed(key(mailbox, window), f"box {mailbox}", error, 30.0)


def succeed(events: AccountLog, mailboxes: int) -> None:
    for mailbox in range(mailboxes):
        for window in ("24h", "7d"):
            events.report_succeeded(key(mailbox, window))


def told(log: LogCapture) -> list[tuple[str, Any]]:
    found = [(entry["event"], entry.get("mailbox_id")) for entry in log.entries]
    log.entries.clear()
    return found


def test_a_mailbox_that_fails_is_reported_once_and_so_is_its_end(log: LogCapture) -> None:
    events = AccountLog("acme")
    fail(events, 2, NotAllowed("HTTP 403"))
    fail(events, 2, NotAllowed("HTTP 403"))
    assert told(log) == [("reports fail", "0"), ("reports fail", "1")]
    succeed(events, 2)
    assert told(log) == [("reports work again", "0"), ("reports work again", "1")]


def test_hundreds_of_mailboxes_with_one_reason_are_a_handful_of_lines(log: LogCapture) -> None:
    events = AccountLog("acme")
    fail(events, 300, NotAllowed("HTTP 403", reference="abc"))
    lines = told(log)
    assert lines[:5] == [("reports fail", str(number)) for number in range(5)]
    assert lines[5:] == [("reports fail in many ways", "5")]
    fail(events, 300, NotAllowed("HTTP 403"))
    assert told(log) == []
    succeed(events, 300)
    assert told(log) == [("reports work again", None)]
    fail(events, 1, NotAllowed("HTTP 403"))
    assert told(log) == [("reports fail", "0")]


def test_a_mailbox_list_that_fails_is_reported_once_a_reason_and_so_is_its_end(
    log: LogCapture,
) -> None:
    events = AccountLog("acme")
    for error in (Unreachable("a"), Unreachable("b"), NotAllowed("HTTP 403")):
        events.discovery_failed(error, 15.0)
    events.mailboxes([], [])
    events.mailboxes([], [])
    assert [(entry["event"], entry["reason"]) for entry in log.entries] == [
        ("login or mailbox list failed", "unreachable"),
        ("login or mailbox list failed", "plan"),
        ("mailbox list works again", "plan"),
    ]


def test_a_problem_is_reported_when_it_begins_and_ends_whatever_else_changes(
    log: LogCapture,
) -> None:
    events = AccountLog("acme")
    well = AccountStatus(up=True)
    ill = AccountStatus(up=True, problems=frozenset({"throttled"}))
    row = (well, ill, replace(ill, collectors=(("folders", True),)), well)
    for before, now in pairwise(row):
        events.status(before, now, None)
    assert [entry["event"] for entry in log.entries] == [
        "account has a problem",
        "account has no problem any more",
    ]


def test_a_stretch_is_reported_when_it_begins_and_ends(log: LogCapture) -> None:
    events = AccountLog("acme")
    for before, now in pairwise((1.0, 1.5, 1.8, 1.01, 1.0)):
        events.stretched(before, now, 100.0)
    assert [entry["event"] for entry in log.entries] == [
        "the plan does not fit the budget: every interval is stretched",
        "the plan fits the budget again",
    ]


def test_what_befalls_the_account_is_one_line_whatever_the_mailbox(log: LogCapture) -> None:
    events = AccountLog("acme")
    fail(events, 300, Unreachable("no answer"))
    assert told(log) == [("reports fail", "0")]
    succeed(events, 300)
    assert told(log) == [("reports work again", None)]


def test_many_are_forgotten_with_their_mailboxes(log: LogCapture) -> None:
    events = AccountLog("acme")
    fail(events, 10, NotAllowed("HTTP 403"))
    events.keep([])
    told(log)
    fail(events, 1, NotAllowed("HTTP 403"))
    assert told(log) == [("reports fail", "0")]


def test_every_line_names_a_mailbox_by_the_same_kind_of_id(log: LogCapture) -> None:
    events = AccountLog("acme")
    one = Mailbox(7, "Support", "s", "m@acme.com")
    events.mailboxes([], [one])
    events.report_failed(key(7), "Support", NotAllowed("HTTP 403"), 30.0)
    events.mailboxes([one], [])
    assert [entry["mailbox_id"] for entry in log.entries if "mailbox_id" in entry] == ["7"] * 3


def test_a_failing_report_is_named_whole_and_a_second_cause_is_reported(log: LogCapture) -> None:
    events = AccountLog("acme")
    cut = Key("productivity", "acme", "7", "chat", "24h", "true", "vip")
    for message in ("HTTP 403: no chat", "HTTP 403: no chat", "HTTP 403: no tag"):
        events.report_failed(cut, "Support", NotAllowed(message, reference="ref"), 900.0)
    assert [entry["error"] for entry in log.entries] == ["HTTP 403: no chat", "HTTP 403: no tag"]
    first = log.entries[0]
    assert {name: first[name] for name in ("mailbox", "mailbox_id", "type", "window")} == {
        "mailbox": "Support", "mailbox_id": "7", "type": "chat", "window": "24h",
    }  # fmt: skip
    assert (first["office_hours"], first["segment"], first["reference"]) == (True, "vip", "ref")
    assert first["next_try_seconds"] == 900
