"""`check`: what it says of several accounts, and its exit code."""

from collections.abc import Iterable

import pytest
import typer

from exporter.checking import Checked
from exporter.cli import check as command
from exporter.health import Missing
from exporter.helpscout.account import Account
from exporter.helpscout.errors import BadCredentials, HelpScoutError
from exporter.settings import Configuration, load

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
