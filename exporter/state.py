"""The last known reports in a SQLite file, so that a restart, even a kill -9, loses no series.

Written in the background, all that is new once a second, in one transaction. A file that cannot
be used is reported and the exporter goes on without it: its job is the figures, not the file. A
disk that is full is tried again, for what is latest is kept in memory until it is written.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import TypeAdapter, ValidationError

from exporter.reports import Mailbox, ProductivityReport, ReportKey, ReportRequest

_APPLICATION_ID: Final = 0x48535845
_VERSION: Final = 1
_FLUSH_SECONDS: Final = 1.0
_KEEP_SECONDS: Final = 30 * 86_400
_SCHEMA: Final = f"""
CREATE TABLE reports (
    account TEXT, mailbox_id TEXT, type TEXT, "window" TEXT, office_hours INTEGER, segment TEXT,
    question TEXT NOT NULL, succeeded_at REAL NOT NULL, report TEXT NOT NULL,
    PRIMARY KEY (account, mailbox_id, type, "window", office_hours, segment)
) WITHOUT ROWID;
CREATE TABLE accounts (
    account TEXT PRIMARY KEY, mailboxes TEXT NOT NULL, tags TEXT NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
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


class State:
    """Remembers reports and mailboxes in a file, or, without a path, nothing. Thread-safe.

    `account` in these methods is an account's identity: another login under an old name must not
    be shown the old one's figures.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
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
            return Remembered(
                _mailboxes.validate_json(found[0]),
                _tags.validate_json(found[1]),
                {
                    ReportKey(name, mailbox_id, type_, window, bool(office_hours), segment): (
                        asked,
                        _report.validate_json(report),
                        at,
                    )
                    for mailbox_id, type_, window, office_hours, segment, at, asked, report in rows
                },
            )
        except (sqlite3.Error, ValidationError) as error:
            self._failed(error)
            return None

    def count_mailboxes(self, account: str) -> int | None:
        """Return how many mailboxes an account had, None where nothing is known."""
        remembered = self.recall(account, "")
        return None if remembered is None else len(remembered.mailboxes)

    def close(self) -> None:
        """Write what is not written yet and close the file."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._database is not None:
            self._flush()
            self._database.close()

    def _opened(self, path: Path) -> sqlite3.Connection | None:
        database: sqlite3.Connection | None = None
        try:
            # Names of mailboxes are nobody else's business. SQLite's other files follow this one.
            with contextlib.suppress(OSError):
                path.touch(mode=0o600)
            database = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
            tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            owner = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if tables and (owner, version) != (_APPLICATION_ID, _VERSION):
                raise sqlite3.DatabaseError("is no state file of this exporter")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            if not tables:
                database.executescript(_SCHEMA)
            with database:
                oldest = time.time() - _KEEP_SECONDS
                database.execute("DELETE FROM reports WHERE succeeded_at < ?", (oldest,))
        except sqlite3.Error as error:
            self._failed(error)
            if database is not None:
                database.close()
            return None
        return database

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
        except sqlite3.Error as error:
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
        rows = [(*row, _report.dump_json(report)) for row, report in reports.values()]
        with self._using, self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", accounts.values()
            )

    def _failed(self, error: Exception) -> None:
        words = str(error).splitlines()[0]
        if words != self._failure:
            self._failure = words
            self._log.warning("state file cannot be used, going on without it", error=words)


def question(request: ReportRequest) -> str:
    """Return what a report's answer depends on besides its key, in short."""
    parts = (
        request.window.range.total_seconds(),
        request.mailbox_ids,
        request.tag_ids,
        request.folder_ids,
    )
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()
