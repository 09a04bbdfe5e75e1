"""What is asked: mailboxes by glob and id, the cell for all, segments, shards."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import lists_tags, questions_of, scope, segments_of
from exporter.questions import Key, Mailbox, Question, Window
from exporter.selection import (
    MailboxChoice,
    Segment,
    Shard,
)
from exporter.settings import Configuration
from exporter.settings.collectors import ProductivitySettings, WaitingSettings
from tests.readings import settings
from tests.unit.poller_world import ACCOUNT

HOUR = Window("1h", timedelta(minutes=1))
WEEK = Window("7d", timedelta(minutes=35))


def box(id_: int, name: str) -> Mailbox:
    return Mailbox(id_, name, f"slug{id_}", f"box{id_}@example.com")


SUPPORT, SALES, BILLING = box(1, "Support"), box(2, "Sales [EU]"), box(3, "billing*")
EVERY_MAILBOX, WHOLE = MailboxChoice(), Shard()
BOXES = [SUPPORT, SALES, BILLING]


def selection(
    mailboxes: MailboxChoice = EVERY_MAILBOX,
    types: tuple[str, ...] = ("email",),
    windows: tuple[Window, ...] = (HOUR,),
    office_hours: tuple[bool, ...] = (False,),
    segments: tuple[Segment, ...] = (),
    compare: bool = False,
    shard: Shard = WHOLE,
) -> Configuration:
    return Configuration(
        accounts=(),
        mailboxes=mailboxes,
        types=types,
        windows=windows,
        office_hours=office_hours,
        segments=segments,
        compare=compare,
        shard=shard,
    )


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", [1, 2, 3]),
        ("S*", [1, 2]),
        ("s*", []),
        ("Support", [1]),
        ("Suppor", []),
        ("?upport", [1]),
        ("[bS]*", [1, 2, 3]),
        ("[!S]*", [3]),
        ("Sales [[]EU]", [2]),
        ("billing[*]", [3]),
        (2, [2]),
        ("2", []),
        (4, []),
    ],
)
def test_a_text_is_a_glob_on_the_name_and_a_number_an_id(
    pattern: str | int, expected: list[int]
) -> None:
    assert [mailbox.id for mailbox in BOXES if mailbox.matches((pattern,))] == expected
    assert [m.id for m in MailboxChoice(include=(pattern,)).chosen(BOXES)] == expected


def test_what_is_excluded_is_out_whatever_includes_it() -> None:
    choice = MailboxChoice(include=("S*", 3), exclude=(1, "billing*"))
    assert choice.chosen(BOXES) == [SALES]


def test_two_mailboxes_of_one_name_are_two() -> None:
    twins = [box(1, "Support"), box(2, "Support")]
    assert MailboxChoice(include=("Support",)).chosen(twins) == twins
    assert MailboxChoice(include=(2,)).chosen(twins) == [twins[1]]


def asked(
    chosen: Configuration, mailboxes: list[Mailbox], tags: dict[str, int], account: str = "acme"
) -> list[Question]:
    """What reports are asked of an account that has these mailboxes and tags."""
    of_it = replace(ACCOUNT, name=account)
    questions = questions_of(scope(of_it, settings(chosen), mailboxes, tags))
    return [each for each in questions if each.key.collector == "productivity"]


def test_every_cell_of_the_table_is_asked_once() -> None:
    chosen = selection(
        types=("all", "email"),
        windows=(HOUR, WEEK),
        office_hours=(False, True),
        segments=(Segment("vip", (7,), (991,)),),
    )
    keys = [request.key for request in asked(chosen, BOXES, {})]
    assert len(keys) == len(set(keys)) == 2 * 4 * 2 * 2 * 2
    assert Key("productivity", "acme", "all", "all", "7d", "true", "vip") in keys
    assert Key("productivity", "acme", "2", "email", "1h", "false", "") in keys


def test_all_mailboxes_together_need_no_filter_unless_some_are_left_out() -> None:
    everything = asked(selection(), BOXES, {})
    assert [(r.key.mailbox_id, r.spec[0]) for r in everything] == [
        ("all", ()),
        ("1", (1,)),
        ("2", (2,)),
        ("3", (3,)),
    ]
    some = asked(selection(MailboxChoice(exclude=(2,))), BOXES, {})
    assert (some[0].key.mailbox_id, some[0].spec[0]) == ("all", (1, 3))


def test_without_the_cell_for_all_only_mailboxes_are_asked() -> None:
    requests = asked(selection(MailboxChoice(all=False)), BOXES, {})
    assert [request.key.mailbox_id for request in requests] == ["1", "2", "3"]


@pytest.mark.parametrize("mailboxes", [[], [SALES]])
def test_nothing_is_asked_where_no_mailbox_is_chosen(mailboxes: list[Mailbox]) -> None:
    assert asked(selection(MailboxChoice(("Support",))), mailboxes, {}) == []


def test_a_segment_waits_until_all_its_tags_are_known() -> None:
    chosen = selection(segments=(Segment("vip", ("gold", "silver", 7), (991,)),))
    assert chosen.needs_tags
    for known in ({}, {"gold": 1}):
        requests = asked(chosen, BOXES, known)
        assert {request.key.segment for request in requests} == {""}
    requests = asked(chosen, [SUPPORT], {"gold": 1, "silver": 2, "other": 3})
    cut = [request for request in requests if request.key.segment == "vip"]
    assert {r.spec[1:] for r in cut} == {((1, 2, 7), (991,))}
    assert all(not r.spec[1] for r in requests if r.key.segment == "")


@pytest.mark.parametrize(
    ("known", "ids"),
    [
        ({"VIP": 1}, (1,)),
        ({"VIP": 1, "vip": 2}, (2,)),
        ({"VIP": 1, "Vip": 1}, (1,)),
        ({"VIP": 1, "Vip": 2}, None),  # either may be meant
        ({}, None),
    ],
)
def test_the_case_of_a_tag_does_not_matter_if_one_tag_alone_has_the_name(
    known: dict[str, int], ids: tuple[int, ...] | None
) -> None:
    assert Segment("vip", ("vip",)).tag_ids(known) == ids


def test_ids_and_folders_wait_for_nothing() -> None:
    chosen = selection(segments=(Segment("a", (7,)), Segment("b", (), (991,))))
    requests = asked(chosen, [SUPPORT], {})
    assert {request.key.segment for request in requests} == {"", "a", "b"}


def test_comparison_is_passed_on() -> None:
    assert all(r.spec[3:] == ("compare",) for r in asked(selection(compare=True), BOXES, {}))


@given(
    by=st.sampled_from(["account", "mailbox"]),
    total=st.integers(1, 12),
    accounts=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
)
def test_every_report_is_asked_by_exactly_one_shard(
    by: str, total: int, accounts: list[str]
) -> None:
    def keys(shard: Shard) -> list[Key]:
        return [
            request.key
            for account in accounts
            for request in asked(selection(shard=shard), BOXES, {}, account)
        ]

    shards = [Shard(index, total, by) for index in range(total)]
    split = [key for shard in shards for key in keys(shard)]
    assert sorted(split) == sorted(keys(Shard()))
    for shard in shards:
        accounts_asked = {key.account for key in keys(shard)}
        assert all(shard.may_own(account) for account in accounts_asked)


@pytest.mark.parametrize("index", range(8))
def test_whether_a_segment_is_cut_and_its_tags_are_listed_is_the_same_on_every_shard(
    index: int,
) -> None:
    vips = (Segment("vip", ("vip",)),)
    waiting = WaitingSettings(enabled=True)
    queues = replace(
        selection(segments=vips, shard=Shard(index, 8, "mailbox")),
        productivity=ProductivitySettings(enabled=False),
        waiting=waiting,
    )
    account = replace(ACCOUNT, api="v2")
    assert segments_of(account, queues) == vips
    assert lists_tags(account, queues)
    reports_name_them = replace(queues, productivity=ProductivitySettings())
    assert not lists_tags(account, reports_name_them)


@pytest.mark.parametrize("by", ["account", "mailbox"])
def test_one_more_shard_moves_its_own_share_and_no_more(by: str) -> None:
    def owner(total: int, number: int) -> int:
        account, mailbox = (str(number), "all") if by == "account" else ("acme", str(number))
        (index,) = [i for i in range(total) if Shard(i, total, by).owns(account, mailbox)]
        return index

    before = [owner(4, number) for number in range(2000)]
    after = [owner(5, number) for number in range(2000)]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {4}
    assert len(moved) <= 0.3 * 2000
    for index in range(4):
        assert 0.2 <= before.count(index) / 2000 <= 0.3


@pytest.mark.parametrize(
    ("by", "total", "owners"),
    [
        ("account", 3, {"default": 2, "acme": 0, "desk-1": 0, "desk-2": 0, "Zoë": 2}),
        ("account", 10, {"default": 9, "acme": 0, "desk-1": 5, "desk-2": 8, "Zoë": 2}),
        ("mailbox", 2, {"all": 0, "1": 0, "2": 0, "12": 1, "256809": 1}),
        ("mailbox", 10, {"all": 2, "1": 2, "2": 2, "12": 2, "256809": 5}),
    ],
)
def test_in_every_version_the_same_shard_has_a_report(
    by: str, total: int, owners: dict[str, int]
) -> None:
    def shards_of(name: str) -> list[int]:
        account, mailbox = (name, "all") if by == "account" else ("acme", name)
        return [i for i in range(total) if Shard(i, total, by).owns(account, mailbox)]

    assert {name: shards_of(name) for name in owners} == {n: [i] for n, i in owners.items()}


def test_by_account_all_of_an_account_is_on_one_shard() -> None:
    for number in range(20):
        owners = {
            index
            for index in range(3)
            for mailbox in ("all", "1", "2")
            if Shard(index, 3).owns(f"account {number}", mailbox)
        }
        assert len(owners) == 1


def test_shards_that_split_an_account_split_its_budget() -> None:
    assert Shard(0, 4, "mailbox").budget_share == 0.25
    assert Shard(0, 4, "account").budget_share == 1
    assert Shard().budget_share == 1
