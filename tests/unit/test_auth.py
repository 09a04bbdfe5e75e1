"""How one gets in: the token is fetched by one thread for all and renewed in time."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from requests import Request
from requests.auth import AuthBase

from exporter.helpscout.account import Secret
from exporter.helpscout.auth import BearerAuth, KeyAuthentication, TokenAuthentication
from exporter.helpscout.errors import BadCredentials, Unreachable


def authorization(auth: AuthBase) -> str:
    prepared = Request("GET", "http://localhost/", auth=auth).prepare()
    return str(prepared.headers["Authorization"])


class Tokens:
    """A token endpoint: token-1, token-2, …, each living `seconds`; or it fails."""

    def __init__(self, seconds: float = 7200) -> None:
        self.seconds, self.asked, self.now = seconds, 0, 1000.0
        self.failure: Exception | None = None
        self.authentication = TokenAuthentication(self.fetch, lambda: self.now)

    def fetch(self) -> tuple[str, float]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return f"token-{self.asked}", self.seconds

    def token(self) -> str:
        return authorization(self.authentication.authorize()).removeprefix("Bearer ")


# --- 1.0 ----------------------------------------------------------------------------------------


def test_a_key_is_the_user_name_of_basic_with_a_dummy_password() -> None:
    auth = KeyAuthentication(Secret("s3cret")).authorize()
    assert authorization(auth) == "Basic czNjcmV0Olg="


def test_a_key_file_is_read_again_for_each_call(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first\n")
    authentication = KeyAuthentication(Secret(file=file))
    before = authentication.authorize()
    file.write_text("second\n")
    assert authorization(authentication.authorize()) != authorization(before)


def test_a_refused_key_is_worth_another_try_only_if_it_was_rotated(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first")
    authentication = KeyAuthentication(Secret(file=file))
    refused = authentication.authorize()
    assert not authentication.renew(refused)
    file.write_text("second")
    assert authentication.renew(refused)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "secret file {file}: No such file or directory"),
        (b"", "secret file {file} is empty"),
        (b"\n", "secret file {file} is empty"),
        (b"\xff\xfe", "secret file {file}: is not UTF-8 text"),
        (
            "s3cret€".encode(),
            "secret file {file} holds a character that an HTTP header cannot carry",
        ),
        (
            b"s3c\nret",
            "secret file {file} holds a control character, perhaps a line break",
        ),
    ],
)
def test_a_key_that_cannot_be_read_is_a_credentials_error_that_names_the_file(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadCredentials) as caught:
        KeyAuthentication(Secret(file=file)).authorize()
    assert str(caught.value) == words.format(file=file)
    assert "s3c" not in repr(caught.value)


# --- 2.0 ----------------------------------------------------------------------------------------


def test_a_token_is_fetched_once_and_used_until_it_is_nearly_over() -> None:
    tokens = Tokens(seconds=7200)
    assert tokens.token() == "token-1"
    tokens.now += 7200 - 61
    assert tokens.token() == "token-1"
    tokens.now += 1.5
    assert tokens.token() == "token-2"
    assert tokens.asked == 2


@pytest.mark.parametrize(("seconds", "used"), [(60, 30), (100, 50), (121, 61), (2, 1)])
def test_a_short_life_is_used_for_half_of_it_at_least(seconds: float, used: float) -> None:
    tokens = Tokens(seconds)
    tokens.token()
    tokens.now += used - 0.01
    assert tokens.token() == "token-1"
    tokens.now += 0.02
    assert tokens.token() == "token-2"


def test_a_refused_token_is_renewed() -> None:
    tokens = Tokens()
    refused = tokens.authentication.authorize()
    assert tokens.authentication.renew(refused)
    assert tokens.token() == "token-2"


def test_a_token_may_be_refused_for_its_first_five_seconds_and_until_it_is_accepted() -> None:
    tokens = Tokens()
    first = tokens.authentication.authorize()
    assert tokens.authentication.is_new(first)
    tokens.now += 5
    assert not tokens.authentication.is_new(first), "it was issued long ago, and is not valid"
    tokens.authentication.renew(first)
    second = tokens.authentication.authorize()
    tokens.authentication.accepted(first)
    assert tokens.authentication.is_new(second)
    tokens.authentication.accepted(second)
    assert not tokens.authentication.is_new(second)


def test_a_token_that_was_replaced_already_is_not_dropped() -> None:
    tokens = Tokens()
    refused = tokens.authentication.authorize()
    tokens.authentication.renew(refused)
    tokens.token()
    assert tokens.authentication.renew(refused)
    assert tokens.token() == "token-2"
    assert tokens.asked == 2


def test_a_failure_is_passed_on_and_the_next_call_tries_again() -> None:
    tokens = Tokens()
    tokens.failure = BadCredentials("HTTP 400: wrong secret")
    for asked in (1, 2):
        with pytest.raises(BadCredentials):
            tokens.token()
        assert tokens.asked == asked
    tokens.failure = None
    assert tokens.token() == "token-3"


def test_no_token_or_key_is_shown_by_repr() -> None:
    secret = Secret("s3cret-key")
    auth = KeyAuthentication(secret).authorize()
    bearer = BearerAuth("s3cret-token")
    for thing in (secret, auth, bearer, Tokens().authentication):
        assert "s3cret" not in f"{thing!r} {thing}"


# --- threads ------------------------------------------------------------------------------------


class CountingLock:
    """A lock that knows how many have come to it."""

    def __init__(self) -> None:
        self._lock, self.came = threading.Lock(), threading.Semaphore(0)

    def __enter__(self) -> None:
        self.came.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Gate(Tokens):
    """A token endpoint that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.lock = threading.Event(), CountingLock()
        vars(self.authentication)["_lock"] = self.lock

    def fetch(self) -> tuple[str, float]:
        assert self.open.wait(10)
        return super().fetch()


def together(number: int, gate: Gate, work: Callable[[], None]) -> None:
    """Run `work` in so many threads; the gate opens when one is in it and the others wait."""
    threads = [threading.Thread(daemon=True, target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert gate.lock.came.acquire(timeout=10)
    gate.open.set()
    for thread in threads:
        thread.join(10)


def test_one_thread_fetches_while_eight_others_wait() -> None:
    gate = Gate()
    seen: list[str] = []
    together(9, gate, lambda: seen.append(gate.token()))
    assert seen == ["token-1"] * 9
    assert gate.asked == 1


def test_threads_that_waited_for_a_fetch_that_failed_share_its_failure() -> None:
    gate = Gate()
    gate.failure = Unreachable("no whole answer within 30 s")
    seen: list[str] = []

    def work() -> None:
        try:
            gate.token()
        except Unreachable as error:
            seen.append(str(error))

    together(9, gate, work)
    assert seen == ["no whole answer within 30 s"] * 9
    assert gate.asked == 1
    gate.failure = None
    assert gate.token() == "token-2"


def test_eight_threads_refused_at_once_renew_the_token_once() -> None:
    tokens = Tokens()
    refused = tokens.authentication.authorize()
    barrier = threading.Barrier(8)
    seen: list[str] = []

    def work() -> None:
        barrier.wait(10)
        assert tokens.authentication.renew(refused)
        seen.append(tokens.token())

    threads = [threading.Thread(daemon=True, target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == ["token-2"] * 8
    assert tokens.asked == 2
