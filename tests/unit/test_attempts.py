"""What an attempt brings, what is asked again, how often, and after which waits."""

import pytest
from structlog.testing import capture_logs

from exporter.helpscout.attempts import (
    attempt,
    backoff_seconds,
    pause_before_retry,
    persistently,
)
from exporter.helpscout.budget import Stopping
from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    Defect,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    Suspended,
    Throttled,
    Unreachable,
)


def asked(
    failures: list[HelpScoutError], *, stopped: bool = False
) -> tuple[str | HelpScoutError, list[float]]:
    """Return the outcome of a call that fails so often, and the waits between the attempts."""
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
    assert pause_before_retry(error, failures, jitter=jitter) == seconds


def raising(error: Exception) -> str:
    raise error


def test_an_attempt_brings_an_answer_or_why_there_is_none() -> None:
    error = ServiceFailed("HTTP 503", status=503)
    assert attempt(lambda: "answer", "a report") == "answer"
    assert attempt(lambda: raising(error), "a report") is error


def test_a_mistake_of_ours_is_a_failure_of_that_attempt_and_logged() -> None:
    with capture_logs() as logs:
        outcome = attempt(lambda: raising(RuntimeError("a defect")), "a report")
    assert isinstance(outcome, Defect)
    assert str(outcome) == "a defect of the exporter, see the log"
    assert [(line["log_level"], line["job"]) for line in logs] == [("error", "a report")]


def test_an_attempt_ends_where_the_program_does() -> None:
    with pytest.raises(Stopping):
        attempt(lambda: raising(Stopping()), "a report")


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 15.0), (2, 30.0), (6, 480.0), (7, 600.0), (10_000, 600.0)]
)
def test_a_wait_doubles_up_to_the_longest(failures: int, seconds: float) -> None:
    assert backoff_seconds(15.0, failures, 600.0) == seconds
