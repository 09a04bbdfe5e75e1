"""A fault that comes and goes, as a table's line: what is touched, and what must be said of it.

A daemon works, the fault comes, the fault goes. Where the mailbox list is hit too, a reload makes
the daemon list at once: left alone it would notice within ten minutes, or once every call of the
last minute has failed, for which one row of its own waits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.faults.bench import (
    CALLS,
    FIGURE,
    ILL,
    MAILBOX,
    MOMENT,
    RETRIES,
    SUCCESS,
    WELL,
    WINDOWS,
    Bench,
    Daemon,
    Key,
    Row,
    all_good,
    assert_kept_fresh,
    assert_nothing_leaked,
    assert_scrapes_were_quick,
    complaints,
    good_news,
    problems,
    reports,
    total,
)
from tests.support import Metrics

Touched = Callable[[Key], bool]
Inject = Callable[[Bench], None]
More = Callable[[Bench, Daemon], None]


def of_account(report: Key) -> bool:
    """Every report of the account that is ill."""
    return report[0] == ILL


def of_mailbox(report: Key) -> bool:
    """The reports of one mailbox."""
    return report[1] == str(MAILBOX)


def of_window(report: Key) -> bool:
    """The account's reports over the longer window."""
    return report[0] == ILL and report[2] == WINDOWS[1]


def of_nothing(_report: Key) -> bool:
    """No report at all."""
    return False


def as_usual(bench: Bench) -> Daemon:
    """Start a daemon that asks API 2.0."""
    return bench.serve()


def legacy(bench: Bench) -> Daemon:
    """Start a daemon that asks API 1.0."""
    return bench.serve(bench.settings("v1"))


def nothing_more(_bench: Bench, _daemon: Daemon) -> None:
    """Expect nothing beyond the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    `reason` is the log's and the retries' label, `error` a part of the log's words, `endpoint` and
    `code` are the labels of the calls that fail. `retried` None: the retries do not tell. `lists`:
    the mailbox list fails too; `relisted`: only a new list brings the reports back. `at_start`: the
    fault is there before the daemon is; else the daemon still shows the figures from before.
    `matters`: how many mailboxes have a line of their own in the log.
    """

    name: str
    inject: Inject
    touched: Touched
    reason: str
    error: str
    code: str
    retried: bool | None
    endpoint: str = "report"
    up: bool = True
    problems: frozenset[str] = frozenset()
    lists: bool = False
    relisted: bool = False
    at_start: bool = False
    matters: int = 1
    serve: Callable[[Bench], Daemon] = as_usual
    more: More = nothing_more

    def row(self) -> Row:
        """Return it as a row of the matrix."""
        return Row(self.name, partial(play, self))


def one_mailbox(
    name: str, error: str, *, code: str, inject: Inject | None = None, **changes: Any
) -> Fault:
    """Return a fault of one mailbox's reports; what is not an argument of Fault is the rule's.

    `inject` stands for a rule where the proxy does it.
    """
    known = {field: changes.pop(field) for field in Fault.__slots__ if field in changes}
    reason = known.setdefault("reason", "bad_response")
    rule = {"endpoint": "report", "mailbox": MAILBOX} | changes
    usual: dict[str, Any] = {
        "touched": of_mailbox,
        "retried": reason in ("server_error", "unreachable"),
    }
    inject = inject or (lambda bench: bench.faults(rule))
    return Fault(name=name, inject=inject, error=error, code=code, **usual | known)


def whole_account(name: str, inject: Inject, error: str, **changes: Any) -> Fault:
    """Return a fault that leaves nothing of an account that worked."""
    usual: dict[str, Any] = {
        "touched": of_account,
        "reason": "unreachable",
        "code": "unreachable",
        "retried": True,
        "up": False,
        "problems": frozenset({"unreachable"}),
        "lists": True,
    }
    return Fault(name=name, inject=inject, error=error, **usual | changes)


# --- how it is played ---------------------------------------------------------------------------


def play(fault: Fault, bench: Bench) -> None:
    """Let it come and go."""
    if fault.at_start:
        fault.inject(bench)
    daemon, before = fault.serve(bench), Metrics([])
    came = time.time()
    if fault.at_start:
        daemon.until(partial(others_are_good, fault), "the others' first round")
        began, lines = time.monotonic(), 0
    else:
        before = daemon.until(all_good, "a whole round")
        began, came, lines = time.monotonic(), time.time(), len(daemon.log())
        fault.inject(bench)
        if fault.lists:
            daemon.reload()
    during = daemon.until(lambda m: has_come(fault, m, came), f"what shows: {fault.name}")

    touched = {report for report in reports(during, SUCCESS) if fault.touched(report)}
    shown = set() if fault.at_start else touched
    assert touched & reports(during, FIGURE).keys() == shown
    assert touched & reports(during, MOMENT).keys() == shown
    assert problems(during) == fault.problems
    assert problems(during, WELL) == set()
    said_of_calls(fault, before, during, len(touched))
    fault.more(bench, daemon)

    went = time.time()
    bench.heal()
    if fault.lists or fault.relisted:
        daemon.reload()
    after = daemon.until(lambda m: has_gone(fault, m, went), f"what shows after: {fault.name}")
    assert problems(after) == set()
    in_every_row(bench, daemon, lambda report: not fault.touched(report), began)
    said_in_log(fault, daemon.log(lines))
    assert daemon.end() == 0


def in_every_row(bench: Bench, daemon: Daemon, spared: Touched | None, since: float) -> None:
    """What holds whatever the fault is; `spared` None: it touches everything."""
    if spared is not None:
        assert_kept_fresh(daemon, spared, since)
    assert_scrapes_were_quick(bench, daemon, since)
    assert_nothing_leaked(bench, daemon)
    assert not complaints(daemon.log(), WELL)


def others_are_good(fault: Fault, metrics: Metrics) -> bool:
    """Whether every report that is not touched has arrived."""
    found = reports(metrics, SUCCESS)
    others = [good for report, good in found.items() if not fault.touched(report)]
    return len(others) >= 4 and all(others)


def has_come(fault: Fault, metrics: Metrics, since: float) -> bool:
    """Whether all that is touched fails, and all the rest was refreshed since the fault came."""
    success, moments = reports(metrics, SUCCESS), reports(metrics, MOMENT)
    return (
        len(success) == 8
        and all(success[report] == 0 for report in success if fault.touched(report))
        and all(moments[report] > since for report in moments if not fault.touched(report))
        and metrics.value("helpscout_up", account=ILL) == fault.up
    )


def has_gone(fault: Fault, metrics: Metrics, since: float) -> bool:
    """Whether all is good again, and what was touched is newer than the fault's end."""
    moments = reports(metrics, MOMENT)
    return all_good(metrics) and all(
        moments[report] > since for report in moments if fault.touched(report)
    )


def said_of_calls(fault: Fault, before: Metrics, during: Metrics, touched: int) -> None:
    """The calls are counted as what they were, and repeated at most three times, or never."""

    def grown(name: str, **labels: str) -> float:
        then, now = (total(m, name, account=ILL, **labels) for m in (before, during))
        return now - then

    calls = grown(CALLS, operation=fault.endpoint, code=fault.code)
    retries = grown(RETRIES)
    assert calls >= 1
    if fault.retried is None:
        return
    assert retries == grown(RETRIES, reason=fault.reason)
    if not fault.retried:
        assert retries == 0
        return
    # A report that is given up has had three retries; one under way at most as many.
    assert retries >= 3 * touched
    assert retries <= 3 * (calls - retries) + 3 * touched


def said_in_log(fault: Fault, lines: list[dict[str, Any]]) -> None:
    """A line or two when it begins, as many when it ends; nothing of the account beside it."""
    told = [line for line in lines if line["event"] == "reports fail"]
    assert {line["reason"] for line in told} == {fault.reason}
    assert all(fault.error in line["error"] for line in told), told
    troubles, news = {"reports fail": fault.matters}, {"reports work again": fault.matters}
    if not fault.up:
        troubles["account does not answer"] = 1
        news["account works"] = 1
    elif fault.problems:
        troubles["account has a problem"] = 1
        news["account has no problem any more"] = 1
    if fault.lists:
        troubles["login or mailbox list failed"] = 1
        news["mailbox list works again"] = 1
    if fault.at_start:
        news["account works"] = news.get("account works", 0) + 1
    assert complaints(lines) == troubles
    assert good_news(lines) == news
