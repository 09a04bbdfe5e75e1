"""What a command that asks one thing at a time asks again, how often, and after which waits."""

import pytest

from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    Suspended,
    Throttled,
    Unreachable,
)
from exporter.helpscout.retries import pause_seconds, persistently


def asked(
    failures: list[HelpScoutError], *, stopped: bool = False
) -> tuple[str | HelpScoutError, list[float]]:
    """Return what comes of a call that fails so often, and the waits between the attempts."""
    left, waits = iter(failures), list[float]()

    def ask() -> str:
        for failure in left:
            raise failure
        return "answer"

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return stopped

    try:
        return persistently("acme", ask, wait), waits
    except HelpScoutError as error:
        return error, waits


@pytest.mark.parametrize(
    ("failures", "waits"),
    [
        ([], []),
        ([ServiceFailed("HTTP 503", status=503)], [0.5]),
        ([Unreachable("time-out"), BadResponse("half a page"), ServiceFailed("x")], [0.5, 1, 2]),
        ([Throttled("HTTP 429", status=429, retry_after=2.0)], [2]),
        ([Throttled("HTTP 429", status=429)], [0.5]),
        ([BadCredentials("HTTP 401", status=401)], [0.5]),
    ],
    ids=str,
)
def test_what_passes_costs_only_time(failures: list[HelpScoutError], waits: list[float]) -> None:
    assert asked(failures) == ("answer", waits)


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        (ServiceFailed("HTTP 503", status=503), 4),
        (Throttled("HTTP 429", status=429, retry_after=61.0), 1),
        (BadCredentials("HTTP 401", status=401), 2),
        (BadCredentials("secret file s: No such file or directory"), 1),
        (NotAllowed("HTTP 403", status=403), 1),
        (NotThere("HTTP 404", status=404), 1),
        (Refused("HTTP 400", status=400), 1),
        (Suspended("HTTP 402", status=402), 1),
    ],
    ids=str,
)
def test_what_stays_is_given_up(failure: HelpScoutError, attempts: int) -> None:
    outcome, waits = asked([failure] * 9)
    assert outcome is failure
    assert len(waits) == attempts - 1


def test_a_program_that_stops_asks_no_more() -> None:
    failure = ServiceFailed("HTTP 503")
    assert asked([failure], stopped=True) == (failure, [0.5])


@pytest.mark.parametrize(
    ("failures", "jitter", "retry_after", "seconds"),
    [(1, 1.0, None, 0.5), (3, 1.0, None, 2.0), (3, 0.25, None, 0.5), (1, 0.0, None, 0.0),
     (1, 0.5, 7.0, 7.0), (3, 1.0, 0.1, 2.0)],
)  # fmt: skip
def test_a_pause_doubles_and_is_spread_but_never_shorter_than_the_service_says(
    failures: int, jitter: float, retry_after: float | None, seconds: float
) -> None:
    error = Throttled("HTTP 429", status=429, retry_after=retry_after)
    assert pause_seconds(error, failures, jitter) == seconds
