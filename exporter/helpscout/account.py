"""An account of Help Scout: where it is, how one gets in, and how much of its limit is ours."""

from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from exporter.helpscout.errors import BadCredentials

Api = Literal["v1", "v2"]


def flaw(secret: str) -> str | None:
    """Return why a text cannot be sent as a secret in an HTTP header, without the text, or None."""
    if not secret.strip():
        return "is empty"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in secret):
        return "holds a control character, perhaps a line break"
    if any(ord(c) > 255 for c in secret):
        return "holds a character that an HTTP header cannot carry"
    return None


def proxy_flaw(url: str) -> str | None:
    """Return why a text is not the URL of a proxy that can be used, without the text, or None."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL like http://proxy.example.com:3128"
    if parts.scheme.startswith("socks"):
        return "is a SOCKS proxy, which is not supported: use an HTTP proxy, http://HOST:PORT"
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        return "is not a URL like http://proxy.example.com:3128"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return "must end after the port; in a password write / ? # @ as %2F %3F %23 %40"
    return None


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret given as text or as a file that is read when needed, so rotation needs no restart.

    Neither repr nor str shows the text.
    """

    text: str | None = field(default=None, repr=False)
    file: Path | None = None

    def read(self) -> str:
        """Return the secret, white space around it in a file cut off.

        Raises BadCredentials when the file cannot be read or holds nothing that can be sent; the
        message names the file and never quotes it.
        """
        if self.file is None:
            return self.text or ""
        try:
            text = self.file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise BadCredentials(f"secret file {self.file}: {why}") from None
        if why_not := flaw(text):
            raise BadCredentials(f"secret file {self.file} {why_not}")
        return text


@dataclass(frozen=True, slots=True)
class Account:
    """One account as configured; `name` is the label `account`.

    `requests_per_minute` is assumed until the service says otherwise; `budget` is the share of
    the limit, in (0, 1], that the exporter may use; `timeout` bounds a whole call. Without
    `ca_file` and `proxy_url` the environment says whom to trust and which way to take.
    """

    name: str
    api: Api
    base_url: str
    client_id: str | None
    client_secret: Secret | None
    api_key: Secret | None
    requests_per_minute: float
    budget: float
    concurrency: int
    timeout: timedelta
    ca_file: Path | None = None
    proxy_url: Secret | None = None

    @property
    def identity(self) -> str:
        """What tells this login from another one under the same name; holds no secret."""
        return f"{self.name} {self.api} {self.base_url} {self.client_id or ''}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: plain HTTP and no proxy are right for it alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
