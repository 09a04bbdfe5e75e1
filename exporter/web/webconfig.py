"""Reads `web.config_file`, in the exporter-toolkit's form: TLS, basic auth and headers.

The contract is docs/security.md. What is not implemented is refused by name, so that nobody relies
on a protection that is not there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from exporter.probe import REQUIRED
from exporter.settings import ConfigurationError
from exporter.web.tls import (
    CIPHERS,
    CIPHERS_OF_1_3,
    CLIENT_AUTH,
    CURVES,
    IF_GIVEN,
    NO_CLIENT,
    VERSIONS,
    Encryption,
    Pem,
    Tls,
)
from exporter.yaml_file import read_file

_PEMS: Final = ("cert", "key", "client_ca")
_TLS_KEYS: Final = (
    *(f"{key}_file" for key in _PEMS),
    *_PEMS,
    "min_version",
    "max_version",
    "client_auth_type",
    "client_allowed_sans",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)
_HTTP_KEYS: Final = ("headers", "http2")
_TOP_KEYS: Final = ("tls_server_config", "basic_auth_users", "http_server_config")
_NOT_HERE: Final = {"rate_limit": "a scrape costs nothing, and connections are bounded"}
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that can be set, each with the values that it can have; none: any."""
# The salt's last character has two bits: bcrypt itself refuses any other.
_HASH: Final = re.compile(
    r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The file: TLS if any, each user's bcrypt hash, and headers for every answer."""

    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def warnings(self) -> Iterator[str]:
        """What is in force and may not be what was meant."""
        if self.tls and self.tls.client_auth_type == REQUIRED and self.tls.client_ca is None:
            yield (
                "tls_server_config.client_ca_file is not set, so clients need a certificate of an"
                " authority that this system trusts: name an authority of your own"
            )


def read(path: Path) -> WebConfig:
    """Return what the file says, relative paths starting at its folder.

    Raises ConfigurationError with every problem; no message holds a hash or a key.
    """
    try:
        content = read_file(path)
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"]) from None
    problems = [*_unknown("", content, _TOP_KEYS)]
    for key, wrong in (
        ("tls_server_config", _wrong_in_tls),
        ("basic_auth_users", _wrong_users),
        ("http_server_config", _wrong_in_http),
    ):
        section = content.get(key)
        if isinstance(section, dict):
            problems += wrong(section)
        elif section is not None:
            what = " of names to bcrypt hashes" if wrong is _wrong_users else ""
            problems.append(f"{key}: takes a mapping{what}")
    if problems:
        raise ConfigurationError([f"{path}: {problem}" for problem in problems])
    tls, http = content.get("tls_server_config"), content.get("http_server_config")
    headers = (http or {}).get("headers") or {}
    return WebConfig(
        None if tls is None else _tls(tls),
        MappingProxyType(dict(content.get("basic_auth_users") or {})),
        MappingProxyType(
            {n: str(value) for n, value in headers.items() if value not in (None, "")}
        ),
    )


def context(path: Path, config: WebConfig) -> Encryption | None:
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
    yield from _unknown(f"{place}.", given, _TLS_KEYS)
    for flaw in (*_wrong_pems(given), *_wrong_versions(given), *_wrong_clients(given)):
        yield f"{place}.{flaw}"
    if not isinstance(given.get("prefer_server_cipher_suites", True), bool):
        yield f"{place}.prefer_server_cipher_suites: is true or false"
    curves = given.get("curve_preferences")
    if curves is not None and (not isinstance(curves, list) or len(curves) != 1):
        yield (
            f"{place}.curve_preferences: takes a list of one: several curves are not supported here"
        )
    elif curves and curves[0] not in list(CURVES):
        yield f"{place}.curve_preferences[0]: is one of {', '.join(CURVES)}"


def _wrong_pems(given: Mapping[str, Any]) -> Iterator[str]:
    for key in _PEMS:
        file, text = given.get(f"{key}_file"), given.get(key)
        if file is not None and text is not None:
            yield f"{key}: {key}_file is set too: keep one of them"
        elif file is not None and (not isinstance(file, str) or not file):
            yield f"{key}_file: takes the name of a file"
        elif text is not None and not _is_pem(text):
            yield f"{key}: takes a PEM text, from -----BEGIN on, as a block (|)"
        elif file is None and text is None and key != "client_ca":
            yield f"{key}_file: is missing"


def _is_pem(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and "-----BEGIN " in text


def _wrong_versions(given: Mapping[str, Any]) -> Iterator[str]:
    for key, default in (("min_version", "TLS12"), ("max_version", "TLS13")):
        if given.get(key, default) not in list(VERSIONS):
            yield f"{key}: is one of TLS12, TLS13; older ones are insecure"
    if given.get("min_version") == "TLS13" and given.get("max_version") == "TLS12":
        yield "max_version: is below min_version"
    ciphers = given.get("cipher_suites")
    if ciphers is None:
        return
    if not isinstance(ciphers, list) or not ciphers:
        yield "cipher_suites: takes a list of names"
        return
    for index, name in enumerate(ciphers):
        if name not in (*CIPHERS, *CIPHERS_OF_1_3):
            known = ", ".join(CIPHERS)
            yield f"cipher_suites[{index}]: is not supported here: it is one of {known}"
    if given.get("min_version") != "TLS13" and all(name in CIPHERS_OF_1_3 for name in ciphers):
        yield "cipher_suites: has none for TLS 1.2: add one, or set min_version: TLS13"


def _wrong_clients(given: Mapping[str, Any]) -> Iterator[str]:
    kind = given.get("client_auth_type", NO_CLIENT)
    authority = next((key for key in ("client_ca_file", "client_ca") if given.get(key)), None)
    if kind in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"):
        yield (
            f"client_auth_type: {kind} accepts any certificate unchecked, which is not"
            f" supported here: use {IF_GIVEN} or {REQUIRED}"
        )
    elif kind not in list(CLIENT_AUTH):
        yield f"client_auth_type: is one of {', '.join(CLIENT_AUTH)}"
    elif kind == NO_CLIENT and authority:
        yield f"{authority}: has no effect without client_auth_type: {REQUIRED}"
    names = given.get("client_allowed_sans")
    if names is None:
        return
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        yield "client_allowed_sans: takes a list of names"
    elif kind != REQUIRED:
        yield f"client_allowed_sans: has no effect without client_auth_type: {REQUIRED}"


def _tls(given: Mapping[str, Any]) -> Tls:
    def pem(key: str) -> Pem | None:
        file = given.get(f"{key}_file")
        text: str | None = given.get(key)
        return text if file is None else Path(file)

    cert, key = pem("cert"), pem("key")
    assert cert is not None
    assert key is not None
    return Tls(
        cert=cert,
        key=key,
        client_ca=pem("client_ca"),
        client_auth_type=given.get("client_auth_type", NO_CLIENT),
        min_version=given.get("min_version", "TLS12"),
        max_version=given.get("max_version", "TLS13"),
        cipher_suites=tuple(given.get("cipher_suites") or ()),
        prefer_server_cipher_suites=given.get("prefer_server_cipher_suites", True),
        curve=(given.get("curve_preferences") or [None])[0],
        client_allowed_sans=frozenset(given.get("client_allowed_sans") or ()),
    )


def _wrong_in_http(given: Mapping[str, Any]) -> Iterator[str]:
    place = "http_server_config"
    yield from _unknown(f"{place}.", given, _HTTP_KEYS)
    if given.get("http2") not in (None, False):
        yield f"{place}.http2: only false is supported here: HTTP/1.1 is what is served"
    headers = given.get("headers")
    if headers is not None and not isinstance(headers, dict):
        yield f"{place}.headers: takes a mapping of names to values"
        return
    for name, value in (headers or {}).items():
        where = f"{place}.headers.{_shown(name)}"
        if name not in _HEADERS:
            yield f"{where}: is not supported here: it is one of {', '.join(_HEADERS)}"
        elif isinstance(value, bool) or not isinstance(value, str | int | None):
            yield f"{where}: takes a text"
        elif not str(value).isascii() or not str(value).isprintable():
            yield f"{where}: holds a character that a header cannot carry, perhaps a line break"
        elif value and _HEADERS[name] and value not in _HEADERS[name]:
            yield f"{where}: takes {' or '.join(_HEADERS[name])}"


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
