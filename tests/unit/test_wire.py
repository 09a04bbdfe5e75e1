"""The bodies of the API: what is taken as it varies, what is refused and in which words."""

import contextlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.collectors.productivity.wire import parse_report as read
from exporter.helpscout.account import Api
from exporter.helpscout.errors import BadResponse
from exporter.helpscout.mailboxes import MAILBOXES, parse_mailboxes
from exporter.helpscout.pages import Page, read_list
from exporter.helpscout.tags import Tag, parse_tags
from exporter.helpscout.wire import Odd, describe_error, parse_token
from exporter.questions import Mailbox

ANSWERS = Path(__file__).parent.parent / "testdata" / "answers"


def published(name: str) -> bytes:
    return (ANSWERS / f"{name}.json").read_bytes()


def body(**fields: Any) -> bytes:
    return json.dumps({"current": {}} | fields).encode()


def parse_report(body: bytes, *, compare: bool) -> ProductivityReport:
    return parse_report_and_tags(body, compare=compare)[0]


def parse_report_and_tags(
    body: bytes, *, compare: bool, odd: Odd = lambda line: None
) -> tuple[ProductivityReport, Mapping[str, int]]:
    report, learned = read(body, compare=compare, odd=odd)
    for line in learned.odd:
        odd(line)
    return report, learned.tags


def mailboxes(api: Api, body: bytes) -> Page[Mailbox]:
    return parse_mailboxes(api, body, lambda line: None)


def oddities(text: str, *, compare: bool = True) -> tuple[ProductivityReport, list[str]]:
    """What is read of a report all the same, and what is said of it."""
    said: list[str] = []
    report, _ = parse_report_and_tags(text.encode(), compare=compare, odd=said.append)
    return report, said


def refusal(text: str | bytes) -> str:
    with pytest.raises(BadResponse) as caught:
        parse_report_and_tags(text.encode() if isinstance(text, str) else text, compare=True)
    return str(caught.value)


# --- the published answers ----------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_the_published_report_is_read(generation: str) -> None:
    report, tags = parse_report_and_tags(published(f"{generation}_productivity"), compare=True)
    over_two_days = Distribution((0,) * 9 + (1,), (0,) * 9 + (12,))
    assert report == ProductivityReport(
        current=Statistics(1, 2278004, 2278004, 6, 2278004, 2, 1, 0, 94, 62),
        previous=Statistics(
            14, 4850412, 5138913, 0, 6531211.714285715, 2.2142857142857144, 14, 5, 49, 636
        ),
        response_time=over_two_days,
        first_response_time=over_two_days,
        handle_time=Distribution((1, 0, 0, 0, 0), (14, 0, 0, 0, 0)),
        replies_to_resolve=Distribution((0, 1, 0, 0, 0), (0, 4, 0, 0, 0)),
        resolution_time_by_replies=(None, 2278004, None, None, None),
    )
    assert report.current.resolved_on_first_reply_ratio == 0
    assert tags == {"sample-tag": 123}


def test_both_generations_give_the_same_report() -> None:
    first, second = (
        parse_report(published(f"{generation}_productivity"), compare=True)
        for generation in ("v1", "v2")
    )
    assert first == second


def test_previous_is_ignored_where_no_second_range_was_asked_for() -> None:
    assert parse_report(published("v2_productivity"), compare=False).previous is None


def test_the_published_mailbox_lists_are_read() -> None:
    assert mailboxes("v1", published("v1_mailboxes")) == Page(
        [Mailbox(1234, "My Mailbox", "47204a026903ce6d", "help@mymailbox.com")], 1, 1, 1
    )
    assert mailboxes("v2", published("v2_mailboxes")) == Page(
        [
            Mailbox(1, "Help Scout", "83ebc5d87292a795", "bearbox@acme.com"),
            Mailbox(2, "Help Pioneer", "83ebc5d87292a795", "pioneer@acme.com"),
        ],
        1,
        1,
        2,
    )


def test_the_published_token_is_read() -> None:
    assert parse_token(published("v2_token")) == ("369dbb08be58430086d2f8bd832bc1eb", 172800)


def test_of_another_reports_answer_no_figure_is_taken() -> None:
    # The e-mail report nests its figures: none is where this report has it, so none is taken.
    report = parse_report(published("v2_email"), compare=True)
    assert report.current == report.previous == Statistics()


# --- what varies --------------------------------------------------------------------------------

NOTHING = ProductivityReport(Statistics())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"current": {}}', NOTHING),
        ('{"current": {"ratings": {"a": [1, "x"]}}, "ratings": [NaN], "deltas": 7}', NOTHING),
        (
            '{"current": {"responseTime": 488475.313}}',
            ProductivityReport(Statistics(response_time=488475.313)),
        ),
        ('{"current": {"responseTime": 12}}', ProductivityReport(Statistics(response_time=12.0))),
        ('{"current": {"closed": 94.0}}', ProductivityReport(Statistics(closed=94))),
        ('{"current": {"closed": 1e3}}', ProductivityReport(Statistics(closed=1000))),
        ('{"current": {"closed": -0.0}}', ProductivityReport(Statistics(closed=0))),
        (
            (
                '{"current": {"totalConversations": null, "resolutionTime": null,'
                ' "responseTime": 0, "firstResponseTime": 0, "handleTime": 0, "closed": 0,'
                ' "repliesSent": 0,'
                ' "resolved": null, "repliesToResolve": null, "resolvedOnFirstReply": null}}'
            ),
            ProductivityReport(Statistics(closed=0, replies_sent=0)),
        ),
        ('{"current": {}, "previous": null}', NOTHING),
        ('{"current": {}, "previous": {"closed": 3}}', NOTHING),
        ('{"current": {}, "filterTags": null, "responseTime": null}', NOTHING),
        ('{"current": {}, "responseTime": {}}', NOTHING),
        ('{"current": {}, "responseTime": {"ranges": null}}', NOTHING),
        (
            '{"current": {}, "handleTime": {"count": 9, "ranges": []}}',
            ProductivityReport(Statistics(), handle_time=Distribution((0,) * 5, (0,) * 5)),
        ),
        (
            (
                '{"current": {}, "handleTime": {"ranges": [{"id": 5, "count": 7}, {"id": 1.0},'
                ' {"id": 2, "count": 3.0, "previousCount": 4, "percent": "n/a"}]}}'
            ),
            ProductivityReport(Statistics(), handle_time=Distribution((0, 3, 0, 0, 7), (0,) * 5)),
        ),
        (
            (
                '{"current": {}, "repliesToResolve": {"ranges": ['
                '{"id": 5, "count": 1, "resolutionTime": 0},'
                '{"id": 3, "count": 0, "resolutionTime": 0},'
                '{"id": 2, "resolutionTime": 0},'
                '{"id": 1, "count": 2, "resolutionTime": 60.5}]}}'
            ),
            ProductivityReport(
                Statistics(),
                replies_to_resolve=Distribution((2, 0, 0, 0, 1), (0,) * 5),
                resolution_time_by_replies=(60.5, None, None, None, 0.0),
            ),
        ),
    ],
)
def test_values_that_vary_are_taken_as_they_arrive(text: str, expected: ProductivityReport) -> None:
    assert parse_report(text.encode(), compare=False) == expected


def test_a_second_period_that_was_requested_and_did_not_arrive_is_unknown() -> None:
    assert parse_report(body(), compare=True).previous == Statistics()


@given(st.permutations(range(1, 11)), st.lists(st.integers(0, 10**9), min_size=10, max_size=10))
def test_ranges_are_taken_by_id_whatever_their_order(ids: list[int], counts: list[int]) -> None:
    ranges = [{"id": id_, "count": counts[id_ - 1], "previousCount": id_} for id_ in ids]
    report = parse_report(body(responseTime={"ranges": ranges}), compare=True)
    assert report.response_time == Distribution(tuple(counts), tuple(range(1, 11)))


@given(st.dictionaries(st.integers(1, 5), st.integers(0, 10**6)))
def test_a_range_left_out_is_empty(given_: dict[int, int]) -> None:
    ranges = [{"id": id_, "count": count} for id_, count in given_.items()]
    report = parse_report(body(handleTime={"ranges": ranges}), compare=False)
    assert report.handle_time is not None
    assert report.handle_time.counts == tuple(given_.get(id_, 0) for id_ in range(1, 6))
    assert report.handle_time.previous == (0,) * 5


def test_of_tags_with_one_name_the_first_counts() -> None:
    tags = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "a"}]
    assert parse_report_and_tags(body(filterTags=tags), compare=False)[1] == {"a": 1, "b": 2}


def test_tags_nobody_asked_for_are_not_looked_at() -> None:
    assert parse_report(body(filterTags="garbage"), compare=False) == NOTHING


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d"', "?"),
        (r'"a\ude00b"', "a?b"),
        (r'"\ud83dx\ude00"', "?x?"),
        (r'"\\ud83d"', r"\ud83d"),
        (r'"\\ud83d\ud83d"', r"\ud83d?"),
        (r'"\u0000\n\"\\"', '\0\n"\\'),
        ('"Поддержка 😀"', "Поддержка 😀"),
        ('""', ""),
    ],
)
def test_a_mailbox_bears_any_name(written: str, name: str) -> None:
    page = f'{{"page": 1, "pages": 1, "items": [{{"id": 1, "name": {written}}}]}}'
    assert mailboxes("v1", page.encode()) == Page([Mailbox(1, name, "", "")], 1, 1)


def test_a_cut_name_does_not_hide_what_else_is_wrong() -> None:
    said: list[str] = []
    page = rb'{"page": 1, "pages": 1, "items": [{"id": "1", "name": "\ud83d"}]}'
    assert parse_mailboxes("v1", page, said.append).skipped == 1
    assert said == ['items[0].id: is not a whole number: the mailbox "?" is left out']


@pytest.mark.parametrize("rest", [b"", b"]]", b'{"page": ', b'"' + b"[" * 100_000])
def test_a_cut_name_in_something_that_is_not_json_is_refused(rest: bytes) -> None:
    with pytest.raises(BadResponse) as caught:
        mailboxes("v1", rb'["\ud83d" ' + rest)
    assert str(caught.value) == "the body is not JSON"


@pytest.mark.parametrize(
    "text",
    [
        '{"page": {"number": 1, "totalPages": 0}}',
        '{"page": {"number": 1, "totalPages": 0}, "_embedded": {}}',
        '{"page": {"number": 1, "totalPages": 0}, "_embedded": {"mailboxes": []}}',
    ],
)
def test_an_account_without_a_mailbox_has_none(text: str) -> None:
    assert mailboxes("v2", text.encode()) == Page([], 1, 0)


@pytest.mark.parametrize(
    ("api", "text"),
    [
        ("v2", '{"_embedded": {"tags": [{"id": 5, "name": "vip"}]}, "page": {"totalPages": 1}}'),
        ("v1", '{"items": [{"id": 5, "name": "vip"}], "pages": 1}'),
        ("v1", '{"items": [{"id": 5, "tag": "vip"}], "pages": 1}'),
    ],
)
def test_a_list_of_tags_is_read_in_every_form(api: Api, text: str) -> None:
    assert list(parse_tags(api, text.encode(), print).items) == [Tag(5, "vip")]


@pytest.mark.parametrize("embedded", ["[]", "null", "{}", '{"mailboxes": []}'])
def test_an_empty_list_of_any_form_is_empty_where_the_total_says_so(embedded: str) -> None:
    page = '"page": {"number": 1, "totalPages": 0, "totalElements": 0}'
    text = f'{{{page}, "_embedded": {embedded}}}'
    assert mailboxes("v2", text.encode()) == Page([], 1, 0, 0)


@pytest.mark.parametrize(
    "life",
    [
        "",
        *map(
            ', "expires_in": {}'.format,
            ("null", '"7200"', "-1", "0", "1e999", "NaN", "true", "[]", "{}"),
        ),
    ],
)
def test_a_token_of_unknown_life_lives_two_hours(life: str) -> None:
    assert parse_token(f'{{"access_token": "abc"{life}}}'.encode()) == ("abc", 7200)


# --- what is refused ----------------------------------------------------------------------------


def test_every_single_figure_is_checked_and_named() -> None:
    figures = json.loads(published("v2_productivity"))["current"]
    names = [name for name, value in figures.items() if isinstance(value, int | float)]
    assert len(names) == 11
    for name in set(names) - {"percentResolvedOnFirstReply"}:
        text = json.dumps({"current": {name: "12"}})
        assert refusal(text) == f"current.{name}: is not a number"
        text = json.dumps({"current": {}, "previous": {name: "12"}})
        odd = f"previous.{name}: is not a number{NO_PERIOD_BEFORE}"
        assert oddities(text) == (ProductivityReport(Statistics(), Statistics()), [odd])


@pytest.mark.parametrize("field", ["responseTime", "closed"])
@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('"12"', "is not a number"),
        ("true", "is not a number"),
        ("false", "is not a number"),
        ("[]", "is not a number"),
        ("[1]", "is not a number"),
        ("{}", "is not a number"),
        ("NaN", "is not a finite number"),
        ("Infinity", "is not a finite number"),
        ("-Infinity", "is not a finite number"),
        ("1e999", "is not a finite number"),
        ("-1", "is negative or too small"),
        ("-0.001", "is negative or too small"),
        ("1e308", "is too large"),
        (str(2**53 + 2), "is too large"),
    ],
)
def test_a_value_that_is_not_a_number_is_refused_in_plain_words(
    field: str, written: str, words: str
) -> None:
    assert refusal(f'{{"current": {{"{field}": {written}}}}}') == f"current.{field}: {words}"


def test_a_whole_number_beyond_every_float_is_refused_in_words_that_pydantic_chooses() -> None:
    said = refusal(f'{{"current": {{"closed": 1{"0" * 400}}}}}')
    assert said in {f"current.closed: is not a {kind}number" for kind in ("", "finite ")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # no JSON
        ("", "the body is not JSON"),
        ("<html><body>Sorry</body></html>", "the body is not JSON"),
        ('{"current": {"closed": 1', "the body is not JSON"),
        ('{"current": {}} {}', "the body is not JSON"),
        ("[" * 100_000, "the body is not JSON"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "the body is not JSON"),
        ('{"current": {}, "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "the body is not JSON"),
        ('{"current": {"closed": 1' + "0" * 5000 + "}}", "the body is not JSON"),
        (b'{"current": {}, "x": "\xe9"}', "the body is not JSON"),
        ('{"current": {}}'.encode("utf-16"), "the body is not JSON"),
        # another shape
        ("[]", "the body: is not an object"),
        ("null", "the body: is not an object"),
        ("12", "the body: is not an object"),
        ("{}", "current: is missing"),
        ('{"previous": {}}', "current: is missing"),
        ('{"current": null}', "current: is not an object"),
        ('{"current": []}', "current: is not an object"),
        ('{"current": "x"}', "current: is not an object"),
        # counts
        ('{"current": {"closed": 1.5}}', "current.closed: 1.5 is not a whole number"),
    ],
)
def test_another_shape_is_refused_by_the_name_of_its_field(text: str | bytes, words: str) -> None:
    assert refusal(text) == words


# --- what is odd costs itself and nothing else ---------------------------------------------------

GOOD = '"current": {"closed": 7}, "handleTime": {"ranges": [{"id": 1, "count": 2}]}'
NO_PERIOD_BEFORE = ": the figures of the period before are left out"
KEPT = ProductivityReport(
    Statistics(closed=7), Statistics(), handle_time=Distribution((2, 0, 0, 0, 0), (0,) * 5)
)


@pytest.mark.parametrize("distribution", ["responseTime", "firstResponseTime", "repliesToResolve"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[]", ": is not an object"),
        ("5", ": is not an object"),
        ('"x"', ": is not an object"),
        ('{"ranges": {}}', ".ranges: is not a list"),
        ('{"ranges": [1]}', ".ranges[0]: is not an object"),
        ('{"ranges": [null]}', ".ranges[0]: is not an object"),
        ('{"ranges": [{"id": 1}, {"id": 1}]}', ".ranges[1].id: 1 is not an id"),
        ('{"ranges": [{"id": 1}, {"id": 1.0}]}', ".ranges[1].id: 1 is not an id"),
        ('{"ranges": [{"id": 0}]}', ".ranges[0].id: 0 is not an id"),
        ('{"ranges": [{"id": 11}]}', ".ranges[0].id: 11 is not an id"),
        ('{"ranges": [{"id": 1}, {"id": -1}]}', ".ranges[1].id: is negative or too small"),
        ('{"ranges": [{"id": 1.5}]}', ".ranges[0].id: 1.5 is not a whole number"),
        ('{"ranges": [{"id": 1e300}]}', ".ranges[0].id: is too large"),
        ('{"ranges": [{"id": "1"}]}', ".ranges[0].id: is not a number"),
        ('{"ranges": [{"id": true}]}', ".ranges[0].id: is not a number"),
        ('{"ranges": [{"count": 1}]}', ".ranges[0].id: is missing"),
        ('{"ranges": [{"id": 1, "count": 1.5}]}', ".ranges[0].count: 1.5 is not a whole"),
        ('{"ranges": [{"id": 1, "count": -1}]}', ".ranges[0].count: is negative"),
        ('{"ranges": [{"id": 1, "count": "1"}]}', ".ranges[0].count: is not a number"),
        ('{"ranges": [{"id": 1, "count": 1e308}]}', ".ranges[0].count: is too large"),
    ],
)
def test_an_odd_distribution_is_left_out_and_named(
    distribution: str, value: str, words: str
) -> None:
    report, (line,) = oddities(f'{{{GOOD}, "{distribution}": {value}}}')
    assert report == KEPT
    assert line.startswith(distribution + words)
    assert line.endswith(f"the distribution {distribution} is left out")


@pytest.mark.parametrize(
    ("ranges", "means"),
    [
        ('{"id": 1, "count": 2, "resolutionTime": 60}, {"id": 6, "count": 1}', (60, None)),
        ('{"id": 1, "resolutionTime": 60}, {"id": 1, "resolutionTime": 61}', (None, None)),
        ('{"id": 1, "resolutionTime": 60}, {"id": "2", "resolutionTime": 61}', (60, None)),
        ('{"id": 1, "count": "x", "resolutionTime": 60}', (60, None)),
        ('{"id": 1, "resolutionTime": 60}, {"id": true, "resolutionTime": 1}', (60, None)),
    ],
)
def test_a_distribution_that_is_left_out_leaves_the_means_of_its_good_ranges(
    ranges: str, means: tuple[float | None, float | None]
) -> None:
    report, _ = oddities(f'{{"current": {{}}, "repliesToResolve": {{"ranges": [{ranges}]}}}}')
    assert report.replies_to_resolve is None
    assert report.resolution_time_by_replies == (*means, None, None, None)


def test_a_mean_of_a_range_that_is_text_costs_that_mean() -> None:
    ranges = '{"id": 1, "count": 1, "resolutionTime": "x"}, {"id": 2, "resolutionTime": 9}'
    report, said = oddities(f'{{"current": {{}}, "repliesToResolve": {{"ranges": [{ranges}]}}}}')
    assert report == ProductivityReport(
        Statistics(),
        Statistics(),
        replies_to_resolve=Distribution((1, 0, 0, 0, 0), (0,) * 5),
        resolution_time_by_replies=(None, 9.0, None, None, None),
    )
    assert said == ["repliesToResolve.ranges[0].resolutionTime: is not a number, and is left out"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('"previous": [1]', [f"previous: is not an object{NO_PERIOD_BEFORE}"]),
        ('"previous": 7', [f"previous: is not an object{NO_PERIOD_BEFORE}"]),
        (
            '"previous": {"closed": 3, "repliesSent": 0.1}',
            [f"previous.repliesSent: 0.1 is not a whole number{NO_PERIOD_BEFORE}"],
        ),
        (
            '"previous": {"closed": 3, "responseTime": "x"}',
            [f"previous.responseTime: is not a number{NO_PERIOD_BEFORE}"],
        ),
        ('"filterTags": {}', ["filterTags: is not a list, and is left out"]),
        ('"deltas": [], "user": null, "ratings": "x"', []),
        (
            '"filterTags": [{"id": 0, "name": "vip"}]',
            ['filterTags.id: is negative or too small: the tag "vip" is left out'],
        ),
        (
            '"filterTags": [{"id": 8, "name": null}]',
            ["filterTags.name: is not text: a tag (id 8) is left out"],
        ),
        (
            '"filterTags": [{"id": 8}]',
            ["filterTags.name: is missing: a tag (id 8) is left out"],
        ),
    ],
)
def test_an_odd_field_is_left_out_and_named(fields: str, said: list[str]) -> None:
    assert oddities(f"{{{GOOD}, {fields}}}") == (KEPT, said)


@pytest.mark.parametrize(
    "previous", ["[]", '{"responseTime": "x"}', '{"closed": 0.1}', "7", "null"]
)
def test_a_second_period_that_nobody_asked_for_is_not_judged(previous: str) -> None:
    ranges = '"responseTime": {"ranges": [{"id": 1, "count": 1, "previousCount": "x"}]}'
    text = f'{{"current": {{}}, "previous": {previous}, {ranges}}}'
    report, said = oddities(text, compare=False)
    assert report.previous is None
    assert report.response_time == Distribution((1, *(0,) * 9), (0,) * 10)
    assert said == []


def test_an_odd_count_of_the_second_period_costs_that_count() -> None:
    ranges = '{"id": 1, "count": 1, "previousCount": "x"}, {"id": 2, "previousCount": 3}'
    report, said = oddities(f'{{"current": {{}}, "handleTime": {{"ranges": [{ranges}]}}}}')
    assert report.handle_time == Distribution((1, 0, 0, 0, 0), (0, 3, 0, 0, 0))
    assert said == ["handleTime.ranges[0].previousCount: is not a number, and is taken for 0"]


def test_an_odd_tag_leaves_the_others() -> None:
    tags = [{"id": 0, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": None}, 7, None]
    assert parse_report_and_tags(body(filterTags=tags), compare=False)[1] == {"b": 2}


def test_a_line_about_an_odd_tag_is_never_long() -> None:
    for tag in ({"id": "x" * 9_999}, {"id": "x" * 9_999, "name": "y" * 9_999}):
        _, learned = read(body(filterTags=[tag]), compare=False, odd=print)
        (line,) = learned.odd
        assert line.startswith("filterTags.")
        assert len(line) <= 200


@pytest.mark.parametrize(
    "fields", [{}, *({"filterTags": tags} for tags in (None, [], [{"id": 0, "name": "a"}], "x"))]
)
def test_an_answer_without_tags_says_nothing_about_tags(fields: dict[str, Any]) -> None:
    assert parse_report_and_tags(body(**fields), compare=False)[1] == {}


@pytest.mark.parametrize(
    ("item", "mailbox", "said"),
    [
        ({"id": 7}, Mailbox(7, "7", "", ""), "mailbox 7: has no name that is text"),
        ({"id": 7, "name": None}, Mailbox(7, "7", "", ""), "mailbox 7: has no name that is text"),
        ({"id": 7, "name": 5}, Mailbox(7, "7", "", ""), "mailbox 7: has no name that is text"),
        (
            {"id": 7, "name": "a", "slug": 5, "email": "e"},
            Mailbox(7, "a", "", "e"),
            "mailbox 7: slug is not text",
        ),
        ({"id": 0, "name": "a"}, None, '[1].id: is negative or too small: the mailbox "a" is'),
        ({"id": "7", "name": "a"}, None, '[1].id: is not a whole number: the mailbox "a" is'),
        ({"name": "a"}, None, '[1].id: is missing: the mailbox "a" is left out'),
        ({"id": 1, "name": "a"}, None, '[1].id: is that of another one: the mailbox "a" is left'),
        (None, None, "[1]: is not an object: the mailbox without a name is left out"),
        ([], None, "[1]: is not an object: the mailbox without a name is left out"),
    ],
)
def test_an_odd_mailbox_costs_itself_at_most(item: Any, mailbox: Mailbox | None, said: str) -> None:
    items, good = [{"id": 1, "name": "x"}, item], Mailbox(1, "x", "", "")
    legacy = {"page": 1, "pages": 1, "count": 2, "items": items}
    info = {"number": 1, "totalPages": 1, "totalElements": 2}
    hal = {"page": info, "_embedded": {"mailboxes": items}}
    documents: tuple[tuple[Api, Any], ...] = (("v1", legacy), ("v2", hal))
    for api, document in documents:
        lines: list[str] = []
        page = parse_mailboxes(api, json.dumps(document).encode(), lines.append)
        assert page.items == [good, *([mailbox] if mailbox else [])]
        assert page.skipped == (mailbox is None)
        assert read_list(MAILBOXES, lambda _, page=page: page) == page.items, "it is whole"  # type: ignore[misc]
        (line,) = lines
        assert said in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "items: is missing"),
        ('{"page": 1, "pages": 1}', "items: is missing"),
        ('{"page": 1, "pages": 1, "items": null}', "items: is not a list"),
        ('{"page": 1, "pages": 1, "items": {}}', "items: is not a list"),
    ],
)
def test_a_wrong_list_of_the_first_generation_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadResponse) as caught:
        mailboxes("v1", text.encode())
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("embedded", "words"),
    [
        ("null", "_embedded: is not an object"),
        ("[]", "_embedded: is not an object"),
        ('{"mailboxes": null}', "_embedded.mailboxes: is not a list"),
        ('{"mailboxes": {}}', "_embedded.mailboxes: is not a list"),
        ('{"inboxes": [{"id": 1}]}', '_embedded: has no "mailboxes" but "inboxes"'),
    ],
)
def test_a_null_where_mailboxes_belong_is_not_taken_for_none_of_them(
    embedded: str, words: str
) -> None:
    # "No mailbox" would take every series away; a list that fails keeps the last one.
    text = f'{{"page": {{"number": 1, "totalPages": 1}}, "_embedded": {embedded}}}'
    with pytest.raises(BadResponse) as caught:
        mailboxes("v2", text.encode())
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{}", "access_token"),
        ('{"access_token": ""}', "access_token"),
        ('{"access_token": null}', "access_token"),
        ('{"access_token": 7777777}', "access_token"),
        ('{"access_token": "tok 7777777"}', "access_token"),
        (r'{"access_token": "tok7777777\r\nX: y"}', "access_token"),
        (r'{"access_token": "tok7777777é"}', "access_token"),
    ],
)
def test_a_wrong_token_is_refused_without_being_quoted(text: str, field: str) -> None:
    with pytest.raises(BadResponse) as caught:
        parse_token(text.encode())
    assert str(caught.value).startswith(f"{field}: ")
    assert "7777777" not in repr(caught.value)
    assert caught.value.__suppress_context__


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["id", "count", "ranges"]), inner)
    ),
    max_leaves=10,
)
FIELDS = ["current", "previous", "responseTime", "handleTime", "repliesToResolve", "filterTags"]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_document_is_read_or_refused_and_never_anything_else(document: Any) -> None:
    with contextlib.suppress(BadResponse):
        report, tags = parse_report_and_tags(json.dumps(document).encode(), compare=True)
        assert isinstance(report.current, Statistics)
        assert all(isinstance(id_, int) for id_ in (tags or {}).values())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_never_anything_else(text: bytes) -> None:
    for parse in (partial(mailboxes, "v1"), partial(mailboxes, "v2"), parse_token):
        with pytest.raises(BadResponse):
            parse(text)


# --- bodies of errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            published("v2_error_400"),
            (
                (
                    "Bad request; subject: may not be empty; status: Expected one of these:"
                    " 'active', 'spam', 'open', 'closed', 'pending'"
                ),
                "64bb72b4-0a92-11e8-ba89-0ed5f89f718b",
            ),
        ),
        (published("v2_error_429"), ("API rate limit exceeded", None)),
        (
            published("v2_error_500"),
            ("Internal error", "cb73aad3-9a81-44fd-bf70-48250ea256ff#12"),
        ),
        (b'{"status": 403, "message": "Not for this plan"}', ("Not for this plan", None)),
        (
            (
                b'{"code": 400, "error": "Bad", "validationErrors":'
                b' [{"property": "start", "value": "x", "message": "not a date"}]}'
            ),
            ("Bad; start: not a date", None),
        ),
        (
            b'{"error": "invalid_client", "error_description": "wrong secret"}',
            ("wrong secret", None),
        ),
        (b'{"error": "invalid_client"}', ("invalid_client", None)),
        (b'{"message": "m", "_embedded": {"errors": []}}', ("m", None)),
        (b'{"message": "m", "_embedded": {"errors": {}}}', ("m", None)),
        (b'{"message": "m", "_embedded": {"errors": [1, null, []]}}', ("m", None)),
        (b'{"message": "m", "_embedded": []}', ("m", None)),
        (b'{"message": "m", "validationErrors": {"a": 1}}', ("m", None)),
        (b'{"message": null, "error": {"message": "x"}, "logRef": 12}', ("", None)),
        (b"[]", ("", None)),
        (b'"text"', ("text", None)),
        (b"Unknown URL\n", ("Unknown URL", None)),
        (
            (b'{"timestamp": 1, "status": 404, "error": "Not Found", "message": "", "path": "/x"}'),
            ("Not Found", None),
        ),
        (
            b'{"type": "about:blank", "title": "Forbidden", "detail": "no access", "status": 403}',
            ("no access", None),
        ),
        (b'{"type": "about:blank", "title": "Forbidden", "status": 403}', ("Forbidden", None)),
        (
            (
                b'{"message": "Bad request", "_embedded": {"errors": [{"message": "no path"},'
                b' {"path": "start"}, {"path": null, "message": null}, {}]}}'
            ),
            ("Bad request; no path; start", None),
        ),
        (
            b'{"errors": [{"message": "one"}, {"path": "two", "message": "2"}]}',
            ("one; two: 2", None),
        ),
        (b"null", ("", None)),
        (b"", ("", None)),
        (b"<html>502</html>", ("", None)),
        (b'{"message": ', ("", None)),
        (b"\xff\xfe", ("", None)),
        (b"[" * 100_000, ("", None)),
        (b'{"message":' * 100_000, ("", None)),
        (b'{"message": 1' + b"0" * 5000 + b"}", ("", None)),
        (b'{"message": "' + b"x" * 1000 + b'"}', ("x" * 200, None)),
        (b'{"logRef": "' + b"r" * 1000 + b'"}', ("", "r" * 100)),
    ],
)
def test_an_error_body_of_any_form_is_described(
    text: bytes, expected: tuple[str, str | None]
) -> None:
    assert describe_error(text) == expected


@given(st.binary() | json_values.map(lambda document: json.dumps(document).encode()))
def test_describing_an_error_never_raises(text: bytes) -> None:
    words, reference = describe_error(text)
    assert len(words) <= 200
    assert reference is None or len(reference) <= 100


@given(
    st.dictionaries(
        st.sampled_from(["message", "error", "_embedded", "validationErrors", "logRef"]),
        json_values | json_values.map(lambda inner: {"errors": inner}),
    )
)
def test_describing_an_error_of_the_right_keys_and_wrong_values_never_raises(
    document: Any,
) -> None:
    words, _ = describe_error(json.dumps(document).encode())
    assert len(words) <= 200


@pytest.mark.parametrize("depth", [10, 300, 900, 990, 1000, 5000])
def test_describing_an_error_of_any_depth_never_raises(depth: int) -> None:
    nested = '{"validationErrors": [{"message": ' + "[" * depth + "]" * depth + "}]}"
    words, _ = describe_error(nested.encode())
    assert words == ""


def test_a_secret_that_the_service_repeats_is_not_passed_on() -> None:
    text = json.dumps({"message": 'key "s3cr\u00e9t" is wrong' + "x" * 180}).encode()
    words, _ = describe_error(text, ["", "s3cr\u00e9t"])
    assert words.startswith('key "***" is wrongx')


def test_a_secret_is_hidden_before_the_text_is_cut() -> None:
    text = json.dumps({"message": "x" * 195 + "s3cret-key"}).encode()
    assert describe_error(text, ["s3cret-key"])[0] == "x" * 195 + "***"
