"""Every failure is one line: step, host, cause, what to do. Read as the person on call reads it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from exporter import collectors
from exporter.helpscout.account import Api, Secret
from exporter.helpscout.errors import Foreign, HelpScoutError, ServiceFailed, Throttled
from exporter.questions import ALL, Question
from tests.contract.conftest import CLIENT_SECRET, Certificate, Desk, Secrets, Serve
from tests.contract.scripted import Reply, as_json, reply, reset, stall
from tests.contract.test_client import EVERYTHING, NOW, ONE
from tests.support import resolves_nothing

PLAIN = replace(ONE, key=ONE.key._replace(type=ALL))
CUT = replace(PLAIN, key=PLAIN.key._replace(segment="vip"), spec=((7,), (), (991,)))
BLOCKED = (
    b"<!DOCTYPE html><html><head><title>\n Access &amp; policy:  blocked </title></head></html>"
)


def said(desk: Desk, call: str, api: Api = "v2", request: Question = PLAIN) -> str:
    """What a failing call says, with HOST for the service's address."""
    return caught(desk, call, api, request)[1]


def caught(
    desk: Desk, call: str, api: Api = "v2", request: Question = PLAIN
) -> tuple[HelpScoutError, str]:
    client = desk.client(api, timeout=3.0)
    report = partial(collectors.ask, client, request, NOW)
    ask: Callable[[], object] = client.mailboxes if call == "list" else report
    with pytest.raises(HelpScoutError) as failure:
        ask()
    text = str(failure.value)
    assert text.count("\n") == 0
    return failure.value, text.replace(desk.service.url.removeprefix("http://"), "HOST")


SERVICE = "look at Help Scout's status page; the exporter keeps trying"
PLAN = (
    "reports need the Plus or Pro plan and a user who may see them: check the plan and the role of"
    " the user behind the credentials; for an account without reports set its collectors to"
    " [folders]"
)
APP = (
    "check client_id and client_secret, that the app still exists (Your Profile > My Apps) and that"
    " its user is active"
)
PASS = "let proxy, web filter and firewall pass HOST, and check base_url (http://HOST/v2)"
LATER = "look at Help Scout's status page and at the network; it is tried again"


@pytest.mark.parametrize(
    ("answer", "request_", "words"),
    [
        (as_json({"message": "no"}, 403), EVERYTHING, f"HTTP 403: no; {PLAN}"),
        (reply(b"", 403, None), EVERYTHING, f"HTTP 403; {PLAN}"),
        (
            as_json({"message": "no"}, 403),
            PLAIN,
            (
                "HTTP 403: no; may the user behind the credentials see this mailbox and its"
                " reports? Reports need the Plus or Pro plan"
            ),
        ),
        (
            as_json({"message": "no"}, 404),
            CUT,
            ('HTTP 404: no; check the folders of segment "vip"; a folder belongs to one mailbox'),
        ),
        (
            reply(b"Unknown URL", 404, "text/plain"),
            PLAIN,
            (
                "HTTP 404: Unknown URL; was the mailbox deleted? May the user behind the"
                " credentials see it?"
            ),
        ),
        (
            as_json({"message": "", "error": "Not Found"}, 404),
            EVERYTHING,
            (
                "HTTP 404: Not Found; the user behind the credentials may not see reports, or"
                " base_url is wrong: check both"
            ),
        ),
        (reply(b"no entry", 401, "text/plain"), PLAIN, f"HTTP 401: no entry; {APP}"),
        (
            as_json({"title": "Slow", "detail": "internal call timed-out"}, 504),
            PLAIN,
            (
                "HTTP 504: internal call timed-out; Help Scout ran out of time over 24h: it is"
                " tried again; if it lasts, use a shorter window, or leave out large mailboxes"
            ),
        ),
        (reply(b"", 503, None), PLAIN, f"HTTP 503; {SERVICE}"),
        (
            as_json({"current": {"closed": "x"}}),
            PLAIN,
            (
                "current.closed: is not a number; look for a newer exporter; if there is none,"
                " report this line to its maintainers"
            ),
        ),
        (
            reply(BLOCKED, 403, "text/html; charset=utf-8"),
            PLAIN,
            (
                'HTTP 403 with a web page (text/html) titled "Access & policy: blocked", which is'
                f" not Help Scout's; {PASS}"
            ),
        ),
        (
            reply(b"", 302, "text/html", Location="https://u:p@portal.example:8443/in?back=secret"),
            PLAIN,
            (
                "HTTP 302: a redirect to https://portal.example:8443/in, which is not followed;"
                f" {PASS}"
            ),
        ),
        (
            reply(b"", 302, "text/html", Location="https://portal.example:no/in"),
            PLAIN,
            f"HTTP 302: a redirect, which is not followed; {PASS}",
        ),
        (
            reply(b"<title>" + b"long " * 20 + b"</title>", 403, "text/html"),
            PLAIN,
            (
                f'HTTP 403 with a web page (text/html) titled "{("long " * 20)[:79]}…", which is'
                f" not Help Scout's; {PASS}"
            ),
        ),
        (
            reply(b"", 407, None),
            PLAIN,
            (
                "the proxy demands a login (407); put user and password into its address:"
                " http://USER:PASSWORD@HOST:PORT"
            ),
        ),
        (reset, PLAIN, f"connection reset; {LATER}"),
        (
            lambda connection: None,
            PLAIN,
            f"the connection was closed without an answer; {LATER}",
        ),
        (
            stall(20.0),
            PLAIN,
            (
                "no whole answer within 3 s; if long windows take Help Scout that long, raise"
                " timeout; else look at the network"
            ),
        ),
    ],
)
def test_a_report_that_fails_says_where_why_and_what_to_do(
    desk: Desk, answer: Reply, request_: Question, words: str
) -> None:
    desk.answer = lambda asked: answer
    assert said(desk, "report", request=request_) == f"report at HOST: {words}"


@pytest.mark.parametrize(
    ("api", "path", "words"),
    [
        (
            "v2",
            "/v2",
            "login at HOST: HTTP 404: Unknown URL; check base_url (http://HOST/v2)",
        ),
        (
            "v2",
            "",
            (
                "login at HOST: HTTP 404: Unknown URL; check base_url (http://HOST): it should end"
                " in /v2"
            ),
        ),
        (
            "v1",
            "/",
            (
                "mailbox list at HOST: HTTP 404: Unknown URL; check base_url (http://HOST/): it"
                " should end in /v1"
            ),
        ),
    ],
)
def test_a_base_url_without_its_path_is_said(desk: Desk, api: Api, path: str, words: str) -> None:
    desk.token = desk.answer = lambda asked: reply(b"Unknown URL", 404, "text/plain")
    client = desk.client(api, base_url=desk.service.url + path)
    with pytest.raises(HelpScoutError) as failure:
        client.mailboxes()
    host = desk.service.url.removeprefix("http://")
    assert str(failure.value).replace(host, "HOST") == words


def test_a_login_that_is_refused_says_what_to_check(desk: Desk) -> None:
    desk.token = lambda asked: as_json({"error": "invalid_client"}, 400)
    assert said(desk, "report") == f"login at HOST: HTTP 400: invalid_client; {APP}"
    desk.answer = lambda asked: as_json({"message": "unknown key"}, 401)
    assert said(desk, "list", "v1") == (
        "mailbox list at HOST: HTTP 401: unknown key; check api_key, and that its user is active"
    )


def test_a_secret_file_that_is_missing_is_named(desk: Desk, tmp_path: Any) -> None:
    desk.secrets.client_secret = Secret(file=tmp_path / "none")
    assert said(desk, "report") == (
        f"login at HOST: secret file {tmp_path}/none: No such file or directory; correct the file:"
        " it is read again at the next attempt"
    )


PAGES: list[tuple[int, str | None, bytes]] = [
    *((status, "text/html", BLOCKED) for status in (200, 400, 401, 402, 403, 404, 500, 502, 503)),
    (403, "application/json", BLOCKED),
    (403, "text/plain", BLOCKED),
    (403, None, BLOCKED),
    (403, "text/html", b""),
    (401, "image/png", b"\x89PNG"),
    (403, "application/xml", b"<Error><Code>AccessDenied</Code></Error>"),
]


@pytest.mark.parametrize("call", ["token", "list", "report"])
@pytest.mark.parametrize(("status", "kind", "body"), PAGES)
@pytest.mark.no_cover
def test_what_help_scout_did_not_write_is_a_bad_response_whatever_its_status(
    desk: Desk, call: str, status: int, kind: str | None, body: bytes
) -> None:
    desk.answer = lambda asked: reply(body, status, kind)
    if call == "token":
        desk.token = desk.answer
    error, text = caught(desk, call)
    assert type(error) is Foreign
    assert (error.reason, error.evidence) == ("bad_response", "sick")
    assert error.transient == (status >= 500)
    assert len(desk.asked) == (call != "token")  # no renewal of the token either
    assert f" at HOST: HTTP {status} with " in text
    assert ('titled "Access & policy: blocked"' in text) == (body == BLOCKED)
    assert (kind or "no declared type") in text


@pytest.mark.parametrize("call", ["list", "report"])
@pytest.mark.parametrize(
    ("status", "kind", "body", "reason"),
    [
        (403, None, b"", "plan"),
        (403, "application/json", b"", "plan"),
        (403, "text/plain", b"Forbidden", "plan"),
        (403, "text/html", b'{"message": "no"}', "plan"),
        (403, "application/problem+json", b'{"detail": "no"}', "plan"),
        (401, "application/vnd.error+json", b'{"message": "no"}', "credentials"),
        (401, "text/plain", b"Unauthorized", "credentials"),
        (402, "application/json", b'{"message": "suspended"}', "suspended"),
    ],
)
def test_what_help_scout_wrote_stays_what_it_is_whatever_its_form(
    desk: Desk, call: str, status: int, kind: str | None, body: bytes, reason: str
) -> None:
    desk.answer = lambda asked: reply(body, status, kind)
    assert caught(desk, call)[0].reason == reason


def test_a_429_is_believed_whatever_its_body_is(desk: Desk) -> None:
    desk.answer = lambda asked: reply(BLOCKED, 429, "text/html", Retry_After="7")
    error, _ = caught(desk, "report")
    assert isinstance(error, Throttled)
    assert error.retry_after == 7


def test_a_json_answer_with_5xx_is_the_services_own(desk: Desk) -> None:
    desk.answer = lambda asked: as_json({"message": "x"}, 502)
    assert isinstance(caught(desk, "report")[0], ServiceFailed)


def test_a_page_or_redirect_that_repeats_a_secret_is_quoted_without_it(desk: Desk) -> None:
    page = f"<html><title>no way in for {CLIENT_SECRET}</title></html>".encode()
    desk.token = lambda asked: reply(page, 403, "text/html")
    text = said(desk, "report")
    assert 'titled "no way in for ***"' in text
    assert CLIENT_SECRET not in text
    to = f"https://portal.example/in/{CLIENT_SECRET}"
    desk.token = lambda asked: reply(b"", 302, "text/html", Location=to)
    assert "a redirect to https://portal.example/in/***, which" in said(desk, "report")


def test_an_error_that_repeats_the_request_is_quoted_without_the_secrets_as_they_were_sent(
    desk: Desk,
) -> None:
    desk.secrets = Secrets(key=Secret("k/ey+1"), client_secret=Secret("s/ecret+1"))
    desk.answer = lambda asked: as_json({"message": asked.header("Authorization")}, 400)
    desk.token = lambda asked: as_json({"error_description": asked.body.decode()}, 400)
    said = []
    for api in ("v1", "v2"):
        with pytest.raises(HelpScoutError) as failure:
            desk.client(api).mailboxes()
        said.append(str(failure.value))
    assert "HTTP 400: Basic ***;" in said[0]
    assert "&client_secret=***;" in said[1]


# --- no answer ----------------------------------------------------------------------------------


def unreachable(desk: Desk, url: str) -> str:
    with pytest.raises(HelpScoutError) as failure:
        desk.client("v1", timeout=10.0, base_url=f"{url}/v1").mailboxes()
    return str(failure.value)


def test_a_refused_connection_names_the_host(desk: Desk) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        assert unreachable(desk, f"http://{host}") == (
            f"mailbox list at {host}: connection refused; look at the firewall, the proxy and"
            " base_url"
        )


def test_a_name_that_does_not_resolve_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolves_nothing)
    text = unreachable(desk, "http://no-such-host.invalid")
    assert text.startswith("mailbox list at no-such-host.invalid: its name does not resolve")
    assert text.endswith("; check base_url and the DNS of this machine")


@pytest.mark.parametrize(
    ("name", "trusted", "words"),
    [
        (
            "IP:127.0.0.1",
            False,
            "its TLS certificate is not trusted: it is self-signed; if a proxy",
        ),
        ("DNS:other.test", True, "its TLS certificate is for another address; check base_url"),
    ],
)
def test_a_certificate_that_is_refused_says_why(
    desk: Desk,
    serve: Serve,
    certificates: Callable[[str], Certificate],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    trusted: bool,
    words: str,
) -> None:
    certificate = certificates(name)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    url = serve(lambda asked: reply(b"{}"), certificate.context).url
    assert unreachable(desk, url).startswith(
        f"mailbox list at {url.removeprefix('https://')}: {words}"
    )


def test_a_missing_bundle_of_authorities_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    text = unreachable(desk, "https://helpscout.test")
    assert text.startswith("mailbox list at helpscout.test: ")
    assert "/nowhere/ca.pem" in text
    assert "REQUESTS_CA_BUNDLE" in text


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://proxy.test:1080",
        "ftp://user:s3cret@proxy.test",
        "http://user:s3cret@proxy.test:port",
    ],
)
def test_a_proxys_address_that_cannot_be_used_is_said_without_its_password(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    text = unreachable(desk, "https://helpscout.test")
    assert text.startswith("mailbox list at helpscout.test: the proxy")
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "the proxy refuses the connection (403); let the proxy pass this host"),
        (407, "the proxy demands a login (407); put user and password into its address"),
    ],
)
def test_a_proxy_that_refuses_says_why(
    desk: Desk, serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    proxy = serve(lambda asked: reply(b"", status)).url
    monkeypatch.setenv("https_proxy", proxy.replace("//", "//user:s3cret@"))
    through = f"helpscout.test through {proxy.removeprefix('http://')}"
    text = unreachable(desk, "https://helpscout.test")
    assert text.startswith(f"mailbox list at {through}: {words}")
    assert "s3cret" not in text
