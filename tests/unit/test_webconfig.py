"""`web.config_file`: what it may say, the result, and that no message has a hash."""

import contextlib
import re
import ssl
from pathlib import Path

import pytest
import trustme

from exporter.probe import REQUIRED
from exporter.settings import ConfigurationError
from exporter.web.access import Access
from exporter.web.tls import CIPHERS, CURVES, IF_GIVEN, NO_CLIENT, Encryption, Tls
from exporter.web.webconfig import WebConfig, read
from tests.support import TESTDATA

WEB = TESTDATA / "web"
INVALID = sorted(path.name for path in WEB.glob("invalid-*.yml"))
HASH = "$2b$04$U3LF9m1fkgYsrRXBarodnOI9dUh40UY61U.VESP.Pk2yMJk3PoJ7u"


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
            "valid-everything.yml",
            WebConfig(
                Tls(
                    WEB / "web.crt",
                    "-----BEGIN PRIVATE KEY-----\n",
                    "-----BEGIN CERTIFICATE-----\n",
                    REQUIRED,
                    "TLS12",
                    "TLS12",
                    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"),
                    prefer_server_cipher_suites=False,
                    curve="CurveP384",
                    client_allowed_sans=frozenset({"prometheus", "10.0.0.1"}),
                ),
                headers={"X-XSS-Protection": "0", "X-Frame-Options": "sameorigin"},
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
    assert len(list(WEB.glob("valid-*.yml"))) == 6


def test_a_configuration_that_is_shown_shows_no_hash() -> None:
    found = read(WEB / "valid-users.yml")
    assert found.users
    assert not any(each in repr(found) for each in found.users.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing.yml", "No such file or directory"), ("", "Is a directory")],
)
def test_a_file_that_cannot_be_read_is_reported_with_its_reason(
    name: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    assert refusals(path) == [f"{path}: cannot be read: {words}"]


# --- certificates and keys ----------------------------------------------------------------------


class Folder:
    """A folder with a certificate, its key, its authority, and a web.yml that says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(path / "ca.crt")
        self.certify("ECDSA")

    def certify(self, kind: str) -> None:
        """Write a certificate with a key of this kind, ECDSA or RSA."""
        key_type = {"ECDSA": trustme.KeyType.ECDSA, "RSA": trustme.KeyType.RSA}[kind]
        made = self.authority.issue_cert("localhost", key_type=key_type)
        made.private_key_pem.write_to_path(self.path / "web.key")
        made.cert_chain_pems[0].write_to_path(self.path / "web.crt")

    def client(self, name: str = "") -> ssl.SSLContext:
        """Return what a client trusts, and shows if it has a name."""
        context = ssl.create_default_context(cafile=str(self.path / "ca.crt"))
        if name:
            self.authority.issue_cert(name).configure_cert(context)
        return context

    def text(self, text: str) -> Path:
        """Write a whole web.yml; CERT and KEY in it stand for the files' texts."""
        for word, file in (("CERT", "web.crt"), ("KEY", "web.key")):
            pem = (self.path / file).read_text().strip().replace("\n", "\n    ")
            text = text.replace(f"    {word}\n", f"    {pem}\n")
        config = self.path / "web.yml"
        config.write_text(text)
        return config

    def write(self, more: str = "") -> Path:
        config = self.path / "web.yml"
        config.write_text(f"tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n{more}")
        return config

    def clients(self, kind: str) -> Path:
        return self.write(f"  client_ca_file: ca.crt\n  client_auth_type: {kind}\n")


def handshake(context: Encryption, client: ssl.SSLContext) -> ssl.SSLObject:
    """Let a client connect, in memory, and say something; return its side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    side = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(4):
        for each in (side, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                each.do_handshake()
    side.write(b"hello")
    assert server.read() == b"hello"
    return side


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


# --- what the exporter-toolkit takes ------------------------------------------------------------

PAIR = "tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n"
LOOSE = f"{PAIR}  client_auth_type: VerifyClientCertIfGiven\n"
STRICT = f"{PAIR}  client_auth_type: RequireAndVerifyClientCert\n"
UNCHECKED = (
    "tls_server_config.client_auth_type: RequireAnyClientCert accepts any certificate unchecked,"
    f" which is not supported here: use {IF_GIVEN} or {REQUIRED}"
)
SEVERAL = "several curves are not supported here"
SHAPES: dict[str, tuple[str, str | None]] = {
    "a client's certificate is verified": (f"{STRICT}  client_ca_file: ca.crt\n", None),
    "any client certificate": (f"{PAIR}  client_auth_type: RequireAnyClientCert\n", UNCHECKED),
    "any client certificate, with the key in place": (
        (
            "tls_server_config:\n  cert_file: web.crt\n  key: |\n    KEY\n"
            "  client_auth_type: RequireAnyClientCert\n"
        ),
        UNCHECKED,
    ),
    "only clients of these names": (
        f"{STRICT}  client_ca_file: ca.crt\n  client_allowed_sans: [a, b, c]\n",
        None,
    ),
    "headers": (
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
            "    Strict-Transport-Security: max-age=86400\n    X-Content-Type-Options: nosniff\n"
            "    X-XSS-Protection: 1\n    Content-Security-Policy: default-src 'self'\n"
        ),
        None,
    ),
    "a client's certificate is verified, without an authority": (STRICT, None),
    "a client's certificate is verified if given, without an authority": (LOOSE, None),
    "every cipher": (
        f"{LOOSE}  cipher_suites:\n"
        + "".join(f"  - {name}\n" for name in (*CIPHERS, "TLS_AES_128_GCM_SHA256")),
        None,
    ),
    "every curve": (
        f"{LOOSE}  curve_preferences: [{', '.join(CURVES)}]\n",
        f"tls_server_config.curve_preferences: takes a list of one: {SEVERAL}",
    ),
    "no HTTP/2": (
        (
            f"{LOOSE}  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n"
            "  max_version: TLS12\n"
            "http_server_config:\n  http2: false\n"
        ),
        None,
    ),
    "some ciphers": (
        (
            f"{LOOSE}  min_version: TLS12\n  max_version: TLS12\n  cipher_suites:\n"
            "  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n"
        ),
        None,
    ),
    "some ciphers in the client's order": (
        (
            f"{LOOSE}  min_version: TLS12\n  max_version: TLS12\n"
            "  prefer_server_cipher_suites: false\n  cipher_suites:\n"
            "  - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"
        ),
        None,
    ),
    "one curve": (f"{LOOSE}  min_version: TLS13\n  curve_preferences:\n  - CurveP521\n", None),
    "certificate and key in place": (
        "tls_server_config:\n  cert: |\n    CERT\n  key: |\n    KEY\n",
        None,
    ),
    "users": (f"{PAIR}basic_auth_users:\n  a: {HASH}\n  b: {HASH.replace('$04', '$18')}\n", None),
    "users without TLS": (f"basic_auth_users:\n  a: {HASH.replace('2b', '2y')}\n", None),
}
"""The shapes of the files that the toolkit's own tests call good, and what is refused of them."""


def test_there_are_sixteen_of_them_and_three_are_refused() -> None:
    assert len(SHAPES) == 16
    assert sum(refused is not None for _, refused in SHAPES.values()) == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_of_the_exporter_toolkit_is_taken_or_refused_by_name(
    shape: str, folder: Folder
) -> None:
    text, refused = SHAPES[shape]
    if "_RSA_" in text:
        folder.certify("RSA")
    config = folder.text(text)
    if refused is not None:
        assert refusals(config) == [f"{config}: {refused}"]
        return
    access = Access(config)
    assert bool(access.tls) == ("tls_server_config" in text)
    if access.context is not None and REQUIRED not in text:
        handshake(access.context, folder.client())


@pytest.mark.parametrize("key", ["rate_limit"])
def test_a_key_that_has_no_effect_here_is_refused_by_name(key: str, folder: Folder) -> None:
    (message,) = refusals(folder.text(f"{key}: {{interval: 1s, burst: 5}}\n"))
    assert f": {key}: is not supported here: " in message


# --- what they do -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CIPHERS)
def test_a_cipher_that_is_listed_is_the_only_one_of_tls_1_2(name: str, folder: Folder) -> None:
    folder.certify(name.split("_")[2])
    context = Access(folder.write(f"  cipher_suites: [{name}]\n")).context
    assert context is not None
    client = folder.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(":".join(CIPHERS.values()))
    chosen = handshake(context, client).cipher()
    assert chosen is not None
    assert chosen[0] == CIPHERS[name]
    client.set_ciphers(":".join({*CIPHERS.values()} - {CIPHERS[name]}))
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        handshake(context, client)


@pytest.mark.parametrize(("prefers", "expected"), [("true", "AES256"), ("false", "AES128")])
def test_the_order_of_ciphers_is_the_servers_unless_the_file_says_otherwise(
    prefers: str, expected: str, folder: Folder
) -> None:
    ciphers = [f"TLS_ECDHE_ECDSA_WITH_AES_{size}" for size in ("256_GCM_SHA384", "128_GCM_SHA256")]
    lines = f"  cipher_suites: [{', '.join(ciphers)}]\n  prefer_server_cipher_suites: {prefers}\n"
    context = Access(folder.write(lines)).context
    assert context is not None
    client = folder.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    chosen = handshake(context, client).cipher()
    assert chosen is not None
    assert expected in chosen[0]


def usable(curve: str) -> bool:
    """Return whether the ssl of this Python takes a curve: that of Debian 12 does not take all."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(CURVES[curve])
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("curve", [curve for curve in CURVES if usable(curve)])
@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_the_curve_that_is_named_is_the_only_one(curve: str, version: str, folder: Folder) -> None:
    folder.certify("RSA")
    lines = f"  curve_preferences: [{curve}]\n  min_version: {version}\n  max_version: {version}\n"
    context = Access(folder.write(lines)).context
    assert context is not None
    client = folder.client()
    client.set_ecdh_curve(CURVES[curve])
    handshake(context, client)
    client.set_ecdh_curve(next(name for known, name in CURVES.items() if known != curve))
    with pytest.raises(ssl.SSLError):
        handshake(context, client)


def test_a_curve_that_this_python_cannot_use_is_refused_in_words(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_context: object, _curve: str) -> None:
        raise ssl.SSLError(1, "[EC: UNKNOWN_GROUP] unknown group (_ssl.c:4346)")

    monkeypatch.setattr(Encryption, "set_ecdh_curve", refuse)
    (message,) = refusals(folder.write("  curve_preferences: [X25519]\n"))
    assert "curve_preferences[0]: the ssl of this Python cannot use X25519 ([EC: " in message
    assert message.endswith("choose another curve, or leave the key out")


def test_where_1_3_is_the_least_version_its_ciphers_alone_may_be_listed(folder: Folder) -> None:
    lines = "  min_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"
    context = Access(folder.write(lines)).context
    assert context is not None
    assert handshake(context, folder.client()).version() == "TLSv1.3"


def test_http_1_1_is_agreed_on_and_no_client_renegotiates(folder: Folder) -> None:
    context = Access(folder.write()).context
    assert context is not None
    client = folder.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(context, client).selected_alpn_protocol() == "http/1.1"
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("cipher", ["AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256"])
def test_a_cipher_of_the_systems_that_go_does_not_have_is_refused(
    cipher: str, folder: Folder
) -> None:
    folder.certify("RSA")
    context = Access(folder.write("")).context
    assert context is not None
    client = folder.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        handshake(context, client)


def test_an_authority_in_place_is_the_one_that_is_trusted(folder: Folder) -> None:
    authority = (folder.path / "ca.crt").read_text().replace("\n", "\n    ")
    lines = f"  client_auth_type: {REQUIRED}\n  client_ca: |\n    {authority}\n"
    context = Access(folder.write(lines)).context
    assert context is not None
    handshake(context, folder.client("prometheus"))
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(context, folder.client())


@pytest.mark.parametrize("kind", [IF_GIVEN, REQUIRED])
def test_without_an_authority_the_systems_are_trusted(
    kind: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder.write(f"  client_auth_type: {kind}\n")
    context = Access(config).context
    assert context is not None
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(context, folder.client("prometheus"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder.path / "ca.crt"))
    context = Access(config).context
    assert context is not None
    handshake(context, folder.client("prometheus"))


@pytest.mark.parametrize(
    ("kind", "authority", "warns"),
    [(REQUIRED, False, True), (REQUIRED, True, False), (IF_GIVEN, False, False)],
)
def test_a_certificate_that_the_systems_authorities_may_sign_is_warned_of(
    kind: str, authority: bool, warns: bool, folder: Folder
) -> None:
    lines = "  client_ca_file: ca.crt\n" if authority else ""
    found = read(folder.write(f"{lines}  client_auth_type: {kind}\n"))
    assert [each.partition(",")[0] for each in found.warnings] == (
        ["tls_server_config.client_ca_file is not set"] if warns else []
    )


@pytest.mark.parametrize(
    ("names", "shown", "is_for"),
    [
        ([], [], True),
        (["prometheus"], [("DNS", "prometheus")], True),
        (["other", "prometheus"], [("DNS", "a"), ("DNS", "prometheus")], True),
        (["prometheus"], [("DNS", "prometheus.example.com")], False),
        (["*.example.com"], [("DNS", "a.example.com")], False),
        (["me@example.com"], [("email", "me@example.com")], True),
        (["spiffe://a/b"], [("URI", "spiffe://a/b")], True),
        (["10.0.0.1"], [("IP Address", "10.0.0.1")], True),
        (["2001:DB8::1"], [("IP Address", "2001:DB8:0:0:0:0:0:1")], True),
        (["2001:db8::1"], [("IP Address", "2001:DB8:0:0:0:0:0:2")], False),
        (["prometheus"], [], False),
    ],
)
def test_only_clients_of_the_listed_names_are_let_in(
    names: list[str], shown: list[tuple[str, str]], is_for: bool, folder: Folder
) -> None:
    lines = f"  client_allowed_sans: {names}\n" if names else ""
    context = Access(
        folder.write(f"  client_auth_type: {REQUIRED}\n  client_ca_file: ca.crt\n{lines}")
    ).context
    assert context is not None
    assert context.is_for({"subjectAltName": tuple(shown)} if shown else {}) is is_for
    assert context.is_for(None) is (not names)


def test_a_key_in_place_is_not_shown_and_leaves_nothing_open(folder: Folder) -> None:
    text, _ = SHAPES["certificate and key in place"]
    config = folder.text(text)
    before = len(list(Path("/dev/fd").iterdir()))
    assert Access(config).context is not None
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert "PRIVATE KEY" not in repr(read(config))


def test_a_text_in_place_that_is_too_long_is_reported(folder: Folder) -> None:
    text, _ = SHAPES["certificate and key in place"]
    config = folder.text(text.replace("    KEY\n", "    KEY\n" + "    \n    x" * 20_000 + "\n"))
    (message,) = refusals(config)
    assert re.search(r": a text in place may have \d+ bytes at most$", message)


def test_a_key_in_place_that_is_not_the_certificates_is_reported_without_it(folder: Folder) -> None:
    other = trustme.CA().issue_cert("other").private_key_pem.bytes().decode()
    config = folder.write()
    config.write_text(
        "tls_server_config:\n  cert_file: web.crt\n  key: |\n    " + other.replace("\n", "\n    ")
    )
    (message,) = refusals(config)
    assert f"{folder.path}/web.crt and key are not a certificate and its key: " in message
    assert other.splitlines()[1] not in message


# --- files that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize("key", ["cert_file", "key_file", "client_ca_file"])
def test_a_missing_file_is_reported_with_its_key(key: str, folder: Folder) -> None:
    config = folder.clients(REQUIRED)
    names = {"cert_file": "web.crt", "key_file": "web.key", "client_ca_file": "ca.crt"}
    gone = folder.path / names[key]
    gone.unlink()
    assert refusals(config) == [
        f"{config}: tls_server_config.{key}: {gone}: No such file or directory"
    ]


def test_a_folder_in_place_of_a_certificate_is_reported(folder: Folder) -> None:
    (folder.path / "web.crt").unlink()
    (folder.path / "web.crt").mkdir()
    config = folder.write()
    (message,) = refusals(config)
    assert message.endswith(f"tls_server_config.cert_file: {folder.path}/web.crt: Is a directory")


def test_a_file_name_that_no_file_can_have_is_reported(folder: Folder) -> None:
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
def test_a_certificate_and_a_key_that_do_not_belong_together_are_reported(
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
    monkeypatch.setattr("exporter.web.tls._readable", lambda key, path: None)
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
def test_an_authority_without_a_certificate_is_reported(content: str, folder: Folder) -> None:
    (folder.path / "ca.crt").write_text(content)
    config = folder.clients(REQUIRED)
    (message,) = refusals(config)
    start = f"{config}: tls_server_config.client_ca_file: {folder.path}/ca.crt holds no certificate"
    assert message.startswith(start)
