"""The simulator over HTTP: both dialects as docs/api-facts.md describes them, and every fault."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from exporter.simulator import Simulator, SimulatorOptions, parse_faults

NOW = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)
WEEK = {"start": "2026-03-04T14:30:01Z", "end": "2026-03-11T14:30:00Z"}
BEFORE = {"previousStart": "2026-02-25T14:30:01Z", "previousEnd": "2026-03-04T14:30:00Z"}
EMPTY = {"start": "2012-01-01T00:00:00Z", "end": "2012-01-02T00:00:00Z"}
PATHS = {
    (1, "mailboxes"): "/v1/mailboxes.json",
    (1, "report"): "/v1/reports/productivity.json",
    (2, "mailboxes"): "/v2/mailboxes",
    (2, "report"): "/v2/reports/productivity",
}
FORM = {"grant_type": "client_credentials", "client_id": "demo-1", "client_secret": "secret-1"}
GENERATIONS = pytest.mark.parametrize("generation", [1, 2])


class Desk:
    """A running simulator with a monotonic clock that stands still, and a client for it."""

    def __init__(self, **options: Any) -> None:
        self.seconds = 1000.0
        settings = SimulatorOptions(**({"now": NOW} | options))
        self.simulator = Simulator(settings, monotonic=lambda: self.seconds)
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
def test_a_page_that_is_no_number_from_one_is_400(desk: Desk, generation: int, page: str) -> None:
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
def test_a_status_comes_with_the_dialects_error_body(
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
    desk = open_desk(latency_seconds=30.0)
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


def test_a_clock_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Simulator(SimulatorOptions(now=datetime(2026, 1, 1)))


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
