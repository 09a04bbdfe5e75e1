"""`check`: what it says of several accounts, and its exit code."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
import typer

from exporter.checking import Checked, check_account
from exporter.cli import check as command
from exporter.health import Missing
from exporter.helpscout.account import Account
from exporter.helpscout.client import Client
from exporter.helpscout.errors import BadCredentials, HelpScoutError, ServiceFailed
from exporter.questions import Learned, Mailbox, Question, Reading
from exporter.settings import Configuration, load
from tests.support import run

TAG = Missing("segments[0] (vip)", "no tag is called 'vip'", "vip")
GLOB = Missing("mailboxes.include[1]", "no mailbox has a name like Sals*")
REFUSED = BadCredentials("HTTP 401", status=401, reference="ref-1")


def found(*, missing: Iterable[Missing] = (), lacks: Iterable[Missing] = ()) -> Checked:
    return Checked("login good", tuple(missing), frozenset(lacks))


@pytest.mark.parametrize(
    ("accounts", "code", "said", "complaints"),
    [
        ([found(), found()], 0, 2, []),
        ([found(), found(missing=[TAG])], 1, 2, [f"b: {TAG}"]),
        ([found(), found(lacks=[GLOB])], 0, 2, []),
        ([found(lacks=[GLOB]), found(lacks=[GLOB])], 1, 2, [str(GLOB)]),
        ([REFUSED, found(lacks=[GLOB])], 1, 1, ["a: HTTP 401 (reference ref-1)"]),
    ],
    ids=["all good", "a tag", "what one has", "what none has", "a login"],
)
def test_what_is_wrong_with_an_account_or_with_all_is_told_and_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    accounts: list[Checked | HelpScoutError],
    code: int,
    said: int,
    complaints: list[str],
) -> None:
    names = ("a", "b")
    configured = load(
        None, {f"HELPSCOUT_ACCOUNTS__{n}__{k}": v for n, name in enumerate(names)
               for k, v in (("NAME", name), ("API_KEY", f"key {name}"))},
    )  # fmt: skip

    def checked(_: Configuration, account: Account) -> Checked:
        outcome = accounts[names.index(account.name)]
        if isinstance(outcome, HelpScoutError):
            raise outcome
        return outcome

    monkeypatch.setattr(command, "configured", lambda _: configured)
    monkeypatch.setattr(command, "check_account", checked)
    ended = 0
    try:
        command.check(None)
    except typer.Exit as error:
        ended = error.exit_code
    out, err = capfd.readouterr()
    assert (ended, out.splitlines(), err.splitlines()) == (code, ["login good"] * said, complaints)


def test_check_reads_the_certificate_of_the_web_configuration(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: no.pem, key_file: no.pem}\n")
    environ = {"HELPSCOUT_API_KEY": "a", "HELPSCOUT_WEB__CONFIG_FILE": "web.yml"}
    ended = run(tmp_path, ["check"], environ)
    assert (ended.code, ended.stdout) == (2, "")
    assert "no.pem" in ended.stderr


def test_check_tells_the_warnings_of_the_web_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trustme.CA().issue_cert("exporter.example")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    kind = "client_auth_type: RequireAndVerifyClientCert"
    (tmp_path / "web.yml").write_text(
        f"tls_server_config: {{cert_file: both.pem, key_file: both.pem, {kind}}}\n"
    )
    monkeypatch.setattr(command, "check_account", lambda *_: found())
    environ = {"HELPSCOUT_API_KEY": "a", "HELPSCOUT_WEB__CONFIG_FILE": "web.yml"}
    ended = run(tmp_path, ["check"], environ)
    assert (ended.code, ended.stdout) == (0, "login good\n")
    (line,) = ended.stderr.splitlines()
    assert "web.yml: tls_server_config.client_ca_file is not set" in line


def test_check_asks_again_what_failed_for_a_moment_and_over_the_longest_window_for_a_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[timedelta | None] = []

    def ask(_client: Client, question: Question, _at: datetime) -> Reading:
        asked.append(question.range)
        if len(asked) == 1:
            raise ServiceFailed("HTTP 503", status=503)
        tags = {"vip": 5} if question.range == timedelta(days=30) else {}
        return Reading(None, datetime.now(UTC), Learned(tags))

    monkeypatch.setattr(Client, "mailboxes", lambda _: [Mailbox(1, "Support", "", "")])
    monkeypatch.setattr("exporter.checking.ask", ask)
    monkeypatch.setattr("exporter.helpscout.attempts._FIRST_RETRY_SECONDS", 0.0)
    environ = {"API_KEY": "a", "FOLDERS__ENABLED": "false", "WINDOWS": "[24h, 30d, 7d]"}
    environ["SEGMENTS"] = "[{name: vip, tags: [vip]}]"
    configuration = load(None, {f"HELPSCOUT_{name}": value for name, value in environ.items()})
    checked = check_account(configuration, configuration.accounts[0])
    assert checked.missing == ()
    assert asked == [timedelta(days=days) for days in (1, 1, 30)]
