"""The last known reports in a SQLite file, so that a restart, even a kill -9, loses no series.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from exporter.failure import Failure
from exporter.reports import Mailbox, ProductivityReport, ReportKey, ReportRequest

_APPLICATION_ID: Final = 0x48535845
_FLUSH_SECONDS: Final = 1.0
_KEEP_SECONDS: Final = 30 * 86_400
_STEPS: tuple[tuple[str, ...], ...] = (
    (  # from nothing to version 1
        """CREATE TABLE IF NOT EXISTS reports (
            account TEXT, mailbox_id TEXT, type TEXT, "window" TEXT, office_hours INTEGER,
            segment TEXT, question TEXT NOT NULL, succeeded_at REAL NOT NULL, report TEXT NOT NULL,
            PRIMARY KEY (account, mailbox_id, type, "window", office_hours, segment)
        ) WITHOUT ROWID""",
        """CREATE TABLE IF NOT EXISTS accounts (
            account TEXT PRIMARY KEY, mailboxes TEXT NOT NULL, tags TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
)
"""The statements that bring a file from each version to the next.

A file's version is the number of steps that it has been through. A new file goes through all of
them, an older one through those that it lacks, in one transaction. A change of the format is one
more step at the end; a step that has been released never changes.
"""
_report: Final = TypeAdapter(ProductivityReport)
_mailboxes: Final = TypeAdapter(list[Mailbox])
_tags: Final = TypeAdapter(dict[str, int])


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the file knows of an account.

    Reports come with what was asked (see `question`) and the Unix time of their success.
    """

    mailboxes: list[Mailbox]
    tags: dict[str, int]
    reports: Mapping[ReportKey, tuple[str, ProductivityReport, float]]


class StateFileInUse(Failure):
    """Another process uses the state file; the message is one line that names both."""


class State:
    """Remembers reports and mailboxes in a file, or, without a path, nothing. Thread-safe.

    `account` in these methods is an account's identity: another login under an old name must not
    be shown the old one's figures.
    """

    def __init__(self, path: Path | None) -> None:
        """Raises StateFileInUse. Any other trouble with the file is reported and gone without."""
        self._path = path
        self._claim: int | None = None
        self._inode: tuple[int, int] | None = None
        self._log: Any = structlog.get_logger().bind(state_file=str(path))
        self._lock = threading.Lock()
        self._using = threading.Lock()
        self._reports: dict[tuple[str, ReportKey], tuple[Any, ...]] = {}
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

    def remember_report(
        self, account: str, request: ReportRequest, report: ProductivityReport, at: float
    ) -> None:
        """Keep the latest report of a key; `at` is the Unix time of its success."""
        if self._database is not None:
            key = request.key
            row = (
                account,
                key.mailbox_id,
                key.type,
                key.window,
                key.office_hours,
                key.segment,
                question(request),
                at,
            )
            with self._lock:
                self._reports[account, key] = (row, report)

    def remember_account(
        self, account: str, mailboxes: list[Mailbox], tags: Mapping[str, int]
    ) -> None:
        """Keep the account's mailboxes and tags."""
        if self._database is not None:
            row = (account, _mailboxes.dump_json(mailboxes), _tags.dump_json(dict(tags)))
            with self._lock:
                self._accounts[account] = row

    def recall(self, account: str, name: str) -> Remembered | None:
        """Return what is known of an account called `name`, None where that is nothing."""
        if self._database is None:
            return None
        try:
            with self._using:
                found = self._database.execute(
                    "SELECT mailboxes, tags FROM accounts WHERE account = ?", (account,)
                ).fetchone()
                rows = self._database.execute(
                    'SELECT mailbox_id, type, "window", office_hours, segment, succeeded_at,'
                    " question, report FROM reports WHERE account = ?",
                    (account,),
                ).fetchall()
            if found is None:
                return None
            mailboxes, tags = _mailboxes.validate_json(found[0]), _tags.validate_json(found[1])
        except (sqlite3.Error, ValidationError) as error:
            self._failed(error)
            return None
        reports: dict[ReportKey, tuple[str, ProductivityReport, float]] = {}
        for mailbox_id, type_, window, office_hours, segment, at, asked, report in rows:
            key = ReportKey(name, mailbox_id, type_, window, bool(office_hours), segment)
            with contextlib.suppress(ValidationError):
                reports[key] = (asked, _report.validate_json(report), at)
        if len(reports) < len(rows):
            self._log.warning(
                "reports in the state file cannot be read, left out",
                account=name,
                left_out=len(rows) - len(reports),
                reports=len(rows),
            )
        return Remembered(mailboxes, tags, reports)

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
            database = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
            version = _version(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            if version < len(_STEPS):
                _bring_up_to_date(database, version)
                if version:
                    self._log.info("state file taken over", before=version, now=len(_STEPS))
            with database:
                oldest = time.time() - _KEEP_SECONDS
                database.execute("DELETE FROM reports WHERE succeeded_at < ?", (oldest,))
            self._inode = _inode(path)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            if database is not None:
                database.close()
            self._release()
            return None
        return database

    def _release(self) -> None:
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            reports, self._reports = self._reports, {}
            accounts, self._accounts = self._accounts, {}
        if not reports and not accounts:
            return
        try:
            self._write(reports, accounts)
        except (sqlite3.Error, OSError) as error:
            with self._lock:
                self._reports = reports | self._reports
                self._accounts = accounts | self._accounts
            self._failed(error)
        else:
            if self._failure is not None:
                self._failure = None
                self._log.info("state file works again")

    def _write(
        self,
        reports: Mapping[tuple[str, ReportKey], tuple[Any, ...]],
        accounts: Mapping[str, tuple[Any, ...]],
    ) -> None:
        assert self._database is not None
        assert self._path is not None
        if _inode(self._path) != self._inode:
            raise sqlite3.OperationalError("another file is in its place now; a restart uses that")
        rows = [(*row, _report.dump_json(report)) for row, report in reports.values()]
        with self._using, self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", accounts.values()
            )

    def _failed(self, error: Exception) -> None:
        words = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
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
            if _version(database):
                for account in accounts:
                    row = database.execute(
                        "SELECT mailboxes FROM accounts WHERE account = ?", (account,)
                    ).fetchone()
                    if row is not None:
                        found[account] = len(_mailboxes.validate_json(row[0]))
    except (sqlite3.Error, ValidationError) as error:
        structlog.get_logger().warning(
            "state file cannot be read, going on without it",
            state_file=str(path),
            error=str(error).splitlines()[0],
        )
    return found


def _claimed(path: Path) -> int:
    """Lock a state file for this process; return what has to be closed to unlock it.

    Raises StateFileInUse, and OSError where the file system cannot lock.
    """
    real = path.resolve()  # one file under two names is one file
    claim = os.open(real.with_name(f"{real.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _version(database: sqlite3.Connection) -> int:
    """Return the version of a file, 0 for an empty one. Raises sqlite3.Error for any other file."""
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = database.execute("PRAGMA application_id").fetchone()[0]
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if not tables:
        return 0
    if owner != _APPLICATION_ID:
        raise sqlite3.DatabaseError("is not a state file of this exporter")
    if version > len(_STEPS):
        raise sqlite3.DatabaseError(
            f"has format version {version}, this exporter knows versions up to {len(_STEPS)}: it"
            " was written by a newer exporter; run that one, or name another file"
        )
    return version


def _bring_up_to_date(database: sqlite3.Connection, version: int) -> None:
    """Take a file through the steps that it lacks: all of them, or, if one fails, none."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        for step in _STEPS[version:]:
            for statement in step:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {len(_STEPS)}")


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def question(request: ReportRequest) -> str:
    """Return what a report's answer depends on besides its key, in short."""
    parts = (
        request.window.range.total_seconds(),
        request.mailbox_ids,
        request.tag_ids,
        request.folder_ids,
    )
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()
