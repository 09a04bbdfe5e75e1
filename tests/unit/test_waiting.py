"""Waiting customers: which conversations of the list count, and what is exported of them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import COLLECTORS, Meaning, codec, imagined, questions_of
from exporter.collectors.waiting import Waiting, WaitingCustomers
from exporter.collectors.waiting.wire import Row
from exporter.helpscout.errors import BadResponse, HelpScoutError, NotAllowed, Unreachable
from exporter.questions import Key, Question, Reading
from exporter.settings import Configuration, load
from tests.readings import office_schedule

NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)  # a Monday
HOUR = 3600
VIP, GOLD = 5, 6
COLLECTOR = WaitingCustomers()
KEY = Key("waiting", "acme", "12")
QUESTION = Question(
    KEY, timedelta(minutes=1), None, (4, ("vip", (VIP,)), ("any", (VIP, GOLD))), most=4
)


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


def row(id_: int = 7001, **more: Any) -> dict[str, Any]:
    """A conversation in which a customer has waited for an hour, with what is personal in it."""
    return {
        "id": id_,
        "number": 4312,
        "threads": 1,
        "type": "email",
        "folderId": 501,
        "status": "active",
        "state": "published",
        "subject": "Jane Doe cannot log in",
        "preview": "My password is hunter2",
        "mailboxId": 12,
        "createdBy": {"id": 88, "type": "customer", "email": "jane.doe@example.com"},
        "customerWaitingSince": {"time": ago(hours=1), "friendly": "an hour ago"},
        "tags": [],
        "primaryCustomer": {"id": 88, "first": "Jane", "last": "Doe"},
        **more,
    }


def page(
    *rows: Any,
    number: int = 1,
    pages: int | None = 1,
    total: int | None = None,
    next_: bool = False,
) -> bytes:
    size = {"size": 25, "number": number}
    size |= {"totalPages": pages} if pages is not None else {}
    size |= {"totalElements": len(rows) if total is None else total}
    links = {"next": {"href": "…"}} if next_ else {}
    body = {"_embedded": {"conversations": list(rows)}, "page": size, "_links": links}
    return json.dumps(body).encode()


class Pages:
    """Answers with these bodies, one after the other; the last one again and again."""

    def __init__(self, *bodies: bytes | HelpScoutError) -> None:
        self.bodies = bodies
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(self, path: str, query: Mapping[str, str]) -> bytes:
        body = self.bodies[min(len(self.asked), len(self.bodies) - 1)]
        self.asked.append((path, query))
        if isinstance(body, HelpScoutError):
            raise body
        return body


def asked(*bodies: bytes | HelpScoutError, question: Question = QUESTION) -> Reading:
    return COLLECTOR.ask(question, "v2", NOW, Pages(*bodies))


def waits(*rows: Any) -> list[Row]:
    return list(asked(page(*rows)).value.rows)


def settings(**keys: str) -> Configuration:
    environ = {
        "HELPSCOUT_ACCOUNTS__0__NAME": "acme",
        "HELPSCOUT_CLIENT_ID": "a",
        "HELPSCOUT_CLIENT_SECRET": "b",
        "HELPSCOUT_WAITING__ENABLED": "true",
        "HELPSCOUT_TYPES": "all,email,chat",
        "HELPSCOUT_SEGMENTS": "[{name: vip, tags: [5]}, {name: any, tags: [5, 6]}]",
    }
    return load(None, environ | {f"HELPSCOUT_{name.upper()}": text for name, text in keys.items()})


def samples(
    reading: Reading, configuration: Configuration | None = None, mailbox: str = "Support"
) -> dict[str, float]:
    """Every sample, named as on the page without what is the mailbox's."""
    meaning = Meaning(configuration or settings())
    found: dict[str, float] = {}
    for family, labels, value in COLLECTOR.samples(KEY, reading, mailbox, meaning):
        assert {name for name, _ in labels} <= set(family.labels)
        text = ",".join(f"{name}={value}" for name, value in labels)
        name = f"{family.name.removeprefix('helpscout_')}{{{text}}}"
        assert name not in found
        found[name] = value
    return found


# --- which rows count -----------------------------------------------------------------------------

COUNTED: dict[str, dict[str, Any]] = {
    "a customer who wrote": {},
    "a customer who wrote twice": {"threads": 2},
    "begun by a user, answered by a customer": {"createdBy": {"type": "user"}, "threads": 2},
    "nobody knows who began it": {"createdBy": None},
    "the customer wrote last": {"latestReplyFrom": "customer"},
    "no snooze": {"snooze": None},
    "a snooze that is over": {"snooze": {"snoozedUntil": ago(minutes=1)}},
    "no status": {"status": None},
    "a fraction of a second": {"customerWaitingSince": {"time": ago(hours=1)[:-1] + ".123Z"}},
    "an offset": {"customerWaitingSince": {"time": "2026-03-02T12:00:00+01:00"}},
    "no offset": {"customerWaitingSince": {"time": "2026-03-02T11:00:00"}},
    "no friendly time": {"customerWaitingSince": {"time": ago(hours=1)}},
    "tags that are not a list": {"tags": "vip"},
    "tags without ids": {"tags": [None, 5, {"tag": "vip"}, {"id": "5"}, {"id": True}]},
}


@pytest.mark.parametrize("more", COUNTED.values(), ids=COUNTED.keys())
def test_a_customer_waits_since_the_time_in_the_row(more: dict[str, Any]) -> None:
    assert waits(row(**more)) == [Row(int(NOW.timestamp()) - HOUR, "email", ())]


NOT_COUNTED: dict[str, dict[str, Any]] = {
    "begun by a user alone": {"createdBy": {"type": "user"}},
    "begun by a team alone": {"createdBy": {"type": "team"}},
    "a user wrote last": {"latestReplyFrom": "user"},
    "a user wrote last, said inside": {
        "customerWaitingSince": {"time": ago(hours=1), "latestReplyFrom": "user"}
    },
    "snoozed": {"snooze": {"snoozedBy": 77, "snoozedUntil": "2026-03-03T08:00:00Z"}},
    "snoozed, until when is odd": {"snooze": {"snoozedUntil": 5}},
    "closed": {"status": "closed"},
    "pending": {"status": "pending"},
    "spam": {"status": "spam"},
    "no waiting time": {"customerWaitingSince": None},
    "an empty waiting time": {"customerWaitingSince": {}},
    "a waiting time of null": {"customerWaitingSince": {"time": None}},
}


@pytest.mark.parametrize("more", NOT_COUNTED.values(), ids=NOT_COUNTED.keys())
def test_nobody_waits_in_a_row_like_this_and_nothing_is_odd_about_it(more: dict[str, Any]) -> None:
    reading = asked(page(row(**more), row(7002)))
    assert len(reading.value.rows) == 1
    assert reading.odd == ()


def test_a_row_without_a_waiting_time_is_not_counted() -> None:
    without = row()
    del without["customerWaitingSince"]
    assert waits(without) == []


ODD_TIMES: list[Any] = [
    "yesterday",
    "2026-03-02",
    "",
    1772449200,
    True,
    ["2026-03-02T11:00:00Z"],
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00+12:00",
    "2026-02-30T00:00:00Z",
    "9" * 5000,
]


@pytest.mark.parametrize("time", ODD_TIMES)
def test_a_row_with_an_odd_time_is_left_out_and_reported_without_quoting_it(time: Any) -> None:
    reading = asked(page(row(customerWaitingSince={"time": time}), row(7002)))
    assert len(reading.value.rows) == 1
    (line,) = reading.odd
    assert line == (
        "mailbox 12: customerWaitingSince of a conversation has no time: the conversation is left"
        " out"
    )


@pytest.mark.parametrize(
    ("type_", "known"),
    [("email", "email"), ("chat", "chat"), ("phone", "phone"), ("sms", ""), (None, ""), (7, "")],
)
def test_an_unknown_type_counts_among_all_alone(type_: Any, known: str) -> None:
    reading = asked(page(row(type=type_)))
    assert [each.type for each in reading.value.rows] == [known]
    found = samples(reading)
    assert found["waiting_conversations{type=all,segment=,office_hours=false}"] == 1
    assert found["waiting_conversations{type=email,segment=,office_hours=false}"] == (
        known == "email"
    )


def test_a_row_belongs_to_the_segments_of_its_tags_and_the_tags_are_learned() -> None:
    reading = asked(
        page(
            row(1, tags=[{"id": VIP, "color": "none", "tag": "vip"}, {"id": 9, "tag": "x"}]),
            row(2, tags=[{"tag": "no id"}, {"id": GOLD, "tag": "gold"}]),
            row(3),
        )
    )
    assert [each.segments for each in reading.value.rows] == [("vip", "any"), ("any",), ()]
    assert reading.learned.tags == {"vip": VIP, "x": 9, "gold": GOLD}
    assert not reading.learned.has_all_tags
    found = samples(reading)
    counts = {s: found[f"waiting_conversations{{type=all,segment={s},office_hours=false}}"]
              for s in ("", "vip", "any")}  # fmt: skip
    assert counts == {"": 3, "vip": 1, "any": 2}


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"id": VIP, "tag": "vip"}, "tags of a conversation are not a list: they are left out"),
        ([{"tag": "vip"}], "a tag of a conversation has no id: it is left out"),
        ([{"id": True, "tag": "vip"}], "a tag of a conversation has no id: it is left out"),
        ([{"id": 0, "tag": "vip"}], "a tag of a conversation has no id: it is left out"),
        (["vip"], "a tag of a conversation has no id: it is left out"),
    ],
)
def test_odd_tags_of_a_row_are_reported_and_the_row_counts(tags: Any, said: str) -> None:
    reading = asked(page(row(tags=tags)))
    assert [each.segments for each in reading.value.rows] == [()]
    assert reading.odd == (f"mailbox 12: {said}",)


def test_rows_that_are_none_cost_themselves_alone_and_no_message_quotes_them() -> None:
    bad = [7, None, "Jane", {"name": "Jane Doe", "id": "Jane"}, {"id": -1, "subject": "hunter2"}]
    reading = asked(page(*bad, row()))
    assert len(reading.value.rows) == 1
    assert len(reading.odd) == len(bad)
    assert "Jane" not in str(reading.odd)
    assert "hunter2" not in str(reading.odd)


def test_where_no_row_can_be_read_nobody_is_not_the_answer() -> None:
    with pytest.raises(BadResponse, match="none of the conversations in the list can be read"):
        asked(page({"subject": "Jane"}))


# --- the pages of the list ------------------------------------------------------------------------


def test_the_list_of_one_mailbox_is_asked_oldest_first() -> None:
    pages = Pages(page(row(), pages=2), page(row(2), number=2, pages=2))
    COLLECTOR.ask(QUESTION, "v2", NOW, pages)
    query = {
        "mailbox": "12",
        "status": "active",
        "sortField": "waitingSince",
        "sortOrder": "asc",
    }
    assert pages.asked == [("/conversations", query | {"page": n}) for n in ("1", "2")]


EMPTY: list[dict[str, Any]] = [
    {"page": {"size": 25, "totalElements": 0, "totalPages": 0, "number": 1}},
    {"page": {"totalElements": 0}, "_embedded": []},
    {"page": {"totalElements": 0}, "_embedded": {"conversations": []}},
    {"page": {"totalElements": 0}, "_embedded": None},
    {"page": {}},
]


@pytest.mark.parametrize("body", EMPTY)
def test_where_nobody_waits_each_count_is_zero_and_there_is_no_oldest(body: Any) -> None:
    reading = asked(json.dumps(body).encode())
    assert reading.value == Waiting((), ("vip", "any"))
    found = samples(reading)
    assert set(found.values()) == {0}
    assert not [name for name in found if name.startswith("waiting_since")]


def test_an_empty_answer_that_says_there_is_something_is_an_error() -> None:
    with pytest.raises(BadResponse, match="it has 0 conversations where Help Scout says there"):
        asked(json.dumps({"page": {"totalElements": 3}}).encode())


def test_a_list_that_shifts_between_pages_counts_each_conversation_once() -> None:
    first, second = page(row(1), row(2), pages=2), page(row(2), row(3), number=2, pages=2)
    assert len(asked(first, second).value.rows) == 3


def test_the_latest_of_a_repeated_row_counts() -> None:
    answered = row(1, latestReplyFrom="user")
    first, second = page(row(1), row(2), pages=2), page(answered, row(3), number=2, pages=2)
    assert len(asked(first, second).value.rows) == 2


@pytest.mark.parametrize(
    ("first", "calls"),
    [
        (page(row(1), pages=1), 1),
        (page(row(1), pages=2), 2),
        (page(row(1), pages=None, total=1), 1),
        (page(row(1), pages=None, total=2), 2),
        (page(row(1), pages=1, next_=True), 2),  # the link is the truth
    ],
)
def test_pages_are_read_to_the_end_whatever_says_where_it_is(first: bytes, calls: int) -> None:
    pages = Pages(first, page(row(2), number=2, pages=2, total=2))
    value = COLLECTOR.ask(QUESTION, "v2", NOW, pages).value
    assert (len(pages.asked), len(value.rows), value.is_truncated) == (calls, calls, False)


def test_no_more_pages_are_read_than_allowed_and_counts_are_then_lower_bounds() -> None:
    """10,000 open conversations, 25 a page."""
    bodies = [
        page(*(row(25 * n + i) for i in range(1, 26)), number=n + 1, pages=400, total=10_000)
        for n in range(5)
    ]
    pages = Pages(*bodies)
    reading = COLLECTOR.ask(QUESTION, "v2", NOW, pages)
    assert len(pages.asked) == 4
    assert len(reading.value.rows) == 100
    assert samples(reading)["waiting_truncated{}"] == 1
    stored = codec("waiting").dump_json(reading.value)
    assert len(stored) < 100 * 40
    assert codec("waiting").validate_json(stored) == reading.value


def test_a_list_that_repeats_itself_is_not_an_answer() -> None:
    with pytest.raises(BadResponse, match="page 2 brought nothing new"):
        asked(page(row(), pages=9), page(row(), number=2, pages=9))
    with pytest.raises(BadResponse, match="page 2 is page 1"):
        asked(page(row(), pages=9))


def test_a_list_that_shrank_while_it_was_read_is_whole() -> None:
    empty = {"page": {"totalElements": 1, "totalPages": 1, "number": 2}}
    reading = asked(page(row(), pages=2, total=26), json.dumps(empty).encode())
    assert (len(reading.value.rows), reading.value.is_truncated) == (1, False)


def test_a_page_that_fails_fails_the_question() -> None:
    with pytest.raises(Unreachable):
        asked(page(row(), pages=2), Unreachable("connection refused"))


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(NotAllowed) as caught:
        asked(NotAllowed("HTTP 403", status=403))
    assert "leave waiting out of the account's collectors" in caught.value.remedy


# --- what is exported -----------------------------------------------------------------------------


def reading_of(*seconds: float, type_: str = "email", segments: tuple[str, ...] = ()) -> Reading:
    since = NOW.timestamp()
    rows = tuple(Row(int(since - each), type_, segments) for each in seconds)
    return Reading(Waiting(rows, ("vip",)), NOW)


def test_waits_are_counted_by_how_long_they_are_and_an_edge_belongs_to_its_range() -> None:
    found = samples(reading_of(0, 900, 901, 3600, 172_800, 172_801))
    cut = "type=all,segment=,office_hours=false"
    buckets = [
        found[f"waiting_distribution_seconds{{{cut},le={le}}}"]
        for le in ("900.0", "1800.0", "3600.0", "7200.0", "86400.0", "172800.0", "+Inf")
    ]
    assert buckets == [2, 3, 4, 4, 4, 5, 6]
    assert found[f"waiting_conversations{{{cut}}}"] == 6
    oldest = NOW.timestamp() - 172_801
    assert found[f"waiting_since_timestamp_seconds{{{cut}}}"] == oldest


def test_a_wait_that_begins_in_the_future_is_one_of_no_time() -> None:
    found = samples(reading_of(-3600))
    cut = "type=all,segment=,office_hours=false"
    assert found[f"waiting_conversations{{{cut}}}"] == 1
    assert found[f"waiting_distribution_seconds{{{cut},le=900.0}}"] == 1
    assert found[f"waiting_since_timestamp_seconds{{{cut}}}"] == NOW.timestamp()


def test_only_what_is_configured_and_was_looked_for_is_cut_out() -> None:
    found = samples(reading_of(60, type_="phone", segments=("vip",)))
    cuts = {name.partition("{")[2] for name in found if name.startswith("waiting_conversations")}
    assert cuts == {
        f"type={type_},segment={segment},office_hours=false}}"
        for type_ in ("all", "email", "chat")
        for segment in ("", "vip")  # a tag of `any` is not known yet: no sample, not 0
    }
    without = samples(reading_of(60, segments=("vip",)), settings(segments="[]"))
    assert not [name for name in without if "segment=vip" in name]


SLA = "{{name: fast, statistic: {statistic}, target: 1h, objective: 0.9, {more}}}"


def slas(statistic: str = "first_response_time", more: str = "types: [all]") -> str:
    return "[" + SLA.format(statistic=statistic, more=more) + "]"


def beyond(found: dict[str, float]) -> dict[str, float]:
    name = "sla_waiting_conversations{"
    return {key.removeprefix(name)[:-1]: v for key, v in found.items() if key.startswith(name)}


@pytest.mark.parametrize("statistic", ["first_response_time", "response_time"])
def test_an_sla_counts_those_beyond_its_target_and_those_beyond_at_risk(statistic: str) -> None:
    cut = "type=all,segment=,office_hours=false,sla=fast"
    reading = reading_of(2699, 2700, 2701, 3600, 3601)
    assert beyond(samples(reading, settings(sla=slas(statistic)))) == {
        f"{cut},threshold=target": 1,
        f"{cut},threshold=at_risk": 3,
    }
    bold = settings(sla=slas(statistic), waiting="{enabled: true, at_risk: 0.5}")
    assert beyond(samples(reading, bold))[f"{cut},threshold=at_risk"] == 5


def test_an_sla_about_something_else_judges_no_wait() -> None:
    handled = slas("handle_time", "types: [all]").replace("1h", "5m")
    assert beyond(samples(reading_of(9999), settings(sla=handled))) == {}


def test_an_sla_counts_its_own_mailboxes_types_and_segments() -> None:
    configuration = settings(
        sla=slas(more="types: [chat], segments: ['', vip], mailboxes: [Support, 99]")
    )
    reading = reading_of(9999, type_="chat", segments=("vip",))
    cuts = {key.partition(",office")[0] for key in beyond(samples(reading, configuration))}
    assert cuts == {"type=chat,segment=", "type=chat,segment=vip"}
    assert beyond(samples(reading, configuration, "Sales")) == {}


NINE_TO_FIVE = "{mon-fri: 09:00-17:00}"


def in_office(configuration: Configuration) -> Configuration:
    account = replace(
        configuration.accounts[0], office_schedule=office_schedule({"mon-fri": "09:00-17:00"})
    )
    return replace(configuration, accounts=(account,))


def test_with_a_schedule_waits_are_also_counted_in_office_hours() -> None:
    configuration = in_office(
        settings(sla=slas(more="types: [all], office_hours: [true]"), office_hours="true")
    )
    # It is Monday noon: since 11:00, since Saturday, since 08:30, since Friday at 16:00.
    reading = reading_of(HOUR, 48 * HOUR, 3.5 * HOUR, 68 * HOUR)
    found = samples(reading, configuration)
    cut = "type=all,segment=,office_hours=true"
    buckets = [
        found[f"waiting_distribution_seconds{{{cut},le={le}}}"]
        for le in ("1800.0", "3600.0", "10800.0", "21600.0")
    ]
    assert buckets == [0, 1, 3, 4]
    assert found[f"waiting_conversations{{{cut}}}"] == 4
    assert f"waiting_since_timestamp_seconds{{{cut}}}" not in found
    assert beyond(found) == {
        f"{cut},sla=fast,threshold=target": 3,
        f"{cut},sla=fast,threshold=at_risk": 4,
    }


def test_without_a_schedule_office_hours_have_no_sample() -> None:
    configuration = settings(
        sla=slas(more="types: [all], office_hours: [true]"), office_hours="true"
    )
    (account,), (other,) = configuration.accounts, in_office(configuration).accounts
    other = replace(other, name="another")
    configuration = replace(configuration, accounts=(other, account))
    found = samples(reading_of(9999), configuration)
    assert not [name for name in found if "office_hours=true" in name]
    assert "waiting_conversations{type=all,segment=,office_hours=false}" in found


@given(st.lists(st.integers(-100, 400_000), max_size=30))
def test_the_buckets_are_cumulative_and_end_at_the_count(seconds: list[int]) -> None:
    found = samples(reading_of(*seconds))
    cut = "type=email,segment=,office_hours=false"
    counts = [v for k, v in found.items() if k.startswith(f"waiting_distribution_seconds{{{cut}")]
    assert counts == sorted(counts)
    assert counts[-1] == len(seconds) == found[f"waiting_conversations{{{cut}}}"]


# --- what is asked --------------------------------------------------------------------------------


def of_waiting(configuration: Configuration) -> list[Question]:
    found = questions_of(imagined(configuration.accounts[0], configuration, 3))
    return [question for question in found if question.key.collector == "waiting"]


def test_each_mailbox_is_one_question_and_all_together_is_none() -> None:
    configuration = settings(
        segments="[{name: vip, tags: [5]}, {name: both, tags: [5], folders: [9]},"
        " {name: box, folders: [9]}, {name: named, tags: [vip, 6]}]",
        waiting="{enabled: true, every: 2m, max_pages: 7}",
    )
    questions = of_waiting(configuration)
    assert [question.key for question in questions] == [
        Key("waiting", "acme", str(number)) for number in (1, 2, 3)
    ]
    assert {(q.every, q.range, q.spec, q.calls, q.most) for q in questions} == {
        (timedelta(minutes=2), None, (7, ("vip", (5,)), ("named", (1, 6))), 1, 7)
    }


def test_an_account_of_api_1_which_does_not_say_who_waits_is_not_asked() -> None:
    environ = {"HELPSCOUT_API_KEY": "k", "HELPSCOUT_ACCOUNTS__1__CLIENT_ID": "i",
               "HELPSCOUT_ACCOUNTS__1__CLIENT_SECRET": "s", "HELPSCOUT_ACCOUNTS__1__NAME": "two",
               "HELPSCOUT_WAITING": "{enabled: true}"}  # fmt: skip
    assert of_waiting(load(None, environ)) == []


def test_it_is_off_unless_it_is_turned_on() -> None:
    assert of_waiting(settings(waiting__enabled="false")) == []


def test_the_specimen_has_every_series_that_a_key_can_have() -> None:
    configuration = in_office(settings(sla=slas()))
    (question, *_) = of_waiting(configuration)
    specimen = Reading(COLLECTOR.specimen(question), datetime.fromtimestamp(0, UTC))
    everything = tuple(Row(0, type_, ("vip", "any")) for type_ in ("email", "chat", "phone", ""))
    full = Reading(Waiting(everything, ("vip", "any"), is_truncated=True), NOW)
    assert set(samples(specimen, configuration)) == set(samples(full, configuration))


def test_it_is_registered_and_its_value_is_kept_as_it_is() -> None:
    assert isinstance(COLLECTORS["waiting"], WaitingCustomers)
    value = reading_of(60, segments=("vip",)).value
    assert codec("waiting").validate_json(codec("waiting").dump_json(value)) == value


def test_each_mailbox_is_asked_by_one_shard() -> None:
    of_shards = [
        [question.key.mailbox_id for question in of_waiting(settings(shard=shard))]
        for shard in ("{index: 0, total: 2, by: mailbox}", "{index: 1, total: 2, by: mailbox}")
    ]
    assert sorted(of_shards[0] + of_shards[1]) == ["1", "2", "3"]
