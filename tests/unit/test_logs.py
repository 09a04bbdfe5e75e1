"""Log lines in three forms, and nothing from outside that forges one or steers a terminal."""

import errno
import io
import json
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from exporter import logs
from exporter.collectors import codec
from exporter.helpscout.oddities import Oddities
from exporter.logs import Format, Level
from exporter.poller.account_log import AccountLog, NotFoundLog
from exporter.questions import Learned
from exporter.state_file import StateFile

FORMS: tuple[Format, ...] = ("console", "json", "logfmt")
forms = pytest.mark.parametrize("form", FORMS)

HOSTILE = (
    "line\nbreak",
    "carriage\rreturn",
    "both\r\n2026-01-01T00:00:00Z [info     ] account works",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\x9b31m",
    "next\x85line\u2028and\u2029more",
    "turned \u202e round",
    'quote " and \\ backslash',
    'a=b" level=info event="account works',
    '", "level": "info", "event": "account works',
    "null\x00byte",
    "half \ud83d a pair",
    "\x7f",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _default_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def written(form: Format, log: Callable[[Any], None], level: Level = "info") -> str:
    """What `log` writes, given a logger."""
    stream = io.StringIO()
    logs.configure(level, form, stream)
    log(structlog.get_logger())
    return stream.getvalue()


@forms
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_value_is_one_line_of_what_can_be_printed(form: Format, text: str) -> None:
    for log in (
        lambda logger: logger.info("mailbox renamed", mailbox=text),
        lambda logger: logger.info(text),
        lambda logger: logger.info("reload failed", problems=(text, [text])),
        lambda logger: logger.bind(account=text).info("bound"),
    ):
        line = written(form, log)
        assert line.endswith("\n")
        assert line[:-1].isprintable()


@given(st.sampled_from(FORMS), st.text(st.characters()))
def test_no_value_breaks_its_line(form: Format, text: str) -> None:
    line = written(form, lambda logger: logger.warning("reports fail", mailbox=text, error=text))
    assert line[:-1].isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_json_stays_one_object_with_the_fields_that_were_given(text: str) -> None:
    line = written("json", lambda logger: logger.info("mailbox renamed", mailbox=text, number=7))
    record = json.loads(line)
    assert record.keys() == {"event", "level", "timestamp", "mailbox", "number"}
    assert (record["event"], record["level"], record["number"]) == ("mailbox renamed", "info", 7)


@pytest.mark.parametrize("text", HOSTILE)
def test_logfmt_stays_as_many_fields_as_were_given(text: str) -> None:
    line = written("logfmt", lambda logger: logger.info("renamed", mailbox=text, number=7))
    fields = [field.split("=", 1) for field in shlex.split(line)]
    assert [name for name, *_ in fields] == ["timestamp", "level", "event", "mailbox", "number"]
    assert dict(fields)["event"] == "renamed"


@forms
@pytest.mark.parametrize("name", ["Поддержка", "日本語", "emoji 🦊", "plain"])
def test_what_can_be_printed_is_left_as_it_is(form: Format, name: str) -> None:
    assert name in written(form, lambda logger: logger.info("renamed", mailbox=name))


def fail(logger: Any) -> None:
    try:
        raise ValueError("bad\nforged\r\x1b[31m")
    except ValueError:
        logger.exception("a report failed", job="j")


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_a_traceback_is_within_its_line(form: Format) -> None:
    text = written(form, fail)
    assert text[:-1].isprintable()
    assert "ValueError: bad" in text


def test_on_a_console_the_lines_of_a_traceback_are_set_off() -> None:
    first, *rest = written("console", fail).splitlines()
    assert "a report failed" in first
    assert rest
    assert [line for line in rest[1:] if not line.startswith("    ")] == []
    assert all(line.isprintable() for line in rest)
    assert any("ValueError: bad" in line for line in rest)


@pytest.mark.parametrize(
    ("stream", "is_json"), [(io.StringIO, True), (Terminal, False)], ids=["pipe", "terminal"]
)
def test_auto_is_console_on_a_terminal_and_json_elsewhere(
    stream: type[io.StringIO], is_json: bool
) -> None:
    output = stream()
    logs.configure("info", "auto", output)
    structlog.get_logger().info("hello")
    assert output.getvalue().startswith("{") is is_json


def test_only_a_terminal_gets_colours() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for output in (terminal, pipe):
        logs.configure("info", "console", output)
        structlog.get_logger().error("hello")
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()


def test_without_a_stream_it_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger().info("hello")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "hello"
    assert captured.out == ""


@forms
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_a_level_lets_through_itself_and_what_is_graver(
    form: Format, level: Level, expected: list[str]
) -> None:
    def log(logger: Any) -> None:
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)(f"at-{name}")

    assert re.findall(r"at-(\w+)", written(form, log, level)) == expected


def test_a_reload_applies_to_existing_loggers() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("error", "json", first)
    logger = structlog.get_logger()
    logger.info("unheard")
    logs.configure("info", "logfmt", second)
    logger.info("heard")
    assert first.getvalue() == ""
    assert "event=heard" in second.getvalue()


def _account_log(_path: Path) -> Callable[[], object]:
    log = AccountLog("acme")
    return lambda: log.mailboxes(None, [])


def _not_found_log(_path: Path) -> Callable[[], object]:
    log = NotFoundLog(account="acme")
    return lambda: log.now(["no tag is called vip"])


def _oddities(_path: Path) -> Callable[[], object]:
    odd = Oddities("acme")
    return lambda: odd("a tag has no name")


def _state_file(path: Path) -> Callable[[], object]:
    state = StateFile(path / "s.db", codec)
    state.remember_account("acme", [], Learned())
    (path / "s.db").unlink()
    return state.close


@pytest.mark.parametrize("of", [_account_log, _not_found_log, _oddities, _state_file])
def test_a_reload_applies_to_the_lines_of_accounts_and_of_the_state_file(
    of: Callable[[Path], Callable[[], object]], tmp_path: Path
) -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("error", "json", first)
    say = of(tmp_path)
    logs.configure("info", "logfmt", second)
    say()
    assert first.getvalue() == ""
    assert " event=" in second.getvalue()


class Full(io.StringIO):
    """As a file on a full disk, or a pipe that nobody reads any more."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@forms
@pytest.mark.parametrize("is_closed", [False, True])
def test_a_line_that_cannot_be_written_costs_nothing_but_the_line(
    form: Format, is_closed: bool
) -> None:
    stream = io.StringIO() if is_closed else Full()
    logs.configure("info", form, stream)
    if is_closed:
        stream.close()
    structlog.get_logger().warning("reports fail")
    fail(structlog.get_logger())


def test_times_are_utc() -> None:
    record = json.loads(written("json", lambda logger: logger.info("now")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", record["timestamp"])


def test_logfmt_has_the_same_first_fields_in_every_line() -> None:
    line = written("logfmt", lambda logger: logger.info("now", account="a", up=True, flag=False))
    names = [field.split("=")[0] for field in shlex.split(line)]
    assert names == ["timestamp", "level", "event", "account", "up", "flag"]
    assert line.rstrip().endswith("event=now account=a up=true flag=false")


def test_threads_that_log_on_either_side_of_a_reload_leave_each_line_whole() -> None:
    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written = super().write(text)
            if text == "one":
                thread.start()
                thread.join(0.2)
            return written

    def logger() -> Any:
        return structlog.get_config()["logger_factory"]()

    stream = Stream()
    logs.configure("info", "json", stream)
    before = logger()
    logs.configure("info", "json", stream)
    during = logger()
    del before
    thread = threading.Thread(target=logger().info, args=("two",), daemon=True)
    during.info("one")
    thread.join(10)
    assert stream.getvalue() == "one\ntwo\n"
