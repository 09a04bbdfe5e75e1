"""`tls_server_config` as OpenSSL's context: what the next connection is encrypted with.

Names are the exporter-toolkit's, which are those of Go. What Python's ssl cannot do is not here.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self

from exporter.probe import REQUIRED

NO_CLIENT: Final = "NoClientCert"
IF_GIVEN: Final = "VerifyClientCertIfGiven"
CLIENT_AUTH: Final = {
    NO_CLIENT: ssl.CERT_NONE,
    IF_GIVEN: ssl.CERT_OPTIONAL,
    REQUIRED: ssl.CERT_REQUIRED,
}
VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CURVES: Final = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
CIPHERS: Final = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
"""Those of TLS 1.2."""
CIPHERS_OF_1_3: Final = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
"""All of them are always on, as in Go."""

Pem = Path | str
"""A file, or the text itself."""


class Encryption(ssl.SSLContext):
    """A context that also knows which clients it is for."""

    allowed_sans: frozenset[str] = frozenset()

    def __new__(cls) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def is_for(self, certificate: Mapping[str, Any] | None) -> bool:
        """Return whether a verified client certificate has one of the names, if any are listed."""
        if not self.allowed_sans:
            return True
        names = (certificate or {}).get("subjectAltName", ())
        return not self.allowed_sans.isdisjoint(_canonical(name) for _, name in names)


def _canonical(name: str) -> str:
    """Return an IP address in its shortest form, anything else as it is."""
    with suppress(ValueError):
        return str(ip_address(name))
    return name


@dataclass(frozen=True, slots=True)
class Tls:
    """`tls_server_config`. Without a `client_ca` the system's authorities are trusted."""

    cert: Pem
    key: Pem = field(repr=False)
    client_ca: Pem | None = None
    client_auth_type: str = NO_CLIENT
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve: str | None = None
    client_allowed_sans: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        return tuple(e for e in (self.cert, self.key, self.client_ca) if isinstance(e, Path))

    def context(self) -> Encryption:
        """Return it ready for use. Raises ValueError with one line that names key and file."""
        context = Encryption()
        context.minimum_version = VERSIONS[self.min_version]
        context.maximum_version = VERSIONS[self.max_version]
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        if not self.prefer_server_cipher_suites:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        listed = [name for name in self.cipher_suites if name in CIPHERS]
        # Not the defaults of this Python: Debian's has some without forward secrecy.
        context.set_ciphers(":".join(CIPHERS[name] for name in listed or CIPHERS))
        if self.curve:
            self._restrict_curve(context, self.curve)
        for key, pem in (("cert", self.cert), ("key", self.key), ("client_ca", self.client_ca)):
            if isinstance(pem, Path):
                _readable(f"{key}_file", pem)
        self._identify(context)
        context.verify_mode = CLIENT_AUTH[self.client_auth_type]
        if context.verify_mode is not ssl.CERT_NONE:
            self._trust(context)
        context.allowed_sans = frozenset(map(_canonical, self.client_allowed_sans))
        return context

    def _restrict_curve(self, context: ssl.SSLContext, curve: str) -> None:
        try:
            context.set_ecdh_curve(CURVES[curve])
        except (OSError, ValueError) as error:  # such as X25519 on Debian 12's Python 3.11.2
            raise ValueError(
                f"tls_server_config.curve_preferences[0]: the ssl of this Python cannot use {curve}"
                f" ({_reason(error)}): choose another curve, or leave the key out"
            ) from None

    def _identify(self, context: ssl.SSLContext) -> None:
        try:
            with _as_file(self.cert) as cert, _as_file(self.key) as key:
                # Without this, OpenSSL asks for a passphrase on the terminal and waits for ever.
                context.load_cert_chain(cert, key, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"tls_server_config: {_called('cert', self.cert)} and {_called('key', self.key)}"
                f" are not a certificate and its key: {_reason(error)}"
            ) from None

    def _trust(self, context: ssl.SSLContext) -> None:
        try:
            if self.client_ca is None:
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
            elif isinstance(self.client_ca, Path):
                context.load_verify_locations(self.client_ca)
            else:
                context.load_verify_locations(cadata=self.client_ca)
        except OSError as error:
            where = "tls_server_config.client_ca"
            if isinstance(self.client_ca, Path):
                where += f"_file: {self.client_ca}"
            raise ValueError(f"{where} holds no certificate: {_reason(error)}") from None


def _called(key: str, pem: Pem) -> str:
    return key if isinstance(pem, str) else str(pem)


@contextmanager
def _as_file(pem: Pem) -> Iterator[Path]:
    """Give OpenSSL, which takes files alone, a text through a pipe: no disk ever has the key."""
    if isinstance(pem, Path):
        yield pem
        return
    text = pem.encode()
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)  # more than a pipe holds would wait for ever
        try:
            written = os.write(writing, text)
        finally:
            os.close(writing)
        if written < len(text):
            raise ValueError(f"a text in place may have {written} bytes at most")
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


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
