"""The faults document: what it accepts, what it says about what it refuses, and which calls hit."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.simulator.faults import Call, FaultRule, Faults, Injector, MailboxChange, parse_faults

ANY = Call("report", 1, frozenset(), None)
FULL = """
rate_limit: 100
latency: 50ms
token_expires_in: 2h
mailboxes: {"1001": {name: Renamed}, 1002: {deleted: true}, 1003: {hidden: true}}
faults:
  - {endpoint: report, account: 1, mailbox: 1001, types: "email,chat", min_range: 1h, max_range: 7d,
     share: 0.5, times: 3, status: 503, headers: {Retry-After: 2}, body: "<html>",
     content_type: text/html, delay: 1.5, cut: 100, garbage: true}
"""


def test_every_key_is_read_with_its_unit() -> None:
    faults = parse_faults(FULL)
    assert (faults.rate_limit, faults.latency, faults.token_expires_in) == (100, 0.05, 7200)
    assert faults.mailboxes == {
        1001: MailboxChange(name="Renamed"),
        1002: MailboxChange(deleted=True),
        1003: MailboxChange(hidden=True),
    }
    assert faults.faults == (
        FaultRule(
            endpoint="report",
            account=1,
            mailbox=1001,
            types="email,chat",
            min_range=3600,
            max_range=604_800,
            share=0.5,
            times=3,
            status=503,
            headers={"Retry-After": 2},
            body="<html>",
            content_type="text/html",
            delay=1.5,
            cut=100,
            garbage=True,
        ),
    )


@pytest.mark.parametrize("text", ["", "{}", "# nothing", "null"])
def test_an_empty_document_means_no_faults(text: str) -> None:
    assert parse_faults(text) == Faults()


def test_json_is_accepted_and_kept_to_be_shown() -> None:
    assert parse_faults('{"latency": 2}').document == {"latency": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "document: [1] is not a mapping"),
        ("speed: 1", "speed: unknown key"),
        ("document: {}", "document: unknown key"),
        ("rate_limit: 0", "rate_limit: 0 is not a whole number of at least 1"),
        ("rate_limit: true", "rate_limit: True is not a whole number of at least 1"),
        ("latency: fast", 'latency: \'fast\' is not a duration (0.05, "50ms", "2s")'),
        ("latency: -1", 'latency: -1 is not a duration (0.05, "50ms", "2s")'),
        ("token_expires_in: 0", None),
        ("mailboxes: [1]", "mailboxes: [1] is not a mapping of ids"),
        ("mailboxes: {x: {}}", "mailboxes.x: 'x' is not a mailbox id"),
        ("mailboxes: {1: {deleted: 1}}", "mailboxes.1.deleted: 1 is not true or false"),
        ("mailboxes: {1: gone}", "mailboxes.1: 'gone' is not a mapping"),
        ("faults: {}", "faults: {} is not a list"),
        ("faults: [503]", "faults[0]: 503 is not a mapping"),
        ("faults: [{}, {state: 1}]", "faults[1].state: unknown key"),
        (
            "faults: [{endpoint: reports}]",
            "faults[0].endpoint: 'reports' is not one of *, token, mailboxes, report",
        ),
        ('faults: [{endpoint: ""}]', "faults[0].endpoint: '' is not one of *, token, "),
        ("faults: [{types: mail}]", "faults[0].types: 'mail' is not a comma list of "),
        ("faults: [{share: 1.5}]", "faults[0].share: 1.5 is not a share from 0 to 1"),
        ("faults: [{status: 99}]", "faults[0].status: 99 is not a status from 200 to 599"),
        ("faults: [{body: 1}]", "faults[0].body: 1 is not a text"),
        (
            'faults: [{headers: {A: "é"}}]',
            "faults[0].headers: {'A': 'é'} is not a mapping",
        ),
        ('faults: [{headers: {A: "b\\nc"}}]', "faults[0].headers: {'A': 'b\\nc'} is not a mapping"),
        ('faults: [{content_type: "a\\nb"}]', "faults[0].content_type: 'a\\nb' is not a header"),
        ('faults: [{headers: {"a b": c}}]', "faults[0].headers: {'a b': 'c'} is not a mapping"),
        ("faults: [{headers: 1}]", "faults[0].headers: 1 is not a mapping of headers"),
        ("faults: [", "not a document: while parsing"),
        ("a: &x [*x]", "not a document: Circular reference"),
    ],
)
def test_an_error_is_one_line_that_names_the_key(text: str, message: str | None) -> None:
    if message is None:
        assert parse_faults(text).token_expires_in == 0
        return
    with pytest.raises(ValueError) as error:
        parse_faults(text)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def hits(rule: dict[str, Any], calls: int) -> list[int]:
    injector = Injector(Faults(faults=(FaultRule(**rule),)))
    return [n for n in range(calls) if injector.choose(ANY)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"share": 0.5}, [1, 3, 5]),
        ({"share": 0.25}, [3]),
        ({"share": 0.0}, []),
        ({"times": 2}, [0, 1]),
        ({"share": 0.5, "times": 1}, [1]),
    ],
)
def test_a_share_is_counted_not_diced(rule: dict[str, Any], expected: list[int]) -> None:
    assert hits(rule, 6) == expected


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.9])
def test_a_share_of_a_thousand_calls_is_exact(share: float) -> None:
    assert len(hits({"share": share}, 1000)) == round(share * 1000)


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"endpoint": "report"}, True),
        ({"endpoint": "token"}, False),
        ({"account": 1}, True),
        ({"account": 2}, False),
        ({"mailbox": 1002}, True),
        ({"mailbox": 100}, False),
        ({"types": "email"}, True),
        ({"types": "phone"}, False),
        ({"min_range": 3600.0}, True),
        ({"min_range": 3601.0}, False),
        ({"max_range": 3600.0}, True),
        ({"max_range": 3599.0}, False),
    ],
)
def test_a_rule_hits_only_the_calls_it_describes(rule: dict[str, Any], matches: bool) -> None:
    call = Call("report", 1, frozenset({"1001", "1002", "email", "chat"}), 3600)
    assert FaultRule(**rule).matches(call) is matches


@pytest.mark.parametrize("rule", [{"min_range": 1.0}, {"max_range": 9.0}, {"mailbox": 1}])
def test_a_rule_about_reports_leaves_other_calls_alone(rule: dict[str, Any]) -> None:
    assert not FaultRule(**rule).matches(Call("mailboxes", 1, frozenset(), None))


def test_the_first_rule_that_hits_decides() -> None:
    rules = (FaultRule(status=500, times=1), FaultRule(status=503))
    injector = Injector(Faults(faults=rules))
    chosen = [injector.choose(ANY) for _ in range(3)]
    assert [rule and rule.status for rule in chosen] == [500, 503, 503]
