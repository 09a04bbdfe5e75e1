"""The folders collector: what is read of the folders of a mailbox, and what becomes of it."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from exporter.collectors import codec, imagined
from exporter.collectors.base import Meaning
from exporter.collectors.folders import Folders
from exporter.helpscout.account import Api
from exporter.helpscout.errors import (
    BadResponse,
    HelpScoutError,
    NotAllowed,
    NotThere,
    ServiceFailed,
    ShortList,
    Unreachable,
)
from exporter.questions import Key, Question, Reading
from exporter.settings import load
from tests.readings import AT

COLLECTOR = Folders()
KEY = Key("folders", "acme", "12")
QUESTION = Question(KEY, timedelta(minutes=5), None)
MEANING = Meaning(load(None, {"HELPSCOUT_API_KEY": "k"}))
APIS: tuple[Api, ...] = ("v1", "v2")
UNASSIGNED = {"id": 501, "name": "Unassigned", "type": "open", "totalCount": 31, "activeCount": 27}


def body(api: Api, *items: Any, number: int = 1, pages: int = 1, total: int | None = None) -> bytes:
    """One page of folders, as that generation writes it."""
    total = len(items) if total is None else total
    if api == "v1":
        legacy = {"page": number, "pages": pages, "count": total, "items": items}
        return json.dumps(legacy).encode()
    page = {"size": 50, "totalElements": total, "totalPages": pages, "number": number}
    embedded = {"_embedded": {"folders": items}} if items else {}
    return json.dumps({**embedded, "page": page, "_links": {}}).encode()


def asked(api: Api, *bodies: bytes) -> tuple[Reading, list[tuple[str, str]]]:
    """Ask where the pages are these; return the reading and what was asked for."""
    remaining, targets = list(bodies), list[tuple[str, str]]()

    def get(path: str, query: Mapping[str, str]) -> bytes:
        targets.append((path, query["page"]))
        return remaining.pop(0)

    reading = COLLECTOR.ask(QUESTION, api, AT, get)
    assert remaining == []
    return reading, targets


def exported(reading: Reading) -> dict[tuple[str, str, str, str], float]:
    """The samples, by queue, folder, folder_id and state; a series stands there once."""
    samples = list(COLLECTOR.samples(KEY, reading, "Support", MEANING))
    found = {
        (labels["queue"], labels["folder"], labels["folder_id"], labels["state"]): sample.value
        for sample in samples
        for labels in [dict(sample.labels)]
    }
    assert len(found) == len(samples)
    return found


def of_one(item: Any) -> tuple[dict[str, float], list[str]]:
    """What is exported of a single folder by state, and what is said of it."""
    reading, _ = asked("v2", body("v2", item))
    return {state: value for (*_, state), value in exported(reading).items()}, list(reading.odd)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("type_", "queue", "folder", "counts"),
    [
        ("open", "unassigned", "", {"active": 12, "pending": 8}),
        ("assigned", "assigned", "", {"active": 12, "pending": 8}),
        ("mytickets", "mine", "", {"active": 12, "pending": 8}),
        ("mine", "mine", "", {"active": 12, "pending": 8}),
        ("team", "team", "Tier 2", {"active": 12, "pending": 8}),
        ("drafts", "drafts", "", {"all": 20}),
        ("needs_attn", "needs_attention", "", {"all": 20}),
        ("needsattention", "needs_attention", "", {"all": 20}),
        ("spam", "spam", "", {"all": 20}),
        ("closed", "closed", "", {}),
        ("custom", "custom", "Tier 2", {"active": 12}),
        ("somethingnew", "custom", "Tier 2", {"active": 12}),
        (None, "custom", "Tier 2", {"active": 12}),
        (7, "custom", "Tier 2", {"active": 12}),
    ],
)
def test_each_type_is_a_queue_with_its_states(
    api: Api, type_: Any, queue: str, folder: str, counts: dict[str, float]
) -> None:
    item = {"id": 9, "name": "Tier 2", "type": type_, "totalCount": 20, "activeCount": 12}
    reading, targets = asked(api, body(api, item))
    assert exported(reading) == {
        (queue, folder, "9", state): count for state, count in counts.items()
    }
    assert reading.odd == ()
    ending = ".json" if api == "v1" else ""
    assert targets == [(f"/mailboxes/12/folders{ending}", "1")]


@pytest.mark.parametrize("api", APIS)
def test_two_folders_of_one_queue_are_two_series(api: Api) -> None:
    mine = [
        {"id": id_, "name": "Mine", "type": "mytickets", "totalCount": 4, "activeCount": active}
        for id_, active in ((1, 1), (2, 3))
    ]
    teams = [
        {"id": id_, "name": "Tier 2", "type": "team", "totalCount": 5, "activeCount": 5}
        for id_ in (3, 4)
    ]
    reading, _ = asked(api, body(api, *mine, *teams))
    assert exported(reading) == {
        ("mine", "", "1", "active"): 1,
        ("mine", "", "1", "pending"): 3,
        ("mine", "", "2", "active"): 3,
        ("mine", "", "2", "pending"): 1,
        ("team", "Tier 2", "3", "active"): 5,
        ("team", "Tier 2", "3", "pending"): 0,
        ("team", "Tier 2", "4", "active"): 5,
        ("team", "Tier 2", "4", "pending"): 0,
    }


@pytest.mark.parametrize(
    ("changed", "counts", "said"),
    [
        ({"activeCount": 0, "totalCount": 0}, {"active": 0, "pending": 0}, ""),
        ({"activeCount": 12.0}, {"active": 12, "pending": 19}, ""),
        ({"activeCount": None}, {}, ""),
        ({"totalCount": None}, {"active": 27}, ""),
        ({"activeCount": "27"}, {}, "activeCount: is not a count"),
        ({"activeCount": True}, {}, "activeCount: is not a count"),
        ({"activeCount": 1.5}, {}, "activeCount: is not a count"),
        ({"activeCount": -1}, {}, "activeCount: is not a count"),
        ({"activeCount": float("nan")}, {}, "activeCount: is not a count"),
        ({"totalCount": float("inf")}, {"active": 27}, "totalCount: is not a count"),
        ({"totalCount": -1}, {"active": 27}, "totalCount: is not a count"),
        ({"totalCount": [31]}, {"active": 27}, "totalCount: is not a count"),
        ({"totalCount": 26}, {"active": 27}, "activeCount: is above totalCount"),
        ({"type": "spam", "activeCount": "x"}, {"all": 31}, ""),
        ({"type": "spam", "activeCount": 32}, {"all": 31}, ""),
        ({"type": "new", "totalCount": "x"}, {"active": 27}, ""),
        ({"type": "closed", "activeCount": "x", "totalCount": -1}, {}, ""),
        ({"name": 5}, {"active": 27, "pending": 4}, ""),
        ({"name": 5, "type": "team"}, {"active": 27, "pending": 4}, "has no name that is text"),
    ],
)
def test_a_count_that_is_odd_or_missing_has_no_sample_and_costs_nothing_else(
    changed: dict[str, Any], counts: dict[str, float], said: str
) -> None:
    found, lines = of_one(UNASSIGNED | changed)
    assert found == counts
    assert len(lines) == bool(said)
    assert all(line.startswith("mailbox 12: folder 501: ") for line in lines)
    assert said in "".join(lines)


def test_a_count_that_is_left_out_of_the_answer_has_no_sample() -> None:
    assert of_one({"id": 501, "type": "open", "activeCount": 27}) == ({"active": 27}, [])
    assert of_one({"id": 501, "type": "open", "totalCount": 27}) == ({}, [])


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"name": "a"}, 'id: is missing: the folder "a" is left out'),
        ({"id": "7", "name": "a"}, 'id: is not a whole number: the folder "a" is left out'),
        ({"id": 0}, "id: is negative or too small: the folder without a name is left out"),
        (None, "is not an object: the folder without a name is left out"),
    ],
)
def test_a_folder_without_an_id_is_left_out_and_the_rest_is_used(
    api: Api, item: Any, said: str
) -> None:
    reading, _ = asked(api, body(api, item, UNASSIGNED))
    assert exported(reading) == {
        ("unassigned", "", "501", "active"): 27,
        ("unassigned", "", "501", "pending"): 4,
    }
    (line,) = reading.odd
    assert said in line


@pytest.mark.parametrize("api", APIS)
def test_pages_are_followed_to_the_end(api: Api) -> None:
    first = [{"id": id_, "type": "team", "name": "t", "activeCount": id_} for id_ in range(1, 51)]
    second = [{"id": id_, "type": "team", "name": "t", "activeCount": id_} for id_ in (50, 51, 52)]
    reading, targets = asked(
        api,
        body(api, *first, number=1, pages=2, total=52),
        body(api, *second, number=2, pages=2, total=52),
    )
    assert len(exported(reading)) == 52
    assert [page for _, page in targets] == ["1", "2"]


@pytest.mark.parametrize("api", APIS)
def test_a_list_shorter_than_it_says_is_not_taken_for_the_whole(api: Api) -> None:
    with pytest.raises(ShortList) as caught:
        asked(api, body(api, UNASSIGNED, total=2))
    assert "it has 1 folders where Help Scout says there are 2" in str(caught.value)


def test_what_is_not_a_list_of_folders_is_refused() -> None:
    with pytest.raises(BadResponse, match='has no "folders" but "mailboxes"'):
        asked("v2", b'{"_embedded": {"mailboxes": []}, "page": {"totalElements": 1}}')


def test_every_folder_is_learned_with_its_mailbox() -> None:
    closed = {"id": 506, "name": "Closed", "type": "closed", "totalCount": 9, "activeCount": 0}
    reading, _ = asked("v2", body("v2", UNASSIGNED, closed))
    assert reading.learned.folders == {501: "12", 506: "12"}


def test_a_mailbox_without_folders_has_no_samples() -> None:
    reading, _ = asked("v2", body("v2"))
    assert exported(reading) == {}


def test_a_reading_is_the_same_after_the_state_file() -> None:
    team = {"id": 9, "name": "Tier 2", "type": "team", "totalCount": 20, "activeCount": 12}
    reading, _ = asked("v2", body("v2", UNASSIGNED, team))
    text = codec("folders").dump_json(reading.value)
    assert codec("folders").validate_json(text) == reading.value


def test_each_mailbox_is_asked_as_often_as_configured_and_all_together_are_not() -> None:
    environ = {"HELPSCOUT_API_KEY": "k", "HELPSCOUT_FOLDERS": "{every: 90s}"}
    configuration = load(None, environ)
    questions = list(COLLECTOR.questions(imagined(configuration.accounts[0], configuration, 2)))
    assert [(q.key.mailbox_id, q.every) for q in questions] == [
        ("1", timedelta(seconds=90)),
        ("2", timedelta(seconds=90)),
    ]


def test_the_specimen_has_every_queue_and_state_once() -> None:
    found = exported(Reading(COLLECTOR.specimen(QUESTION), AT))
    assert len(found) == 4 * 2 + 3 + 1


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NotAllowed("no", status=403), "May the user behind the credentials see the mailbox? "),
        (NotThere("no", status=404), "was the mailbox deleted? May the user behind "),
        (ServiceFailed("no", status=503), ""),
        (Unreachable("no", remedy="look at the firewall"), "look at the firewall"),
    ],
)
def test_a_refusal_says_what_to_do(error: HelpScoutError, remedy: str) -> None:
    def get(path: str, query: Mapping[str, str]) -> bytes:
        raise error

    with pytest.raises(type(error)) as caught:
        COLLECTOR.ask(QUESTION, "v2", AT, get)
    assert str(caught.value.remedy).startswith(remedy)
    assert bool(caught.value.remedy) == bool(remedy)
