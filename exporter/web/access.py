"""TLS, basic auth and headers, as configured in `web.config_file`.

The file and the certificates that it names are checked for changes at every connection and request,
so a renewed one takes effect without a restart. One that cannot be used changes nothing: the last
good one stays in force, and the log says so once. Whether there is TLS, whether clients need a
certificate, and whether there are users is decided at the start: a half written file, which says
none of it, must not let everybody in.
"""

import base64
import binascii
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.probe import REQUIRED
from exporter.settings import ConfigurationError
from exporter.web.tls import Encryption, Tls
from exporter.web.webconfig import WebConfig, context, read

OPEN_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
"""Paths for probes, which have no password. The answers say nothing but a word."""

Stamp = tuple[int, int, int]
Seen = dict[Path, Stamp | None]
"""Files, each with what changes when the file does; None: there was no such file."""

_BCRYPT_BYTES: Final = 72
_REMEMBERED: Final = 128
_WAITING: Final = 16


class Access:
    """The file in force. Without a file, plain HTTP for everybody."""

    def __init__(self, path: Path | None) -> None:
        """Raises ConfigurationError for a file, certificate or key that cannot be used."""
        self._path = path
        self._lock = threading.Lock()
        self._log: Any = structlog.get_logger()
        self._passwords = Passwords()
        self._logged: str | None = None
        self._seen: Seen = {}
        self._config, self._context = _read(path, self._seen) if path else (WebConfig(), None)
        self._warn()

    @property
    def tls(self) -> Tls | None:
        """The file's TLS part, None without TLS."""
        return self._current()[0].tls

    @property
    def context(self) -> Encryption | None:
        """What the next connection is encrypted with, None without TLS."""
        return self._current()[1]

    @property
    def users(self) -> Mapping[str, str]:
        """Each user's hash; without any, no password is needed."""
        return self._current()[0].users

    @property
    def headers(self) -> Mapping[str, str]:
        """What every answer has, by the header's name."""
        return self._current()[0].headers

    async def allows(self, authorization: str) -> bool | None:
        """Return whether an Authorization header is a user's, None if too many checks wait."""
        users = self.users
        if not users:
            return True
        found = _basic(authorization)
        return found is not None and await self._passwords.match(*found, users)

    def _current(self) -> tuple[WebConfig, Encryption | None]:
        if self._path is not None and _changed(self._seen):
            with self._lock:
                if _changed(self._seen):
                    self._renew(self._path)
        return self._config, self._context

    def _renew(self, path: Path) -> None:
        problems: tuple[str, ...]
        seen: Seen = {}
        try:
            config, context = _read(path, seen)
            problems = tuple(_switched(self._config, config))
        except ConfigurationError as error:
            problems = error.messages
        self._seen = seen
        if problems:
            words = "; ".join(problems)
            if words != self._logged:
                self._logged = words
                self._log.error("web.config_file cannot be used, the last one stays", problem=words)
            return
        self._config, self._context, self._logged = config, context, None
        self._log.info("web.config_file or a certificate is new")
        self._warn()

    def _warn(self) -> None:
        for warning in self._config.warnings:
            self._log.warning(warning)


def _read(path: Path, seen: Seen) -> tuple[WebConfig, Encryption | None]:
    """Return what the file says; note each file in `seen` before it is read."""
    seen[path] = _stamp(path)
    config = read(path)
    for file in config.tls.files if config.tls else ():
        seen[file] = _stamp(file)
    return config, context(path, config)


def _switched(old: WebConfig, new: WebConfig) -> Iterator[str]:
    if bool(old.tls) != bool(new.tls):
        yield "switching TLS on or off takes a restart"
    elif _required(old) != _required(new):
        yield "switching between clients that need a certificate and others takes a restart"
    if bool(old.users) != bool(new.users):
        yield "switching basic auth on or off takes a restart"


def _required(config: WebConfig) -> tuple[bool, bool]:
    """Return whether clients need a certificate, and whether it needs a certain name."""
    tls = config.tls
    return bool(tls and tls.client_auth_type == REQUIRED), bool(tls and tls.client_allowed_sans)


def _changed(seen: Seen) -> bool:
    return any(_stamp(path) != stamp for path, stamp in seen.items())


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: no file has such a name
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


# --- passwords --------------------------------------------------------------------------------


def _basic(header: str) -> tuple[str, bytes] | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True)
        name, colon, password = text.partition(b":")
        return (name.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


class Passwords:
    """Compares passwords with bcrypt hashes, each pair once: bcrypt is slow on purpose.

    One at a time, so that guessing takes one core at most, and never all threads of the web. An
    unknown name takes as long as a known one. Keyed digests are remembered, right and wrong ones
    apart, so that guesses do not push out the scraper's own.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[bool, OrderedDict[bytes, None]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._one = threading.Lock()
        self._waiting = 0

    async def match(self, name: str, password: bytes, users: Mapping[str, str]) -> bool | None:
        """Return whether the password is the user's, None if too many checks wait.

        Runs in one event loop.
        """
        expected = users.get(name)
        stored = expected or _like(users)
        # Every hash has 60 characters, so the texts are apart.
        pair = f"{stored}{name}".encode() + b"\0" + password
        digest = hashlib.blake2b(pair, key=self._key, digest_size=32).digest()
        right = next((each for each, known in self._known.items() if digest in known), None)
        if right is None:
            if self._waiting >= _WAITING:
                return None
            self._waiting += 1
            try:
                right = await run_in_threadpool(self._check, password, stored)
            finally:
                self._waiting -= 1
        known = self._known[right]
        known[digest] = None
        known.move_to_end(digest)
        if len(known) > _REMEMBERED:
            known.popitem(last=False)
        return right and expected is not None

    def _check(self, password: bytes, stored: str) -> bool:
        import bcrypt  # needed only where there are users

        with self._one:
            # As every bcrypt does: bytes after the 72nd do not count.
            return bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode())


def _like(users: Mapping[str, str]) -> str:
    """Return a hash that costs what the users' hashes cost, and that no password has."""
    cost = next(iter(users.values()))[4:6]
    return f"$2b${cost}${'.' * 53}"


class BasicAuth:
    """An application behind a user and a password, except the paths for probes."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in OPEN_PATHS:
            header = next((v for n, v in scope["headers"] if n == b"authorization"), b"")
            answer = await self._access.allows(header.decode("latin-1"))
            if answer is None:
                response = PlainTextResponse(
                    "too many wrong passwords at once: try again later\n", 503, {"Retry-After": "5"}
                )
                return await response(scope, receive, send)
            if not answer:
                response = PlainTextResponse(
                    "a user and a password are needed\n",
                    401,
                    {"WWW-Authenticate": 'Basic realm="Help Scout exporter", charset="UTF-8"'},
                )
                return await response(scope, receive, send)
        return await self._app(scope, receive, send)


class WithHeaders:
    """An application whose answers have the headers of the file.

    Where an answer has one of its own, the file's replaces it. A Content-Security-Policy is sent
    beside it: browsers obey both, so neither can weaken the other.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = self._access.headers
        if not given:
            return await self._app(scope, receive, send)
        added = [(name.lower().encode(), value.encode()) for name, value in given.items()]
        replaced = {name for name, _ in added} - {b"content-security-policy"}

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [each for each in message["headers"] if each[0].lower() not in replaced]
                message = {**message, "headers": [*kept, *added]}
            await send(message)

        return await self._app(scope, receive, send_more)


class ProbesOnly:
    """The paths of an application that are for probes, for a socket without any protection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["path"] in OPEN_PATHS else PlainTextResponse("not found\n", 404)
        await app(scope, receive, send)
