"""`web.config_file`: what it may say, what comes out of it, and that no message tells a hash."""

import re
import ssl
from pathlib import Path

import pytest
import trustme

from exporter.probe import REQUIRED
from exporter.settings import ConfigurationError
from exporter.web.access import Access
from exporter.web.webconfig import IF_GIVEN, NO_CLIENT, Tls, WebConfig, read
from tests.support import TESTDATA

WEB = TESTDATA / "web"
INVALID = sorted(path.name for path in WEB.glob("invalid-*.yml"))
HASH = "$2b$04$U3LF9m1fkgYsrRXBarodnOI9dUh40UY61U.VESP.Pk2yMJk3PoJ7u"
REFUSED = {
    "tls_server_config": {
        "cert",
        "key",
        "client_ca",
        "client_allowed_sans",
        "cipher_suites",
        "curve_preferences",
        "prefer_server_cipher_suites",
    },
    "": {"http_server_config", "rate_limit"},
}
"""What the exporter-toolkit takes besides, by where it has its place."""


def refusals(path: Path) -> list[str]:
    """Return every problem with a file, each of them one line without a hash."""
    with pytest.raises(ConfigurationError) as caught:
        Access(path)
    assert str(caught.value) == "\n".join(caught.value.messages)
    for message in caught.value.messages:
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert not re.search(r"\$2.?\$|hunter2|apr1|12345678", message)
    return list(caught.value.messages)


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_file_is_refused_with_exactly_the_messages_at_its_head(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(WEB)
    prefix = "# message: "
    lines = Path(name).read_text(encoding="utf-8").splitlines()
    expected = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    assert expected
    assert refusals(Path(name)) == expected


def test_the_table_of_invalid_files_is_not_lost() -> None:
    assert len(INVALID) >= 50


@pytest.mark.parametrize(
    ("place", "key"), [(p, key) for p, keys in REFUSED.items() for key in keys]
)
def test_every_key_of_the_exporter_toolkit_that_has_no_effect_here_is_refused_by_name(
    place: str, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "web.yml"
    indented = f"{place}:\n  cert_file: a\n  key_file: b\n  {key}: x\n" if place else f"{key}: x\n"
    path.write_text(indented)
    (message,) = refusals(path)
    name = f"{place}.{key}" if place else key
    assert message.startswith(f"{path}: {name}: is not supported here: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("valid-empty.yml", WebConfig()),
        ("valid-nulls.yml", WebConfig()),
        (
            "valid-tls.yml",
            WebConfig(
                Tls(WEB / "web.crt", Path("/etc/web.key"), None, NO_CLIENT, "TLS12", "TLS13")
            ),
        ),
        (
            "valid-tls-and-clients.yml",
            WebConfig(
                Tls(WEB / "web.crt", WEB / "web.key", WEB / "ca.crt", REQUIRED, "TLS13", "TLS13"),
                {"alice": HASH, "zoë 2": HASH.replace("2b", "2y")},
            ),
        ),
        (
            "valid-users.yml",
            WebConfig(
                None, {"alice": HASH.replace("2b", "2a"), "bob": HASH.replace("$04$", "$31$")}
            ),
        ),
    ],
)
def test_a_valid_file_is_taken_with_paths_from_its_folder_on(
    name: str, expected: WebConfig
) -> None:
    assert read(WEB / name) == expected


def test_every_valid_file_is_looked_at() -> None:
    assert len(list(WEB.glob("valid-*.yml"))) == 5


def test_a_configuration_that_is_shown_shows_no_hash() -> None:
    assert HASH not in repr(read(WEB / "valid-users.yml"))


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing.yml", "No such file or directory"), ("", "Is a directory")],
)
def test_a_file_that_cannot_be_read_is_told_with_its_reason(
    name: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    assert refusals(path) == [f"{path}: cannot be read: {words}"]


# --- certificates and keys ----------------------------------------------------------------------


class Folder:
    """A folder with a certificate, its key, its authority, and a web.yml that says so."""

    def __init__(self, path: Path) -> None:
        authority = trustme.CA()
        made = authority.issue_cert("localhost")
        self.path = path
        made.private_key_pem.write_to_path(path / "web.key")
        made.cert_chain_pems[0].write_to_path(path / "web.crt")
        authority.cert_pem.write_to_path(path / "ca.crt")

    def write(self, more: str = "") -> Path:
        config = self.path / "web.yml"
        config.write_text(f"tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n{more}")
        return config

    def clients(self, kind: str) -> Path:
        return self.write(f"  client_ca_file: ca.crt\n  client_auth_type: {kind}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("kind", "mode"), [(IF_GIVEN, ssl.CERT_OPTIONAL), (REQUIRED, ssl.CERT_REQUIRED)]
)
def test_each_way_to_ask_for_clients_certificates_is_openssls(
    kind: str, mode: ssl.VerifyMode, folder: Folder
) -> None:
    context = Access(folder.clients(kind)).context
    assert context is not None
    assert context.verify_mode is mode
    assert len(context.get_ca_certs()) == 1


def test_versions_are_bounded_as_the_file_says_and_1_2_is_the_least(folder: Folder) -> None:
    context = Access(folder.write()).context
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.maximum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_NONE
    context = Access(folder.write("  min_version: TLS13\n")).context
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    context = Access(folder.write("  max_version: TLS12\n")).context
    assert context is not None
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("key", ["cert_file", "key_file", "client_ca_file"])
def test_a_missing_file_is_told_with_its_key(key: str, folder: Folder) -> None:
    config = folder.clients(REQUIRED)
    names = {"cert_file": "web.crt", "key_file": "web.key", "client_ca_file": "ca.crt"}
    gone = folder.path / names[key]
    gone.unlink()
    assert refusals(config) == [
        f"{config}: tls_server_config.{key}: {gone}: No such file or directory"
    ]


def test_a_folder_in_place_of_a_certificate_is_told(folder: Folder) -> None:
    (folder.path / "web.crt").unlink()
    (folder.path / "web.crt").mkdir()
    config = folder.write()
    (message,) = refusals(config)
    assert message.endswith(f"tls_server_config.cert_file: {folder.path}/web.crt: Is a directory")


def test_a_file_name_that_no_file_can_have_is_told(folder: Folder) -> None:
    config = folder.path / "web.yml"
    config.write_text('tls_server_config:\n  cert_file: "a\\0b"\n  key_file: web.key\n')
    with pytest.raises(ConfigurationError, match="embedded null byte"):
        Access(config)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("web.crt", "", r"no start line|\[SSL\] PEM lib"),
        ("web.crt", "not a certificate", r"no start line|\[SSL\] PEM lib"),
        ("web.key", "", r"no start line|\[SSL\] PEM lib"),
        ("web.key", None, "key values mismatch"),
    ],
)
def test_a_certificate_and_a_key_that_do_not_belong_together_are_told(
    file: str, content: str | None, words: str, folder: Folder
) -> None:
    if content is None:
        trustme.CA().issue_cert("other").private_key_pem.write_to_path(folder.path / file)
    else:
        (folder.path / file).write_text(content)
    config = folder.write()
    (message,) = refusals(config)
    pair = f"{folder.path}/web.crt and {folder.path}/web.key"
    start = f"{config}: tls_server_config: {pair} are not a certificate and its key: "
    assert message.startswith(start)
    assert re.fullmatch(words, message.removeprefix(start), re.IGNORECASE)


def test_a_file_that_vanishes_between_two_looks_is_told_too(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder.clients(REQUIRED)
    monkeypatch.setattr("exporter.web.webconfig._readable", lambda key, path: None)
    (folder.path / "ca.crt").unlink()
    (message,) = refusals(config)
    assert message.endswith("ca.crt holds no certificate: No such file or directory")
    (folder.path / "web.key").unlink()
    (message,) = refusals(config)
    assert message.endswith("are not a certificate and its key: No such file or directory")


def test_a_key_with_a_passphrase_is_refused_and_nothing_asks_for_it(folder: Folder) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = folder.path / "web.key"
    private = load_pem_private_key(key.read_bytes(), None)
    form = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    key.write_bytes(private.private_bytes(*form))
    (message,) = refusals(folder.write())
    assert message.endswith(": the key has a passphrase, which is not supported")


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_an_authority_without_a_certificate_is_told(content: str, folder: Folder) -> None:
    (folder.path / "ca.crt").write_text(content)
    config = folder.clients(REQUIRED)
    (message,) = refusals(config)
    start = f"{config}: tls_server_config.client_ca_file: {folder.path}/ca.crt holds no certificate"
    assert message.startswith(start)
