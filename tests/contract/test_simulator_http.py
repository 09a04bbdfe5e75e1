"""The simulator over HTTP: both dialects as docs/api-facts.md describes them, and every fault."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from exporter.simulator import Simulator, SimulatorOptions, parse_faults
from exporter.simulator.happiness import ratings
from exporter.simulator.people import PLANTED
from tests.support import TESTDATA

NOW = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
WEEK = {"start": "2026-03-04T14:30:01Z", "end": "2026-03-11T14:30:00Z"}
BEFORE = {"previousStart": "2026-02-25T14:30:01Z", "previousEnd": "2026-03-04T14:30:00Z"}
EMPTY = {"start": "2012-01-01T00:00:00Z", "end": "2012-01-02T00:00:00Z"}
PATHS = {
    (1, "mailboxes"): "/v1/mailboxes.json",
    (1, "report"): "/v1/reports/productivity.json",
    (1, "happiness"): "/v1/reports/happiness.json",
    (1, "tags"): "/v1/tags.json",
    (1, "folders"): "/v1/mailboxes/1001/folders.json",
    (1, "views"): "/v1/mailboxes/1006/folders.json",
    (1, "foreign folders"): "/v1/mailboxes/99/folders.json",
    (2, "mailboxes"): "/v2/mailboxes",
    (2, "report"): "/v2/reports/productivity",
    (2, "happiness"): "/v2/reports/happiness",
    (2, "tags"): "/v2/tags",
    (2, "folders"): "/v2/mailboxes/1001/folders",
    (2, "views"): "/v2/mailboxes/1006/folders",
    (2, "foreign folders"): "/v2/mailboxes/99/folders",
    (2, "conversations"): "/v2/conversations",
}
FORM = {"grant_type": "client_credentials", "client_id": "demo-1", "client_secret": "secret-1"}
GENERATIONS = pytest.mark.parametrize("generation", [1, 2])


class Desk:
    """A running simulator with a monotonic clock that stands still, and a client for it."""

    def __init__(self, clock: Callable[[], float] = time.time, **options: Any) -> None:
        self.seconds = 1000.0
        settings = SimulatorOptions(**({"now": NOW} | options))
        self.simulator = Simulator(settings, clock, monotonic=lambda: self.seconds)
        self.simulator.start()
        self.url = self.simulator.url
        self.session = requests.Session()
        self.bearers: dict[int, str] = {}

    def close(self) -> None:
        self.session.close()
        self.simulator.stop()

    def token(self, **form: str) -> requests.Response:
        return self.session.post(self.url + "/v2/oauth2/token", data=FORM | form, timeout=60)

    def get(self, generation: int, endpoint: str, **query: str) -> requests.Response:
        return self.get_as(1, generation, endpoint, **query)

    def get_as(
        self, account: int, generation: int, endpoint: str, **query: str
    ) -> requests.Response:
        url, headers = self.url + PATHS[generation, endpoint], {}
        auth = (f"key-{account}", "X") if generation == 1 else None
        if generation == 2:
            if account not in self.bearers:
                who = {"client_id": f"demo-{account}", "client_secret": f"secret-{account}"}
                self.bearers[account] = self.token(**who).json()["access_token"]
            headers["Authorization"] = "Bearer " + self.bearers[account]
        return self.session.get(url, params=query, auth=auth, headers=headers, timeout=60)

    def report(self, generation: int, **query: str) -> Any:
        answer = self.get(generation, "report", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def faults(self, text: str) -> None:
        self.simulator.set_faults(parse_faults(text))


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def start(**options: Any) -> Desk:
        desks.append(Desk(**options))
        return desks[-1]

    yield start
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk()


# --- reports --------------------------------------------------------------------------------


def test_both_dialects_give_the_same_figures_in_their_own_words(desk: Desk) -> None:
    query = WEEK | BEFORE | {"mailboxes": "1001,1003", "types": "email,phone"}
    one, two = (desk.report(generation, **query) for generation in (1, 2))
    assert one["filterTags"] == two["filterTags"]
    assert one["filterTags"][0]["id"] == 1
    assert one["deltas"] == two["deltas"]
    for part in ("current", "previous"):
        assert two[part].pop("ratings") >= 0
        fraction = one[part].pop("percentResolvedOnFirstReply")
        assert two[part].pop("percentResolvedOnFirstReply") == round(100 * fraction, 2)
        assert 0 < fraction < 1
        assert one[part] == two[part]
    for name in ("responseTime", "firstResponseTime", "handleTime", "repliesToResolve"):
        assert two[name]["count"] == one[name]["count"] == one["current"]["resolved"]
        ranges = sorted(two[name]["ranges"], key=lambda item: item["id"])
        assert ranges == [r for r in one[name]["ranges"] if r["count"] or r["previousCount"]]


def test_the_figures_are_those_of_the_world(desk: Desk) -> None:
    start, end = (int(datetime.fromisoformat(WEEK[name]).timestamp()) for name in ("start", "end"))
    days = datetime(2026, 2, 15).date(), NOW.date()
    lives = desk.simulator.world.conversations(1, 1002, *days)
    replies = [r for life in lives for r in life.replies if start <= r.at <= end]
    body = desk.report(1, **WEEK, mailboxes="1002", officeHours="1")
    current = body["current"]
    waited = sum(reply.office_wait for reply in replies) / len(replies)
    assert current["responseTime"] == pytest.approx(waited, abs=0.001)
    assert current["handleTime"] == pytest.approx(
        sum(reply.handle for reply in replies) / len(replies), abs=0.001
    )
    assert current["startDate"] == WEEK["start"]
    assert current["endDate"] == WEEK["end"]
    counts = [item["count"] for item in body["responseTime"]["ranges"]]
    assert sum(counts) == current["totalConversations"]
    assert [item["id"] for item in body["responseTime"]["ranges"]] == list(range(1, 11))


@GENERATIONS
def test_a_delta_is_in_percent_and_zero_from_zero(desk: Desk, generation: int) -> None:
    body = desk.report(generation, **WEEK, **BEFORE)
    old, new = body["previous"]["closed"], body["current"]["closed"]
    assert body["deltas"]["closed"] == pytest.approx(100 * (new - old) / old)
    past = {"previousStart": EMPTY["start"], "previousEnd": EMPTY["end"]}
    assert set(desk.report(generation, **WEEK, **past)["deltas"].values()) == {0.0}


def test_without_a_second_range_v1_says_nothing_of_it(desk: Desk) -> None:
    body = desk.report(1, **WEEK)
    assert not body.keys() & {"previous", "deltas"}
    assert not body["handleTime"].keys() & {"previousCount"}
    assert not body["handleTime"]["ranges"][0].keys() & {"previousCount", "previousPercent"}


def test_without_a_second_range_v2_gives_a_previous_of_nulls_and_zeros(desk: Desk) -> None:
    body = desk.report(2, **WEEK)
    assert "deltas" not in body
    assert body["previous"]["totalConversations"] is None
    assert body["previous"]["closed"] == 0


@GENERATIONS
def test_an_empty_range_is_nulls_and_zeros_side_by_side(desk: Desk, generation: int) -> None:
    figures = desk.report(generation, **EMPTY)["current"]
    nulls = {name for name, value in figures.items() if value is None}
    assert nulls == {
        "totalConversations",
        "resolutionTime",
        "repliesToResolve",
        "resolved",
        "resolvedOnFirstReply",
        "percentResolvedOnFirstReply",
    }
    for name in ("responseTime", "firstResponseTime", "closed", "repliesSent", "handleTime"):
        assert figures[name] == 0


def test_in_an_empty_range_v1_lists_every_range_and_v2_none(desk: Desk) -> None:
    first, second = (desk.report(generation, **EMPTY)["responseTime"] for generation in (1, 2))
    assert [item["count"] for item in first["ranges"]] == [0] * 10
    assert second == {"count": 0, "previousCount": 0, "ranges": []}


def test_v2_lists_ranges_out_of_order_and_some_numbers_as_integers(desk: Desk) -> None:
    ids = [item["id"] for item in desk.report(2, **WEEK)["responseTime"]["ranges"]]
    assert ids != sorted(ids)
    current = desk.report(2, **WEEK, mailboxes="1001")["current"]
    assert isinstance(current["resolutionTime"], float)
    assert isinstance(desk.report(2, **EMPTY)["current"]["responseTime"], int)


@GENERATIONS
@pytest.mark.no_cover
def test_filters_are_a_union_inside_and_an_intersection_between(
    desk: Desk, generation: int
) -> None:
    def total(**query: str) -> int:
        figures = desk.report(generation, **WEEK, **query)["current"]
        return int(figures["totalConversations"] or 0)

    box = {"mailboxes": "1001"}
    kinds = [total(**box, types=kind) for kind in ("email", "chat", "phone")]
    assert sum(kinds) == total(**box, types="email,chat,phone") == total(**box)
    assert total(mailboxes="1001,1002") == total(**box) + total(mailboxes="1002")
    folders = [total(folders=f"1001{number}") for number in range(1, 5)]
    assert sum(folders) == total(**box)
    assert total(folders="10011", mailboxes="1002") == 0
    untagged, tagged = total(tags="1"), total(tags="501,502,503,504,505,506")
    assert untagged + tagged == total()
    assert 0 < total(tags="501", types="email") < total(tags="501")


def test_office_hours_use_each_generations_own_boolean(desk: Desk) -> None:
    for generation, words in ((1, ("0", "1")), (2, ("false", "true"))):
        always, office = (
            desk.report(generation, **WEEK, officeHours=word)["current"] for word in words
        )
        assert office["responseTime"] < always["responseTime"]
        assert office["totalConversations"] == always["totalConversations"]
        assert desk.report(generation, **WEEK)["current"] == always


# --- tags, folders, conversations, happiness ------------------------------------------------

WAITING = {"status": "active", "sortField": "waitingSince", "sortOrder": "asc"}


def rows(desk: Desk, **query: str) -> list[dict[str, Any]]:
    """Every row of every page of the conversation list, as its links lead."""
    body = desk.get(2, "conversations", **(WAITING | {"mailbox": "1001"} | query)).json()
    found = body.get("_embedded", {}).get("conversations", [])
    headers = {"Authorization": "Bearer " + desk.bearers[1]}
    while "next" in body["_links"]:
        href = body["_links"]["next"]["href"]
        body = desk.session.get(href, headers=headers, timeout=60).json()
        found += body["_embedded"]["conversations"]
    assert len(found) == body["page"]["totalElements"]
    return list(found)


def test_folders_have_the_same_counts_and_their_own_words_in_both_dialects(desk: Desk) -> None:
    one = desk.get(1, "folders").json()
    two = desk.get(2, "folders").json()
    assert (one["page"], one["pages"], one["count"]) == (1, 1, 11)
    assert two["page"] == {"size": 50, "totalElements": 11, "totalPages": 1, "number": 1}
    words = {"mine": "mytickets", "needsattention": "needs_attn"}
    as_two = [
        item | {"type": words.get(item["type"], item["type"]), "updatedAt": item["modifiedAt"]}
        for item in one["items"]
    ]
    for item in as_two:
        del item["modifiedAt"]
    assert as_two == two["_embedded"]["folders"]
    assert {item["type"] for item in as_two} == {
        *("open", "mytickets", "needs_attn", "drafts", "assigned", "closed", "spam"),
        *("team", "custom"),
    }
    published = {"id", "name", "type", "userId", "totalCount", "activeCount", "updatedAt"}
    assert set(as_two[0]) == published


def test_active_of_open_and_assigned_are_all_active_conversations(desk: Desk) -> None:
    folders = {f["type"]: f for f in desk.get(2, "folders").json()["_embedded"]["folders"]}
    active = folders["open"]["activeCount"] + folders["assigned"]["activeCount"]
    assert active == len(rows(desk)) > 20
    assert folders["closed"]["activeCount"] == folders["spam"]["activeCount"] == 0
    assert folders["closed"]["totalCount"] > 100
    for name in ("open", "assigned", "mytickets", "team"):
        assert folders[name]["activeCount"] <= folders[name]["totalCount"]
    assert len(rows(desk, folder=str(folders["open"]["id"]))) == folders["open"]["activeCount"]
    assert (
        len(rows(desk, status="open", folder=str(folders["team"]["id"])))
        == (folders["team"]["totalCount"])
    )


@GENERATIONS
def test_more_folders_than_fit_on_a_page_are_two_pages(desk: Desk, generation: int) -> None:
    pages = [desk.get(generation, "views", page=page).json() for page in ("1", "2")]
    lists = [page["items"] if generation == 1 else page["_embedded"]["folders"] for page in pages]
    assert [len(found) for found in lists] == [50, 6]
    assert len({folder["id"] for found in lists for folder in found}) == 56


@GENERATIONS
def test_folders_of_another_mailbox_are_404(desk: Desk, generation: int) -> None:
    assert desk.get(generation, "foreign folders").status_code == 404


@GENERATIONS
def test_tags_are_listed_without_the_one_for_no_tags(desk: Desk, generation: int) -> None:
    body = desk.get(generation, "tags").json()
    items = body["items"] if generation == 1 else body["_embedded"]["tags"]
    named = {item["id"]: item["tag" if generation == 1 else "name"] for item in items}
    assert 1 not in named
    assert {1: "No tags"} | named == desk.simulator.world.tags(1)


def test_the_conversation_list_is_of_v2_alone_and_25_a_page(desk: Desk) -> None:
    url = desk.url + "/v1/conversations.json"
    assert desk.session.get(url, auth=("key-1", "X"), timeout=60).status_code == 404
    body = desk.get(2, "conversations", **WAITING).json()
    assert body["page"]["size"] == len(body["_embedded"]["conversations"]) == 25
    since = [row["id"] for row in rows(desk)]
    assert len(set(since)) == len(since)


def waiting_since(row: dict[str, Any]) -> str | None:
    return (row.get("customerWaitingSince") or {}).get("time")


def test_the_list_is_sorted_and_can_be_searched_by_the_waiting_time(desk: Desk) -> None:
    found = rows(desk)
    times = [time for time in map(waiting_since, found) if time]
    assert times == sorted(times)
    assert [row["id"] for row in rows(desk, sortOrder="desc")] == [r["id"] for r in found[::-1]]
    edge = "2026-03-11T08:00:00Z"
    early = rows(desk, query=f"(waitingSince:[* TO {edge}])")
    late = rows(desk, query="waitingSince:[2026-03-11T08:00:01Z TO *]")
    assert early + late == found
    assert early
    assert late
    assert rows(desk, query="(waitingSince:[* TO 2020-01-01T00:00:00Z])") == []
    empty = desk.get(
        2, "conversations", **WAITING, query="waitingSince:[* TO 2020-01-01T00:00:00Z]"
    )
    assert "_embedded" not in empty.json()


def test_the_list_filters_by_tag_status_and_assignee(desk: Desk) -> None:
    vip = rows(desk, tag="vip")
    assert vip == [row for row in rows(desk) if "vip" in {tag["tag"] for tag in row["tags"]}]
    assert vip
    assert len(rows(desk, tag="vip,bug")) > len(vip)
    assert rows(desk, tag="unheard-of") == []
    mine = rows(desk, assigned_to="77", status="open")
    assert {row["assignee"]["id"] for row in mine} == {77}
    assert {row["status"] for row in rows(desk, status="closed")} == {"closed"}
    every = {row["status"] for row in rows(desk, status="all")}
    assert every == {"active", "pending", "closed"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"mailbox": "99"}, 404),
        ({"mailbox": "x"}, 400),
        ({"status": "asleep"}, 400),
        ({"sortField": "mood"}, 400),
        ({"sortOrder": "up"}, 400),
        ({"folder": "x"}, 400),
        ({"assigned_to": "me"}, 400),
        ({"query": "subject:x"}, 400),
        ({"query": "(waitingSince:[* TO 2026-03-11T08:00:00.000Z])"}, 400),
        ({"page": "0"}, 400),
    ],
)
def test_the_list_refuses_what_it_does_not_know(
    desk: Desk, query: dict[str, str], status: int
) -> None:
    answer = desk.get(2, "conversations", **(WAITING | query))
    assert answer.status_code == status
    if status == 400:
        (error,) = answer.json()["_embedded"]["errors"]
        assert error["path"] in query


@pytest.mark.no_cover
def test_every_trap_of_the_waiting_time_is_among_the_rows(open_desk: Callable[..., Desk]) -> None:
    found = [
        row
        for day in range(4, 12)
        for row in rows(open_desk(now=NOW.replace(day=day)), mailbox="1001,1002,1003,1004,1005")
    ]
    for name, has in {
        "begun by a user, one thread": lambda r: (
            r["createdBy"]["type"] == "user"
            and r["threads"] == 1
            and waiting_since(r) == r["createdAt"]
        ),
        "begun by a user, answered": lambda r: (
            r["createdBy"]["type"] == "user" and r["threads"] > 1
        ),
        "snoozed": lambda r: r.get("snooze", {}).get("snoozedUntil"),
        "a fraction": lambda r: ".123Z" in str(waiting_since(r)),
        "missing": lambda r: "customerWaitingSince" not in r,
        "null": lambda r: r.get("customerWaitingSince", 1) is None,
        "without a time": lambda r: r.get("customerWaitingSince") == {"friendly": "a while ago"},
        "a time that is null": lambda r: (
            (r.get("customerWaitingSince") or {}).get("time", 1) is None
        ),
        "who wrote last, beside": lambda r: r.get("latestReplyFrom") == "customer",
        "a user wrote last": lambda r: r.get("latestReplyFrom") == "user",
        "who wrote last, inside": lambda r: (
            "latestReplyFrom" in (r.get("customerWaitingSince") or {})
        ),
        "unassigned": lambda r: "assignee" not in r,
    }.items():
        assert any(map(has, found)), name


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


def test_whatever_is_personal_in_a_row_can_be_searched_for(desk: Desk) -> None:
    for row in rows(desk):
        parts = [row[name] for name in ("subject", "preview", "cc", "customFields")]
        people = [row[name] for name in ("createdBy", "primaryCustomer", "assignee") if name in row]
        parts += [person[key] for person in people for key in ("first", "last", "email")]
        for text in texts(parts):
            if text != "Address":
                assert any(word in text.lower() for word in PLANTED), text


@GENERATIONS
def test_happiness_is_counted_over_the_worlds_ratings(desk: Desk, generation: int) -> None:
    world, now = desk.simulator.world, int(NOW.timestamp())
    lives = world.conversations(1, 1002, datetime(2026, 2, 1).date(), NOW.date())
    start, end = (int(datetime.fromisoformat(WEEK[name]).timestamp()) for name in ("start", "end"))
    given = [
        rating.rating
        for life in lives
        if life.type == "email" and 501 in life.tags
        for rating in ratings(world, life)
        if start <= rating.at <= min(end, now)
    ]
    query = WEEK | BEFORE | {"mailboxes": "1002", "types": "email", "tags": "501"}
    body = desk.get(generation, "happiness", **query).json()
    current, previous, deltas = body["current"], body["previous"], body["deltas"]
    assert set(given) == {"great", "okay", "notGood"}
    for name in ("great", "okay", "notGood"):
        assert current[f"{name}Count"] == given.count(name)
        assert current[name] == pytest.approx(100 * given.count(name) / len(given))
        assert deltas[name] == pytest.approx(current[name] - previous[name])
    assert current["ratingsCount"] == len(given)
    assert current["happinessScore"] == pytest.approx(current["great"] - current["notGood"])
    assert current["totalCustomersWithRatings"] <= current["totalCustomers"]
    sample = json.loads((TESTDATA / "answers" / "v2_happiness.json").read_text())
    for part in ("current", "previous", "deltas"):
        assert body[part].keys() == sample[part].keys()


@GENERATIONS
def test_happiness_without_ratings_is_zeros(desk: Desk, generation: int) -> None:
    current = desk.get(generation, "happiness", **EMPTY).json()["current"]
    assert set(current.values()) == {0}
    assert desk.get(generation, "happiness", start="x", end="y").status_code == 400
    assert desk.get(generation, "happiness", **WEEK, mailboxes="99").status_code == 404


# --- authentication -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/mailboxes.json", {}),
        ("/v1/mailboxes.json", {"Authorization": "Basic !!!"}),
        ("/v1/mailboxes.json", {"Authorization": "Basic a2V5LTk6WA=="}),
        ("/v1/reports/productivity.json", {"Authorization": "Bearer key-1"}),
        ("/v2/mailboxes", {}),
        ("/v2/mailboxes", {"Authorization": "Bearer guessed"}),
        ("/v2/reports/productivity", {"Authorization": "Basic a2V5LTE6WA=="}),
    ],
)
def test_wrong_credentials_are_401_with_an_error_body(
    desk: Desk, path: str, headers: dict[str, str]
) -> None:
    answer = desk.session.get(desk.url + path, headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.json().keys() & {"message", "error"}


def test_any_password_will_do_in_v1(desk: Desk) -> None:
    url = desk.url + "/v1/mailboxes.json"
    assert desk.session.get(url, auth=("key-1", "anything"), timeout=60).status_code == 200


def test_a_token_is_as_published(desk: Desk) -> None:
    body = desk.token().json()
    assert body["token_type"] == "bearer"
    assert body["expires_in"] == 172_800
    assert len(body["access_token"]) == 32


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "demo-9"}, 401, "invalid_client"),
        ({"client_id": "", "client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "invalid_request"),
    ],
)
def test_a_wrong_token_request_is_refused(
    desk: Desk, form: dict[str, str], status: int, error: str
) -> None:
    answer = desk.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]


def test_a_token_request_as_json_is_refused(desk: Desk) -> None:
    answer = desk.session.post(desk.url + "/v2/oauth2/token", json=FORM, timeout=60)
    assert answer.status_code == 400


def test_a_token_expires_when_it_says(desk: Desk) -> None:
    desk.faults("token_expires_in: 7200")
    assert desk.get(2, "mailboxes").status_code == 200
    desk.seconds += 7199
    assert desk.get(2, "mailboxes").status_code == 200
    desk.seconds += 1
    assert desk.get(2, "mailboxes").status_code == 401
    assert desk.token().json()["expires_in"] == 7200


def test_accounts_see_their_own_mailboxes_only(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(accounts=2)
    assert desk.simulator.credentials()[1] == ("demo-2", "secret-2", "key-2")
    for generation in (1, 2):
        assert desk.get_as(2, generation, "report", **WEEK, mailboxes="1001").status_code == 404
        assert desk.get_as(2, generation, "report", **WEEK, mailboxes="101001").status_code == 200


# --- mailboxes ------------------------------------------------------------------------------


def test_a_hundred_and_twenty_mailboxes_are_three_pages(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(mailboxes=120)
    ones = [desk.get(1, "mailboxes", page=str(page)).json() for page in (1, 2, 3)]
    twos = [desk.get(2, "mailboxes", page=str(page)).json() for page in (1, 2, 3)]
    assert [len(page["items"]) for page in ones] == [50, 50, 20]
    assert [(page["page"], page["pages"], page["count"]) for page in ones] == [
        (number, 3, 120) for number in (1, 2, 3)
    ]
    listed = [box for page in twos for box in page["_embedded"]["mailboxes"]]
    assert [box["id"] for box in listed] == [box["id"] for page in ones for box in page["items"]]
    assert twos[1]["page"] == {"size": 50, "totalElements": 120, "totalPages": 3, "number": 2}
    assert twos[0]["_links"]["next"]["href"].endswith("/v2/mailboxes?page=2")
    assert "next" not in twos[2]["_links"]
    assert desk.get(1, "mailboxes", page="4").json()["items"] == []
    assert "_embedded" not in desk.get(2, "mailboxes", page="4").json()


def test_without_mailboxes_the_lists_are_empty_in_their_own_way(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(mailboxes=0)
    assert desk.get(1, "mailboxes").json() == {"page": 1, "pages": 0, "count": 0, "items": []}
    assert "_embedded" not in desk.get(2, "mailboxes").json()
    assert desk.get(1, "report", **WEEK).json()["current"]["closed"] == 0


@GENERATIONS
@pytest.mark.parametrize("page", ["0", "-1", "x", ""])
def test_a_page_that_is_not_a_number_from_one_is_400(
    desk: Desk, generation: int, page: str
) -> None:
    assert desk.get(generation, "mailboxes", page=page).status_code == 400


def test_a_mailbox_has_the_fields_of_its_generation(desk: Desk) -> None:
    one = desk.get(1, "mailboxes").json()["items"][2]
    two = desk.get(2, "mailboxes").json()["_embedded"]["mailboxes"][2]
    assert one["name"] == two["name"] == 'The "Desk"'
    assert one["modifiedAt"] == two["updatedAt"]
    for key in ("createdAt", "modifiedAt"):
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", one[key])
    assert re.fullmatch("[0-9a-f]{16}", one["slug"])


# --- errors ---------------------------------------------------------------------------------


@GENERATIONS
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"start": ""}, "start"),
        ({"start": "2026-03-04T14:30:01.000Z"}, "start"),
        ({"start": "2026-03-04T14:30:01+00:00"}, "start"),
        ({"start": "2026-03-04"}, "start"),
        ({"end": "2026-02-30T00:00:00Z"}, "end"),
        ({"start": "2026-03-12T00:00:00Z"}, "start"),
        ({"previousStart": BEFORE["previousStart"]}, "previousEnd"),
        ({"previousEnd": BEFORE["previousEnd"]}, "previousStart"),
        ({"mailboxes": "one"}, "mailboxes"),
        ({"mailboxes": ""}, "mailboxes"),
        ({"tags": "501,999"}, "tags"),
        ({"tags": "vip"}, "tags"),
        ({"folders": "991"}, "folders"),
        ({"types": "mail"}, "types"),
        ({"types": "email,"}, "types"),
        ({"officeHours": "yes"}, "officeHours"),
    ],
)
def test_a_bad_parameter_is_400_and_named(
    desk: Desk, generation: int, change: dict[str, str], path: str
) -> None:
    answer = desk.get(generation, "report", **(WEEK | change))
    assert answer.status_code == 400
    body = answer.json()
    if generation == 1:
        assert (body["code"], body["error"]) == (400, "Bad request")
        assert [item["property"] for item in body["validationErrors"]] == [path]
    else:
        assert answer.headers["Content-Type"] == "application/vnd.error+json"
        assert body["logRef"]
        (error,) = body["_embedded"]["errors"]
        assert (error["path"], error["source"]) == (path, "QUERY")


@GENERATIONS
def test_the_range_is_required(desk: Desk, generation: int) -> None:
    assert desk.get(generation, "report").status_code == 400
    assert desk.get(generation, "report", start=WEEK["start"]).status_code == 400


def test_v1_has_an_older_error_form_and_a_newer_one_for_parameters(desk: Desk) -> None:
    older = desk.get(1, "report", **WEEK, mailboxes="9").json()
    newer = desk.get(1, "report", **WEEK, mailboxes="x").json()
    assert set(older) == {"status", "message"}
    assert set(newer) == {"code", "error", "validationErrors"}


@GENERATIONS
def test_what_is_not_there_is_404_and_a_wrong_method_405(desk: Desk, generation: int) -> None:
    assert desk.get(generation, "report", **WEEK, mailboxes="1001,99").status_code == 404
    unknown = desk.session.get(f"{desk.url}/v{generation}/users", timeout=60)
    wrong = desk.session.delete(desk.url + PATHS[generation, "mailboxes"], timeout=60)
    assert (unknown.status_code, wrong.status_code) == (404, 405)


def test_every_v2_answer_has_its_own_correlation_id(desk: Desk) -> None:
    answers = [desk.token(), desk.get(2, "mailboxes"), desk.get(2, "report")]
    answers.append(desk.session.get(desk.url + "/v2/nothing", timeout=60))
    assert len({answer.headers["Correlation-ID"] for answer in answers}) == 4
    assert "Correlation-ID" not in desk.get(1, "mailboxes").headers


def test_content_types_are_as_seen(desk: Desk) -> None:
    assert desk.get(1, "mailboxes").headers["Content-Type"] == "application/json"
    hal = desk.get(2, "mailboxes").headers["Content-Type"]
    assert hal == "application/hal+json;charset=UTF-8"


# --- rate limit -----------------------------------------------------------------------------


def test_the_rate_limit_counts_every_call_of_an_account_together(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(rate_limit=4, accounts=2)
    first = desk.get(1, "mailboxes").headers
    assert first["X-RateLimit-Interval-Minute"] == "60"
    assert first["X-RateLimit-Limit-Minute"] == "4"
    assert first["X-RateLimit-Remaining-Minute"] == "3"
    assert desk.token().headers["X-RateLimit-Remaining-Minute"] == "2"
    assert desk.token(client_secret="x").headers["X-RateLimit-Remaining-Minute"] == "1"
    assert desk.get(1, "report", **WEEK).headers["X-RateLimit-Remaining-Minute"] == "0"
    desk.seconds += 20.5
    one, two = desk.get(1, "report", **WEEK), desk.token()
    assert (one.status_code, one.headers["Retry-After"]) == (429, "40")
    assert (two.status_code, two.headers["X-RateLimit-Retry-After"]) == (429, "40")
    assert two.json() == {"message": "API rate limit exceeded"}
    assert one.headers["X-RateLimit-Remaining-Minute"] == "0"
    assert desk.get_as(2, 1, "mailboxes").status_code == 200
    desk.seconds += 39.5
    assert desk.get(1, "mailboxes").status_code == 200
    assert desk.simulator.stats()["accounts"]["1"] == {
        "calls": {
            "mailboxes": {"200": 2},
            "report": {"200": 1, "429": 1},
            "token": {"200": 1, "401": 1, "429": 1},
        },
        "throttled": 2,
    }


def test_nobodys_calls_are_counted_for_nobody(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(rate_limit=1)
    answers = [desk.session.get(desk.url + "/v1/mailboxes.json", timeout=60) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401] * 3
    stats = desk.session.get(desk.url + "/_stats", timeout=60).json()
    assert stats == {"accounts": {"0": {"calls": {"mailboxes": {"401": 3}}, "throttled": 0}}}


# --- faults ---------------------------------------------------------------------------------


@GENERATIONS
@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503])
def test_a_status_has_the_error_body_of_the_dialect(
    desk: Desk, generation: int, status: int
) -> None:
    desk.faults(f"faults: [{{endpoint: report, status: {status}, headers: {{Retry-After: 7}}}}]")
    answer = desk.get(generation, "report", **WEEK)
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert answer.json().keys() & {"message", "error"}
    assert desk.get(generation, "mailboxes").status_code == 200


def test_a_fault_picks_its_calls(desk: Desk) -> None:
    desk.faults("faults: [{endpoint: report, mailbox: 1002, min_range: 2d, status: 503, times: 1}]")
    day = {"start": "2026-03-10T14:30:01Z", "end": WEEK["end"]}
    calls = [
        day | {"mailboxes": "1002"},
        WEEK | {"mailboxes": "1001"},
        WEEK,
        WEEK | {"mailboxes": "1001,1002", "types": "chat"},
        WEEK | {"mailboxes": "1002"},
    ]
    found = [desk.get(1, "report", **query).status_code for query in calls]
    assert found == [200, 200, 200, 503, 200]


def test_faults_that_are_given_again_count_from_the_beginning(desk: Desk) -> None:
    given = parse_faults("faults: [{endpoint: mailboxes, status: 503, times: 1}]")
    for _ in range(2):
        desk.simulator.set_faults(given)
        assert [desk.get(2, "mailboxes").status_code for _ in range(2)] == [503, 200]


def test_a_body_and_content_type_replace_the_answers(desk: Desk) -> None:
    desk.faults("faults: [{endpoint: report, body: <html>, content_type: text/html}]")
    answer = desk.get(1, "report", **WEEK)
    assert (answer.status_code, answer.text) == (200, "<html>")
    assert answer.headers["Content-Type"] == "text/html"


def test_garbage_is_a_good_status_with_broken_json(desk: Desk) -> None:
    desk.faults("faults: [{endpoint: report, garbage: true}]")
    answer = desk.get(2, "report", **WEEK)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


@pytest.mark.parametrize("cut", [0, 100, 10_000_000])
def test_a_cut_announces_all_and_closes_the_connection_silently(
    desk: Desk, cut: int, capfd: pytest.CaptureFixture[str]
) -> None:
    desk.faults(f"faults: [{{endpoint: mailboxes, cut: {cut}}}]")
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(
            b"GET /v1/mailboxes.json HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a2V5LTE6\r\n\r\n"
        )
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    announced = int(re.findall(rb"content-length: (\d+)", head)[0])
    assert len(body) == min(cut, announced - 1)
    assert capfd.readouterr().err == ""


def test_delays_add_up_and_a_short_time_out_meets_them(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(latency_seconds=90.0)  # longer than the desk's client waits
    with pytest.raises(requests.ReadTimeout):
        desk.session.get(desk.url + "/v1/mailboxes.json", timeout=0.1)
    desk.faults("{latency: 0, faults: [{endpoint: report, delay: 30}]}")
    assert desk.get(1, "mailboxes").status_code == 200
    with pytest.raises(requests.ReadTimeout):
        desk.session.get(
            desk.url + PATHS[1, "report"], params=WEEK, auth=("key-1", ""), timeout=0.1
        )


def test_mailboxes_are_renamed_and_deleted_meanwhile(desk: Desk) -> None:
    desk.faults("mailboxes: {1001: {name: New}, 1002: {deleted: true}}")
    listed = {box["id"]: box["name"] for box in desk.get(1, "mailboxes").json()["items"]}
    assert listed.keys() == {1001, 1003, 1004, 1005, 1006}
    assert listed[1001] == "New"
    states = [desk.get(2, "report", **WEEK, mailboxes=box) for box in ("1001", "1002", "1003")]
    assert [answer.status_code for answer in states] == [200, 404, 200]


def test_faults_are_put_shown_and_cleared_over_http(desk: Desk) -> None:
    url = desk.url + "/_faults"
    document = {"rate_limit": 7, "faults": [{"status": 503}]}
    steps: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "", {}),
        ("PUT", "rate_limit: 7\nfaults: [{status: 503}]", document),
        ("GET", "", document),
        (
            "PUT",
            "rate_limit: -7",
            {"error": "rate_limit: Input should be greater than or equal to 1"},
        ),
        ("GET", "", document),
        ("DELETE", "", {}),
        ("PUT", json.dumps(document), document),
        ("PUT", "", {}),
    ]
    for method, body, expected in steps:
        answer = desk.session.request(method, url, data=body, timeout=60)
        assert answer.json() == expected
        assert answer.status_code == (400 if "error" in expected else 200)
    assert desk.session.post(url, timeout=60).status_code == 404
    assert desk.get(1, "mailboxes").headers["X-RateLimit-Limit-Minute"] == "400"


def test_a_fault_picks_calls_about_a_mailbox_in_path_and_parameter(desk: Desk) -> None:
    desk.faults(
        "faults: [{endpoint: folders, mailbox: 1001, status: 403},"
        " {endpoint: conversations, mailbox: 1002, status: 404},"
        " {endpoint: happiness, status: 402}, {endpoint: tags, status: 500}]"
    )
    found = [
        desk.get(2, "folders"),
        desk.get(2, "views"),
        desk.get(2, "conversations", mailbox="1001"),
        desk.get(2, "conversations", mailbox="1002"),
        desk.get(2, "happiness", **WEEK),
        desk.get(2, "tags"),
        desk.get(2, "report", **WEEK),
    ]
    assert [answer.status_code for answer in found] == [403, 200, 200, 404, 402, 500, 200]
    assert desk.simulator.stats()["accounts"]["1"]["calls"]["folders"] == {"200": 1, "403": 1}


def test_an_order_begins_when_it_arrives_and_is_seen_by_every_endpoint() -> None:
    clock = [NOW.timestamp()]
    simulator = Simulator(clock=lambda: clock[0])
    simulator.start()
    try:

        def get(path: str, **query: str) -> Any:
            url = f"{simulator.url}/v1/{path}.json"
            return requests.get(url, params=query, auth=("key-1", "X"), timeout=60).json()

        simulator.set_faults(parse_faults("team: [{mailbox: 1001, silent: true}]"))
        before = get("mailboxes/1001/folders")["items"][0]["activeCount"]
        clock[0] += 24 * 3600
        end = NOW.replace(day=12).strftime("%Y-%m-%dT%H:%M:%SZ")
        day = {"start": WEEK["end"], "end": end}
        assert get("reports/productivity", **day, mailboxes="1001")["current"]["repliesSent"] == 0
        assert get("reports/productivity", **day, mailboxes="1002")["current"]["repliesSent"] > 0
        assert get("mailboxes/1001/folders")["items"][0]["activeCount"] > before + 20
        simulator.set_faults(parse_faults(""))
        assert get("reports/productivity", **day, mailboxes="1001")["current"]["repliesSent"] > 0
    finally:
        simulator.stop()


@pytest.mark.parametrize(
    ("options", "ahead"),
    [  # two minutes of the client
        ({"speed": 60}, timedelta(minutes=118)),
        ({"speed": 60, "start": NOW - timedelta(days=2)}, timedelta(days=-2, hours=2)),
        ({"start": NOW - timedelta(days=2)}, timedelta(days=-2, minutes=2)),
    ],
    ids=["with a speed", "both", "from another time on"],
)
def test_all_is_as_long_ago_for_a_client_as_it_is_in_the_world(
    open_desk: Callable[..., Desk], options: dict[str, Any], ahead: timedelta
) -> None:
    clock = [NOW.timestamp() - 120]
    fast = open_desk(now=None, clock=lambda: clock[0], **options)
    there = open_desk(now=NOW + ahead)
    clock[0] += 120

    clocks = [desk.session.get(desk.url + "/_clock", timeout=60).json() for desk in (fast, there)]
    assert clocks[0] == {"now": clocks[1]["now"], "speed": options.get("speed", 1)}
    assert clocks[1]["speed"] == 0  # it stands still

    def moved(text: str) -> str:
        return (datetime.fromisoformat(text) + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")

    week = {name: moved(text) for name, text in WEEK.items()}
    for generation in (1, 2):
        for endpoint in ("report", "happiness"):
            ours = fast.get(generation, endpoint, **WEEK).json()
            theirs = there.get(generation, endpoint, **week).json()
            for body, query in ((ours, WEEK), (theirs, week)):
                if endpoint == "report":
                    assert body["current"].pop("startDate") == query["start"]
                    assert body["current"].pop("endDate") == query["end"]
            assert ours == theirs
    ours, theirs = (rows(desk) for desk in (fast, there))
    assert [row["id"] for row in ours] == [row["id"] for row in theirs]
    assert [moved(row["createdAt"]) for row in ours] == [row["createdAt"] for row in theirs]
    pairs = [
        (waiting_since(one), waiting_since(two)) for one, two in zip(ours, theirs, strict=True)
    ]
    assert all(moved(one) == two for one, two in pairs if one and two and "." not in one)
    assert rows(fast, query=f"(waitingSince:[* TO {WEEK['end']}])") == ours
    ours, theirs = (desk.get(1, "folders").json()["items"] for desk in (fast, there))
    assert [item["activeCount"] for item in ours] == [item["activeCount"] for item in theirs]


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Simulator(SimulatorOptions(speed=speed))


# --- the server -----------------------------------------------------------------------------


def test_a_taken_port_is_an_os_error(desk: Desk) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator().start(port=int(desk.url.rpartition(":")[2]))


def test_it_stops_at_once_with_calls_in_flight_and_says_nothing(
    open_desk: Callable[..., Desk], capfd: pytest.CaptureFixture[str]
) -> None:
    desk = open_desk(latency_seconds=60.0)
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET /v1/mailboxes.json HTTP/1.1\r\nHost: x\r\n\r\n")
        while not desk.simulator.stats()["accounts"]:
            pass
        desk.simulator.stop()
        assert connection.recv(1) == b""
    desk.simulator.stop()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "options",
    [SimulatorOptions(now=datetime(2026, 1, 1)), SimulatorOptions(start=datetime(2026, 1, 1))],
    ids=["now", "start"],
)
def test_a_clock_without_time_zone_is_refused(options: SimulatorOptions) -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        Simulator(options)


def test_the_worlds_clock_is_the_one_given() -> None:
    moments = iter([NOW.timestamp() - 86_400, NOW.timestamp()])
    simulator = Simulator(clock=lambda: next(moments))
    simulator.start()
    try:
        counts = [
            requests.get(
                simulator.url + PATHS[1, "report"], params=WEEK, auth=("key-1", "X"), timeout=5
            ).json()["current"]["repliesSent"]
            for _ in range(2)
        ]
    finally:
        simulator.stop()
    assert 0 < counts[0] < counts[1]
