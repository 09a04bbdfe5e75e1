"""A kind of question that the house has never heard of: one class and one registration.

Everything else takes it as it is: it is polled, paid, kept over a restart, exported, planned,
backfilled and expired like the kinds that are built in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from exporter.backfill import backfill, task
from exporter.collectors import COLLECTORS, Meaning, Sample, Scope
from exporter.core import Exporter
from exporter.exposition import TEXT, Exposition
from exporter.helpscout.account import Api
from exporter.helpscout.errors import Refused
from exporter.planning import plan, table
from exporter.questions import ALL, Get, Key, Question, Reading
from exporter.settings import Configuration, load
from exporter.telemetry import Family
from tests.contract.conftest import UNHURRIED, Serve, a_round, scraped
from tests.contract.scripted import Asked, Reply, Service, as_json
from tests.readings import renderer
from tests.unit.poller_world import World

LEVEL = Family(
    "helpscout_mood_level",
    "gauge",
    "How the team feels, by day of the week",
    ("account", "mailbox", "mailbox_id", "window", "day"),
)
LINE = (
    'helpscout_mood_level{{account="acme",day="{0}",mailbox="{1}",mailbox_id="{2}",window="{3}"}}'
)
PAGES = 2


@dataclass(frozen=True)
class Mood:
    """What is read of an answer."""

    levels: tuple[float, ...]


class Moods:
    """Asks for a level a day, in two calls for each mailbox: about now, or about a week."""

    name = "mood"
    operation = "mood"
    needs_reports = False
    families = (LEVEL,)
    value_type = Mood

    def __init__(self, range_: timedelta | None = None) -> None:
        self.range = range_

    def questions(self, scope: Scope) -> Iterator[Question]:
        for mailbox_id, _ in scope.mailboxes:
            if mailbox_id != ALL:
                window = "7d" if self.range else ""
                key = Key(self.name, scope.account, mailbox_id, window=window)
                yield Question(key, timedelta(minutes=5), self.range, calls=PAGES)

    def ask(self, question: Question, api: Api, at: datetime, get: Get) -> Reading:
        path, levels = f"/moods/{question.key.mailbox_id}.json", []
        for page in range(1, PAGES + 1):
            query = {"page": str(page), "at": f"{at:%Y-%m-%d}"}
            levels.append(float(json.loads(get(path, query))["level"]))
        return Reading(Mood(tuple(levels)), at)

    def samples(
        self, key: Key, reading: Reading, mailbox: str, meaning: Meaning
    ) -> Iterator[Sample]:
        for day, level in enumerate(reading.value.levels):
            yield Sample(LEVEL, (("day", str(day)),), level)

    def specimen(self, question: Question) -> Mood:
        return Mood((1.5,) * PAGES)


@pytest.fixture
def service(serve: Serve) -> Service:
    """Two mailboxes, reports, and moods: the number of the mailbox, a half more on each page."""

    def script(asked: Asked) -> Reply:
        url = urlsplit(asked.target)
        query = parse_qs(url.query)
        if url.path == "/v1/mailboxes.json":
            boxes = [{"id": n, "name": f"box {n}", "slug": "s", "email": "e"} for n in (1, 2)]
            return as_json({"page": 1, "pages": 1, "items": boxes})
        if url.path.startswith("/v1/moods/"):
            mailbox = int(Path(url.path).stem)
            return as_json({"level": mailbox + 0.5 * (int(query["page"][0]) - 1)})
        return as_json({"current": {"closed": 1}})

    return serve(script)


def configured(service: Service, **more: str) -> Configuration:
    environ = {
        "HELPSCOUT_ACCOUNTS__0__NAME": "acme",
        "HELPSCOUT_API_KEY": "a-key",
        "HELPSCOUT_BASE_URL": f"{service.url}/v1",
        **UNHURRIED,
        "HELPSCOUT_WINDOWS": "[7d]",
        "HELPSCOUT_TYPES": "[all]",
        "HELPSCOUT_MAILBOXES": "{all: false}",
        "HELPSCOUT_FOLDERS": "{enabled: false}",
    }
    return load(None, environ | more)


def moods_asked(service: Service) -> int:
    return sum("/moods/" in asked.target for asked in service.asked)


def days_asked(service: Service) -> set[str]:
    """Return the days that moods were asked for."""
    return {
        parse_qs(urlsplit(asked.target).query)["at"][0]
        for asked in service.asked
        if "/moods/" in asked.target
    }


def test_it_is_polled_paid_by_the_call_and_exported(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods())
    exporter = Exporter(configured(service))
    text = a_round(exporter)
    for mailbox in (1, 2):
        for day in range(PAGES):
            line = LINE.format(day, f"box {mailbox}", mailbox, "")
            assert f"{line} {mailbox + 0.5 * day}\n" in text
        labels = (
            f'account="acme",collector="mood",mailbox="box {mailbox}",mailbox_id="{mailbox}"'
            ',office_hours="",segment="",type="",window=""'
        )
        assert f"helpscout_report_success{{{labels}}} 1.0\n" in text
    assert f"# HELP {LEVEL.name} {LEVEL.help}\n# TYPE {LEVEL.name} gauge\n" in text
    assert 'helpscout_collector_up{account="acme",collector="mood"} 1.0\n' in text
    calls = 'helpscout_exporter_api_requests_total{account="acme",code="200",operation="mood"}'
    assert f"{calls} {2 * PAGES}.0\n" in text
    reports = 'helpscout_exporter_reports{account="acme",collector="mood",window=""}'
    assert f"{reports} 2.0\n" in text
    assert moods_asked(service) == 2 * PAGES
    _, usage = exporter.poller.progress()["acme"]
    assert usage.used == len(service.asked) == 1 + 2 + 2 * PAGES


def test_it_survives_a_restart(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods())
    configuration = configured(service, HELPSCOUT_STATE_FILE=str(tmp_path / "state.db"))
    a_round(Exporter(configuration))
    service.close()
    second = Exporter(configuration)
    text = scraped(second)
    second.stop()
    assert f"{LINE.format(1, 'box 2', 2, '')} 2.5\n" in text


def test_it_is_in_the_plan_by_its_calls_and_series(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods())
    configuration = configured(service, HELPSCOUT_ACCOUNTS__0__REQUESTS_PER_MINUTE="200")
    planned = plan(configuration, configuration.accounts[0], 10)
    (cost,) = [cost for cost in planned.costs if cost.collector == "mood"]
    assert (cost.reports, cost.per_minute) == (10, 10 * PAGES / 5)
    assert cost.series == 10 * (PAGES + 2)
    (row,) = [line for line in table(planned).splitlines() if line.startswith("mood")]
    assert row.split() == ["mood", "10", "4.0", "2.0%", "5m", "-", "40"]


def test_it_has_a_past_if_it_is_about_a_range(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods(timedelta(days=7)))
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    output = tmp_path / "past.om"
    said: list[str] = []
    wanted = task(start, end, timedelta(days=1), [], 1.0, output, dry_run=False)
    backfill(configured(service), wanted, said.append)
    lines = output.read_text().splitlines()
    points = [line for line in lines if line.startswith(LINE.format(1, "box 2", 2, "7d"))]
    assert [line.rpartition("}")[2] for line in points] == [
        f" 2.5 {int((start + timedelta(days=day)).timestamp())}" for day in range(3)
    ]
    assert moods_asked(service) == 3 * 2 * PAGES
    assert said[0].startswith("account acme: 12 reports;")


@pytest.mark.parametrize(
    ("range_", "asked"), [(timedelta(days=7), "2026-03-04"), (None, "2026-03-05")]
)
def test_what_is_about_a_range_is_asked_as_it_was_a_delay_ago_and_what_is_about_now_is_not(
    range_: timedelta | None, asked: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods(range_))
    now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    exporter = Exporter(configured(service, HELPSCOUT_END_DELAY="1d"), now=lambda: now)
    before = time.time()
    a_round(exporter)
    assert days_asked(service) == {asked}
    entries = [e for k, e in exporter.store.snapshot().entries.items() if k.collector == "mood"]
    assert {f"{entry.reading.as_of:%F}" for entry in entries if entry.reading} == {asked}
    assert all((entry.succeeded_at or 0) >= before for entry in entries)


def test_its_past_is_asked_with_the_same_delay_and_has_the_same_timestamps(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods(timedelta(days=7)))
    at = datetime(2026, 3, 5, tzinfo=UTC)
    output = tmp_path / "past.om"
    wanted = task(at, at, timedelta(days=1), [], 1.0, output, dry_run=False)
    backfill(configured(service, HELPSCOUT_END_DELAY="1d"), wanted, lambda _: None)
    assert days_asked(service) == {"2026-03-04"}
    assert f"{LINE.format(1, 'box 2', 2, '7d')} 2.5 {int(at.timestamp())}\n" in output.read_text()


def test_it_has_no_past_if_it_is_about_now(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods())
    at = datetime(2026, 3, 1, tzinfo=UTC)
    output = tmp_path / "past.om"
    said: list[str] = []
    wanted = task(at, at, timedelta(days=1), [], 1.0, output, dry_run=False)
    backfill(configured(service), wanted, said.append)
    assert LEVEL.name not in output.read_text()
    assert moods_asked(service) == 0
    assert "mood asks about now and has no past: skipped" in said


def test_what_is_too_old_is_no_longer_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COLLECTORS, "mood", Moods())
    world = World()
    exposition = Exposition(world.store, world.telemetry, renderer())
    world.discover()
    at = datetime(2026, 3, 1, tzinfo=UTC)
    while (job := world.job()) is not None and job.question is not None:
        if job.question.key.collector == "mood":
            world.poller.answered(job, Reading(Mood((3.0,)), at))
        else:
            world.poller.failed(job, Refused("not that"))
    found = []
    for seconds in (0, 899, 2):
        world.now += seconds
        exposition.assemble()
        found.append(LEVEL.name.encode() in b"".join(exposition.body(TEXT, gzipped=False).made()))
    assert found == [True, True, False]
