"""Who gets in, over which encryption: what `web.config_file` says is held to here.

The file and the certificates that it names are looked at anew for every connection and request, so
that a renewed one counts without a restart. What cannot be used changes nothing: the last good one
stays, and the log says so once. Whether there is TLS and whether there are users is settled at the
start: a file that is half written, and so says neither, must not open the door.
"""

import base64
import binascii
import hashlib
import secrets
import ssl
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.settings import ConfigurationError
from exporter.web.webconfig import Tls, WebConfig, context, read

OPEN_PATHS: Final = frozenset({"/-/healthy", "/-/ready"})
"""What probes ask, who have no password. Nothing there but one word."""

Stamp = tuple[int, int, int]
Seen = dict[Path, Stamp | None]
"""Files, and by what it is noticed that one has changed; None: it was not there."""

_BCRYPT_BYTES: Final = 72
_REMEMBERED: Final = 128
_WAITING: Final = 16


class Doors:
    """The file in force. Without a file everything is open and in the clear."""

    def __init__(self, path: Path | None) -> None:
        """Raises ConfigurationError for a file, certificate or key that cannot be used."""
        self._path = path
        self._lock = threading.Lock()
        self._log: Any = structlog.get_logger()
        self._passwords = Passwords()
        self._told: str | None = None
        self._seen: Seen = {}
        self._config, self._context = _opened(path, self._seen) if path else (WebConfig(), None)

    @property
    def tls(self) -> Tls | None:
        """How connections are encrypted, None if they are not."""
        return self._current()[0].tls

    @property
    def context(self) -> ssl.SSLContext | None:
        """What the next connection is encrypted with, None if it is not."""
        return self._current()[1]

    @property
    def users(self) -> Mapping[str, str]:
        """Each user's hash; none: everybody may come in."""
        return self._current()[0].users

    async def lets_in(self, authorization: str) -> bool | None:
        """Tell whether an Authorization header is a user's, None if too many wait for that."""
        users = self.users
        if not users:
            return True
        found = _basic(authorization)
        return found is not None and await self._passwords.right(*found, users)

    def _current(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        if self._path is not None and _changed(self._seen):
            with self._lock:
                if _changed(self._seen):
                    self._renew(self._path)
        return self._config, self._context

    def _renew(self, path: Path) -> None:
        problems: tuple[str, ...]
        seen: Seen = {}
        try:
            config, context = _opened(path, seen)
            problems = tuple(_opens(self._config, config))
        except ConfigurationError as error:
            problems = error.messages
        self._seen = seen
        if problems:
            words = "; ".join(problems)
            if words != self._told:
                self._told = words
                self._log.error("web.config_file cannot be used, the last one stays", problem=words)
            return
        self._config, self._context, self._told = config, context, None
        self._log.info("web.config_file or a certificate is new")


def _opened(path: Path, seen: Seen) -> tuple[WebConfig, ssl.SSLContext | None]:
    """Return what the file says; note in `seen` each file that this was made of, before reading."""
    seen[path] = _stamp(path)
    config = read(path)
    for file in config.tls.files if config.tls else ():
        seen[file] = _stamp(file)
    return config, context(path, config)


def _opens(old: WebConfig, new: WebConfig) -> Iterator[str]:
    if bool(old.tls) != bool(new.tls):
        yield "TLS is switched on and off at a start only"
    if bool(old.users) != bool(new.users):
        yield "basic auth is switched on and off at a start only"


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
    """Compares passwords with bcrypt hashes, each pair once: bcrypt is slow because it has to be.

    One at a time, so that guessing takes one core at most, and never all threads of the web. An
    unknown name takes as long as a known one. What is remembered is a keyed digest, right ones and
    wrong ones apart: whoever guesses must not make the scraper's own be forgotten.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[bool, OrderedDict[bytes, None]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._one = threading.Lock()
        self._waiting = 0

    async def right(self, name: str, password: bytes, users: Mapping[str, str]) -> bool | None:
        """Tell whether the password is the user's; None: too many others wait, ask again later.

        Runs in one event loop.
        """
        expected = users.get(name)
        stored = expected or _like(users)
        # Lengths apart, so that no two pairs of texts are one.
        pair = f"{len(stored)}:{stored}{name}".encode() + b"\0" + password
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
        import bcrypt  # only who has users needs it

        with self._one:
            # As Go's and everybody's bcrypt does: what comes after 72 bytes does not count.
            return bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode())


def _like(users: Mapping[str, str]) -> str:
    """Return a hash that costs what the users' cost, and that no password is known for."""
    cost = next(iter(users.values()))[4:6]
    return f"$2b${cost}${'.' * 53}"


class Guarded:
    """The application behind basic auth, except what probes ask."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in OPEN_PATHS:
            header = next((v for n, v in scope["headers"] if n == b"authorization"), b"")
            answer = await self._doors.lets_in(header.decode("latin-1"))
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
