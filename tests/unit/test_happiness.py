"""The happiness collector: what is asked, what is read of it, and what becomes of that."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exporter.collectors import Meaning, codec, questions_of, scope
from exporter.collectors.happiness import Happiness, Ratings
from exporter.helpscout.account import Api
from exporter.helpscout.errors import BadResponse, NotAllowed
from exporter.questions import Key, Mailbox, Question, Reading
from exporter.settings import load
from tests.readings import AT

ANSWERS = Path(__file__).parent.parent / "testdata" / "answers"
COLLECTOR = Happiness()
KEY = Key("happiness", "acme", "12", "email", "7d")
QUESTION = Question(KEY, timedelta(minutes=35), timedelta(days=7), ((12,),))
LOGIN = {"HELPSCOUT_API_KEY": "k", "HELPSCOUT_ACCOUNTS__0__NAME": "acme"}
MEANING = Meaning(load(None, LOGIN))


def read(body: bytes, api: Api = "v2") -> Reading:
    return COLLECTOR.ask(QUESTION, api, AT, lambda path, query: body)


def exported(reading: Reading) -> dict[str, float]:
    """The counts by rating, and the score under its own name."""
    return {
        dict(sample.labels).get("rating", "score"): sample.value
        for sample in COLLECTOR.samples(KEY, reading, "Support", MEANING)
    }


def of_counts(**current: Any) -> tuple[dict[str, float], tuple[str, ...]]:
    reading = read(json.dumps({"current": current}).encode())
    return exported(reading), reading.odd


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_the_published_report_is_read_and_its_score_is_that_of_its_counts(api: Api) -> None:
    body = (ANSWERS / "v2_happiness.json").read_bytes()
    found = exported(read(body, api))
    score = found.pop("score")
    assert found == {"great": 41, "okay": 34, "not_good": 35}
    assert score == pytest.approx(json.loads(body)["current"]["happinessScore"])


@pytest.mark.parametrize(
    ("counts", "score"),
    [
        ((0, 0, 0), None),
        ((1, 0, 0), 100),
        ((0, 0, 3), -100),
        ((0, 5, 0), 0),
        ((3, 4, 1), 25),
        ((2, 0, 1), 100 / 3),
    ],
)
def test_the_score_is_great_less_not_good_in_percent_of_all(
    counts: tuple[int, int, int], score: float | None
) -> None:
    great, okay, not_good = counts
    found, _ = of_counts(greatCount=great, okayCount=okay, notGoodCount=not_good, great=99.9)
    shown = {"great": great, "okay": okay, "not_good": not_good}
    assert found == shown | ({} if score is None else {"score": pytest.approx(score)})


@pytest.mark.parametrize("odd", ["4", -1, 1.5, True, [4], {}])
def test_an_odd_count_costs_itself_and_the_score(odd: Any) -> None:
    found, said = of_counts(greatCount=3, okayCount=odd, notGoodCount=1)
    assert found == {"great": 3, "not_good": 1}
    assert said == ("current.okayCount: is not a count, and is left out",)


def test_a_count_that_is_null_or_missing_has_no_sample() -> None:
    assert of_counts(greatCount=3, okayCount=None) == ({"great": 3}, ())
    assert of_counts() == ({}, ())


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"{}", "current: is missing"), (b'{"current": null}', "current: is not an object")],
)
def test_what_is_not_a_report_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(BadResponse) as caught:
        read(body)
    assert str(caught.value) == words


@pytest.mark.parametrize(("api", "ending"), [("v1", ".json"), ("v2", "")])
def test_a_range_a_mailbox_and_a_type_are_asked_for_and_nothing_else(api: Api, ending: str) -> None:
    asked: list[tuple[str, Mapping[str, str]]] = []

    def get(path: str, query: Mapping[str, str]) -> bytes:
        asked.append((path, query))
        return b'{"current": {}}'

    COLLECTOR.ask(QUESTION, api, AT, get)
    everything = replace(QUESTION, key=KEY._replace(mailbox_id="all", type="all"), spec=((),))
    COLLECTOR.ask(everything, api, AT, get)
    range_ = {"start": "2026-03-04T14:30:01Z", "end": "2026-03-11T14:30:00Z"}
    path = f"/reports/happiness{ending}"
    assert asked == [
        (path, range_ | {"mailboxes": "12", "types": "email"}),
        (path, range_),
    ]


def asked_of(**environ: str) -> list[Question]:
    settings = load(None, LOGIN | {f"HELPSCOUT_{name}": text for name, text in environ.items()})
    boxes = [Mailbox(1, "Support", "s", "e"), Mailbox(2, "Sales", "s", "e")]
    within = scope(settings.accounts[0], settings, boxes, {})
    return [q for q in questions_of(within) if q.key.collector == "happiness"]


def test_it_is_asked_where_it_is_on_with_its_own_windows_and_types() -> None:
    assert asked_of() == []
    found = asked_of(HAPPINESS="{enabled: true}")
    assert [(q.key.mailbox_id, q.key.type, q.key.window) for q in found] == [
        (mailbox_id, "all", window) for window in ("7d", "30d") for mailbox_id in ("all", "1", "2")
    ]
    assert {q.key[5:] for q in found} == {("", "")}, "neither office hours nor segments"
    assert {q.spec for q in found} == {((),), ((1,),), ((2,),)}
    found = asked_of(
        HAPPINESS="{enabled: true, types: [chat], windows: [{range: 14d, every: 2h}]}",
        SEGMENTS="[{name: vip, tags: [1]}]",
        OFFICE_HOURS="[false, true]",
        MAILBOXES="{all: false}",
    )
    assert [(q.key.mailbox_id, q.key.type, q.key.window) for q in found] == [
        ("1", "chat", "14d"),
        ("2", "chat", "14d"),
    ]
    assert {q.every for q in found} == {timedelta(hours=2)}


def test_a_window_that_stands_under_windows_has_its_text_and_interval() -> None:
    found = asked_of(HAPPINESS="{enabled: true, windows: [7d]}", WINDOWS="[{range: 1w, every: 3h}]")
    assert {(q.key.window, q.every) for q in found} == {("1w", timedelta(hours=3))}


def test_an_account_may_leave_it_out() -> None:
    assert asked_of(HAPPINESS="{enabled: true}", ACCOUNTS__0__COLLECTORS="folders") == []


def test_a_reading_is_the_same_after_the_state_file() -> None:
    for ratings in (Ratings(1, 2, 3), Ratings(None, 0, None)):
        text = codec("happiness").dump_json(ratings)
        assert codec("happiness").validate_json(text) == ratings


def test_the_specimen_has_every_series() -> None:
    assert len(exported(Reading(COLLECTOR.specimen(QUESTION), AT))) == 4


def test_a_refusal_says_that_reports_need_a_plan() -> None:
    def get(path: str, query: Mapping[str, str]) -> bytes:
        raise NotAllowed("no", status=403)

    with pytest.raises(NotAllowed) as caught:
        COLLECTOR.ask(replace(QUESTION, key=KEY._replace(type="all")), "v2", AT, get)
    assert "Reports need the Plus or Pro plan" in caught.value.remedy
