"""Faults of the way in, of the mailbox list and of the limit: what befalls an account."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any, Final

import pytest

from tests.faults import proxy
from tests.faults.bench import (
    CALLS,
    FIGURE,
    ILL,
    MAILBOX,
    MOMENT,
    RETRIES,
    SUCCESS,
    WELL,
    Bench,
    Daemon,
    Row,
    account,
    all_good,
    complaints,
    good_news,
    problems,
    reports,
    total,
)
from tests.faults.conftest import Matrix
from tests.faults.fault import (
    Fault,
    Inject,
    as_usual,
    in_every_row,
    legacy,
    of_mailbox,
    whole_account,
)
from tests.faults.proxy import Answer, Call, answer
from tests.support import Metrics, eventually

_OUTAGE_SECONDS: Final = 100.0


def is_report(call: Call) -> bool:
    """Whether a call asks for a report."""
    return call.endpoint == "report"


def is_well(report: tuple[str, str, str]) -> bool:
    """A report of the account that nothing is done to."""
    return report[0] == WELL


def refreshed(metrics: Metrics, since: float, name: str = ILL) -> bool:
    """Whether every report of an account is newer than `since`, and all is good."""
    moments = reports(metrics, MOMENT, account=name)
    return all_good(metrics) and all(moment > since for moment in moments.values())


# --- nobody gets in -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOut:
    """There is no way into the account when the daemon starts: so it has no reports at all."""

    name: str
    inject: Inject
    problem: str
    reason: str
    error: str
    code: str
    endpoint: str = "token"
    serve: Callable[[Bench], Daemon] = as_usual
    open: Callable[[Bench, Daemon], None] = lambda bench, _daemon: bench.heal()
    news: tuple[str, ...] = ("mailbox list works again", "account works")

    def row(self) -> Row:
        """Return it as a row of the matrix."""
        return Row(self.name, partial(play_locked_out, self))


def play_locked_out(locked: LockedOut, bench: Bench) -> None:
    """Find no way in, then one. The daemon tries again by itself, 15 seconds later."""
    locked.inject(bench)
    daemon = locked.serve(bench)
    during = daemon.until(
        lambda m: locked.problem in problems(m) and len(reports(m, MOMENT, account=WELL)) == 4,
        "no way in, and the other account's first round",
    )
    began = time.monotonic()
    assert during.value("helpscout_up", account=ILL) == 0
    assert problems(during) == {locked.problem}
    assert not during.named(SUCCESS, account=ILL)
    assert not during.named(FIGURE, account=ILL)
    calls = total(during, CALLS, account=ILL, operation=locked.endpoint, code=locked.code)
    assert 1 <= calls <= 2
    assert total(during, RETRIES, account=ILL) == 0
    locked.open(bench, daemon)
    after = daemon.until(all_good, "a whole round of both accounts")
    assert problems(after) == set()
    in_every_row(bench, daemon, is_well, began)
    lines = daemon.log()
    told = next(line for line in lines if line["event"] == "login or mailbox list failed")
    assert told["reason"] == locked.reason
    assert locked.error in told["error"]
    assert complaints(lines) == {"login or mailbox list failed": 1, "account has a problem": 1}
    assert good_news(lines) == dict.fromkeys(locked.news, 1)
    assert daemon.end() == 0


def nameless(bench: Bench) -> Daemon:
    """Start a daemon whose account is at a host that no resolver needs to be asked for."""
    settings = bench.settings()
    settings["accounts"][0] = account(ILL, f"https://{'a' * 64}.invalid", 1, "v2")
    return bench.serve(settings, variables={"NO_PROXY": "*", "no_proxy": "*"})


def named(bench: Bench, daemon: Daemon) -> None:
    """Correct the URL."""
    bench.write(bench.settings())
    daemon.reload()


def rule(endpoint: str, **rest: Any) -> Inject:
    """Have the simulator do this to the calls of one endpoint."""
    return lambda bench: bench.faults({"endpoint": endpoint} | rest)


def token_elsewhere(bench: Bench) -> None:
    """Send each client that wants a token to another host, with the secret if it were followed."""
    to = f"{bench.elsewhere.url}/v2/oauth2/token"
    given = answer(b"", status="307 Temporary Redirect", Location=to)
    bench.proxy.inject(proxy.say(given), lambda call: call.endpoint == "token")


LOCKED_OUT: Final = [
    LockedOut(
        name="a name that does not resolve",
        inject=lambda _bench: None,
        serve=nameless,
        open=named,
        problem="unreachable",
        reason="unreachable",
        error="its name does not resolve",
        code="unreachable",
        news=("account works",),  # the old address is no longer asked
    ),
    LockedOut(
        name="a secret that is refused with 401",
        inject=rule("token", status=401, body='{"error": "invalid_client"}'),
        problem="credentials",
        reason="credentials",
        error="HTTP 401: invalid_client",
        code="401",
    ),
    LockedOut(
        name="a secret that is refused with 400",
        inject=rule("token", status=400, body='{"error": "invalid_client"}'),
        problem="credentials",
        reason="credentials",
        error="HTTP 400: invalid_client",
        code="400",
    ),
    LockedOut(
        name="a key of API 1.0 that is refused",
        inject=rule("mailboxes", status=401),
        serve=legacy,
        problem="credentials",
        reason="credentials",
        error="HTTP 401",
        endpoint="mailboxes",
        code="401",
    ),
    LockedOut(
        name="a token endpoint that fails from the start",
        inject=rule("token", status=500),
        problem="unreachable",
        reason="server_error",
        error="HTTP 500",
        code="500",
    ),
    LockedOut(
        name="a token endpoint that answers with a page",
        inject=rule("token", body="<html>Log in</html>", content_type="text/html"),
        problem="bad_response",
        reason="bad_response",
        error="with a web page (text/html)",
        code="200",
    ),
    LockedOut(
        name="a token endpoint that redirects to another host",
        inject=token_elsewhere,
        problem="bad_response",
        reason="bad_response",
        error="a redirect to ",
        code="307",
    ),
    LockedOut(
        name="a plan without an API",
        inject=rule("mailboxes", status=403),
        problem="plan",
        reason="plan",
        error="HTTP 403",
        endpoint="mailboxes",
        code="403",
    ),
]


@pytest.mark.parametrize("row", [locked.row() for locked in LOCKED_OUT], ids=str)
def test_a_refused_login_is_explained_and_tried_again(row: Row, matrix: Matrix) -> None:
    matrix.outcome(row)


# --- thrown out ---------------------------------------------------------------------------------


def short_tokens(bench: Bench) -> Daemon:
    """Start a daemon whose tokens live for a few seconds."""
    bench.control({"token_expires_in": 4})
    return bench.serve()


def no_more_tokens(bench: Bench) -> None:
    """Let the token endpoint fail, and wait until a token is needed."""
    number = len(bench.proxy.calls)
    bench.faults({"endpoint": "token", "status": 500}, token_expires_in=4)
    eventually(
        lambda: any(call.endpoint == "token" for call in bench.proxy.calls[number:]), "a new token"
    )


def no_knocking(bench: Bench, daemon: Daemon) -> None:
    """Reports fail by their turns without being asked: only the mailbox list tries."""
    number, now = sum(map(is_report, bench.proxy.calls)), time.time()
    daemon.until(
        lambda m: min(reports(m, MOMENT, account=WELL).values()) > now, "another turn of the others"
    )
    assert sum(map(is_report, bench.proxy.calls)) == number


OUT: Final[list[Fault]] = [
    whole_account(
        "401 for ever",
        lambda bench: bench.faults(
            {"endpoint": "report", "status": 401}, {"endpoint": "mailboxes", "status": 401}
        ),
        "HTTP 401",
        reason="credentials",
        endpoint="mailboxes",
        code="401",
        retried=None,
        problems=frozenset({"credentials"}),
        more=no_knocking,
    ),
    whole_account(
        "402, a key that is suspended",
        rule("*", status=402),
        "HTTP 402",
        reason="suspended",
        endpoint="mailboxes",
        code="402",
        retried=False,
        problems=frozenset({"suspended"}),
        serve=legacy,
        more=no_knocking,
    ),
    whole_account(
        "403 for everything",
        rule("*", status=403),
        "HTTP 403",
        reason="plan",
        code="403",
        retried=False,
        up=True,
        problems=frozenset({"plan"}),
        matters=2,
    ),
    whole_account(
        "a token endpoint that fails when the token is over",
        no_more_tokens,
        "HTTP 500",
        reason="server_error",
        endpoint="token",
        code="500",
        retried=None,
        serve=short_tokens,
    ),
]


@pytest.mark.parametrize("row", [fault.row() for fault in OUT], ids=str)
def test_an_account_locked_out_later_is_explained_and_recovers(row: Row, matrix: Matrix) -> None:
    matrix.outcome(row)


# --- nothing to complain about ------------------------------------------------------------------


def play_401_once(bench: Bench) -> None:
    daemon = bench.serve()
    daemon.until(all_good, "a whole round")
    began, lines = time.monotonic(), len(daemon.log())
    bench.faults({"endpoint": "report", "status": 401, "times": 1})
    came = time.time()
    after = daemon.until(lambda m: refreshed(m, came), "a whole round more")
    assert total(after, CALLS, account=ILL, operation="report", code="401") == 1
    assert total(after, CALLS, account=ILL, operation="token", code="200") == 2
    assert total(after, RETRIES, account=ILL, reason="credentials") == 1
    assert total(after, RETRIES, account=ILL) == 1
    in_every_row(bench, daemon, lambda _report: True, began)
    assert daemon.log(lines) == []
    assert daemon.end() == 0


def play_short_tokens(bench: Bench) -> None:
    daemon = short_tokens(bench)
    daemon.until(all_good, "a whole round")
    began, came, lines = time.monotonic(), time.time(), len(daemon.log())
    after = daemon.until(lambda m: refreshed(m, came), "a whole round more")
    assert total(after, CALLS, account=ILL, operation="token", code="200") >= 2
    assert total(after, RETRIES) == 0
    in_every_row(bench, daemon, lambda _report: True, began)
    assert daemon.log(lines) == []
    assert daemon.end() == 0


def play_outage(bench: Bench) -> None:
    """Nobody reloads: noticed once the mailbox list, asked as a probe, fails as well."""
    daemon = bench.serve()
    daemon.until(all_good, "a whole round")
    began, lines = time.monotonic(), len(daemon.log())
    bench.proxy.refuse()
    during = daemon.until(
        lambda m: metrics_up(m) == 0 and set(reports(m, SUCCESS, account=ILL).values()) == {0},
        "that the account does not answer",
        _OUTAGE_SECONDS,
    )
    assert problems(during) == {"unreachable"}
    assert len(reports(during, FIGURE, account=ILL)) == 4
    went = time.time()
    bench.heal()
    daemon.until(lambda m: refreshed(m, went), "that all is good again")
    in_every_row(bench, daemon, is_well, began)
    assert complaints(daemon.log(lines)) == {"reports fail": 1, "account does not answer": 1}
    assert good_news(daemon.log(lines)) == {"reports work again": 1, "account works": 1}
    assert daemon.end() == 0


def metrics_up(metrics: Metrics) -> float:
    return metrics.value("helpscout_up", account=ILL)


# --- the mailbox list ---------------------------------------------------------------------------


def pages(call: Call, fresh: bool) -> Answer:
    """Return a page of a mailbox list that always has one more page, with the same or new ones."""
    number = int(call.query["page"])
    first = 2000 + 2 * number if fresh else MAILBOX
    boxes = ",".join(f'{{"id": {n}, "name": "Box {n}"}}' for n in (first, first + 1))
    return answer(
        f'{{"_embedded": {{"mailboxes": [{boxes}]}},'
        f'"page": {{"size": 2, "totalElements": 999999, "totalPages": {number + 1},'
        f' "number": {number}}}}}'.encode()
    )


def paged(fresh: bool) -> Inject:
    """Answer the mailbox list with pages that have no end."""
    return lambda bench: bench.proxy.inject(
        proxy.say_by(partial(pages, fresh=fresh)), lambda call: call.endpoint == "mailboxes"
    )


def play_list(inject: Inject, problem: str, error: str, calls: int, bench: Bench) -> None:
    """The mailbox list fails while the reports go on: a problem when it lasts, and no outage."""
    daemon = bench.serve()
    daemon.until(all_good, "a whole round")
    began, came, lines = time.monotonic(), time.time(), len(daemon.log())
    before = len(bench.proxy.calls)
    inject(bench)
    daemon.reload()
    during = daemon.until(
        lambda m: (
            problem in problems(m)
            and min(reports(m, MOMENT).values()) > came
            and len(reports(m, MOMENT)) == 8
        ),
        "the list that keeps failing, and another round of every report",
        _OUTAGE_SECONDS,
    )
    assert problems(during) == {problem}
    assert len(during.named("helpscout_mailbox_info", account=ILL)) == 2
    listed = [call for call in bench.proxy.calls[before:] if call.endpoint == "mailboxes"]
    assert 2 <= len(listed) <= 2 * calls
    bench.heal()
    daemon.reload()
    daemon.until(lambda m: all_good(m) and not problems(m), "that the list works again")
    in_every_row(bench, daemon, lambda _report: True, began)
    told = [line for line in daemon.log(lines) if line["event"] == "login or mailbox list failed"]
    assert [error in line["error"] for line in told] == [True], told
    complained, news = complaints(daemon.log(lines)), good_news(daemon.log(lines))
    # Two of these lists with no report between them are an outage, until the next report.
    assert complained.pop("account does not answer", 0) == news.pop("account works", 0) <= 2
    assert complained == {"login or mailbox list failed": 1, "account has a problem": 1}
    assert news == {"mailbox list works again": 1, "account has no problem any more": 1}
    assert daemon.end() == 0


def play_deleted(bench: Bench) -> None:
    daemon = bench.serve(bench.settings(mailboxes={"all": True}))
    daemon.until(lambda m: all_good(m, 12), "a whole round")
    began, came, lines = time.monotonic(), time.time(), len(daemon.log())
    bench.control({"mailboxes": {str(MAILBOX): {"deleted": True}}})
    during = daemon.until(
        lambda m: (
            0 in reports(m, SUCCESS, mailbox_id=str(MAILBOX)).values()
            and min(reports(m, MOMENT, mailbox_id="all").values()) > came
        ),
        "that the mailbox is not there",
    )
    assert metrics_up(during) == 1
    assert problems(during) == set()
    assert len(reports(during, FIGURE, mailbox_id=str(MAILBOX))) == 2
    assert total(during, CALLS, account=ILL, code="404") <= 2
    assert total(during, RETRIES, account=ILL) == 0
    daemon.reload()
    gone = daemon.until(lambda m: not m.named(SUCCESS, mailbox_id=str(MAILBOX)), "that it is gone")
    assert not [s for s in gone.samples if s.labels.get("mailbox_id") == str(MAILBOX)]
    assert all_good(gone, 10)
    went = time.time()
    bench.heal()
    daemon.reload()
    daemon.until(
        lambda m: (
            all_good(m, 12) and min(reports(m, MOMENT, mailbox_id=str(MAILBOX)).values()) > went
        ),
        "that it is back",
    )
    in_every_row(bench, daemon, lambda report: not of_mailbox(report), began)
    told = [
        line["event"] for line in daemon.log(lines) if str(line.get("mailbox_id")) == str(MAILBOX)
    ]
    assert told == ["reports fail", "mailbox gone", "mailbox appeared"]
    assert complaints(daemon.log(lines)) == {"reports fail": 1}
    assert daemon.end() == 0


def play_renamed(bench: Bench) -> None:
    daemon = bench.serve()
    daemon.until(all_good, "a whole round")
    began, came, lines = time.monotonic(), time.time(), len(daemon.log())
    name = 'New "name"\n\\'
    bench.control({"mailboxes": {str(MAILBOX): {"name": name}}})
    daemon.reload()
    during = daemon.until(
        lambda m: m.named(FIGURE, mailbox=name) and refreshed(m, came),
        "a whole round under the new name",
    )
    of_it = [s for s in during.samples if s.labels.get("mailbox_id") == str(MAILBOX)]
    assert {sample.labels["mailbox"] for sample in of_it} == {name}
    bench.heal()
    daemon.reload()
    daemon.until(lambda m: len(m.named(FIGURE, mailbox="Support")) == 8, "the old name")
    in_every_row(bench, daemon, lambda _report: True, began)
    for seen in daemon.watch.seen:
        # At no time under both names.
        assert len(seen.metrics.named(SUCCESS)) <= 8
        assert len(seen.metrics.named("helpscout_mailbox_info")) <= 4
    told = [
        line["event"] for line in daemon.log(lines) if str(line.get("mailbox_id")) == str(MAILBOX)
    ]
    assert told == ["mailbox renamed", "mailbox renamed"]
    assert not complaints(daemon.log(lines))
    assert daemon.end() == 0


# --- the limit ----------------------------------------------------------------------------------


def throttled(**headers: str) -> Answer:
    """Return a 429 with these headers."""
    return answer(b'{"message": "slow down"}', status="429 Too Many Requests", **headers)


def in_seconds(seconds: float, *, ahead: timedelta = timedelta()) -> Callable[[Call], Answer]:
    """Return a 429 with a date, by a service whose clock is so far ahead."""

    def given(_call: Call) -> Answer:
        now = datetime.now(UTC) + ahead
        # Dates are whole seconds: both are cut alike.
        dates = {"Date": now, "Retry_After": now + timedelta(seconds=seconds)}
        return throttled(**{name: format_datetime(at, True) for name, at in dates.items()})

    return given


def play_throttled(
    given: Callable[[Call], Answer],
    least: float,
    most: float,
    bench: Bench,
    *,
    api: str = "v2",
) -> None:
    """One report is answered with 429: the whole account waits, no report fails."""
    daemon = bench.serve(bench.settings(api))
    daemon.until(all_good, "a whole round")
    began, came, lines = time.monotonic(), time.time(), len(daemon.log())
    bench.proxy.inject(proxy.say_by(given), proxy.first(1, is_report))
    during = daemon.until(lambda m: "throttled" in problems(m), "that the account is throttled")
    assert problems(during) == {"throttled"}
    assert metrics_up(during) == 1
    after = daemon.until(
        lambda m: refreshed(m, came) and not problems(m), "that all is good again", most + 40
    )
    assert total(after, "helpscout_exporter_throttled_total", account=ILL) == 1
    assert total(after, CALLS, account=ILL, code="429") == 1
    assert total(after, RETRIES, account=ILL) == 1
    assert total(after, RETRIES, account=ILL, reason="throttled") == 1
    # Up to three more calls were on their way when the gate closed; then there is a pause.
    times = [call.at for call in bench.proxy.calls if call.at >= began]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert least - 0.5 < max(pauses[:4]) < most
    in_every_row(bench, daemon, is_well, began)
    for seen in daemon.watch.seen:
        if seen.at >= began:
            assert set(reports(seen.metrics, SUCCESS).values()) == {1}
            assert len(reports(seen.metrics, FIGURE)) == 8
    assert complaints(daemon.log(lines)) == {"account has a problem": 1}
    assert good_news(daemon.log(lines)) == {"account has no problem any more": 1}
    assert daemon.end() == 0


def play_always_throttled(bench: Bench) -> None:
    """429 for everything, with nothing to wait for: never a busy loop."""
    daemon = bench.serve()
    daemon.until(all_good, "a whole round")
    began, lines = time.monotonic(), len(daemon.log())
    bench.proxy.inject(proxy.say(throttled(Retry_After="0")), is_report)
    during = daemon.until(
        lambda m: not any(reports(m, SUCCESS, account=ILL).values()), "that every report fails"
    )
    assert len(reports(during, FIGURE, account=ILL)) == 4
    times = [call.at for call in bench.proxy.calls if call.at >= began]
    for first in times:
        # As many as may be under way at once find the gate open, then it closes for a second.
        assert sum(first <= at < first + 0.9 for at in times) <= 4
    went = time.time()
    bench.heal()
    daemon.until(lambda m: refreshed(m, went) and not problems(m), "that all is good again")
    in_every_row(bench, daemon, is_well, began)
    assert complaints(daemon.log(lines))["reports fail"] == 1
    assert good_news(daemon.log(lines))["reports work again"] == 1
    assert daemon.end() == 0


def fixed(**headers: str) -> Callable[[Call], Answer]:
    """Return a 429 with these headers to every client."""
    return lambda _call: throttled(**headers)


PLAYED: Final = [
    Row("401 once: the token is renewed and nothing is lost", play_401_once),
    Row("tokens that live for a few seconds are renewed in time", play_short_tokens),
    Row("an outage that nobody points out", play_outage, 90),
    Row(
        "a mailbox list that repeats its page for ever",
        partial(play_list, paged(False), "bad_response", "the list does not end", 2),
    ),
    Row(
        "a mailbox list with ever more pages",
        partial(play_list, paged(True), "bad_response", "more than 400 pages", 400),
        60,
    ),
    Row(
        "a mailbox list that is a page of HTML",
        partial(
            play_list,
            rule("mailboxes", body="<html></html>", content_type="text/html"),
            "bad_response",
            "HTTP 200 with a web page (text/html)",
            2,
        ),
    ),
    Row(
        "a mailbox list that fails with 500",
        partial(play_list, rule("mailboxes", status=500), "unreachable", "HTTP 500", 2),
    ),
    Row("a mailbox that is deleted meanwhile, and back again", play_deleted, 40),
    Row("a mailbox that is renamed meanwhile, to and fro", play_renamed),
    Row("429 with seconds", partial(play_throttled, fixed(X_RateLimit_Retry_After="3"), 3, 9)),
    Row(
        "429 with seconds, API 1.0",
        partial(play_throttled, fixed(Retry_After="3"), 3, 9, api="v1"),
    ),
    Row("429 with a date", partial(play_throttled, in_seconds(4), 4, 10)),
    Row(
        "429 with a date, by a clock that is an hour ahead",
        partial(play_throttled, in_seconds(4, ahead=timedelta(hours=1)), 4, 10),
    ),
    Row("429 with no time to wait at all", partial(play_throttled, fixed(Retry_After="0"), 1, 9)),
    Row("429 with nonsense", partial(play_throttled, fixed(Retry_After="soon"), 60, 75), 90),
    Row("429 without a word of when", partial(play_throttled, fixed(), 60, 75), 90),
    Row("429 for ever", play_always_throttled),
]


@pytest.mark.parametrize("row", PLAYED, ids=str)
def test_what_befalls_an_account_is_reported_survived_and_healed(row: Row, matrix: Matrix) -> None:
    matrix.outcome(row)
