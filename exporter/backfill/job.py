"""A backfill from beginning to end: list, estimate, ask, write."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog

from exporter.backfill.answers import Answers
from exporter.backfill.asker import Asker, answer, describe
from exporter.backfill.errors import BackfillError
from exporter.backfill.estimate import Share, Size
from exporter.backfill.grid import Grid, moment, written
from exporter.backfill.progress import Progressed, shown
from exporter.backfill.series import SeriesTable, samples
from exporter.backfill.task import Task
from exporter.backfill.writer import exposition, write
from exporter.collectors import questions_of, scope, segments_of
from exporter.exposition import Renderer
from exporter.exposition.render import accounts as about_accounts
from exporter.helpscout.account import Account
from exporter.helpscout.attempts import attempt, persistently
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import Defect, HelpScoutError
from exporter.questions import ALL, Key, Mailbox, Question
from exporter.selection import Segment
from exporter.settings import Configuration
from exporter.telemetry import Family, Telemetry

_LOOK_SECONDS: Final = 0.2
_IN_FLIGHT_SECONDS: Final = 10.0
_TAG_QUESTIONS: Final = 10
_TAG_ANSWERS: Final = 3


@dataclass(frozen=True, slots=True)
class _Part:
    """One account: how to ask it, what it has, and what is asked of it."""

    account: Account
    client: Client
    budget: Budget
    mailboxes: list[Mailbox]
    questions: list[Question]


def backfill(
    configuration: Configuration,
    task: Task,
    say: Callable[[str], None],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], bool] | None = None,
) -> None:
    """Fill the past as `task` wants it; `say` is called with what it costs, before it begins.

    `pause` waits before something is tried again. Raises BackfillError, also where the file was
    written but reports are missing.
    """
    stopping = threading.Event()
    try:
        with _answers(configuration, task, now()) as answers:
            _Job(configuration, task, say, answers, stopping, pause).run()
    except KeyboardInterrupt:
        raise BackfillError(
            f"interrupted; what was answered is in {task.answers}: the same command goes on there",
            exit_code=130,
        ) from None
    finally:
        stopping.set()


@contextmanager
def _answers(configuration: Configuration, task: Task, now: datetime) -> Iterator[Answers]:
    if task.start > now:
        raise BackfillError("--from is in the future", exit_code=2)
    end = min(task.end, now)
    task.grids(configuration, end)
    path = None if task.dry_run and not task.answers.exists() else task.answers
    answers = Answers(path, task.fingerprint(configuration), int(end.timestamp()))
    try:
        yield answers
    finally:
        answers.close()


class _Job:
    def __init__(
        self,
        configuration: Configuration,
        task: Task,
        say: Callable[[str], None],
        answers: Answers,
        stopping: threading.Event,
        pause: Callable[[float], bool] | None,
    ) -> None:
        self._configuration, self._task, self._say = configuration, task, say
        self._answers, self._stopping = answers, stopping
        self._wait = pause or stopping.wait
        self._log: Any = structlog.get_logger()
        self._names: dict[tuple[str, str], str] = {}
        self._unknown: list[str] = []
        """What is configured and cannot be asked, in words."""
        self._without_past: dict[str, None] = {}
        """The collectors that ask about now."""
        self._grids = task.grids(configuration, moment(answers.end))
        self._finest: Grid = min(self._grids.values(), key=lambda grid: grid.step)
        self._renderer = Renderer(configuration)
        self._series = SeriesTable(self._renderer, self._mailbox, task.labels)

    def run(self) -> None:
        shard = self._configuration.shard
        parts = [self._part(a) for a in self._configuration.accounts if shard.may_own(a.name)]
        try:
            self._announce(parts)
            if self._unknown and not any(part.questions for part in parts):
                raise BackfillError("; ".join(self._unknown))
            if self._task.dry_run:
                return
            askers = [self._asker(part) for part in parts]
            self._ask(askers)
            self._write(parts)
            self._account_for_failures(parts, askers)
        finally:
            for part in parts:
                part.client.close()

    def _part(self, account: Account) -> _Part:
        configuration, telemetry = self._configuration, Telemetry(process_metrics=False)
        share = self._task.budget * configuration.shard.budget_share
        known = self._answers.mailboxes(account.identity)
        limit = known[1] if known else account.requests_per_minute
        budget = Budget(account.name, limit, share, telemetry, wait=self._stopping.wait)
        client = Client(account, budget, telemetry)
        if known is not None:
            mailboxes = known[0]
        else:
            with _of_account(account):
                mailboxes = persistently(account.name, client.mailboxes, self._wait)
        tags = self._answers.tags(account.identity) or {}
        if not self._questions(account, mailboxes, tags):
            return self._without_reports(account, client, budget, mailboxes)
        if known is None:
            self._answers.keep_mailboxes(account.identity, mailboxes, budget.usage().limit)
        self._names |= {(account.name, str(each.id)): each.name for each in mailboxes}
        if self._task.dry_run:  # for the estimate every tag's name counts as known
            tags = {
                name: 0 for s in configuration.segments for name in s.tags if isinstance(name, str)
            }
        elif _unknown(segments_of(account, configuration), tags):
            tags = self._ask_tags(account, client, mailboxes, tags)
        questions = self._questions(account, mailboxes, tags)
        for question in questions:
            figures = len(list(self._series.series(question)))
            self._answers.forget_malformed(question.key, figures)
        return _Part(account, client, budget, mailboxes, questions)

    def _questions(
        self, account: Account, mailboxes: list[Mailbox], tags: Mapping[str, int]
    ) -> list[Question]:
        """Return what is asked of the past; a question about now has none."""
        asked = questions_of(scope(account, self._configuration, mailboxes, tags))
        self._without_past |= {q.key.collector: None for q in asked if q.range is None}
        return [question for question in asked if question.range is not None]

    def _without_reports(
        self, account: Account, client: Client, budget: Budget, mailboxes: list[Mailbox]
    ) -> _Part:
        """Nothing is kept of a list that may be wrong. A shard may own no mailbox of an account."""
        if not self._configuration.mailboxes.chosen(mailboxes):
            self._unknown.append(
                f"account {account.name}: none of its {len(mailboxes)} mailboxes is selected"
            )
        return _Part(account, client, budget, mailboxes, [])

    def _ask_tags(
        self,
        account: Account,
        client: Client,
        mailboxes: list[Mailbox],
        known: Mapping[str, int],
    ) -> dict[str, int]:
        """Look tags up in the newest step of a few reports, which are then kept, too.

        One answer may lack them: what is not said is not gone.
        """
        configuration, tags = self._configuration, dict(known)
        asked = self._questions(account, mailboxes, {})
        one_a_mailbox = {question.key.mailbox_id: question for question in reversed(asked)}
        failure: HelpScoutError | None = None
        answers = 0
        for question in list(reversed(one_a_mailbox.values()))[:_TAG_QUESTIONS]:
            at = self._grids[question.key.group].last
            asked_once = partial(answer, client, self._series, question, at)
            outcome = attempt(partial(persistently, account.name, asked_once, self._wait), question)
            if isinstance(outcome, HelpScoutError):
                failure = outcome
                continue
            reading, figures = outcome
            self._answers.keep(question.key, at, figures)
            tags |= reading.learned.tags
            answers += 1
            if answers == _TAG_ANSWERS or not _unknown(configuration.segments, tags):
                break
        if failure is not None and not answers:
            raise BackfillError(f"{account.name}: {failure}")
        self._answers.keep_tags(account.identity, tags)
        for segment, names in _unknown(configuration.segments, tags).items():
            self._unknown.append(
                f"account {account.name}, segment {segment}: not asked, for no report names"
                f" the tag {', '.join(names)}"
            )
        return tags

    def _asker(self, part: _Part) -> Asker:
        return Asker(
            part.account,
            part.client,
            part.questions,
            self._grids,
            self._series,
            self._answers,
            self._stopping,
            wait=self._wait,
        )

    def _mailbox(self, key: Key) -> str:
        return ALL if key.mailbox_id == ALL else self._names[key.account, key.mailbox_id]

    def _announce(self, parts: list[_Part]) -> None:
        if self._answers.end < int(self._task.end.timestamp()):
            self._say(f"--to is in the future: cut off at {written(self._answers.end)}")
        size, ends = Size(), self._answers.ends()
        for part in parts:
            reports = missing = calls = 0
            for question in part.questions:
                key, grid = question.key, self._grids[question.key.group]
                reports += len(grid)
                of_it = self._missing(key, ends)
                missing, calls = missing + of_it, calls + of_it * question.calls
                size = size.plus(
                    (len(s.text) + s.typical for s in self._series.series(question)), len(grid)
                )
            limit, planned = part.budget.usage().limit, part.budget.planned_per_minute
            budget = self._task.budget * self._configuration.shard.budget_share
            self._say(
                str(Share(part.account.name, reports, missing, calls, limit, budget, planned))
            )
        for _, lines in self._constant(parts):
            lengths = (len(self._series.labelled(t)) + len(value) for t, value in samples(lines))
            size = size.plus(lengths, len(self._finest))
        self._say(str(size))
        for collector in self._without_past:
            self._say(f"{collector} asks about now and has no past: skipped")

    def _missing(self, key: Key, ends: Mapping[Key, int]) -> int:
        """Return how many reports of a key there should be and are not."""
        grid = self._grids[key.group]
        begin = max(grid.first, ends[key] + grid.step) if key in ends else grid.first
        wanted = len(Grid(begin, grid.last, grid.step))
        return wanted - self._answers.count(key, begin - 1)

    def _constant(self, parts: list[_Part]) -> Iterator[tuple[Family, bytes]]:
        chosen = self._configuration.mailboxes.chosen
        yield from self._renderer.configured()
        listed = [(part.account.name, box) for part in parts for box in chosen(part.mailboxes)]
        yield from about_accounts(listed, {})

    def _ask(self, askers: list[Asker]) -> None:
        started, total = time.monotonic(), sum(asker.total for asker in askers)

        def progressed() -> Progressed:
            return Progressed(
                total,
                sum(asker.passed for asker in askers),
                sum(asker.answered for asker in askers),
                sum(len(asker.failures) for asker in askers),
                time.monotonic() - started,
            )

        for asker in askers:
            asker.start()
        try:
            with shown(total, self._configuration.log) as show:
                while not all(asker.join(_LOOK_SECONDS) for asker in askers):
                    show(progressed())
                    if any(asker.broken for asker in askers):
                        self._stopping.set()
                show(progressed())
        finally:
            self._stopping.set()
            until = time.monotonic() + _IN_FLIGHT_SECONDS
            for asker in askers:
                asker.join(max(0.0, until - time.monotonic()))
        for asker in askers:
            if asker.broken is not None:
                raise asker.broken

    def _write(self, parts: list[_Part]) -> None:
        questions = [question for part in parts for question in part.questions]
        constant = self._constant(parts)
        lines = exposition(questions, self._series, self._answers, constant, self._finest)
        with closing(lines):  # before the file that they are read from
            size = write(self._task.output, lines)
        self._log.info("written", file=str(self._task.output), bytes=size)

    def _account_for_failures(self, parts: list[_Part], askers: list[Asker]) -> None:
        """List what is missing. Raises BackfillError if anything is."""
        for words in self._unknown:
            self._say(f"failed: {words}")
        for asker in askers:
            unjudged = asker.unjudged
            for key, (step, failure) in unjudged.items():
                which = (
                    "every report" if asker.is_shut(key) else f"end {written(step.at)} and older"
                )
                self._say(f"failed: {describe(key)}, {which}: {failure}")
            for step, failure in sorted(asker.holes.items(), key=lambda item: -item[0].at):
                self._say(
                    f"failed: {describe(step.question.key)}, end {written(step.at)}: {failure}"
                )
            for key, at in asker.defective.items():
                self._say(f"failed: {describe(key)}, end {written(at)} and older: {Defect()}")
            for key, count in asker.left_alone.items():
                self._say(
                    f"failed: {describe(key)}, its types, segments and office_hours ({count}): not"
                    " asked, for this one is refused"
                )
            if asker.given_up is not None:
                self._say(f"account {asker.account.name} was given up: {asker.given_up}")
        ends = self._answers.ends()
        keys = [question.key for part in parts for question in part.questions]
        missing = sum(self._missing(key, ends) for key in keys)
        if missing:
            raise BackfillError(
                f"{missing} reports are missing in {self._task.output}: the same command asks for"
                " them again"
            )
        if self._unknown:
            raise BackfillError(f"not all that is configured is in {self._task.output}, see above")


def _unknown(segments: Iterable[Segment], tags: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the names of tags that are not known, by segment."""
    return {
        segment.name: [tag for tag in segment.tags if isinstance(tag, str) and tag not in tags]
        for segment in segments
        if segment.tag_ids(tags) is None
    }


@contextmanager
def _of_account(account: Account) -> Iterator[None]:
    try:
        yield
    except HelpScoutError as error:
        raise BackfillError(f"{account.name}: {error}") from None
