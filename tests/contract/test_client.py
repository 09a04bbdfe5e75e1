"""Both generations of the API over HTTP: what is asked and how, and what every answer becomes."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter import __version__, collectors
from exporter.helpscout.account import Api, Secret
from exporter.helpscout.client import Client
from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    Foreign,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    ShortList,
    Suspended,
    Throttled,
    Unreachable,
)
from exporter.helpscout.judging import http_date, number
from exporter.questions import ALL, Get, Key, Mailbox, Question, Reading
from tests.contract.conftest import CLIENT_ID, CLIENT_SECRET, KEY, Desk, Serve
from tests.contract.scripted import Asked, Reply, as_json, drip, head, reply, reset, stall

ANSWERS = Path(__file__).parent.parent / "testdata" / "answers"

NOW = datetime(2026, 3, 11, 14, 30, 0, 123_456, UTC)
ONE = Question(
    Key("productivity", "acme", "7", "email", "24h", "false", ""),
    timedelta(minutes=5),
    timedelta(hours=24),
    ((7,), (), ()),
)
EVERYTHING = replace(ONE, key=ONE.key._replace(mailbox_id=ALL, type=ALL), spec=((), (), ()))

both = pytest.mark.parametrize("api", ["v1", "v2"])


def ask(client: Client, question: Question = ONE, at: datetime = NOW) -> object:
    return collectors.ask(client, question, at).value


def failure(client: Client) -> HelpScoutError:
    with pytest.raises(HelpScoutError) as caught:
        ask(client)
    return caught.value


def boxes(*ids: int) -> list[dict[str, object]]:
    return [{"id": id_, "name": f"box {id_}", "slug": f"s{id_}", "email": "a@b"} for id_ in ids]


def page(api: Api, number: int, pages: int, *ids: int, total: int | None = None) -> bytes:
    if api == "v1":
        counted = {} if total is None else {"count": total}
        return as_json({"page": number, "pages": pages, "items": boxes(*ids)} | counted)
    counted = {} if total is None else {"totalElements": total}
    info = {"size": 50, "totalPages": pages, "number": number} | counted
    embedded = {"_embedded": {"mailboxes": boxes(*ids)}} if ids else {}
    return reply(
        json.dumps({"page": info} | embedded).encode(),
        content_type="application/hal+json;charset=UTF-8",
    )


# --- what is asked ------------------------------------------------------------------------------

SPAN = "start=2026-03-10T14:30:01Z&end=2026-03-11T14:30:00Z"
BEFORE = "previousStart=2026-03-09T14:30:01Z&previousEnd=2026-03-10T14:30:00Z"


@pytest.mark.parametrize(
    ("request_", "query"),
    [
        (ONE, f"{SPAN}&mailboxes=7&types=email&officeHours={{no}}"),
        (EVERYTHING, f"{SPAN}&officeHours={{no}}"),
        (
            replace(EVERYTHING, spec=((3, 1, 20), (), ())),
            f"{SPAN}&mailboxes=3,1,20&officeHours={{no}}",
        ),
        (
            replace(ONE, key=ONE.key._replace(office_hours="true")),
            f"{SPAN}&mailboxes=7&types=email&officeHours={{yes}}",
        ),
        (
            replace(ONE, spec=((7,), (11, 12), (991,))),
            f"{SPAN}&mailboxes=7&tags=11,12&folders=991&types=email&officeHours={{no}}",
        ),
        (
            replace(ONE, spec=(*ONE.spec, "compare")),
            f"{SPAN}&mailboxes=7&types=email&{BEFORE}&officeHours={{no}}",
        ),
    ],
)
def test_a_report_is_asked_as_its_generation_writes_it(
    desk: Desk, request_: Question, query: str
) -> None:
    ask(desk.client("v1"), request_)
    ask(desk.client("v2"), request_)
    first, second = desk.asked
    assert (first.method, second.method) == ("GET", "GET")
    assert first.target == f"/v1/reports/productivity.json?{query.format(no=0, yes=1)}"
    assert second.target == f"/v2/reports/productivity?{query.format(no='false', yes='true')}"


@pytest.mark.parametrize(
    ("api", "target"), [("v1", "/v1/mailboxes.json?page=1"), ("v2", "/v2/mailboxes?page=1")]
)
def test_a_probe_reads_the_first_page_of_the_list(desk: Desk, api: Api, target: str) -> None:
    desk.answer = lambda asked: page(api, 1, 2, 1)
    desk.client(api).probe(5)
    assert [asked.target for asked in desk.asked] == [target]
    assert desk.purse.spent == (api == "v2"), "the token's call alone: a probe is paid for"


@pytest.mark.parametrize(("timeout", "seconds"), [(5.0, 1.0), (1.0, 5.0)])
def test_a_probe_takes_its_own_time_at_most_and_no_more_than_any_call(
    desk: Desk, timeout: float, seconds: float
) -> None:
    desk.answer = lambda asked: stall(9.0)
    with pytest.raises(Unreachable) as failure:
        desk.client("v1", timeout=timeout).probe(seconds)
    assert failure.value.cause == "no whole answer within 1 s"


@pytest.mark.parametrize(
    ("api", "target"), [("v1", "/v1/mailboxes.json?page=1"), ("v2", "/v2/mailboxes?page=1")]
)
def test_mailboxes_are_asked_as_their_generation_writes_it(
    desk: Desk, api: Api, target: str
) -> None:
    desk.answer = lambda asked: page(api, 1, 1, 1)
    desk.client(api).mailboxes()
    assert [(asked.method, asked.target) for asked in desk.asked] == [("GET", target)]


@both
def test_a_call_says_who_we_are(desk: Desk, api: Api) -> None:
    ask(desk.client(api))
    for asked in desk.service.asked:
        assert asked.header("User-Agent") == f"helpscout-exporter/{__version__}"
        assert asked.header("Accept") == "application/json, application/hal+json"


def test_the_first_generation_gets_the_key_as_basic_user_name(desk: Desk) -> None:
    ask(desk.client("v1"))
    (asked,) = desk.service.asked
    assert asked.header("Authorization") == "Basic czNjcmV0LWFwaS1rZXk6WA=="


def test_the_second_generation_gets_a_bearer_token(desk: Desk) -> None:
    ask(desk.client("v2"))
    token, report = desk.service.asked
    assert (token.method, token.target) == ("POST", "/v2/oauth2/token")
    assert token.header("Content-Type") == "application/x-www-form-urlencoded"
    assert token.header("Authorization") is None
    assert dict(parse_qsl(token.body.decode(), strict_parsing=True)) == {
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }
    assert report.header("Authorization") == "Bearer token-1"


@both
def test_the_published_answers_are_read_over_http(desk: Desk, api: Api) -> None:
    def script(asked: Asked) -> bytes:
        name = "productivity" if "productivity" in asked.target else "mailboxes"
        return reply((ANSWERS / f"{api}_{name}.json").read_bytes())

    desk.answer = script
    client = desk.client(api)
    answer = collectors.ask(client, replace(ONE, spec=(*ONE.spec, "compare")), NOW)
    assert answer.value.current.response_time == 2278004
    assert answer.value.previous is not None
    assert answer.value.previous.response_time == 4850412
    assert answer.learned.tags == {"sample-tag": 123}
    assert len(client.mailboxes()) == (1 if api == "v1" else 2)


def test_the_published_token_is_used(desk: Desk) -> None:
    desk.token = lambda asked: reply((ANSWERS / "v2_token.json").read_bytes())
    ask(desk.client())
    assert desk.asked[0].header("Authorization") == "Bearer 369dbb08be58430086d2f8bd832bc1eb"


@both
def test_a_netrc_does_not_replace_the_login(
    desk: Desk, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password other\ndefault login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    ask(desk.client(api))
    assert [asked.header("Authorization") for asked in desk.asked] == [
        "Basic czNjcmV0LWFwaS1rZXk6WA==" if api == "v1" else "Bearer token-1"
    ]
    assert [asked.header("Authorization") for asked in desk.token_calls] == (
        [] if api == "v1" else [None]
    )


# --- the token ----------------------------------------------------------------------------------


def test_nine_threads_share_one_token(desk: Desk) -> None:
    release = threading.Event()
    next_token = desk.token

    def slowly(asked: Asked) -> Reply:
        assert release.wait(10)
        return next_token(asked)

    desk.token = slowly
    client = desk.client()
    threads = [threading.Thread(daemon=True, target=ask, args=(client,)) for _ in range(9)]
    for thread in threads:
        thread.start()
    while not desk.token_calls:
        threading.Event().wait(0.01)
    assert desk.asked == []
    release.set()
    for thread in threads:
        thread.join(10)
    assert len(desk.token_calls) == 1
    assert [asked.header("Authorization") for asked in desk.asked] == ["Bearer token-1"] * 9


def test_a_token_is_renewed_a_little_before_it_expires(desk: Desk) -> None:
    client = desk.client()
    ask(client)
    desk.seconds += 7200 - 61
    ask(client)
    assert len(desk.token_calls) == 1
    desk.seconds += 2
    ask(client)
    assert len(desk.token_calls) == 2
    assert desk.asked[-1].header("Authorization") == "Bearer token-2"


def test_a_refused_token_is_renewed_once_and_the_call_repeated_once(desk: Desk) -> None:
    def script(asked: Asked) -> bytes:
        fresh = asked.header("Authorization") != "Bearer token-1"
        return as_json({"current": {}}) if fresh else as_json({"error": "expired"}, 401)

    desk.answer = lambda _: as_json({"current": {}})
    client = desk.client()
    ask(client)
    desk.seconds += 60
    desk.answer = script
    ask(client)
    ask(client)
    sent = [asked.header("Authorization") for asked in desk.asked][1:]
    assert sent == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]
    assert desk.asked[1].target == desk.asked[2].target
    assert desk.counted("api_retries_total", reason="credentials") == 1


def test_a_token_refused_twice_is_a_credentials_error(desk: Desk) -> None:
    desk.answer = lambda asked: as_json({"error": "user deactivated"}, 401)
    error = failure(desk.client())
    assert isinstance(error, BadCredentials)
    assert (error.cause, error.status) == ("HTTP 401: user deactivated", 401)
    # The first token is new, as is that of a login that has just been: it gets a second look.
    assert (len(desk.token_calls), len(desk.asked)) == (1, 2)


def test_refusals_that_take_their_time_renew_the_token_once(desk: Desk) -> None:
    def script(asked: Asked) -> bytes:
        desk.seconds += 6  # longer than a token is new
        refused = len(desk.asked) < 8
        return as_json({"error": "no"}, 401) if refused else page("v2", 1, 1, 1)

    desk.answer = script
    with pytest.raises(BadCredentials):
        desk.client().mailboxes()
    assert (len(desk.token_calls), len(desk.asked)) == (2, 2)


def test_a_token_that_becomes_valid_a_moment_late_is_waited_for(desk: Desk) -> None:
    answers = iter([as_json({"error": "not yet"}, 401)])
    desk.answer = lambda asked: next(answers, as_json({"current": {}}))
    ask(desk.client())
    assert (len(desk.token_calls), desk.purse.paused) == (1, [1.0])


def test_a_token_that_worked_and_is_refused_a_moment_later_is_renewed(desk: Desk) -> None:
    answers = iter([as_json({"current": {}}), as_json({"error": "revoked"}, 401)])
    desk.answer = lambda asked: next(answers, as_json({"current": {}}))
    client = desk.client()
    ask(client)
    ask(client)
    assert (len(desk.token_calls), desk.purse.paused) == (2, [])


def test_one_question_that_is_always_unauthorized_costs_a_login_in_ten_minutes(desk: Desk) -> None:
    def script(asked: Asked) -> bytes:
        report = "mailboxes?" not in asked.target
        return as_json({"error": "no"}, 401) if report else page("v2", 1, 1, 1)

    desk.answer = script
    client = desk.client()
    client.mailboxes()
    logins = []
    for _ in range(20):
        desk.seconds += 60
        failure(client)
        logins.append(len(desk.token_calls) - 1)
        client.mailboxes()
    assert logins == [1] * 10 + [2] * 10


def test_a_token_that_is_revoked_after_a_login_of_no_use_is_renewed_for_the_list(
    desk: Desk,
) -> None:
    revoked = set[str]()

    def script(asked: Asked) -> bytes:
        is_refused = "mailboxes?" not in asked.target or asked.header("Authorization") in revoked
        return as_json({"error": "no"}, 401) if is_refused else page("v2", 1, 1, 1)

    desk.answer = script
    client = desk.client()
    client.mailboxes()
    desk.seconds += 60
    failure(client)
    desk.seconds += 60
    revoked |= {"Bearer token-1", "Bearer token-2"}
    client.mailboxes()
    assert len(desk.token_calls) == 3


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, BadCredentials, "HTTP 400: wrong secret"),
        (401, BadCredentials, "HTTP 401: wrong secret"),
        (403, NotAllowed, "HTTP 403: wrong secret"),
        (404, NotThere, "HTTP 404: wrong secret"),
        (429, Throttled, "HTTP 429: wrong secret"),
        (500, ServiceFailed, "HTTP 500: wrong secret"),
        (302, Foreign, "HTTP 302: a redirect, which is not followed"),
    ],
)
def test_a_login_that_is_refused_is_not_repeated(
    desk: Desk, status: int, kind: type[HelpScoutError], words: str
) -> None:
    body = {"error": "invalid_client", "error_description": "wrong secret"}
    desk.token = lambda asked: as_json(body, status)
    error = failure(desk.client())
    assert type(error) is kind
    assert (error.cause, error.status) == (words, status)
    assert (len(desk.token_calls), len(desk.asked)) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"<html>", content_type="text/html"),
        as_json({"token_type": "bearer"}),
        as_json({"access_token": "tok\r\nX-Evil: 1"}),
        as_json(["token"]),
        reply(b""),
    ],
)
def test_a_token_answer_that_is_none_is_a_bad_response(desk: Desk, answer: bytes) -> None:
    desk.token = lambda asked: answer
    assert isinstance(failure(desk.client()), BadResponse)
    assert desk.asked == []


def test_a_rotated_key_file_is_tried_once_when_the_old_key_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("old")

    def script(asked: Asked) -> bytes:
        if len(desk.asked) == 1:
            file.write_text("new")
            return as_json({"message": "no"}, 401)
        return as_json({"current": {}})

    desk.answer = script
    desk.secrets.key = Secret(file=file)
    ask(desk.client("v1"))
    assert len({asked.header("Authorization") for asked in desk.asked}) == 2


def test_an_app_id_in_a_file_is_read_at_each_login(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "app-id"
    client = desk.client(client_id=None, client_id_file=file)
    error = failure(client)
    assert isinstance(error, BadCredentials)
    assert str(file) in str(error)
    assert desk.service.asked == []
    desk.answer = lambda asked: as_json({"current": {}})
    for app_id in ("first", "second"):
        file.write_text(f"{app_id}\n")
        ask(client)
        (login,) = (asked for asked in desk.service.asked if asked.method == "POST")
        assert dict(parse_qsl(login.body.decode()))["client_id"] == app_id
        desk.service.asked.clear()
        desk.seconds += 8000


def test_a_refused_key_is_not_tried_again(desk: Desk) -> None:
    desk.answer = lambda asked: as_json({"status": 401, "message": "unknown key"}, 401)
    error = failure(desk.client("v1"))
    assert isinstance(error, BadCredentials)
    assert error.cause == "HTTP 401: unknown key"
    assert len(desk.asked) == 1


@both
def test_a_secret_file_that_is_not_there_asks_nothing(desk: Desk, api: Api, tmp_path: Path) -> None:
    missing = Secret(file=tmp_path / "nothing")
    desk.secrets.key = desk.secrets.client_secret = missing
    assert isinstance(failure(desk.client(api)), BadCredentials)
    assert desk.service.asked == []


# --- errors -------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (201, BadResponse),
        (204, BadResponse),
        (206, BadResponse),
        (301, Foreign),
        (302, Foreign),
        (304, Foreign),
        (307, Foreign),
        (400, Refused),
        (402, Suspended),
        (403, NotAllowed),
        (404, NotThere),
        (405, Refused),
        (410, Refused),
        (422, Refused),
        (429, Throttled),
        (500, ServiceFailed),
        (502, ServiceFailed),
        (503, ServiceFailed),
        (504, ServiceFailed),
        (599, ServiceFailed),
    ],
)
def test_a_status_is_one_error_of_the_tree(
    desk: Desk, api: Api, status: int, kind: type[HelpScoutError]
) -> None:
    body = b"" if status in (204, 304) else b'{"message": "words"}'
    desk.answer = lambda asked: reply(body, status)
    error = failure(desk.client(api))
    assert type(error) is kind
    assert error.status == status
    expected = f"HTTP {status}" + (": words" if body else "")
    if 300 <= status < 400:
        expected = f"HTTP {status}: a redirect, which is not followed"
    assert error.cause == expected
    assert len(desk.asked) == 1
    assert desk.counted("api_requests_total", operation="report", code=str(status)) == 1


@pytest.mark.parametrize(
    ("answer", "words", "reference"),
    [
        (
            reply((ANSWERS / "v2_error_400.json").read_bytes(), 400, Correlation_ID="c-1"),
            (
                "HTTP 400: Bad request; subject: may not be empty; status: Expected one of these:"
                " 'active', 'spam', 'open', 'closed', 'pending'"
            ),
            "64bb72b4-0a92-11e8-ba89-0ed5f89f718b",
        ),
        (
            reply((ANSWERS / "v2_error_500.json").read_bytes(), 500),
            "HTTP 500: Internal error",
            "cb73aad3-9a81-44fd-bf70-48250ea256ff#12",
        ),
        (
            reply((ANSWERS / "v2_error_429.json").read_bytes(), 429, correlation_id="c-2"),
            "HTTP 429: API rate limit exceeded",
            "c-2",
        ),
        (
            reply(b"<html>Bad gateway</html>", 502, "text/html"),
            "HTTP 502 with a web page (text/html), which is not Help Scout's",
            None,
        ),
        (reply(b"", 503, None, CORRELATION_ID="c-3"), "HTTP 503", "c-3"),
        (reply(b"\xff" * 10_000, 500), "HTTP 500", None),
        (as_json({"message": "line\nbreak\x1b[31m"}, 500), "HTTP 500: line break [31m", None),
    ],
)
def test_what_the_service_says_and_its_reference_are_kept(
    desk: Desk, answer: bytes, words: str, reference: str | None
) -> None:
    desk.answer = lambda asked: answer
    error = failure(desk.client())
    assert (error.cause, error.reference) == (words, reference)


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_token_travels_with_a_redirect(desk: Desk, serve: Serve, api: Api, status: int) -> None:
    other = serve(lambda asked: as_json({"current": {}}))
    desk.answer = lambda asked: reply(b"", status, Location=f"{other.url}/v2/reports")
    error = failure(desk.client(api))
    to = f"{other.url}/v2/reports"
    assert error.cause == f"HTTP {status}: a redirect to {to}, which is not followed"
    assert other.asked == []


def test_the_login_is_not_redirected_either(desk: Desk, serve: Serve) -> None:
    other = serve(lambda asked: as_json({"access_token": "t"}))
    desk.token = lambda asked: reply(b"", 307, Location=f"{other.url}/v2/oauth2/token")
    assert isinstance(failure(desk.client()), BadResponse)
    assert other.asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            reply(b"<html>Hi</html>", content_type="text/html; charset=utf-8"),
            "a web page (text/html)",
        ),
        (reply(b"<html>Hi</html>"), "a web page (application/json)"),
        (reply(b'{"current": {}}', content_type="text/plain"), "content of type text/plain"),
        (reply(b'{"current": {}}', content_type=None), "content of no declared type"),
        (
            reply(b'{"current": {}}', content_type="application/jsonp"),
            "content of type application/jsonp",
        ),
        (reply(b'{"current": {}}', content_type="text/x+json"), "content of type text/x+json"),
        (reply(b"x", content_type="text/\x1b[31mred"), "content of type text/ [31mred"),
    ],
)
def test_what_does_not_say_it_is_json_is_refused(desk: Desk, answer: bytes, words: str) -> None:
    desk.answer = lambda asked: answer
    error = failure(desk.client())
    assert isinstance(error, BadResponse)
    assert error.cause == f"HTTP 200 with {words}, which is not Help Scout's"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("", None),
        ("; charset=utf-8", None),
        (";charset=UTF-8", None),
        ('; charset="utf-8"', None),
        ("; charset=utf8", None),
        ("; charset=us-ascii", None),
        ("; charset=utf-8; profile=x", None),
        ("; profile=x", None),
        (";", None),
        ("; charset=iso-8859-1", "the answer's charset is iso-8859-1, not UTF-8"),
        ("; profile=x; charset=utf-16", "the answer's charset is utf-16, not UTF-8"),
        ("; charset=", "the answer's charset is , not UTF-8"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/hal+json", "Application/JSON"])
def test_only_utf_8_is_read(desk: Desk, kind: str, parameters: str, words: str | None) -> None:
    desk.answer = lambda asked: reply(b'{"current": {}}', content_type=kind + parameters)
    client = desk.client()
    if words is None:
        assert ask(client) is not None
    else:
        assert failure(client).cause == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not JSON"),
        (b'{"current": {"closed": 1', "the body is not JSON"),
        (b'{"current": {}, "x": "\xe9"}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"{}", "current: is missing"),
        (b'{"current": null}', "current: is not an object"),
        (b'{"current": {"closed": NaN}}', "current.closed: is not a finite number"),
    ],
)
def test_a_malformed_body_is_a_bad_response_and_not_asked_again(
    desk: Desk, body: bytes, words: str
) -> None:
    desk.answer = lambda asked: reply(body)
    error = failure(desk.client())
    assert isinstance(error, BadResponse)
    assert not error.transient
    assert error.cause == words
    assert len(desk.asked) == 1


def test_a_compressed_report_is_read(desk: Desk) -> None:
    body = gzip.compress((ANSWERS / "v2_productivity.json").read_bytes())
    desk.answer = lambda asked: reply(body, Content_Encoding="gzip")
    report = collectors.ask(desk.client(), ONE, NOW).value
    assert report.current.closed == 94


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (reset, Unreachable, "unreachable"),
        (stall(10.0), Unreachable, "unreachable"),
        (drip(head(200, {"Content-Length": "90"}), b" " * 40), Unreachable, "unreachable"),
        (reply(b" " * 6_000_000), BadResponse, "bad_response"),
    ],
)
def test_a_call_without_a_whole_answer_is_counted_by_its_reason(
    desk: Desk, answer: Reply, kind: type[HelpScoutError], code: str
) -> None:
    client = desk.client(timeout=2.5)
    client._authentication.authorize()
    desk.answer = lambda asked: answer
    assert isinstance(failure(client), kind)
    assert desk.counted("api_requests_total", operation="report", code=code) == 1


# --- throttling ---------------------------------------------------------------------------------

NOW = datetime(2026, 3, 11, 14, 30, tzinfo=UTC)


def date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


RETRY_AFTER: list[tuple[str, float | None]] = [
    ("7", 7.0),
    ("0", 0.0),
    ("1.5", 1.5),
    (" 12 ", 12.0),
    ("-5", None),
    ("soon", None),
    ("", None),
    ("nan", None),
    ("inf", None),
    ("-inf", None),
    ("0x10", None),
    ("99999999", 3600.0),
    ("1e300", 3600.0),
    (date(90), 90.0),
    (date(0), 0.0),
    (date(-3600), 0.0),
    (date(10**7), 3600.0),
    ("Wed, 11 Mar 2026 15:31:30 +0100", 90.0),
    ("Mon, 32 Jan 2026 10:00:00 GMT", None),
    ("Wed, 11 Mar 99999999999 14:30:00 GMT", None),
    ("Wed, 11 Mar 99999999999999999999999 14:30:00 GMT", None),
    ("Wed, 11 Mar 2026 14:30:00 +99999999999999999999", None),
    (",", None),
]


@pytest.mark.parametrize("header", ["Retry-After", "X-RateLimit-Retry-After", "retry-AFTER"])
@pytest.mark.parametrize(("written", "seconds"), RETRY_AFTER)
def test_the_wait_that_the_service_asks_for_closes_the_gate(
    desk: Desk, header: str, written: str, seconds: float | None
) -> None:
    desk.now = NOW
    name = header.replace("-", "_")
    desk.answer = lambda asked: reply(b"{}", 429, **{name: written})
    error = failure(desk.client("v1"))
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds
    assert desk.purse.closed == [seconds]
    assert desk.counted("throttled_total") == 1


def test_without_a_wait_said_the_gate_closes_all_the_same(desk: Desk) -> None:
    desk.answer = lambda asked: reply(b"{}", 429)
    assert failure(desk.client()).retry_after is None
    assert desk.purse.closed == [None]


@pytest.mark.parametrize(
    ("own", "plain", "seconds"),
    [("5", "9", 5.0), ("nonsense", "9", 9.0), ("5", "nonsense", 5.0), ("x", "y", None)],
)
def test_of_two_waits_the_services_own_header_counts_where_it_makes_sense(
    desk: Desk, own: str, plain: str, seconds: float | None
) -> None:
    headers = {"X_RateLimit_Retry_After": own, "Retry_After": plain}
    desk.answer = lambda asked: reply(b"{}", 429, **headers)
    assert failure(desk.client()).retry_after == seconds


def test_a_date_is_measured_against_the_services_own_clock(desk: Desk) -> None:
    desk.now = NOW - timedelta(hours=1)
    desk.answer = lambda asked: reply(b"{}", 429, Retry_After=date(30), Date=date(0))
    assert failure(desk.client()).retry_after == 30


def test_a_date_is_measured_against_ours_where_the_service_has_none(desk: Desk) -> None:
    desk.now = NOW
    desk.answer = lambda asked: reply(b"{}", 429, Retry_After=date(30), Date="yesterday")
    assert failure(desk.client()).retry_after == 30


def test_a_503_may_say_when_to_retry_and_stops_no_other_call(desk: Desk) -> None:
    desk.answer = lambda asked: reply(b"{}", 503, Retry_After="40")
    assert failure(desk.client()).retry_after == 40
    assert desk.purse.closed == []


def test_a_throttled_login_closes_the_gate(desk: Desk) -> None:
    desk.token = lambda asked: reply(b"{}", 429, X_RateLimit_Retry_After="3")
    assert isinstance(failure(desk.client()), Throttled)
    assert desk.purse.closed == [3]


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_raises(text: str) -> None:
    seconds = number(text)
    assert seconds is None or 0 <= seconds < float("inf")
    moment = http_date(text)
    assert moment is None or moment.tzinfo is not None


@given(
    st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Mon", "x"]),
        st.integers(-1, 40),
        st.sampled_from(["Jan", "Foo", "2"]),
        st.integers(-(10**20), 10**20),
        st.integers(-1, 99),
        st.integers(-1, 99),
        st.integers(-1, 99),
        st.sampled_from(["GMT", "+0000", "-9999", "+99999999999999999999"]),
    )
)
def test_no_date_raises(text: str) -> None:
    moment = http_date(text)
    assert moment is None or (moment - NOW).total_seconds() < float("inf")


# --- rate headers -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("status", [200, 404, 429, 500])
@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        (
            {"X-RateLimit-Limit-Minute": "400", "X-RateLimit-Remaining-Minute": "399"},
            (400.0, 399.0),
        ),
        (
            {"X-Ratelimit-Limit-Minute": "400", "x-ratelimit-remaining-minute": "0"},
            (400.0, 0.0),
        ),
        ({"X-RateLimit-Limit-Minute": "400"}, (400.0, None)),
        # sent twice, by the service and a gateway
        (
            {"X-RateLimit-Limit-Minute": "400, 400", "X-RateLimit-Remaining-Minute": "9,7"},
            (400.0, 7.0),
        ),
        ({"X-RateLimit-Limit-Minute": "400, many"}, (None, None)),
        ({"X-RateLimit-Remaining-Minute": "-1"}, (None, None)),
        ({"X-RateLimit-Limit-Minute": "many", "X-RateLimit-Remaining-Minute": ""}, (None, None)),
        ({}, (None, None)),
    ],
)
@pytest.mark.no_cover
def test_the_rate_headers_of_every_answer_are_observed(
    desk: Desk,
    api: Api,
    status: int,
    headers: dict[str, str],
    seen: tuple[float | None, float | None],
) -> None:
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    desk.answer = lambda asked: as_json({"current": {}}, status, **named)
    client = desk.client(api)
    if status == 200:
        ask(client)
    else:
        failure(client)
    assert desk.purse.observed[-1] == seen


def test_what_an_answer_says_of_the_limit_is_as_of_when_it_was_asked(desk: Desk) -> None:
    def slow(_asked: Asked) -> bytes:
        desk.seconds += 20.0
        return as_json({"current": {}})

    desk.answer = slow
    asked_at = desk.seconds
    ask(desk.client("v1"))
    assert desk.purse.asked_at == [asked_at]


# --- what is paid and counted -------------------------------------------------------------------


@both
def test_every_call_is_paid_but_the_one_that_was_paid_for(desk: Desk, api: Api) -> None:
    client = desk.client(api)
    login = 0 if api == "v1" else 1
    collectors.ask(client, ONE, NOW, paid=True)
    assert desk.purse.spent == login
    collectors.ask(client, ONE, NOW)
    assert desk.purse.spent == login + 1


@both
def test_of_a_paid_mailbox_list_the_first_page_is_paid_for(desk: Desk, api: Api) -> None:
    desk.answer = lambda asked: page(api, len(desk.asked), 3, len(desk.asked))
    desk.client(api).mailboxes(paid=True)
    assert desk.purse.spent == 2 + (api == "v2")


def test_a_repeated_call_is_paid_as_well(desk: Desk) -> None:
    desk.answer = lambda asked: as_json({}, 401)
    with pytest.raises(BadCredentials):
        collectors.ask(desk.client(), ONE, NOW, paid=True)
    assert desk.purse.spent == 2  # a token and the second try


BUCKETS = ("0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf")
"""The edges of the duration's histogram as dashboards know them, in seconds."""


def test_calls_are_counted_and_timed_by_endpoint(desk: Desk) -> None:
    desk.answer = lambda asked: (
        page("v2", 1, 1, 1) if "mailboxes?" in asked.target else as_json({"current": {}})
    )
    client = desk.client()
    client.mailboxes()
    ask(client)
    ask(client)
    for endpoint, calls in (("token", 1), ("mailboxes", 1), ("report", 2)):
        assert desk.counted("api_requests_total", operation=endpoint, code="200") == calls
        name = "api_request_duration_seconds_count"
        assert desk.counted(name, operation=endpoint) == calls


def test_a_call_without_an_answer_is_timed_and_no_wait_for_the_budget_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spend() -> None:
        desk.seconds += 30.0

    monkeypatch.setattr(desk.purse, "spend", spend)
    desk.answer = lambda _asked: reset
    failure(desk.client("v1"))
    name = "api_request_duration_seconds"
    measured = [desk.counted(f"{name}_{each}", operation="report") for each in ("count", "sum")]
    assert measured == [1, 0]


def test_what_a_question_took_is_counted_in_calls(desk: Desk) -> None:
    def two(get: Get) -> Reading:
        get("/a", {})
        get("/b", {})
        return Reading(None, NOW)

    assert desk.client().ask("report", two).calls == 2


def test_a_call_is_timed_in_seconds(desk: Desk) -> None:
    def slow(_asked: Asked) -> bytes:
        desk.seconds += 0.75
        return as_json({"current": {}})

    desk.answer = slow
    ask(desk.client())
    name = "api_request_duration_seconds"
    assert desk.counted(f"{name}_sum", operation="report") == 0.75
    within = {le: desk.counted(f"{name}_bucket", operation="report", le=le) for le in BUCKETS}
    assert within == {le: float(le) >= 0.75 for le in BUCKETS}


# --- the mailbox list ---------------------------------------------------------------------------

Pages = Callable[[int], tuple[int, int, tuple[int, ...]]]
"""From the number of a page to what the answer says: its number, how many there are, ids."""


def listed(desk: Desk, api: Api, pages: Pages) -> list[int]:
    def script(asked: Asked) -> bytes:
        number, total, ids = pages(int(asked.target.rpartition("=")[2]))
        return page(api, number, total, *ids)

    desk.answer = script
    return [mailbox.id for mailbox in desk.client(api).mailboxes()]


@both
@pytest.mark.parametrize(
    ("pages", "ids", "calls"),
    [
        (lambda n: (n, 1, (5, 3)), [5, 3], 1),
        (lambda n: (n, 3, (10 * n, 10 * n + 1)), [10, 11, 20, 21, 30, 31], 3),
        (lambda n: (n, 0, ()), [], 1),
        (lambda n: (n, 1, ()), [], 1),
        # a mailbox moves to the next page meanwhile, and is listed once
        (lambda n: (n, 2, ((1, 2), (2, 3))[n - 1]), [1, 2, 3], 2),
        # fewer pages, and an empty last one, as mailboxes are deleted meanwhile
        (lambda n: (n, (3, 2)[n - 1], ((1, 2), ())[n - 1]), [1, 2], 2),
    ],
)
def test_a_mailbox_list_is_read_page_by_page(
    desk: Desk, api: Api, pages: Pages, ids: list[int], calls: int
) -> None:
    assert listed(desk, api, pages) == ids
    assert len(desk.asked) == calls


@both
@pytest.mark.parametrize(
    ("pages", "words"),
    [
        (
            lambda n: (n, 10**9, (1, 2)),
            "the list does not end: page 2 brought nothing new",
        ),
        (
            lambda n: (n, 10**9, ()),
            "the list does not end: page 1 brought nothing new",
        ),
        (lambda n: (1, 5, (n,)), "the list is not whole: page 2 is page 1"),
        # the last page is the one before once more: a mailbox would be missing without a word
        (lambda n: (min(n, 2), 3, (min(n, 2),)), "the list is not whole: page 3 is page 2"),
        (lambda n: (n, 10**9, (n,)), "the list has more than 400 pages"),
    ],
)
def test_a_mailbox_list_that_does_not_end_or_is_not_whole_is_refused(
    desk: Desk, api: Api, pages: Pages, words: str
) -> None:
    with pytest.raises(BadResponse) as caught:
        listed(desk, api, pages)
    assert caught.value.cause == words
    assert len(desk.asked) <= 400


def totalled(
    desk: Desk, api: Api, *readings: Sequence[tuple[int, int, tuple[int, ...]]]
) -> list[int]:
    """List the mailboxes where each reading's pages are of so many, say this total, have these."""
    remaining = [
        page(api, number, pages, *ids, total=total)
        for reading in readings
        for number, (pages, total, ids) in enumerate(reading, 1)
    ]
    desk.answer = lambda asked: remaining.pop(0)
    try:
        return [mailbox.id for mailbox in desk.client(api).mailboxes()]
    finally:
        assert remaining == []


@both
@pytest.mark.parametrize(
    ("reading", "has", "of"),
    [
        ([(1, 2, ())], 0, 2),
        ([(1, 3, (1, 2))], 2, 3),
        ([(2, 5, (1, 2)), (2, 5, (3, 4))], 4, 5),
        ([(3, 5, (1, 2)), (3, 5, ())], 2, 5),
    ],
)
def test_a_list_shorter_than_it_says_is_not_taken_for_the_whole(
    desk: Desk, api: Api, reading: list[tuple[int, int, tuple[int, ...]]], has: int, of: int
) -> None:
    with pytest.raises(ShortList) as caught:
        totalled(desk, api, reading)
    assert f"it has {has} mailboxes where Help Scout says there are {of}" in str(caught.value)
    assert len(caught.value.found) == has


@both
def test_a_list_that_changes_while_it_is_read_is_read_again(desk: Desk, api: Api) -> None:
    # Of 5 the first is deleted after the first page: the third moves there and would be missing.
    first = [(3, 5, (1, 2)), (2, 4, (4, 5))]
    second = [(2, 4, (2, 3)), (2, 4, (4, 5))]
    assert totalled(desk, api, first, second) == [2, 3, 4, 5]


@both
def test_a_list_that_changes_all_the_time_is_not_refused_for_ever(desk: Desk, api: Api) -> None:
    changing = [(2, 5, (1, 2)), (2, 4, (4, 5))]
    assert totalled(desk, api, changing, changing, changing) == [1, 2, 4, 5]


@both
def test_a_mailbox_that_is_skipped_does_not_make_the_list_short(desk: Desk, api: Api) -> None:
    items = [*boxes(1), {"id": None, "name": "x"}]
    desk.answer = lambda asked: as_json(
        {"page": 1, "pages": 1, "count": 2, "items": items}
        if api == "v1"
        else {
            "page": {"number": 1, "totalPages": 1, "totalElements": 2},
            "_embedded": {"mailboxes": items},
        }
    )
    assert [mailbox.id for mailbox in desk.client(api).mailboxes()] == [1]


@both
def test_a_list_of_nothing_but_odd_elements_is_refused(desk: Desk, api: Api) -> None:
    items: list[object] = [{"id": 0}, 7]
    desk.answer = lambda asked: as_json(
        {"page": 1, "pages": 1, "items": items}
        if api == "v1"
        else {"page": {"number": 1, "totalPages": 1}, "_embedded": {"mailboxes": items}}
    )
    with pytest.raises(BadResponse, match="none of the mailboxes in the list can be read"):
        desk.client(api).mailboxes()


def test_the_link_to_the_next_page_is_followed_where_the_number_of_pages_is_outdated(
    desk: Desk,
) -> None:
    def script(asked: Asked) -> bytes:
        number = int(asked.target.rpartition("=")[2])
        links = {"next": {"href": "https://elsewhere.example/"}} if number == 1 else {}
        info = {"number": number, "totalPages": 1, "totalElements": 2}
        mailboxes = {"mailboxes": boxes(number)}
        return as_json({"page": info, "_links": links, "_embedded": mailboxes})

    desk.answer = script
    assert [mailbox.id for mailbox in desk.client().mailboxes()] == [1, 2]


@both
def test_what_is_odd_in_an_answer_is_said_once_and_not_at_every_poll(desk: Desk, api: Api) -> None:
    tags = [{"id": 0, "name": "vip"}, {"id": 3, "name": "gold"}]
    desk.answer = lambda asked: as_json({"current": {}, "filterTags": tags, "handleTime": []})
    with capture_logs() as entries:
        client = desk.client(api)
        for _ in range(3):
            learned = collectors.ask(client, ONE, NOW).learned
    assert [(line["account"], line["what"]) for line in entries] == [
        ("acme", "handleTime: is not an object: the distribution handleTime is left out"),
    ]
    assert learned.tags == {"gold": 3}
    assert learned.odd == ('filterTags.id: is negative or too small: the tag "vip" is left out',)


@both
def test_a_list_that_fails_in_the_middle_fails(desk: Desk, api: Api) -> None:
    desk.answer = lambda asked: (
        page(api, 1, 2, 1) if asked.target.endswith("=1") else as_json({}, 500)
    )
    with pytest.raises(ServiceFailed):
        desk.client(api).mailboxes()


def test_names_arrive_as_they_are(desk: Desk) -> None:
    names = ['He said "hi"', "back\\slash", "line\nbreak", "🦊", "equal", "equal", ""]
    items = [{"id": n, "name": name} for n, name in enumerate(names, 1)]
    desk.answer = lambda asked: as_json({"page": 1, "pages": 1, "items": items})
    assert desk.client("v1").mailboxes() == [
        Mailbox(n, name, "", "") for n, name in enumerate(names, 1)
    ]


@pytest.mark.parametrize("ahead", [90, 0, -90])
def test_the_mailbox_list_says_how_far_our_clock_is_ahead_of_the_services(
    desk: Desk, ahead: int
) -> None:
    desk.now = NOW + timedelta(seconds=ahead)
    nothing = {"page": 1, "pages": 1, "items": []}
    desk.answer = lambda asked: as_json(nothing, Date=date(0))
    client = desk.client("v1")
    client.mailboxes()
    assert client.skew_seconds == ahead


# --- secrets ------------------------------------------------------------------------------------

HOSTILE_TOKEN = "s3cret-bearer-token"
ECHO = json.dumps(
    {
        "message": f"{KEY} {CLIENT_SECRET} {HOSTILE_TOKEN}",
        "error": KEY,
        "error_description": f"{CLIENT_SECRET} is wrong",
        "_embedded": {
            "errors": [{"path": "x", "message": f"{HOSTILE_TOKEN} {KEY}", "rejectedValue": KEY}]
        },
    }
).encode()


@both
@pytest.mark.parametrize("target", ["token", "report"])
@pytest.mark.parametrize(
    "answer",
    [
        *(reply(ECHO, status) for status in (204, 302, 400, 401, 402, 403, 404, 429, 500, 503)),
        reply(ECHO),
        reply(ECHO, content_type="text/html"),
        reply(ECHO[:-1]),
        reply(ECHO, Content_Encoding="gzip"),
        as_json({"access_token": [CLIENT_SECRET], "current": {"closed": KEY}}),
        as_json({"access_token": f"{CLIENT_SECRET} {KEY}", "current": [HOSTILE_TOKEN]}),
        reset,
        lambda connection: connection.sendall(ECHO),
    ],
)
def test_no_error_shows_a_secret_however_the_service_repeats_it(
    desk: Desk,
    api: Api,
    target: str,
    answer: Reply,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    desk.token = lambda asked: as_json({"access_token": HOSTILE_TOKEN, "expires_in": 7200})
    if target == "token":
        desk.token = lambda asked: answer
    else:
        desk.answer = lambda asked: answer
    client = desk.client(api)
    if target == "token" and api == "v1":
        assert ask(client) is not None  # it has no login of its own
        return
    error = failure(client)
    shown = [
        str(error),
        repr(error),
        str(error.reference),
        repr(client),
        repr(client._account),
        repr(client._authentication),
        "".join(traceback.format_exception(error)),
        caplog.text,
    ]
    # The other secrets, which are not sent with this call, may be anything but ours.
    mine = (KEY,) if api == "v1" else (CLIENT_SECRET,) if target == "token" else (HOSTILE_TOKEN,)
    for text in shown:
        assert not [secret for secret in mine if secret in text]
