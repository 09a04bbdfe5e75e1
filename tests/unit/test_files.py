"""Files that are there whole or not at all, and SQLite files that survive a crash."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.files import FileFormat, bring_up_to_date, write_whole

FORMAT = FileFormat("test file", 7, (("CREATE TABLE one (x)",), ("CREATE TABLE two (x)",)))


def test_a_file_has_its_name_once_it_is_whole_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.prom"
    path.write_bytes(b"old")
    synced: list[tuple[int, bytes]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.read_bytes()))

    def parts() -> Iterator[bytes]:
        for part in (b"a" * 3_000_000, b"b"):
            assert path.read_bytes() == b"old"
            assert len([*tmp_path.iterdir()]) == 2  # a rename from another disk would fail
            yield part

    monkeypatch.setattr(os, "fsync", fsync)
    assert write_whole(path, parts()) == 3_000_001
    assert synced == [(3_000_001, b"old")]
    assert path.read_bytes() == b"a" * 3_000_000 + b"b"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failure: BaseException
) -> None:
    path = tmp_path / "file.prom"
    path.write_bytes(b"old")

    def parts() -> Iterator[bytes]:
        yield b"a" * 3_000_000
        raise failure

    with pytest.raises(type(failure)):
        write_whole(path, parts())
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_database_is_whole_after_a_crash_and_waits_for_the_disk_at_checkpoints_only(
    tmp_path: Path,
) -> None:
    for _ in ("new", "known"):
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as database:
            bring_up_to_date(database, FORMAT)
            pragmas = ("journal_mode", "synchronous", "user_version")
            found = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
            assert found == ["wal", 1, 2]
