"""An account of Help Scout: where it is, how one gets in, and how much of its limit is ours."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, PlainValidator

from exporter.helpscout.errors import BadCredentials
from exporter.office import OfficeSchedule
from exporter.values import (
    COMMAS,
    IN_QUOTES,
    Boolean,
    Duration,
    File,
    Id,
    Listed,
    Name,
    Number,
    Once,
    Problem,
    Problems,
    Some,
    Whole,
    http_url,
    is_quoted,
    one_of,
)

Api = Literal["v1", "v2"]
Confidential = Literal["client_secret", "api_key", "proxy_url"]
"""The keys whose values are secrets; each has a twin, `*_file`."""

CREDENTIALS: Final = (
    "client_id",
    "client_id_file",
    "client_secret",
    "client_secret_file",
    "api_key",
    "api_key_file",
)
TWINS: Final = {key: f"{key}_file" for key in ("client_id", *get_args(Confidential))}
"""What is given as text or as a file that holds it."""


def path_in(api: Api, path: str) -> str:
    """Return a path as that generation writes it."""
    return f"{path}.json" if api == "v1" else path


def flaw(secret: str) -> str | None:
    """Return why a text cannot be sent as a secret in an HTTP header, without the text, or None."""
    if not secret.strip():
        return "is empty"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in secret):
        return "holds a control character, perhaps a line break"
    if any(ord(c) > 255 for c in secret):
        return "holds a character that an HTTP header cannot carry"
    return IN_QUOTES if is_quoted(secret) else None


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


def _secret(flaw: Callable[[str], str | None]) -> PlainValidator:
    def check(value: object) -> Secret:
        # The value is not in a message, nor is its length.
        if not isinstance(value, str):
            raise ValueError("is not text: put it in quotes")
        if why_not := flaw(value.strip()):
            raise ValueError(why_not)
        return Secret(text=str(value).strip())

    return PlainValidator(check)


def _without_password(url: Secret) -> str:
    return re.sub("//.*@", "//<secret>@", url.text or "")


_SecretText = Annotated[Secret, _secret(flaw), PlainSerializer(lambda _: "<secret>")]
_ProxyUrl = Annotated[Secret, _secret(proxy_flaw), PlainSerializer(_without_password)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account as configured; `name` is the label `account`.

    `requests_per_minute` is assumed until the service says otherwise; `budget` is the share of
    the limit, in (0, 1], that the exporter may use; `timeout` bounds a whole call. Without
    `ca_file` and a proxy's URL those of the environment are used. `collectors` names the kinds of
    question that are asked of it, out of those that are on; empty for all of them.
    """

    name: Name = "default"
    api: Annotated[Api, one_of(*get_args(Api))]
    base_url: Annotated[
        str, PlainValidator(lambda value: http_url(value, "that begins with https:// and a host"))
    ]
    allow_http: Boolean = False
    client_id: Id | None = None
    client_id_file: File = None
    client_secret: _SecretText | None = None
    client_secret_file: File = None
    api_key: _SecretText | None = None
    api_key_file: File = None
    requests_per_minute: Annotated[Number, Field(gt=0, description="a number above 0")] = 200
    budget: Annotated[Number, Field(gt=0, le=1, description="a number above 0 and at most 1")] = 0.5
    concurrency: Annotated[Whole, Field(ge=1, le=64, description="a whole number from 1 to 64")] = 4
    timeout: Annotated[
        Duration,
        Field(
            gt=timedelta(),
            le=timedelta(minutes=10),
            description="a duration above 0 and at most 10m",
        ),
    ] = timedelta(seconds=30)
    ca_file: File = None
    proxy_url: _ProxyUrl | None = None
    proxy_url_file: File = None
    collectors: Annotated[tuple[Name, ...], Some, Once, Listed, COMMAS] = ()
    office_schedule: OfficeSchedule | None = None

    def secret(self, key: Confidential) -> Secret | None:
        """Return a secret, whichever way it is given, or None."""
        file: Path | None = getattr(self, f"{key}_file")
        text: Secret | None = getattr(self, key)
        return Secret(file=file) if file else text

    def app_id(self) -> str:
        """Return the App ID, whichever way it is given. Raises as Secret.read does."""
        return Secret(text=self.client_id, file=self.client_id_file).read()

    @property
    def identity(self) -> str:
        """What tells this login from another one under the same name; holds no secret."""
        login = self.client_id or self.client_id_file or ""
        return f"{self.name} {self.api} {self.base_url} {login}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: plain HTTP and no proxy are right for it alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def with_defaults(tree: Any) -> Any:
    """Return what is given of an account, and the API and address that follow from it."""
    if not isinstance(tree, dict):
        return tree
    given = {key for key in CREDENTIALS if tree.get(key) is not None}
    if not given and tree.get("api") is None:
        needed = "client_id and client_secret (v2), or api_key (v1)"
        raise ValueError(f"has no credentials: give it {needed}")
    keyed = given & {"api_key", "api_key_file"} and not given & {"client_id", "client_id_file"}
    api = tree.get("api") or ("v1" if keyed else "v2")
    base_url = tree.get("base_url") or f"https://api.helpscout.net/{api}"
    return tree | {"api": api, "base_url": base_url}


def fits_together(account: Account) -> Account:
    """Return the account. Raises Problems where one of its keys does not go with another."""
    problems = [*_credential_problems(account)]
    for key, twin in TWINS.items():
        if getattr(account, key) is not None and getattr(account, twin) is not None:
            problems.append(((twin,), f"{key} is set too: keep one of them"))
    url = urlsplit(account.base_url)
    if not (account.allow_http or url.scheme == "https" or is_loopback(url.hostname or "")):
        text = "http:// is for loopback only: use https://, or set allow_http"
        problems.append((("base_url",), text))
    if problems:
        raise Problems(*problems)
    return account


def _credential_problems(account: Account) -> Iterator[Problem]:
    given = [key for key in CREDENTIALS if getattr(account, key) is not None]
    needed = ("api_key",) if account.api == "v1" else ("client_id", "client_secret")
    other = [key for key in given if not key.startswith(needed)]
    if other:
        mend = "remove it, or give it an account of its own"
        takes = " and ".join(needed)
        yield (other[0],), f"is not for {account.api}, which takes {takes}: {mend}"
        return
    for key in needed:
        twin = f"{key}_file"
        if key not in given and twin not in given:
            also = f", or {twin}" if twin in CREDENTIALS else ""
            yield (key,), f"is missing: {account.api} needs it{also}"
