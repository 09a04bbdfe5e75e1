"""Faults of the answer: refused, failed, or not what the API promises."""

import gzip
import itertools
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.faults import proxy
from tests.faults.bench import MAILBOX, MOMENT, NEIGHBOUR, Bench, Daemon, Row, reports
from tests.faults.conftest import Matrix
from tests.faults.fault import Fault, Inject, of_account, one_mailbox
from tests.faults.proxy import Answer, Call, answer

_MEMORY_BYTES: Final = 150_000_000


def is_ill_mailbox(call: Call) -> bool:
    """Whether a call asks for a report of the one mailbox."""
    return call.query.get("mailboxes") == str(MAILBOX)


def says(given: Answer) -> Inject:
    """Answer every report of the one mailbox like this."""
    return lambda bench: bench.proxy.inject(proxy.say(given), is_ill_mailbox)


def asked_no_more(bench: Bench, daemon: Daemon) -> None:
    """The mailbox is left alone while its neighbour has another turn."""
    number, now = sum(map(is_ill_mailbox, bench.proxy.calls)), time.time()
    daemon.until(
        lambda m: min(reports(m, MOMENT, mailbox_id=str(NEIGHBOUR)).values()) > now,
        "another turn of the neighbour",
    )
    assert sum(map(is_ill_mailbox, bench.proxy.calls)) == number


def waited_a_second(bench: Bench, daemon: Daemon) -> None:
    """No report was asked again before the second was over that the service asked for."""
    calls = [call for call in bench.proxy.calls if is_ill_mailbox(call)]
    starts: dict[int, list[float]] = {}
    for call in calls:
        length = round(_seconds(call) / 3600)
        starts.setdefault(length, []).append(call.at)
    assert set(starts) == {24, 48}
    for times in starts.values():
        # The answer arrived a moment after the call.
        assert all(b - a >= 1.0 for a, b in itertools.pairwise(times)), times


def _seconds(call: Call) -> float:
    start, end = (datetime.fromisoformat(call.query[name]) for name in ("start", "end"))
    return (end - start).total_seconds()


def stayed_small(_bench: Bench, daemon: Daemon) -> None:
    """However large an answer makes itself, it is not taken into memory whole."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak) * 1024 < _MEMORY_BYTES, peak


def bomb(bench: Bench) -> None:
    """Answer with a body that grows when it is unpacked."""
    packed = gzip.compress(b" " * 100_000_000, 1)
    says(answer(packed, Content_Encoding="gzip"))(bench)


def redirect(bench: Bench) -> None:
    """Redirect requests for the one mailbox to another host."""
    to = f"{bench.elsewhere.url}/v2/reports/productivity"
    bench.proxy.inject(
        proxy.say(answer(b"", status="302 Found", kind="text/html", Location=to)), is_ill_mailbox
    )


failing = partial(one_mailbox, reason="server_error")
body = partial(one_mailbox, code="200")

ROWS: Final[list[Fault]] = [
    # -- the service has a bad moment
    failing("500", "HTTP 500", code="500", status=500),
    failing(
        "502 with a page of the gateway",
        "HTTP 502 with a web page (text/html), which is not Help Scout's",
        reason="bad_response",
        retried=True,
        code="502",
        status=502,
        body="<html><h1>Bad Gateway</h1></html>",
        content_type="text/html",
    ),
    failing(
        "503 that asks for a second",
        "HTTP 503",
        code="503",
        status=503,
        headers={"Retry-After": 1},
        more=waited_a_second,
    ),
    failing(
        "503 that asks for an hour",
        "HTTP 503",
        code="503",
        status=503,
        headers={"Retry-After": 3600},
        retried=False,
    ),
    failing("503 without a word of when", "HTTP 503", code="503", status=503),
    failing("504", "HTTP 504", code="504", status=504),
    # -- the question is refused
    one_mailbox("400", "HTTP 400", reason="bad_request", code="400", status=400, relisted=True),
    one_mailbox("422", "HTTP 422", reason="bad_request", code="422", status=422, relisted=True),
    one_mailbox(
        "403 for one mailbox",
        "HTTP 403",
        reason="plan",
        code="403",
        status=403,
        relisted=True,
        more=asked_no_more,
    ),
    one_mailbox(
        "404 for one mailbox",
        "HTTP 404",
        reason="not_found",
        code="404",
        status=404,
        relisted=True,
        more=asked_no_more,
    ),
    Fault(
        name="403 for every report",
        inject=lambda bench: bench.faults({"endpoint": "report", "status": 403}),
        touched=of_account,
        reason="plan",
        error="HTTP 403",
        code="403",
        retried=False,
        problems=frozenset({"plan"}),
        at_start=True,
        relisted=True,
        matters=2,
    ),
    # -- a redirect, which would carry the token elsewhere
    one_mailbox(
        "a redirect to another host",
        "a redirect to ",
        inject=redirect,
        code="302",
    ),
    # -- not what the API promises; the other shapes of a body are in tests/contract
    one_mailbox(
        "403 with a web filter's block page",
        'HTTP 403 with a web page (text/html) titled "Blocked"',
        code="403",
        status=403,
        body="<html><title>Blocked</title></html>",
        content_type="text/html",
    ),
    one_mailbox(
        "401 with a proxy's page",
        "HTTP 401 with a web page (text/html)",
        code="401",
        status=401,
        body="<html>Log in</html>",
        content_type="text/html",
    ),
    body(
        "200 with HTML",
        "HTTP 200 with a web page (text/html), which is not Help Scout's",
        body="<html>We'll be back soon</html>",
        content_type="text/html",
    ),
    body("JSON that is cut off", "the body is not JSON", garbage=True),
    one_mailbox(
        "100 MB packed into a few kilobytes",
        "the answer is larger than 5 MB",
        code="bad_response",
        inject=bomb,
        more=stayed_small,
    ),
    one_mailbox(
        "204 without a body",
        "HTTP 204",
        code="204",
        inject=says(Answer(b"HTTP/1.1 204 No Content\r\n\r\n", b"")),
    ),
]


@pytest.mark.parametrize("row", [fault.row() for fault in ROWS], ids=str)
def test_an_answer_that_is_none_is_reported_survived_and_healed(row: Row, matrix: Matrix) -> None:
    matrix.outcome(row)
