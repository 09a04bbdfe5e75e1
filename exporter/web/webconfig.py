"""Reads `web.config_file`, in the exporter-toolkit's form: TLS and basic auth.

The contract is docs/security.md. What is not implemented is refused by name, so that nobody relies
on a protection that is not there.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from exporter.probe import REQUIRED
from exporter.settings import ConfigurationError
from exporter.yaml_file import read_file

NO_CLIENT: Final = "NoClientCert"
IF_GIVEN: Final = "VerifyClientCertIfGiven"
_CLIENT_AUTH: Final = {
    NO_CLIENT: ssl.CERT_NONE,
    IF_GIVEN: ssl.CERT_OPTIONAL,
    REQUIRED: ssl.CERT_REQUIRED,
}
_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_PATHS: Final = ("cert_file", "key_file", "client_ca_file")
_TLS_KEYS: Final = (*_PATHS, "min_version", "max_version", "client_auth_type")
_TOP_KEYS: Final = ("tls_server_config", "basic_auth_users")
_NOT_HERE: Final = {
    "cert": "put it in a file and name that file in cert_file",
    "key": "put it in a file and name that file in key_file",
    "client_ca": "put it in a file and name that file in client_ca_file",
    "client_allowed_sans": "let the authority sign only clients that may connect",
    "cipher_suites": "OpenSSL chooses the ciphers; min_version: TLS13 has strong ones only",
    "curve_preferences": "OpenSSL chooses the curves",
    "prefer_server_cipher_suites": "OpenSSL chooses the order",
    "http_server_config": "only HTTP/1.1 is served, and the headers are fixed",
    "rate_limit": "a scrape costs nothing, and connections are bounded",
}
# The salt's last character has two bits: bcrypt itself refuses any other.
_HASH: Final = re.compile(
    r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Tls:
    """`tls_server_config`: certificate and key, the versions, and what clients must show."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None
    client_auth_type: str
    min_version: str
    max_version: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        more = (self.client_ca_file,) if self.client_ca_file else ()
        return (self.cert_file, self.key_file, *more)

    def context(self) -> ssl.SSLContext:
        """Return it ready for use. Raises ValueError with one line that names key and file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self.min_version]
        context.maximum_version = _VERSIONS[self.max_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        for key in _PATHS:
            path = getattr(self, key)
            if path is not None:
                _readable(key, path)
        try:
            # Without this, OpenSSL asks for a passphrase on the terminal and waits for ever.
            context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"tls_server_config: {self.cert_file} and {self.key_file} are not a certificate"
                f" and its key: {_reason(error)}"
            ) from None
        if self.client_ca_file is not None:
            try:
                context.load_verify_locations(self.client_ca_file)
            except OSError as error:
                raise ValueError(
                    f"tls_server_config.client_ca_file: {self.client_ca_file} holds no"
                    f" certificate: {_reason(error)}"
                ) from None
        context.verify_mode = _CLIENT_AUTH[self.client_auth_type]
        return context


def _no_passphrase() -> bytes:
    raise ValueError("the key has a passphrase, which is not supported")


def _reason(error: OSError | ValueError) -> str:
    reason = getattr(error, "reason", None)
    if reason:
        return str(reason).replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error).partition(" (_ssl")[0]


def _readable(key: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"tls_server_config.{key}: {path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The file: TLS if any, and each user's bcrypt hash."""

    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def read(path: Path) -> WebConfig:
    """Return what the file says, relative paths starting at its folder.

    Raises ConfigurationError with every problem; no message holds a hash.
    """
    try:
        content = read_file(path)
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"]) from None
    problems = [*_unknown("", content, _TOP_KEYS)]
    tls, users = content.get("tls_server_config"), content.get("basic_auth_users")
    found = None
    if isinstance(tls, dict):
        wrong = [*_unknown("tls_server_config.", tls, _TLS_KEYS), *_wrong_in_tls(tls)]
        problems += wrong
        found = None if wrong else _tls(tls)
    elif tls is not None:
        problems.append("tls_server_config: takes a mapping")
    if isinstance(users, dict):
        problems += _wrong_users(users)
    elif users is not None:
        problems.append("basic_auth_users: takes a mapping of names to bcrypt hashes")
    if problems:
        raise ConfigurationError([f"{path}: {problem}" for problem in problems])
    return WebConfig(found, MappingProxyType(dict(users or {})))


def context(path: Path, config: WebConfig) -> ssl.SSLContext | None:
    """Return what the file's connections are encrypted with. Raises ConfigurationError."""
    try:
        return config.tls.context() if config.tls else None
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"]) from None


def _unknown(place: str, content: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    for key in content:
        if key in _NOT_HERE:
            yield f"{place}{key}: is not supported here: {_NOT_HERE[key]}"
        elif key not in known:
            yield f"{place}{_shown(key)}: unknown key: it is one of {', '.join(known)}"


def _wrong_in_tls(given: Mapping[str, Any]) -> Iterator[str]:
    place = "tls_server_config"
    for key in _PATHS:
        value = given.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            yield f"{place}.{key}: takes the name of a file"
        elif value is None and key != "client_ca_file":
            yield f"{place}.{key}: is missing"
    for key, default in (("min_version", "TLS12"), ("max_version", "TLS13")):
        if given.get(key, default) not in list(_VERSIONS):
            yield f"{place}.{key}: is one of TLS12, TLS13; older ones are insecure"
    if given.get("min_version") == "TLS13" and given.get("max_version") == "TLS12":
        yield f"{place}.max_version: is below min_version"
    kind = given.get("client_auth_type", NO_CLIENT)
    if kind in ("RequestClientCert", "RequireAnyClientCert"):
        yield (
            f"{place}.client_auth_type: {kind} accepts any certificate unchecked, which is not"
            f" supported here: use {IF_GIVEN} or {REQUIRED}"
        )
    elif kind not in list(_CLIENT_AUTH):
        yield f"{place}.client_auth_type: is one of {', '.join(_CLIENT_AUTH)}"
    elif kind == NO_CLIENT and given.get("client_ca_file"):
        yield f"{place}.client_ca_file: has no effect without client_auth_type: {REQUIRED}"
    elif kind != NO_CLIENT and not given.get("client_ca_file"):
        yield f"{place}.client_ca_file: is missing, and {kind} needs it"


def _tls(given: Mapping[str, Any]) -> Tls:
    authority = given.get("client_ca_file")
    return Tls(
        cert_file=Path(given["cert_file"]),
        key_file=Path(given["key_file"]),
        client_ca_file=Path(authority) if authority else None,
        client_auth_type=given.get("client_auth_type", NO_CLIENT),
        min_version=given.get("min_version", "TLS12"),
        max_version=given.get("max_version", "TLS13"),
    )


def _wrong_users(users: Mapping[str, Any]) -> Iterator[str]:
    for name, value in users.items():
        shown = _shown(name)
        if not name or ":" in name:
            yield f'basic_auth_users: "{shown}" is not a user name: it is empty or has a colon'
        elif not isinstance(value, str) or not _HASH.fullmatch(value):
            yield f"basic_auth_users.{shown}: is not a bcrypt hash (htpasswd -nBC 10 {shown})"


def _shown(name: str) -> str:
    """Return a key as messages show it: on one line, without a hash that was put there."""
    return re.sub(r"\$2.*", "…", "".join(c if c.isprintable() else "?" for c in name))
