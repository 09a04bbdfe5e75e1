"""The faults document: what it accepts, what it says about what it refuses, and which calls hit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from exporter.simulator.faults import FaultRule, Faults, MailboxChange, TeamOrder, parse_faults
from exporter.simulator.orders import Order
from tests.support import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- faults -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)

ANY: tuple[str, int, list[str], int] = ("report", 1, [""], 0)
FULL = """
rate_limit: 100
latency: 0.05
token_expires_in: 2h
mailboxes: {"1001": {name: Renamed}, 1002: {deleted: true}}
faults:
  - {endpoint: report, account: 1, mailbox: 1001, min_range: 30m, share: 0.5, times: 3, status: 503,
     headers: {Retry-After: 2}, body: "<html>", content_type: text/html, delay: 1.5, cut: 100,
     garbage: true}
"""


def test_every_key_is_read_with_its_unit() -> None:
    faults = parse_faults(FULL)
    assert (faults.rate_limit, faults.latency, faults.token_expires_in) == (100, 0.05, 7200)
    assert faults.mailboxes == {
        1001: MailboxChange(name="Renamed"),
        1002: MailboxChange(deleted=True),
    }
    assert faults.faults == (
        FaultRule(
            endpoint="report",
            account=1,
            mailbox=1001,
            min_range=1800,
            share=0.5,
            times=3,
            status=503,
            headers={"Retry-After": "2"},
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


def test_orders_are_read_with_their_units_and_their_times_in_utc() -> None:
    text = """team: [
      {mailbox: 7, late: 2h, within: 30m, start: 2026-03-11T12:00:00+01:00,
       end: 2026-03-12T00:00:00Z},
      {account: 2, silent: true, start: null},
      {mailbox: 7, flood: 9, snooze: 0.5},
    ]"""
    eleven = 1_773_226_800
    assert parse_faults(text).orders(now=5).orders == (
        Order(mailbox=7, late=7200, within=1800, start=eleven, end=eleven + 13 * 3600),
        Order(account=2, silent=True, start=5),
        Order(mailbox=7, flood=9, snooze=0.5, start=5),
    )


def test_json_is_accepted() -> None:
    assert parse_faults('{"latency": 2}') == Faults(latency=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "document: Input should be an object"),
        ("speed: 1", "speed: unknown key"),
        ("document: {}", "document: unknown key"),
        ("rate_limit: 0", "rate_limit: Input should be greater than or equal to 1"),
        ("rate_limit: true", "rate_limit: Input should be a valid integer"),
        ("latency: fast", 'latency: "fast" is not a time: write seconds, or one unit like 30s, '),
        ("latency: 50ms", 'latency: "50ms" is not a time'),
        ("latency: 1h30m", 'latency: "1h30m" is not a time'),
        ('latency: "5"', 'latency: "5" is not a time'),
        ('latency: ""', 'latency: "" is not a time'),
        ("faults: [{delay: later}]", 'faults.0.delay: "later" is not a time'),
        ("latency: -1", "latency: Input should be greater than or equal to 0"),
        ("latency: .inf", "latency: Input should be a finite number"),
        ("token_expires_in: 0", None),
        ("mailboxes: [1]", "mailboxes: Input should be an object"),
        ("mailboxes: {x: {}}", "mailboxes.x.[key]: Input should be a valid integer"),
        ("mailboxes: {1: {deleted: 1}}", "mailboxes.1.deleted: Input should be a valid boolean"),
        ("mailboxes: {1: gone}", "mailboxes.1: Input should be an object"),
        ("faults: {}", "faults: Input should be a valid array"),
        ("faults: [503]", "faults.0: Input should be an object"),
        ("faults: [{}, {state: 1}]", "faults.1.state: unknown key"),
        ("faults: [{endpoint: reports}]", "faults.0.endpoint: Input should be '*', 'token', "),
        ('faults: [{endpoint: ""}]', "faults.0.endpoint: Input should be '*', 'token', "),
        ("faults: [{share: 1.5}]", "faults.0.share: Input should be less than or equal to 1"),
        ("faults: [{status: 99}]", "faults.0.status: Input should be greater than or equal to 200"),
        ("faults: [{body: 1}]", "faults.0.body: Input should be a valid string"),
        ('faults: [{headers: {A: "é"}}]', "faults.0.headers.A: String should match"),
        ('faults: [{headers: {A: "b\\nc"}}]', "faults.0.headers.A: String should match"),
        ('faults: [{content_type: "a\\nb"}]', "faults.0.content_type: String should match"),
        ('faults: [{headers: {"a\\nb": c}}]', "faults.0.headers.a b.[key]: String should match"),
        ("faults: [{headers: 1}]", "faults.0.headers: Input should be an object"),
        ("team: [{}]", "team.0: orders nothing: give silent, late, within, snooze or flood"),
        ("team: [{silent: false}]", "team.0: orders nothing"),
        ("team: [{silent: true, from: 1}]", "team.0.from: unknown key"),
        ("team: [{flood: 9}]", "team.0: flood needs the mailbox that is flooded"),
        ("team: [{mailbox: 1, flood: 100001}]", "team.0.flood: Input should be less than or equal"),
        ("team: [{snooze: 2}]", "team.0.snooze: Input should be less than or equal to 1"),
        ("team: [{late: soon}]", 'team.0.late: "soon" is not a time'),
        ("team: [{silent: true, start: soon}]", 'team.0.start: "soon" is not an instant like'),
        ("team: [{silent: true, start: 5}]", 'team.0.start: "5" is not an instant like'),
        ("team: [{silent: true, end: 2026-03-11}]", 'team.0.end: "2026-03-11" is not an instant'),
        (
            "team: [{late: 1, start: 2026-03-11T11:00:00Z, end: 2026-03-11T11:00:00Z}]",
            "team.0: start must be before end",
        ),
        ("team: !!binary aGk=", "not a document: bytes is not known here"),
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
    made = FaultRule(**rule)
    return [n for n in range(calls) if made.hits(*ANY)]


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
        ({"min_range": 3600.0}, True),
        ({"min_range": 3601.0}, False),
    ],
)
def test_a_rule_hits_only_the_calls_it_describes(rule: dict[str, Any], matches: bool) -> None:
    assert FaultRule(**rule).hits("report", 1, ["1001", "1002"], 3600) is matches


@pytest.mark.parametrize("rule", [{"min_range": 1.0}, {"mailbox": 1}])
def test_a_rule_about_reports_leaves_other_calls_alone(rule: dict[str, Any]) -> None:
    assert not FaultRule(**rule).hits("mailboxes", 1, [""], 0)


def test_the_first_rule_that_hits_decides() -> None:
    faults = Faults(faults=(FaultRule(status=500, times=1), FaultRule(status=503)))
    assert [faults.choose(*ANY).status for _ in range(3)] == [500, 503, 503]
    assert Faults().choose(*ANY) == FaultRule()


# --- docs/faults.md -----------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_is_accepted_and_asks_for_something(example: str) -> None:
    assert parse_faults(example) != Faults()


def test_every_yaml_block_of_the_page_is_an_example() -> None:
    assert PAGE.count("```yaml") == len(EXAMPLES) > 0


@pytest.mark.parametrize("model", [Faults, FaultRule, MailboxChange, TeamOrder])
def test_every_key_is_named_and_shown_on_the_page(model: type[BaseModel]) -> None:
    for key in model.model_fields:
        assert re.search(rf"`{key}(: true)?`", PAGE), key
        assert any(re.search(rf"\b{key}:", example) for example in EXAMPLES), key
