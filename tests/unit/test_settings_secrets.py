"""No secret in a message, a traceback, a repr, a log record or the shown configuration."""

import logging
import traceback
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from exporter.helpscout.account import Secret
from exporter.helpscout.errors import BadCredentials
from exporter.settings import ConfigurationError, load

# Long enough not to be a part of a message by chance; of all kinds of characters.
SECRETS = st.text(min_size=1, max_size=30).map(lambda text: f"q7Z{text}x9") | st.sampled_from(
    ["[hunter2]", "{hunter2: hunter2}", "*hunter2", "!hunter2 x", "&hunter2", "hunter2\nhunter2"]
)
KEYS = ("client_secret", "api_key")


def everything_told(path: Path | None, environ: dict[str, str]) -> tuple[bool, str]:
    """Return whether the configuration was taken, and all that a user or a log could get to see."""
    try:
        loaded = load(path, environ)
    except ConfigurationError as error:
        words = [str(error), repr(error), *error.messages, *traceback.format_exception(error)]
        return False, "\n".join(words)
    return True, "\n".join([repr(loaded), str(loaded), loaded.masked(), *loaded.warnings])


def says(secret: str, text: str) -> bool:
    return secret in text or repr(secret)[1:-1] in text


@given(secret=SECRETS, key=st.sampled_from(KEYS), wrong=st.booleans())
@hypothesis_settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_a_secret_in_the_file_is_never_shown(
    secret: str, key: str, wrong: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    account = {key: secret} | ({"client_id": "abc"} if key == "client_secret" else {})
    tree = {"accounts": [account]} | ({"types": ["mail"]} if wrong else {})
    path = tmp_path_factory.getbasetemp() / "secret.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    taken, told = everything_told(path, {})
    assert not says(secret, told)
    assert not (taken and wrong)


@given(secret=SECRETS, key=st.sampled_from(KEYS), wrong=st.booleans())
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_secret_in_a_variable_is_never_shown(secret: str, key: str, wrong: bool) -> None:
    for name in (f"HELPSCOUT_{key.upper()}", f"HELPSCOUT_ACCOUNTS__0__{key.upper()}"):
        environ = {name: secret}
        if key == "client_secret":
            environ["HELPSCOUT_CLIENT_ID"] = "abc"
        if wrong:
            environ["HELPSCOUT_LOG__LEVEL"] = "loud"
        taken, told = everything_told(None, environ)
        assert not says(secret, told)
        assert not (taken and wrong)


@pytest.mark.parametrize(
    "text",
    [
        "accounts: [{client_id: a, client_secret: *hunter2}]",
        "accounts: [{client_id: a, client_secret: !hunter2 x}]",
        "accounts: [{client_id: a, client_secret: !hunter2!x y}]",
        "accounts: [{client_id: a, client_secret: &hunter2 x, name: *hunter3}]",
        "accounts: [{client_id: a, client_secret: [hunter2}]",
        "accounts: [{client_id: a, client_secret: {a: hunter2}}]",
        "accounts: [{client_id: a, client_secret: [hunter2]}]",
        'accounts: [{client_id: a, client_secret: "hunter2\\q"}]',
        'accounts: [{client_id: a, client_secret: "hunter2]',
        "accounts: [{client_id: a, client_secret: |hunter2}]",
        "accounts: [{client_id: a, client_secret: hunter2, client_secret: hunter2}]",
        "accounts: [{client_id: a, client_secrte: hunter2}]",
        "accounts: {client_secret: hunter2}",
        "accounts: [hunter2]",
        "accounts: hunter2",
        "client_secret: hunter2",
        "accounts: [{client_id: a, client_secret: b, base_url: 'https://u:hunter2@h.example'}]",
        "accounts: [{client_id: a, client_secret: b, base_url: 'http://u:hunter2@h.example'}]",
        "accounts: [{client_id: a, client_secret: b, base_url: 'https://u:hunter2@h:x/?a'}]",
        'accounts: [{client_id: a, client_secret: b, base_url: "https://u:hunter2@h\\t"}]',
        "%hunter2: x\n",
        "accounts:\n  - client_id: a\n    client_secret: hunter2: hunter2\n",
        "accounts:\n  - client_id: a\n  client_secret: hunter2\n",
    ],
)
def test_a_secret_in_the_wrong_place_or_form_is_not_quoted(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("wrong") / "config.yml"
    path.write_text(text, encoding="utf-8")
    taken, told = everything_told(path, {})
    assert not taken
    assert "hunter2" not in told


def test_the_library_can_be_made_to_log_its_sources_but_finds_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    caplog.set_level(logging.DEBUG)
    load(None, {"HELPSCOUT_API_KEY": "hunter2"})
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (" hünter 2\t\n\n".encode(), "hünter 2"),
    ],
)
def test_a_secret_file_is_read_without_the_white_space_around_it(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert Secret(file=tmp_path / "secret").read() == expected


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, ": No such file or directory"),
        (b"", " is empty"),
        (b" \n", " is empty"),
        (b"hunter2\nhunter2\n", " holds a control character, perhaps a line break"),
        ("hunter2€".encode(), " holds a character that an HTTP header cannot carry"),
        (b"hunter2\xff", ": is not UTF-8 text"),
        (b'"hunter2"\n', " is in quotes, which are part of it: remove them"),
    ],
)
def test_a_secret_file_of_no_use_is_named_and_not_quoted(
    content: bytes | None, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadCredentials) as caught:
        Secret(file=path).read()
    assert str(caught.value) == f"secret file {path}{why}"
