"""Every answer in a SQLite file, at once: whatever ends the process, no answer is lost.

One commit an answer. The file belongs to one range, configuration and set of labels, and to one
process at a time; it says so instead of mixing.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from exporter.backfill.errors import BackfillError
from exporter.backfill.task import differences
from exporter.files import FileFormat, bring_up_to_date
from exporter.questions import Key, Mailbox

_FORMAT: Final = FileFormat(
    "file of answers",
    0x48534246,
    (
        (
            "CREATE TABLE facts (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID",
            """CREATE TABLE answers (
                key TEXT, at INTEGER, figures BLOB NOT NULL, PRIMARY KEY (key, at)
            ) WITHOUT ROWID""",
            "CREATE TABLE ends (key TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID",
        ),
    ),
)
_mailboxes: Final = TypeAdapter(list[Mailbox])


class Answers:
    """Thread-safe. Every method raises BackfillError where the file cannot be used.

    `path` None keeps everything in memory: nothing is to be left behind. `end` is kept from the
    first run: Unix seconds at which the range is cut off.
    """

    def __init__(self, path: Path | None, fingerprint: Mapping[str, str], end: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._one_line():
            self._database = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=0.5,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with self._one_line():
                self._open(fingerprint, end)
                self.end = int(self._fact("end") or end)
        except BackfillError:
            self._database.close()
            raise

    def mailboxes(self, account: str) -> tuple[list[Mailbox], float] | None:
        """Return an account's mailboxes as first listed and its limit a minute, None before."""
        found, limit = self._fact(f"mailboxes {account}"), self._fact(f"limit {account}")
        if found is None or limit is None:
            return None
        with self._one_line():
            return _mailboxes.validate_json(found), float(limit)

    def tags(self, account: str) -> dict[str, int] | None:
        """Return an account's tags by name as first seen, None before that."""
        found = self._fact(f"tags {account}")
        with self._one_line():
            return None if found is None else json.loads(found)

    def keep_mailboxes(self, account: str, mailboxes: list[Mailbox], limit: float) -> None:
        """Keep an account's mailboxes (history has one name for each) and its limit a minute."""
        listed = _mailboxes.dump_json(mailboxes).decode()
        facts = (f"mailboxes {account}", listed, f"limit {account}", str(limit))
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?), (?, ?)", *facts)

    def keep_tags(self, account: str, tags: Mapping[str, int]) -> None:
        """Keep an account's tags."""
        self._write(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)", f"tags {account}", json.dumps(dict(tags))
        )

    def keep(self, key: Key, at: int, figures: bytes) -> None:
        """Keep the figures of the report that ends at `at`, Unix seconds."""
        self._write("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", _text(key), at, figures)

    def has(self, key: Key, at: int) -> bool:
        """Return whether that report is there."""
        found = self._row("SELECT 1 FROM answers WHERE key = ? AND at = ?", _text(key), at)
        return found is not None

    def first(self, key: Key, after: int) -> int | None:
        """Return the oldest report of a key that is there and ends after `after`."""
        query = "SELECT min(at) FROM answers WHERE key = ? AND at > ?"
        found: int | None = self._row(query, _text(key), after)[0]
        return found

    def forget_malformed(self, key: Key, figures: int) -> None:
        """Forget the reports of a key that do not have so many figures, so that they are asked."""
        self._write(
            "DELETE FROM answers WHERE key = ? AND ? <> 1 +"
            " length(CAST(figures AS TEXT)) - length(replace(CAST(figures AS TEXT), ' ', ''))",
            _text(key),
            figures,
        )

    def count(self, key: Key, after: int) -> int:
        """Return how many reports of a key are there that end after `after`."""
        query = "SELECT count(*) FROM answers WHERE key = ? AND at > ?"
        return int(self._row(query, _text(key), after)[0])

    def ends(self) -> dict[Key, int]:
        """Return where the history of keys ends: the latest step that the service refused."""
        with self._lock, self._one_line():
            rows = self._database.execute("SELECT key, at FROM ends").fetchall()
            return {Key(*json.loads(key)): at for key, at in rows}

    def keep_end(self, key: Key, at: int) -> bool:
        """Keep that a key's history ends at `at`; return whether that is new."""
        known = self._row("SELECT at FROM ends WHERE key = ?", _text(key))
        self._write("INSERT OR REPLACE INTO ends VALUES (?, ?)", _text(key), at)
        return known is None

    def forget_end(self, key: Key) -> None:
        """Forget that a key's history ends: it does not."""
        self._write("DELETE FROM ends WHERE key = ?", _text(key))

    def history(self, key: Key) -> Iterator[tuple[int, bytes]]:
        """Yield the instants and figures of a key, the oldest first, as a stream."""
        query = "SELECT at, figures FROM answers WHERE key = ? ORDER BY at"
        with self._one_line():
            yield from self._database.execute(query, (_text(key),))

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._database.close()

    def _open(self, fingerprint: Mapping[str, str], end: int) -> None:
        database = self._database
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            bring_up_to_date(database, _FORMAT)
        except sqlite3.OperationalError:
            raise  # locked, or the disk
        except sqlite3.DatabaseError as error:
            raise BackfillError(f"{self._path} {error} by --output", exit_code=2) from None
        facts = (("fingerprint", json.dumps(fingerprint)), ("end", str(end)))
        database.execute("BEGIN IMMEDIATE")  # takes the lock that other processes run into
        database.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", facts)
        database.execute("COMMIT")
        with self._one_line():
            before = json.loads(self._fact("fingerprint") or "{}")
        if different := differences(before, fingerprint):
            raise BackfillError(
                f"{self._path} is of another backfill: {', '.join(different)} differ; go on with"
                " its own command, delete it, or choose another --output",
                exit_code=2,
            )

    def _fact(self, name: str) -> str | None:
        found = self._row("SELECT content FROM facts WHERE name = ?", name)
        return None if found is None else found[0]

    def _row(self, query: str, *values: Any) -> Any:
        with self._lock, self._one_line():
            return self._database.execute(query, values).fetchone()

    def _write(self, statement: str, *values: Any) -> None:
        with self._lock, self._one_line():
            self._database.execute(statement, values)

    @contextlib.contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            words = str(error).splitlines()[0]
            if "locked" in words:
                words = "another backfill is at work on it"
            raise BackfillError(
                f"{self._path}: {words}; what is in it stays, and the same command goes on there"
            ) from None
        except (ValueError, TypeError):  # what is in it is not what was written
            raise BackfillError(
                f"{self._path} is damaged: delete it to begin again, or choose another --output"
            ) from None


@lru_cache(4096)
def _text(key: Key) -> str:
    return json.dumps(key, ensure_ascii=False)
