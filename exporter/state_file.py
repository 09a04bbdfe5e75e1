"""The last known readings in a SQLite file, so that a restart, even a kill -9, loses no series.

Written in the background, all that is new once a second, in one transaction. A file that cannot
be used is reported, left as it is, and the exporter goes on without it: its job is the figures, not
the file. A disk that is full is tried again, for what is latest is kept in memory until it is
written.

One process uses a file at a time. The lock is `flock` on a file beside it, so it ends with the
process, however that ends. It is not on the file itself: where flock and SQLite's own locks are the
same thing to the system, they would shut each other out.
"""

import contextlib
import fcntl
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter

from exporter.failure import Failure
from exporter.files import FileFormat, bring_up_to_date, version
from exporter.questions import Key, Learned, Mailbox, Question, Reading

_FLUSH_SECONDS: Final = 1.0
_KEEP_SECONDS: Final = 30 * 86_400
_STEPS: Final = (
    (  # from nothing to version 1
        """CREATE TABLE reports (
            account TEXT, mailbox_id TEXT, type TEXT, "window" TEXT, office_hours INTEGER,
            segment TEXT, question TEXT NOT NULL, succeeded_at REAL NOT NULL, report TEXT NOT NULL,
            PRIMARY KEY (account, mailbox_id, type, "window", office_hours, segment)
        ) WITHOUT ROWID""",
        """CREATE TABLE accounts (
            account TEXT PRIMARY KEY, mailboxes TEXT NOT NULL, tags TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
    (  # to version 2, which knows kinds of questions
        "ALTER TABLE reports RENAME TO reports_1",
        """CREATE TABLE reports (
            account TEXT, collector TEXT, mailbox_id TEXT, type TEXT, "window" TEXT,
            office_hours TEXT, segment TEXT, question TEXT NOT NULL, succeeded_at REAL NOT NULL,
            as_of REAL NOT NULL, report TEXT NOT NULL,
            PRIMARY KEY (
                account, collector, mailbox_id, type, "window", office_hours, segment
            )
        ) WITHOUT ROWID""",
        """INSERT INTO reports SELECT account, 'productivity', mailbox_id, type, "window",
            CASE office_hours WHEN 1 THEN 'true' ELSE 'false' END, segment, question,
            succeeded_at, succeeded_at, report FROM reports_1""",
        "DROP TABLE reports_1",
        "ALTER TABLE accounts ADD COLUMN folders TEXT NOT NULL DEFAULT '{}'",
    ),
)
_FORMAT: Final = FileFormat("state file", 0x48535845, _STEPS, unversioned=1)
_mailboxes: Final = TypeAdapter(list[Mailbox])
_tags: Final = TypeAdapter(dict[str, int])
_folders: Final = TypeAdapter(dict[int, str])

_UNUSABLE: Final = (sqlite3.Error, OSError, ValueError)
"""What using a file raises. ValueError: its content, or SQLite's message about it, is not text."""

Codec = Callable[[str], "TypeAdapter[Any]"]
"""From a collector's name to what writes and reads the values of its readings."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the file knows of an account.

    Readings are returned with their question's fingerprint and the Unix time of their success.
    """

    mailboxes: list[Mailbox]
    learned: Learned
    readings: Mapping[Key, tuple[str, Reading, float]]


class StateFileInUse(Failure):
    """Another process uses the state file; the message is one line that names both."""


class StateFile:
    """Remembers readings and mailboxes in a file, or, without a path, nothing. Thread-safe.

    `account` in these methods is an account's identity: another login under an old name must not
    be shown the old one's figures.
    """

    def __init__(self, path: Path | None, codec: Codec) -> None:
        """Raises StateFileInUse. Any other trouble with the file is reported and gone without."""
        self._path, self._codec = path, codec
        self._claim: int | None = None
        self._inode: tuple[int, int] | None = None
        self._log: Any = structlog.get_logger(state_file=str(path))
        self._lock = threading.Lock()
        self._using = threading.Lock()
        self._readings: dict[tuple[str, Key], tuple[str, Reading, float]] = {}
        self._accounts: dict[str, tuple[Any, ...]] = {}
        self._failure: str | None = None
        self._stop = threading.Event()
        self._database = None if path is None else self._opened(path)
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)
        if self._database is not None:
            self._thread.start()

    @property
    def ok(self) -> bool | None:
        """Whether the file could be used the last time; None without one."""
        if self._path is None:
            return None
        return self._database is not None and self._failure is None

    def remember(self, account: str, question: Question, reading: Reading, at: float) -> None:
        """Keep the latest reading of a key; `at` is the Unix time of its success."""
        if self._database is not None:
            with self._lock:
                self._readings[account, question.key] = (question.fingerprint, reading, at)

    def remember_account(self, account: str, mailboxes: list[Mailbox], learned: Learned) -> None:
        """Keep the account's mailboxes, tags and folders."""
        if self._database is not None:
            row = (
                account,
                _mailboxes.dump_json(mailboxes),
                _tags.dump_json(dict(learned.tags)),
                _folders.dump_json(dict(learned.folders)),
            )
            with self._lock:
                self._accounts[account] = row

    def recall(self, account: str, name: str) -> Remembered | None:
        """Return what is known of an account called `name`, None where that is nothing."""
        if self._database is None:
            return None
        try:
            with self._using:
                found = self._database.execute(
                    "SELECT mailboxes, tags, folders FROM accounts WHERE account = ?", (account,)
                ).fetchone()
                rows = self._database.execute(
                    'SELECT collector, mailbox_id, type, "window", office_hours, segment,'
                    " question, succeeded_at, as_of, report FROM reports WHERE account = ?",
                    (account,),
                ).fetchall()
            if found is None:
                return None
            mailboxes = _mailboxes.validate_json(found[0])
            learned = Learned(_tags.validate_json(found[1]), _folders.validate_json(found[2]))
        except _UNUSABLE as error:
            self._failed(error)
            return None
        readings: dict[Key, tuple[str, Reading, float]] = {}
        for collector, *axes, question, at, as_of, value in rows:
            # Whatever is in a column: SQLite does not hold anybody to its types.
            with contextlib.suppress(ValueError, KeyError, OverflowError, TypeError):
                parsed = self._codec(collector).validate_json(value)
                reading = Reading(parsed, datetime.fromtimestamp(as_of, UTC))
                readings[Key(collector, name, *axes)] = (question, reading, float(at))
        if len(readings) < len(rows):
            self._log.warning(
                "reports in the state file cannot be read, left out",
                account=name,
                left_out=len(rows) - len(readings),
                reports=len(rows),
            )
        return Remembered(mailboxes, learned, readings)

    def close(self) -> None:
        """Write what is not written yet and close the file."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._database is not None:
            self._flush()
            self._database.close()
        self._release()

    def _opened(self, path: Path) -> sqlite3.Connection | None:
        database: sqlite3.Connection | None = None
        try:
            self._claim = _claimed(path)
            # Names of mailboxes are nobody else's business. SQLite's other files follow this one.
            with contextlib.suppress(OSError):
                path.touch(mode=0o600)
            database, before = _connected(path)
            if 0 < before < _FORMAT.version:
                self._log.info("state file taken over", before=before, now=_FORMAT.version)
            self._inode = _inode(path)
            self._forget_old(database)
        except _UNUSABLE as error:
            self._failed(error)
            if database is not None:
                database.close()
            self._release()
            return None
        return database

    def _forget_old(self, database: sqlite3.Connection) -> None:
        """Delete what is too old for anybody; on a full disk it stays, and the rest is used."""
        try:
            with database:
                oldest = time.time() - _KEEP_SECONDS
                database.execute("DELETE FROM reports WHERE succeeded_at < ?", (oldest,))
        except sqlite3.OperationalError as error:
            self._failed(error)

    def _release(self) -> None:
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            readings, self._readings = self._readings, {}
            accounts, self._accounts = self._accounts, {}
        if not readings and not accounts:
            return
        try:
            self._write(readings, accounts)
        except _UNUSABLE as error:
            with self._lock:
                self._readings = readings | self._readings
                self._accounts = accounts | self._accounts
            self._failed(error)
        else:
            if self._failure is not None:
                self._failure = None
                self._log.info("state file works again")

    def _write(
        self,
        readings: Mapping[tuple[str, Key], tuple[str, Reading, float]],
        accounts: Mapping[str, tuple[Any, ...]],
    ) -> None:
        assert self._database is not None
        assert self._path is not None
        if _inode(self._path) != self._inode:
            raise sqlite3.OperationalError("another file is in its place now; a restart uses that")
        rows = [
            (
                account,
                key.collector,
                *key[2:],
                question,
                at,
                reading.as_of.timestamp(),
                self._codec(key.collector).dump_json(reading.value),
            )
            for (account, key), (question, reading, at) in readings.items()
        ]
        with self._using, self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)", accounts.values()
            )

    def _failed(self, error: Exception) -> None:
        words = _words(error)
        if self._path is not None and not self._path.parent.is_dir():
            words = f"there is no folder {self._path.parent}: make it"
        if words != self._failure:
            self._failure = words
            self._log.warning("state file cannot be used, going on without it", error=words)


def mailbox_counts(path: Path, accounts: Iterable[str]) -> dict[str, int]:
    """Return how many mailboxes the accounts (identities) had that a state file knows.

    Changes nothing and needs no lock: an exporter may be using the file. Trouble is reported.
    """
    found = {}
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, timeout=1.0, uri=True)) as database:
            if version(database, _FORMAT):
                for account in accounts:
                    row = database.execute(
                        "SELECT mailboxes FROM accounts WHERE account = ?", (account,)
                    ).fetchone()
                    if row is not None:
                        found[account] = len(_mailboxes.validate_json(row[0]))
    except _UNUSABLE as error:
        structlog.get_logger().warning(
            "state file cannot be read, going on without it",
            state_file=str(path),
            error=_words(error),
        )
    return found


def _words(error: Exception) -> str:
    """Return what is wrong with a state file."""
    if isinstance(error, ValueError):
        return "it is damaged: delete it to begin again"
    return (isinstance(error, OSError) and error.strerror) or str(error).partition("\n")[0]


def _connected(path: Path) -> tuple[sqlite3.Connection, int]:
    """Return a connection to an up-to-date state file, and the version that it had.

    A full disk has no room for the memory that SQLite shares between processes. Then the file is
    used without, which keeps `plan` from reading it.
    """
    try:
        return _connected_by(path)
    except sqlite3.Error as error:
        if "_SHM" not in getattr(error, "sqlite_errorname", ""):
            raise
    return _connected_by(path, "PRAGMA locking_mode = EXCLUSIVE")


def _connected_by(path: Path, *pragmas: str) -> tuple[sqlite3.Connection, int]:
    database = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    try:
        for pragma in pragmas:
            database.execute(pragma)
        return database, bring_up_to_date(database, _FORMAT)
    except _UNUSABLE:
        database.close()
        raise


def _claimed(path: Path) -> int:
    """Lock a state file for this process; return what has to be closed to unlock it.

    Raises StateFileInUse, and OSError where the file system cannot lock.
    """
    real = path.resolve()  # one file under two names is one file
    claim = os.open(real.with_name(f"{real.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(OSError):  # on a full disk: the lock alone has to hold
            os.ftruncate(claim, 0)
            os.pwrite(claim, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except BlockingIOError:
        holder = os.pread(claim, 300, 0).decode(errors="replace") or "another process"
        os.close(claim)
        raise StateFileInUse(
            f"state_file: {path}: {holder} is using it;"
            " stop that exporter, or give this one a state_file of its own"
        ) from None
    except OSError:
        os.close(claim)
        raise
    return claim


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
