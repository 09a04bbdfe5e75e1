"""Basic auth and TLS: users, passwords, the cost of checking them, files that change meanwhile."""

import asyncio
import base64
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import bcrypt
import pytest
import structlog
import trustme
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message

from exporter.web.access import Access, BasicAuth, Passwords, WithHeaders

_T = TypeVar("_T")
Log = list[Any]


def hashed(password: bytes, version: str = "2b") -> str:
    """Return a hash that costs as little as bcrypt allows."""
    made = bcrypt.hashpw(password[:72], bcrypt.gensalt(4)).decode()
    return made.replace("$2b$", f"${version}$", 1)


HASH = hashed(b"open sesame")
USERS = {"alice": HASH, "bob": hashed(b"bob's own", "2y")}


def basic(name: str, password: str | bytes) -> str:
    raw = password if isinstance(password, bytes) else password.encode()
    return "Basic " + base64.b64encode(name.encode() + b":" + raw).decode()


ALICE = basic("alice", "open sesame")


def run(work: Callable[[], Awaitable[_T]]) -> _T:
    """Run it in an event loop of its own."""

    async def main() -> _T:
        return await work()

    return asyncio.run(main())


@pytest.fixture
def log() -> Iterator[Log]:
    """What is logged, as it is logged."""
    with structlog.testing.capture_logs() as logs:
        yield logs


def events(log: Log) -> list[str]:
    return [line["event"] for line in log]


class Web:
    """A folder with a web.yml that is written as renewals do it: whole, by a rename."""

    def __init__(self, path: Path) -> None:
        self.path = path / "web.yml"
        self.users(USERS)

    def users(self, users: dict[str, str]) -> None:
        lines = "".join(f'  {name}: "{value}"\n' for name, value in users.items())
        self.write(f"basic_auth_users:\n{lines}")

    def write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)

    def certify(self, name: str = "web") -> bytes:
        """Write a certificate with its key; return it as a client sees it."""
        made = trustme.CA().issue_cert("localhost")
        folder = self.path.parent
        made.private_key_pem.write_to_path(folder / f"{name}.key.new")
        (folder / f"{name}.key.new").replace(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.crt.new")
        (folder / f"{name}.crt.new").replace(folder / f"{name}.crt")
        return made.cert_chain_pems[0].bytes()

    def tls(self, name: str = "web") -> None:
        self.write(f"tls_server_config: {{cert_file: {name}.crt, key_file: {name}.key}}\n")


@pytest.fixture
def web(tmp_path: Path) -> Web:
    return Web(tmp_path)


def lets_in(access: Access, *headers: str) -> list[bool | None]:
    """Return the answers to these Authorization headers, one after the other."""

    async def ask() -> list[bool | None]:
        return [await access.allows(header) for header in headers]

    return run(ask)


class Counted:
    """bcrypt's comparison, counted, and stopped where a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[bytes, bytes]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self._real = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self)

    def __call__(self, password: bytes, stored: bytes) -> bool:
        self.calls.append((password, stored))
        assert self.go_on.wait(20)
        return self._real(password, stored)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


# --- users and passwords ------------------------------------------------------------------------


def test_without_a_file_everybody_is_served_over_plain_http() -> None:
    access = Access(None)
    assert lets_in(access, "", "nonsense", ALICE) == [True, True, True]
    assert access.context is None
    assert access.tls is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (ALICE, True),
        (basic("bob", "bob's own"), True),
        (ALICE.replace("Basic", "bASIC"), True),
        (ALICE.replace(" ", "   ") + " ", True),
        (basic("alice", "open sesame "), False),
        (basic("alice", "Open sesame"), False),
        (basic("alice", ""), False),
        (basic("alice", "open sesame\0"), False),
        (basic("alice", HASH), False),
        (basic("bob", "open sesame"), False),
        (basic("Alice", "open sesame"), False),
        (basic("mallory", "open sesame"), False),
        (basic("", ""), False),
        (basic("", "open sesame"), False),
    ],
)
def test_a_user_with_the_password_gets_in_and_nobody_else(
    header: str, expected: bool, web: Web
) -> None:
    assert lets_in(Access(web.path), header) == [expected]


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YQ",
        "Basic YWxpY2U=",
        "Basic =",
        "Basic\tYWxpY2U6b3BlbiBzZXNhbWU=",
        "BasicYWxpY2U6b3BlbiBzZXNhbWU=",
        "Basic YWxpY2U6b3BlbiBzZXNhbWU= x",
        "Basic YWxpY2U6b3BlbiBzZXNhbWU==",
        "Basic YWxp\nY2U6b3BlbiBzZXNhbWU=",
        "Bearer YWxpY2U6b3BlbiBzZXNhbWU=",
        'Digest username="alice"',
        "Basic //86/w==",
        "Basic ÿÿÿÿ",
        "Basic " + "A" * 30_000,
        "\0",
    ],
)
def test_a_malformed_header_lets_nobody_in_and_costs_no_bcrypt(
    header: str, web: Web, counted: Counted
) -> None:
    assert lets_in(Access(web.path), header) == [False]
    assert counted.calls == []


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
def test_every_version_of_bcrypt_that_htpasswd_and_others_write_is_known(
    version: str, web: Web
) -> None:
    web.users({"carol": hashed(b"pass", version)})
    assert lets_in(Access(web.path), basic("carol", "pass"), basic("carol", "Pass")) == [
        True,
        False,
    ]


def test_of_a_long_password_72_bytes_count_as_everywhere(web: Web) -> None:
    web.users({"carol": hashed(b"p" * 72)})
    access = Access(web.path)
    headers = [basic("carol", b"p" * length) for length in (71, 72, 73, 5000)]
    assert lets_in(access, *headers) == [False, True, True, True]


def test_a_name_and_a_password_may_hold_any_text(web: Web) -> None:
    web.users({"zoë 🌻": hashed("pä:ss:".encode()), "raw": hashed(b"\xff\xfe")})
    access = Access(web.path)
    assert lets_in(access, basic("zoë 🌻", "pä:ss:"), basic("raw", b"\xff\xfe")) == [True, True]
    assert lets_in(access, basic("zoë 🌻", "pä")) == [False]


# --- what it costs ------------------------------------------------------------------------------


def test_a_pair_costs_bcrypt_once_right_or_wrong(web: Web, counted: Counted) -> None:
    access = Access(web.path)
    wrong, unknown = basic("alice", "wrong"), basic("mallory", "x")
    assert lets_in(access, *[ALICE] * 5) == [True] * 5
    assert len(counted.calls) == 1
    assert lets_in(access, *[wrong] * 5, *[unknown] * 5) == [False] * 10
    assert len(counted.calls) == 3


def test_an_unknown_name_costs_what_a_known_one_does(web: Web, counted: Counted) -> None:
    assert lets_in(Access(web.path), basic("mallory", "x")) == [False]
    ((password, stored),) = counted.calls
    assert password == b"x"
    assert stored.startswith(b"$2b$04$")
    assert stored.decode() not in USERS.values()


def test_guesses_do_not_make_the_right_pair_be_forgotten(web: Web, counted: Counted) -> None:
    access = Access(web.path)
    guesses = [basic("alice", f"guess {number}") for number in range(300)]
    assert lets_in(access, ALICE, *guesses, ALICE) == [True, *[False] * 300, True]
    assert len(counted.calls) == 301


def test_what_is_remembered_of_guesses_is_bounded(web: Web, counted: Counted) -> None:
    access = Access(web.path)
    lets_in(access, *(basic("alice", f"guess {number}") for number in range(300)))
    assert lets_in(access, basic("alice", "guess 299")) == [False]
    assert len(counted.calls) == 300
    assert lets_in(access, basic("alice", "guess 0")) == [False]
    assert len(counted.calls) == 301
    assert all(len(known) <= 128 for known in access._passwords._known.values())


def test_what_is_remembered_holds_no_password_and_is_of_this_process_alone(web: Web) -> None:
    one, other = Access(web.path), Access(web.path)
    lets_in(one, ALICE)
    lets_in(other, ALICE)
    known = [list(access._passwords._known[True]) for access in (one, other)]
    assert known[0] != known[1]
    assert b"open sesame" not in b"".join(known[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", b"b\0c"), ("a\0b", b"c")), (("ab", b"c"), ("a", b"bc")), (("a", b""), ("", b"a"))],
)
def test_no_two_pairs_are_taken_for_one(
    one: tuple[str, bytes], other: tuple[str, bytes], counted: Counted
) -> None:
    users = {one[0]: hashed(one[1])}
    passwords = Passwords()

    async def ask() -> tuple[bool | None, bool | None]:
        return await passwords.match(*one, users), await passwords.match(*other, users)

    assert run(ask) == (True, False)


def test_an_old_password_is_not_remembered_under_the_new_one(web: Web) -> None:
    access = Access(web.path)
    assert lets_in(access, ALICE) == [True]
    web.users({"alice": hashed(b"new")})
    assert lets_in(access, ALICE, basic("alice", "new")) == [False, True]
    web.users(USERS)
    assert lets_in(access, basic("alice", "new"), ALICE) == [False, True]


def test_a_removed_user_is_refused(web: Web) -> None:
    access = Access(web.path)
    assert lets_in(access, ALICE) == [True]
    web.users({"bob": USERS["bob"]})
    assert lets_in(access, ALICE, basic("bob", "bob's own")) == [False, True]


def test_guesses_are_compared_one_at_a_time(
    web: Web, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access(web.path)
    counted.go_on.clear()

    async def ask() -> list[bool | None]:
        asked = [
            asyncio.create_task(access.allows(basic("alice", f"guess {number}")))
            for number in range(5)
        ]
        while not counted.calls:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(counted.calls) == 1
        counted.go_on.set()
        return list(await asyncio.gather(*asked))

    assert run(ask) == [False] * 5
    assert len(counted.calls) == 5


# --- the application behind it ------------------------------------------------------------------


class Answered:
    """What one request was answered with."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    def header(self, name: bytes) -> bytes | None:
        return dict(self.messages[0]["headers"]).get(name)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def asked(app: ASGIApp, path: str, *headers: str) -> Answered:
    answered = Answered()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"authorization", header.encode("latin-1")) for header in headers],
    }
    await app(scope, _receive, answered.send)
    return answered


@pytest.fixture
def protected(web: Web) -> BasicAuth:
    return BasicAuth(PlainTextResponse("in"), Access(web.path))


@pytest.mark.parametrize("path", ["/", "/metrics", "/config", "/-/reload", "/nowhere", "", "*"])
@pytest.mark.parametrize("header", [(), (basic("alice", "wrong"),), ("Basic !",)])
def test_every_path_but_the_probes_is_401_without_a_good_password(
    protected: BasicAuth, path: str, header: tuple[str, ...]
) -> None:
    answer = run(lambda: asked(protected, path, *header))
    assert answer.status == 401
    assert answer.header(b"www-authenticate") == (
        b'Basic realm="Help Scout exporter", charset="UTF-8"'
    )
    assert b"in" not in [message.get("body") for message in answer.messages]


def test_with_a_good_password_the_application_answers(protected: BasicAuth) -> None:
    answer = run(lambda: asked(protected, "/metrics", ALICE))
    assert (answer.status, answer.messages[1]["body"]) == (200, b"in")


def test_of_several_headers_the_first_counts(protected: BasicAuth) -> None:
    assert run(lambda: asked(protected, "/metrics", ALICE, "x")).status == 200
    assert run(lambda: asked(protected, "/metrics", "x", ALICE)).status == 401


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
@pytest.mark.parametrize("header", [(), (basic("alice", "wrong"),)])
def test_probes_need_no_password(protected: BasicAuth, path: str, header: tuple[str, ...]) -> None:
    assert run(lambda: asked(protected, path, *header)).status == 200


def test_every_answer_has_the_headers_of_the_file_as_it_is_now(web: Web) -> None:
    own = {"X-Frame-Options": "sameorigin", "Content-Security-Policy": "default-src 'none'"}
    app = PlainTextResponse("in", headers=own)
    web.write(
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
        "    Content-Security-Policy: frame-ancestors 'none'\n"
        f"basic_auth_users: {{alice: '{HASH}'}}\n"
    )
    access = Access(web.path)
    protected = WithHeaders(BasicAuth(app, access), access)

    def headers(*given: str) -> list[tuple[bytes, bytes]]:
        found = run(lambda: asked(protected, "/", *given)).messages[0]["headers"]
        return [each for each in found if each[0] not in (b"content-length", b"content-type")]

    policy = b"content-security-policy"
    assert headers(ALICE) == [
        (policy, b"default-src 'none'"),
        (b"x-frame-options", b"deny"),
        (policy, b"frame-ancestors 'none'"),
    ]
    assert (b"x-frame-options", b"deny") in headers()
    web.users(USERS)
    assert headers(ALICE) == [(b"x-frame-options", b"sameorigin"), (policy, b"default-src 'none'")]


@pytest.mark.parametrize("path", ["/-/healthy/", "/-/Ready", "//-/ready", "/-/ready/../metrics"])
def test_what_looks_like_a_probe_is_none(protected: BasicAuth, path: str) -> None:
    assert run(lambda: asked(protected, path)).status == 401


def test_too_many_guesses_at_once_are_503_and_known_users_still_get_in(
    protected: BasicAuth, counted: Counted
) -> None:
    async def attack() -> None:
        assert (await asked(protected, "/metrics", ALICE)).status == 200
        counted.go_on.clear()
        guesses = [
            asyncio.create_task(asked(protected, "/metrics", basic("alice", f"guess {number}")))
            for number in range(30)
        ]
        done, waiting = await asyncio.wait(guesses, timeout=0.3)
        assert len(waiting) == 16
        refused = [task.result() for task in done]
        assert {answer.status for answer in refused} == {503}
        assert {answer.header(b"retry-after") for answer in refused} == {b"5"}
        assert (await asked(protected, "/metrics", ALICE)).status == 200
        assert (await asked(protected, "/-/healthy")).status == 200
        counted.go_on.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {401}
        assert (await asked(protected, "/metrics", basic("bob", "bob's own"))).status == 200

    run(attack)


def test_after_a_burst_of_guesses_there_is_room_again(
    protected: BasicAuth, counted: Counted
) -> None:
    async def attack() -> None:
        counted.go_on.clear()
        guesses = [
            asyncio.create_task(asked(protected, "/metrics", basic("alice", f"guess {number}")))
            for number in range(16)
        ]
        while not counted.calls:
            await asyncio.sleep(0.01)
        counted.go_on.set()
        await asyncio.gather(*guesses)
        assert (await asked(protected, "/metrics", ALICE)).status == 200

    run(attack)


# --- files that change --------------------------------------------------------------------------


def test_a_renewed_file_counts_at_once_and_the_log_says_so_once(web: Web, log: Log) -> None:
    access = Access(web.path)
    web.users({"carol": hashed(b"hers")})
    assert lets_in(access, ALICE, basic("carol", "hers")) == [False, True]
    assert events(log) == ["web.config_file or a certificate is new"]


def test_a_file_that_is_touched_changes_nothing(web: Web, log: Log) -> None:
    access = Access(web.path)
    os.utime(web.path, ns=(1, 1))
    assert lets_in(access, ALICE, basic("alice", "x")) == [True, False]
    assert len(log) == 1


@pytest.mark.parametrize("renames", [True, False])
def test_a_file_that_is_replaced_by_one_of_the_same_time_counts(renames: bool, web: Web) -> None:
    access = Access(web.path)
    before = web.path.stat()
    if renames:
        web.users({"carol": hashed(b"hers"), "bob": USERS["bob"]})
        assert web.path.stat().st_size == before.st_size
    else:
        web.path.write_text(f'basic_auth_users:\n  carol: "{hashed(b"hers")}"\n')
        assert web.path.stat().st_ino == before.st_ino
    os.utime(web.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lets_in(access, ALICE, basic("carol", "hers")) == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("basic_auth_users: {alice: wrong}", "is not a bcrypt hash"),
        ("basic_auth_users: {alice: ", "line 1, column "),
        ("", "switching basic auth on or off takes a restart"),
        ("basic_auth_users:\n", "switching basic auth on or off takes a restart"),
        ("# a comment\n", "switching basic auth on or off takes a restart"),
        ("rate_limit: {}\n", "rate_limit: is not supported here"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_broken_file_keeps_the_last_is_reported_once_and_so_is_its_recovery(
    text: str | None, words: str, web: Web, log: Log
) -> None:
    access = Access(web.path)
    if text is None:
        web.path.unlink()
    else:
        web.write(text)
    assert lets_in(access, ALICE, "", ALICE, basic("alice", "x")) == [True, False, True, False]
    (line,) = log
    assert line["log_level"] == "error"
    assert line["event"] == "web.config_file cannot be used, the last one stays"
    assert words in line["problem"]
    if text is not None:
        os.utime(web.path, ns=(1, 1))
    assert lets_in(access, ALICE) == [True]
    assert len(log) == 1
    web.users({"carol": hashed(b"hers")})
    assert lets_in(access, ALICE, basic("carol", "hers")) == [False, True]
    assert events(log)[1:] == ["web.config_file or a certificate is new"]
    web.write(text or "")
    assert lets_in(access, basic("carol", "hers")) == [True]
    assert len(log) == 3


def test_another_problem_is_told_too(web: Web, log: Log) -> None:
    access = Access(web.path)
    for text in ("a: b", "c: d"):
        web.write(text)
        lets_in(access, ALICE)
    assert ["a: unknown" in log[0]["problem"], "c: unknown" in log[1]["problem"]] == [True, True]


def test_all_that_is_wrong_with_a_file_is_in_one_line(web: Web, log: Log) -> None:
    access = Access(web.path)
    web.write("a: b\nc: d\n")
    lets_in(access, ALICE)
    (line,) = log
    assert ["a: unknown" in line["problem"], "; " in line["problem"]] == [True, True]
    assert "c: unknown" in line["problem"]


def test_a_problem_that_is_logged_holds_no_hash(web: Web, log: Log) -> None:
    access = Access(web.path)
    web.write(f'basic_auth_users: {{alice: "{HASH}x", "{HASH}": alice}}\n{HASH}: 1\n')
    lets_in(access, ALICE)
    assert len(log) == 1
    assert HASH not in str(log)


def test_auth_is_not_switched_on_while_it_runs(web: Web, log: Log) -> None:
    web.write("")
    access = Access(web.path)
    web.users(USERS)
    assert lets_in(access, "") == [True]
    assert log[0]["problem"] == "switching basic auth on or off takes a restart"


def context_of(access: Access) -> object:
    context = access.context
    assert context is not None
    return context


def trusted(access: Access) -> list[bytes]:
    """Return the authorities whose clients are let in."""
    context = access.context
    assert context is not None
    return context.get_ca_certs(binary_form=True)


def test_certificates_that_are_renewed_count_for_the_next_connection(web: Web, log: Log) -> None:
    web.certify()
    web.tls()
    access = Access(web.path)
    first = context_of(access)
    assert context_of(access) is first
    web.certify()
    second = context_of(access)
    assert second is not first
    assert context_of(access) is second
    assert events(log)[-1] == "web.config_file or a certificate is new"


def test_an_authority_of_clients_that_is_renewed_counts_for_the_next_connection(
    web: Web, log: Log
) -> None:
    def name_authority() -> None:
        new = web.path.parent / "ca.crt.new"
        trustme.CA().cert_pem.write_to_path(new)
        new.replace(web.path.parent / "ca.crt")

    web.certify()
    name_authority()
    web.write(f"tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n{AUTHORITY}")
    access = Access(web.path)
    before = trusted(access)
    name_authority()
    after = trusted(access)
    assert len(after) == 1
    assert after != before
    assert events(log) == ["web.config_file or a certificate is new"]


def test_a_new_certificate_waits_for_its_key(web: Web, log: Log) -> None:
    web.certify()
    web.tls()
    access = Access(web.path)
    first = context_of(access)
    folder = web.path.parent
    old = (folder / "web.key").read_bytes()
    web.certify()
    new = (folder / "web.key").read_bytes()
    (folder / "web.key").write_bytes(old)
    assert context_of(access) is first
    assert log[-1]["log_level"] == "error"
    (folder / "web.key").write_bytes(new)
    os.utime(folder / "web.key", ns=(2, 2))
    assert context_of(access) is not first
    assert log[-1]["log_level"] == "info"


def test_certificates_written_after_the_file_that_names_them_are_used(web: Web, log: Log) -> None:
    web.certify()
    web.tls()
    access = Access(web.path)
    first = context_of(access)
    web.tls("other")
    assert context_of(access) is first
    assert "other.crt: No such file" in log[-1]["problem"]
    web.certify("other")
    second = context_of(access)
    assert second is not first
    assert access.tls is not None
    assert Path(access.tls.cert).name == "other.crt"
    assert context_of(access) is second
    assert events(log)[-1:] == ["web.config_file or a certificate is new"]
    web.certify("other")
    assert context_of(access) is not second


@pytest.mark.parametrize("text", ["", "tls_server_config:\n", "{}"])
def test_tls_is_not_switched_off_by_a_file_that_is_half_written(
    text: str, web: Web, log: Log
) -> None:
    web.certify()
    web.tls()
    access = Access(web.path)
    first = context_of(access)
    web.write(text)
    assert context_of(access) is first
    assert [line["problem"] for line in log] == ["switching TLS on or off takes a restart"]


AUTHORITY = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (AUTHORITY, ""),
        ("", AUTHORITY),
        (
            AUTHORITY,
            AUTHORITY.replace("RequireAndVerify", "Verify").replace("Cert\n", "CertIfGiven\n"),
        ),
        (f"{AUTHORITY}  client_allowed_sans: [a]\n", AUTHORITY),
    ],
)
def test_what_clients_must_show_is_not_switched_by_a_file_that_is_half_written(
    before: str, after: str, web: Web, log: Log
) -> None:
    web.certify()
    trustme.CA().cert_pem.write_to_path(web.path.parent / "ca.crt")
    text = "tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n"
    web.write(text + before)
    access = Access(web.path)
    first = context_of(access)
    web.write(text + after)
    assert context_of(access) is first
    assert [line["problem"] for line in log] == [
        "switching between clients that need a certificate and others takes a restart"
    ]


def test_an_authority_that_is_not_named_is_warned_of(web: Web, log: Log) -> None:
    web.certify()
    text = (
        "tls_server_config: {cert_file: web.crt, key_file: web.key,"
        " client_auth_type: RequireAndVerifyClientCert}\n"
    )
    web.write(text)
    access = Access(web.path)
    assert [line["log_level"] for line in log] == ["warning"]
    assert events(log)[0].startswith("tls_server_config.client_ca_file is not set, ")
    web.write(f"# renewed\n{text}")
    assert context_of(access) is not None
    assert [line["log_level"] for line in log[1:]] == ["info", "warning"]


def test_a_certificate_that_vanishes_keeps_the_last(web: Web, log: Log) -> None:
    web.certify()
    web.tls()
    access = Access(web.path)
    first = context_of(access)
    (web.path.parent / "web.crt").unlink()
    assert context_of(access) is first
    assert context_of(access) is first
    assert len(log) == 1
    web.certify()
    assert context_of(access) is not first


def test_several_threads_read_a_renewed_file_once(web: Web, log: Log) -> None:
    web.certify()
    web.tls()
    access = Access(web.path)
    web.certify()
    together = threading.Barrier(8)
    seen = []

    def look() -> None:
        together.wait(10)
        seen.append(context_of(access))

    threads = [threading.Thread(daemon=True, target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log) == 1


@pytest.mark.parametrize("cost", ["05", "12"])
def test_an_unknown_name_is_compared_at_the_users_own_cost(
    cost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def checkpw(_password: bytes, stored: bytes) -> bool:
        compared.append(stored[:7])
        return False

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    users = {"alice": f"$2b${cost}${'a' * 53}"}
    assert asyncio.run(Passwords().match("mallory", b"x", users)) is False
    assert compared == [f"$2b${cost}$".encode()]
