"""The tree of errors: reasons that become labels, one line each, whatever the service wrote."""

import inspect
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.helpscout import errors
from exporter.helpscout.causes import unreachable
from exporter.helpscout.errors import BadResponse, HelpScoutError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, HelpScoutError) and kind is not HelpScoutError
]


def test_every_error_has_a_reason_of_its_own() -> None:
    reasons = [kind.reason for kind in KINDS]
    assert sorted(reasons) == sorted(
        [
            "credentials",
            "plan",
            "suspended",
            "not_found",
            "bad_request",
            "throttled",
            "server_error",
            "unreachable",
            "bad_response",
            "bad_response",  # Foreign is one, too: what differs is what it says of the account
            "bad_response",  # and ShortList, whose account answers
            "bad_response",  # and Defect, which is ours
        ]
    )


def test_what_an_attempt_tells_of_its_account() -> None:
    told = {kind.__name__: kind.evidence for kind in KINDS}
    sick = {"BadCredentials", "Suspended", "ServiceFailed", "Unreachable", "Foreign"}
    assert {name for name, evidence in told.items() if evidence == "sick"} == sick
    assert {name for name, evidence in told.items() if evidence == "neutral"} == {"Throttled"}


def test_only_what_can_pass_is_transient() -> None:
    transient = {kind.reason for kind in KINDS if kind.transient}
    assert transient == {"throttled", "server_error", "unreachable"}


def test_the_drawing_atop_the_module_shows_the_tree() -> None:
    drawn = inspect.getdoc(errors) or ""
    for kind in KINDS:
        assert f" {kind.__name__} " in drawn
        assert f" {kind.reason} " in drawn


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("two\nlines", "two lines"),
        ("a\r\n\tb", "a b"),
        ("\x1b[31mred", "[31mred"),
        ("half \ud83d a pair", "half a pair"),
        ("turned \u202e round", "turned round"),
        ("Поддержка 😀", "Поддержка 😀"),
    ],
)
def test_a_message_is_one_line_of_what_can_be_printed(written: str, line: str) -> None:
    error = BadResponse(written, reference=written)
    assert (str(error), error.reference) == (line, line)


@given(st.text(st.characters()))
def test_no_message_breaks_a_line_or_steers_a_terminal(text: str) -> None:
    error = BadResponse(text, reference=text)
    assert str(error).isprintable()
    assert (error.reference or "").isprintable()


def test_what_is_not_known_is_none() -> None:
    error = BadResponse("x")
    assert (error.status, error.reference, error.retry_after) == (None, None, None)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (socket.EAI_NONAME, "its name does not resolve"),
        (socket.EAI_AGAIN, "its name does not resolve: the name server does not answer"),
    ],
)
def test_a_name_server_that_does_not_answer_has_words_of_its_own(code: int, cause: str) -> None:
    assert unreachable(socket.gaierror(code, "no"), 5.0).cause == cause


@pytest.mark.parametrize(
    ("code", "cause", "advice"),
    [
        (9, "its TLS certificate is not valid yet", "check this machine's clock"),
        (10, "its TLS certificate has expired", "check this machine's clock"),
        (62, "its TLS certificate is for another name", "check base_url"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(code: int, cause: str, advice: str) -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_code, refused.verify_message = code, "as the library has it"
    error = unreachable(refused, 5.0)
    assert error.cause == cause
    assert error.remedy.startswith(advice)
