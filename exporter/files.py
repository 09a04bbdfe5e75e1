"""Files that are there whole or not at all, and SQLite files that know their owner and version."""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BUFFER_BYTES: Final = 1 << 20


def write_whole(path: Path, parts: Iterable[bytes], mode: int = 0o644) -> int:
    """Put `parts` into a file by a rename, once they are on the disk; return its size in bytes.

    A file that was there before stays until then. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as file:
            file.writelines(parts)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            size = file.tell()
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return size


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A SQLite file's format: `what` it is, its application id, and how each version comes about.

    `steps` are the statements that bring a file from each version to the next: its version is the
    number of steps it has been through. A change of the format is one more step at the end; a step
    that has been released never changes. `unversioned` is the version of files from before there
    were versions, None where they cannot be read.
    """

    what: str
    application_id: int
    steps: tuple[tuple[str, ...], ...]
    unversioned: int | None = None

    @property
    def version(self) -> int:
        """The newest version."""
        return len(self.steps)


def version(database: sqlite3.Connection, format_: FileFormat) -> int:
    """Return the version of a SQLite file, 0 for an empty one.

    Raises sqlite3.DatabaseError, with words for the user, for any file of another format or of a
    version that is not known.
    """
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = database.execute("PRAGMA application_id").fetchone()[0]
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if not tables:
        return 0
    if owner != format_.application_id:
        raise sqlite3.DatabaseError(f"is not a {format_.what} of this exporter; name another file")
    if not found and format_.unversioned:
        return format_.unversioned
    if not 1 <= found <= format_.version:
        raise sqlite3.DatabaseError(
            f"has format version {found}, this exporter knows versions 1 to {format_.version}:"
            f" it was written by {'a newer' if found else 'an older'} exporter; run that one, or"
            " name another file"
        )
    return found


def bring_up_to_date(database: sqlite3.Connection, format_: FileFormat) -> int:
    """Take a SQLite file through the steps that it lacks; return the version that it had.

    All of them are done, or, if one fails, none. After a crash of the system the file is whole; the
    last moments before it may be missing. Raises sqlite3.Error.
    """
    before = version(database, format_)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    if before == format_.version:
        return before
    with database:
        database.execute("BEGIN IMMEDIATE")
        for step in format_.steps[before:]:
            for statement in step:
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {format_.application_id}")
        database.execute(f"PRAGMA user_version = {format_.version}")
    return before
