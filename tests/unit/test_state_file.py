"""The state file: what survives, and that a bad file never stops the exporter."""

import contextlib
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import LogCapture

from exporter.collectors import codec
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.questions import Key, Learned, Mailbox, Question
from exporter.state_file import _FORMAT, StateFile, StateFileInUse, mailbox_counts
from tests.readings import reading
from tests.support import eventually

KEY = Key("productivity", "acme", "1", "email", "24h", "true", "vip")
QUESTION = Question(KEY, timedelta(minutes=5), timedelta(days=1), ((1,), (7,), (), "compare"))
PLAIN = replace(QUESTION, spec=((1,), (7,), ()))
REPORT = ProductivityReport(
    current=Statistics(conversations=3, response_time=488475.313),
    previous=Statistics(),
    response_time=Distribution((1,) * 10, (0,) * 10),
    resolution_time_by_replies=(1.5, None, None, None, 0.0),
)
BOXES = [Mailbox(1, 'a "name"\\\n🎉', "s", "e")]


def filled(path: Path) -> None:
    state = StateFile(path, codec)
    state.remember("id", QUESTION, reading(REPORT), 4e12)
    state.remember_account("id", BOXES, Learned({"vip": 7}, {991: "1"}))
    state.close()


def test_what_was_remembered_is_recalled_by_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path / "s.db")
    state = StateFile(tmp_path / "s.db", codec)
    remembered = state.recall("id", "acme")
    state.close()
    assert remembered is not None
    assert remembered.mailboxes == BOXES
    assert remembered.learned == Learned({"vip": 7}, {991: "1"})
    assert remembered.readings == {KEY: (QUESTION.fingerprint, reading(REPORT), 4e12)}


def test_another_login_recalls_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "s.db")
    state = StateFile(tmp_path / "s.db", codec)
    assert state.recall("another", "acme") is None
    state.remember_account("a login", [], Learned())
    state._flush()
    found = state.recall("a login", "acme")
    assert found is not None
    assert found.readings == {}
    state.close()


def test_the_number_of_mailboxes_is_read_beside_the_process_that_uses_the_file(
    tmp_path: Path, log: LogCapture
) -> None:
    path = tmp_path / "s.db"
    filled(path)
    for beside in (contextlib.nullcontext(), contextlib.closing(StateFile(path, codec))):
        with beside:
            before = path.read_bytes()
            assert mailbox_counts(path, ["another", "id"]) == {"id": 1}
            assert path.read_bytes() == before
    assert not log.entries


def test_a_file_whose_mailboxes_cannot_be_read_is_reported(tmp_path: Path, log: LogCapture) -> None:
    path = tmp_path / "s.db"
    _newer(path)
    assert mailbox_counts(path, ["id"]) == {}
    (entry,) = log.entries
    assert entry["event"] == "state file cannot be read, going on without it"
    assert "version 99" in entry["error"]


def test_a_second_user_of_the_file_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    link = tmp_path / "link.db"
    link.symlink_to(path)
    state = StateFile(path, codec)
    state.remember_account("id", BOXES, Learned())
    for name in (path, link):
        with pytest.raises(StateFileInUse) as refused:
            StateFile(name, codec)
        assert str(refused.value) == (
            f"state_file: {name}: process {os.getpid()} on {socket.gethostname()} is using it;"
            " stop that exporter, or give this one a state_file of its own"
        )
    state.close()
    again = StateFile(path, codec)
    assert again.recall("id", "acme") is not None
    again.close()


def test_an_older_file_is_taken_over_in_one_transaction(
    tmp_path: Path, log: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    filled(path)
    step = ("ALTER TABLE reports ADD COLUMN more TEXT", "UPDATE accounts SET tags = '{}'")
    steps = (*_FORMAT.steps, step, ("SELECT no such column",))
    monkeypatch.setattr("exporter.state_file._FORMAT", replace(_FORMAT, steps=steps))
    StateFile(path, codec).close()
    assert [entry["event"] for entry in log.entries] == [
        "state file cannot be used, going on without it"
    ]
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert "more" not in database.execute("SELECT * FROM reports").description
    monkeypatch.setattr("exporter.state_file._FORMAT", replace(_FORMAT, steps=steps[:-1]))
    log.entries.clear()
    state = StateFile(path, codec)
    remembered = state.recall("id", "acme")
    state.close()
    assert remembered is not None
    assert (remembered.mailboxes, remembered.learned) == (BOXES, Learned({}, {991: "1"}))
    assert remembered.readings.keys() == {KEY}
    (entry,) = log.entries
    assert (entry["event"], entry["before"], entry["now"]) == ("state file taken over", 2, 3)


def _of_version_1(path: Path, version: int) -> None:
    """A file as the exporter wrote it before there were kinds of questions."""
    body = codec("productivity").dump_json(REPORT).decode()
    row = ("id", "1", "email", "24h", 1, "vip", PLAIN.fingerprint, 2e9, body)
    boxes = '[{"id": 1, "name": "Support", "slug": "s", "email": "e"}]'
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for statement in _FORMAT.steps[0]:
            database.execute(statement)
        database.execute("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("INSERT INTO accounts VALUES ('id', ?, '{\"vip\": 7}')", (boxes,))
        database.execute(f"PRAGMA application_id = {_FORMAT.application_id}")
        database.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", [0, 1])
def test_a_file_of_the_first_version_keeps_what_is_in_it(tmp_path: Path, version: int) -> None:
    path = tmp_path / "s.db"
    _of_version_1(path, version)
    state = StateFile(path, codec)
    remembered = state.recall("id", "acme")
    state.close()
    assert remembered is not None
    assert remembered.mailboxes == [Mailbox(1, "Support", "s", "e")]
    assert remembered.learned == Learned({"vip": 7})
    ((key, (fingerprint, found, at)),) = remembered.readings.items()
    assert (key, fingerprint, found.value, at) == (KEY, PLAIN.fingerprint, REPORT, 2e9)


def test_a_newer_file_is_refused_by_both_versions(tmp_path: Path, log: LogCapture) -> None:
    path = tmp_path / "s.db"
    _newer(path)
    state = StateFile(path, codec)
    assert state.ok is False
    state.close()
    assert log.entries[0]["error"] == (
        "has format version 99, this exporter knows versions 1 to 2: it was written by a newer"
        " exporter; run that one, or name another file"
    )


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, log: LogCapture) -> None:
    state = StateFile(tmp_path / "none" / "s.db", codec)
    assert state.ok is False
    state.close()
    (said,) = log.entries
    assert said["error"] == f"there is no folder {tmp_path / 'none'}: make it"


def test_whether_the_file_can_be_used_is_known(tmp_path: Path, log: LogCapture) -> None:
    assert StateFile(None, codec).ok is None
    path = tmp_path / "s.db"
    state = StateFile(path, codec)
    good = state.ok
    path.unlink()
    state.remember_account("id", BOXES, Learned())
    state._flush()
    state._flush()
    assert (good, state.ok) == (True, False)
    state.close()
    assert [entry["error"] for entry in log.entries] == ["No such file or directory"]


def test_a_file_that_another_one_replaced_is_reported(tmp_path: Path, log: LogCapture) -> None:
    path, other = tmp_path / "s.db", tmp_path / "other.db"
    filled(other)
    state = StateFile(path, codec)
    other.replace(path)
    state.remember_account("id", [], Learned())
    state.close()
    assert state.ok is False
    assert [entry["error"] for entry in log.entries] == [
        "another file is in its place now; a restart uses that"
    ]


def test_a_file_that_cannot_be_used_keeps_nobody_from_it(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"no SQLite " * 1_000)
    state = StateFile(path, codec)
    assert state.ok is False
    path.unlink()
    other = StateFile(path, codec)
    assert other.ok
    other.close()
    state.close()


def test_without_a_path_nothing_is_kept() -> None:
    state = StateFile(None, codec)
    state.remember("id", QUESTION, reading(REPORT), 1)
    state.remember_account("id", BOXES, Learned())
    assert state.recall("id", "acme") is None
    state.close()


_means = st.none() | st.floats(0, 1e12, allow_nan=False)
_counts = st.none() | st.integers(0, 2**40)


@settings(max_examples=50, deadline=None)
@given(
    figures=st.builds(
        Statistics,
        conversations=_counts,
        response_time=_means,
        handle_time=_means,
        resolved=_counts,
    ),
    name=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_a_round_trip_changes_no_digit(
    tmp_path_factory: pytest.TempPathFactory, figures: Statistics, name: str
) -> None:
    path = tmp_path_factory.mktemp("state") / "s.db"
    report = ProductivityReport(current=figures)
    state = StateFile(path, codec)
    state.remember("id", QUESTION, reading(report), 4e12)
    state.remember_account("id", [Mailbox(5, name, "", "")], Learned())
    state.close()
    again = StateFile(path, codec)
    remembered = again.recall("id", "acme")
    again.close()
    assert remembered is not None
    assert remembered.readings[KEY][1] == reading(report)
    assert remembered.mailboxes[0].name == name


def _damaged(path: Path) -> None:
    filled(path)
    path.write_bytes(b"\x00garbage" * 500)


def _unreadable(path: Path) -> None:
    """What SQLite quotes of it in its message is not text."""
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE accounts", b"CREATE\xff\xfeABLE accounts"))


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE somebody_elses (x)")
    database.close()


def _folder(path: Path) -> None:
    path.mkdir()


def _newer(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


@pytest.mark.parametrize("spoil", [_damaged, _unreadable, _foreign, _folder, _newer])
def test_an_unusable_file_is_reported_once_left_alone_and_not_needed(
    tmp_path: Path, log: LogCapture, spoil: object
) -> None:
    path = tmp_path / "s.db"
    assert callable(spoil)
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    state = StateFile(path, codec)
    state.remember("id", QUESTION, reading(REPORT), 1)
    assert state.recall("id", "acme") is None
    state.close()
    assert [entry["event"] for entry in log.entries] == [
        "state file cannot be used, going on without it"
    ]
    assert (path.read_bytes() if path.is_file() else None) == before
    assert mailbox_counts(path, ["id"]) == {}


@pytest.mark.parametrize(
    "spoilt",
    [
        """report = '{"current": 7}'""",
        """report = '{"current": {}, "handle_time": {"counts": [1, 2], "previous": []}}'""",
        """report = '{"current": {}, "resolution_time_by_replies": [1.5]}'""",
        "report = 7",
        "as_of = 'soon'",
        "as_of = 1e300",
        "succeeded_at = 'soon'",
        "succeeded_at = x'00ff'",
        "collector = x'00ff'",
    ],
)
def test_a_report_that_was_spoiled_in_the_file_is_left_out_alone_and_reported(
    tmp_path: Path, log: LogCapture, spoilt: str
) -> None:
    path = tmp_path / "s.db"
    spoiled = replace(QUESTION, key=KEY._replace(type="chat"))
    state = StateFile(path, codec)
    state.remember("id", QUESTION, reading(REPORT), 4e12)
    state.remember("id", spoiled, reading(REPORT), 4e12)
    state.remember_account("id", BOXES, Learned())
    state.close()
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE reports SET {spoilt} WHERE type = 'chat'")
    state = StateFile(path, codec)
    remembered = state.recall("id", "acme")
    state.close()
    assert remembered is not None
    assert remembered.readings == {KEY: (QUESTION.fingerprint, reading(REPORT), 4e12)}
    (entry,) = log.entries
    assert (entry["left_out"], entry["reports"]) == (1, 2)


def without_room(script: str) -> None:
    """Run what a process does in which `room` says how large its files may become."""
    start = """
import resource, signal, structlog
from pathlib import Path
from tests.unit.test_state_file import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def room(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
capture = LogCapture(); structlog.configure(processors=[capture])
"""
    done = subprocess.run(
        [sys.executable, "-c", start + script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": "."},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(
        ["state file cannot be used, going on without it", "state file works again"]
    )


def test_a_file_that_may_not_grow_is_reported_and_written_once_it_may(tmp_path: Path) -> None:
    without_room(
        f"""
path = Path({str(tmp_path / "s.db")!r})
state = StateFile(path, codec)
room(0)
state.remember("id", QUESTION, reading(REPORT), 4e12)
state.remember_account("id", BOXES, Learned())
state._flush(); state._flush()
room(resource.RLIM_INFINITY)
state._flush()
state.close()
again = StateFile(path, codec)
remembered = again.recall("id", "acme")
again.close()
assert remembered.readings[KEY][1] == reading(REPORT)
print([e["event"] for e in capture.entries])
"""
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("is_clean", [True, False], ids=["after an end", "after kill -9"])
def test_a_start_without_room_uses_what_the_file_has_and_writes_once_there_is(
    tmp_path: Path, is_clean: bool
) -> None:
    state = StateFile(tmp_path / "running.db", codec)
    state.remember("id", QUESTION, reading(REPORT), 4e12)
    state.remember_account("id", BOXES, Learned())
    state._flush()
    if is_clean:
        state.close()
    for part in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(tmp_path / f"running.db{part}", tmp_path / f"s.db{part}")
    assert (tmp_path / "s.db-wal").exists() is not is_clean
    if not is_clean:
        state.close()
    without_room(
        f"""
path = Path({str(tmp_path / "s.db")!r})
room(0)
state = StateFile(path, codec)
assert state.recall("id", "acme").readings[KEY][1] == reading(REPORT)
state.remember("id", QUESTION, reading(REPORT), 5e12)
state._flush(); state._flush()
assert state.ok is False
room(resource.RLIM_INFINITY)
state._flush()
assert state.ok is True
state.close()
again = StateFile(path, codec)
assert again.recall("id", "acme").readings[KEY][2] == 5e12
again.close()
print([e["event"] for e in capture.entries])
"""
    )


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    state = StateFile(path, codec)
    state.remember_account("id", BOXES, Learned())
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    state.close()
    assert modes["s.db"] == 0o600
    assert set(modes.values()) == {0o600}


def test_what_is_older_than_a_month_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    path, now, day = tmp_path / "s.db", time.time(), 86_400
    state = StateFile(path, codec)
    ages = {"chat": 31, "phone": 29, "email": 0}
    for type_, days in ages.items():
        question = replace(QUESTION, key=KEY._replace(type=type_))
        state.remember("id", question, reading(REPORT), now - days * day)
    state.remember_account("id", BOXES, Learned())
    state.close()
    with contextlib.closing(StateFile(path, codec)) as again:
        remembered = again.recall("id", "acme")
    assert remembered is not None
    assert {key.type for key in remembered.readings} == {"phone", "email"}


def test_what_is_remembered_is_written_while_the_exporter_runs(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with contextlib.closing(StateFile(path, codec)) as state:
        state.remember_account("id", BOXES, Learned())
        eventually(lambda: mailbox_counts(path, ["id"]) == {"id": 1}, "it is in the file")


def test_a_write_that_fails_does_not_bring_back_what_is_older(
    tmp_path: Path, log: LogCapture
) -> None:
    old, new = (replace(REPORT, current=Statistics(conversations=n)) for n in (1, 2))
    renamed = [replace(BOXES[0], name="new")]

    class FullAtFirst:
        """Finds the disk full once; the next answer arrives just then."""

        def dump_json(self, value: ProductivityReport) -> bytes:
            if value == old:
                state.remember("id", QUESTION, reading(new), 4e12)
                state.remember_account("id", renamed, Learned())
                raise OSError(28, "No space left on device")
            return codec("productivity").dump_json(value)

    path = tmp_path / "s.db"
    state = StateFile(path, lambda _: cast(Any, FullAtFirst()))
    state.remember("id", QUESTION, reading(old), 4e12)
    state.remember_account("id", BOXES, Learned())
    eventually(lambda: log.entries, "a write has failed")
    state.close()
    with contextlib.closing(StateFile(path, codec)) as again:
        remembered = again.recall("id", "acme")
    assert remembered is not None
    assert remembered.readings[KEY][1] == reading(new)
    assert remembered.mailboxes == renamed
