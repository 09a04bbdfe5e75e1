"""Faults of the connection: none, broken, too slow, without end, not trusted."""

import subprocess
from functools import partial
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Final

import pytest

from tests.faults import proxy
from tests.faults.bench import ILL, MAILBOX, Bench, Daemon, Row
from tests.faults.conftest import Matrix
from tests.faults.fault import Fault, Inject, of_window, one_mailbox, whole_account
from tests.support import get


def everywhere(what: proxy.Fault) -> Inject:
    """Do this to every call."""
    return lambda bench: bench.proxy.inject(what)


def at_one_mailbox(what: proxy.Fault) -> Inject:
    """Do this to one mailbox's reports."""
    return lambda bench: bench.proxy.inject(
        what, lambda call: call.query.get("mailboxes") == str(MAILBOX)
    )


def refuse(bench: Bench) -> None:
    """Refuse connections."""
    bench.proxy.refuse()


def ended_in_time(_bench: Bench, daemon: Daemon) -> None:
    """No call took much longer than the time-out allows, however busy the other side was."""
    text = get(f"{daemon.url}/metrics").text
    name = "helpscout_exporter_api_request_duration_seconds"
    lines = [x.split() for x in text.splitlines() if x.startswith(name) and f'"{ILL}"' in x]
    values = {line[0].removeprefix(name): line[1] for line in lines}
    assert (
        values[f'_bucket{{account="{ILL}",le="5.0",operation="report"}}']
        == (values[f'_count{{account="{ILL}",operation="report"}}'])
    )


def impatient(bench: Bench) -> Daemon:
    """Start a daemon that waits two seconds for an answer."""
    settings = bench.settings()
    settings["accounts"][0]["timeout"] = "2s"
    return bench.serve(settings)


slow = partial(
    whole_account, error="no whole answer within 2 s", serve=impatient, more=ended_in_time
)

# --- TLS ----------------------------------------------------------------------------------------


def certificate(folder: Path, name: str, alternative: str = "IP:127.0.0.1") -> Path:
    """Make a certificate that only its owner trusts; return the file with it and its key."""
    key, made, both = (folder / f"{name}.{part}" for part in ("key", "crt", "pem"))
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN={name} -addext subjectAltName={alternative}"
        f" -keyout {key} -out {made}".split(),
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + made.read_bytes())
    return both


def presenting(file: Path) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def over_tls(bench: Bench) -> Daemon:
    """Start a daemon that asks over TLS and trusts two certificates, one for another name."""
    good, other = certificate(bench.folder, "good"), other_name(bench.folder)
    bundle = bench.folder / "bundle.pem"
    bundle.write_bytes(b"".join((file.with_suffix(".crt")).read_bytes() for file in (good, other)))
    bench.proxy = bench.stack.enter_context(bench.wire.proxy(bench.simulator.url, presenting(good)))
    return bench.serve(variables={"REQUESTS_CA_BUNDLE": str(bundle)})


def other_name(folder: Path) -> Path:
    return certificate(folder, "other", "DNS:elsewhere.example")


def present_unknown(bench: Bench) -> None:
    """Show a certificate that nobody trusts."""
    bench.proxy.present(presenting(certificate(bench.folder, "unknown")))


def present_other_name(bench: Bench) -> None:
    """Show a certificate that is trusted, but for another name."""
    bench.proxy.present(presenting(bench.folder / "other.pem"))


tls = partial(whole_account, serve=over_tls)

# One of each kind: tests/contract/test_transport.py has the others.
ROWS: Final[list[Fault]] = [
    whole_account("a connection refused", refuse, "connection refused"),
    whole_account(
        "a reset in the middle of the body", everywhere(proxy.reset_in_body), "connection reset"
    ),
    whole_account(
        "a connection closed without a word",
        everywhere(proxy.hang_up),
        "the connection was closed without an answer",
    ),
    whole_account(
        "a connection closed in the middle of the body",
        everywhere(proxy.cut),
        "the connection broke in the middle of the answer",
    ),
    slow("a stall before the headers", everywhere(proxy.stall)),
    slow("a body dripped at a byte a second", everywhere(proxy.drip_body)),
    whole_account(
        "something that is not a web server", everywhere(proxy.garble), "does not speak HTTP"
    ),
    whole_account("headers without end", everywhere(proxy.flood_head), "headers of the answer"),
    one_mailbox(
        "a stall of one mailbox",
        "no whole answer",
        inject=at_one_mailbox(proxy.stall),
        reason="unreachable",
        code="unreachable",
        serve=impatient,
    ),
    one_mailbox(
        "a body without end",
        "the answer is larger than 5 MB",
        inject=at_one_mailbox(proxy.flood),
        code="bad_response",
    ),
    Fault(
        name="long windows that take too long",
        inject=lambda bench: bench.faults({"endpoint": "report", "min_range": "30h", "delay": 4}),
        touched=of_window,
        reason="unreachable",
        error="no whole answer",
        code="unreachable",
        retried=True,
        serve=impatient,
    ),
    tls("a certificate that is not trusted", present_unknown, "its TLS certificate is not trusted"),
    tls("a certificate for another name", present_other_name, "its TLS certificate is for another"),
]


@pytest.mark.parametrize("row", [fault.row() for fault in ROWS], ids=str)
def test_a_fault_of_the_connection_is_reported_survived_and_healed(
    row: Row, matrix: Matrix
) -> None:
    matrix.outcome(row)
