"""A backfill from beginning to end: list, reckon, ask, write."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog

from exporter.backfill.asker import Asker, describe
from exporter.backfill.errors import BackfillError
from exporter.backfill.estimate import Share, Size
from exporter.backfill.grid import Grid, moment, written
from exporter.backfill.journal import Journal
from exporter.backfill.progress import Standing, shown
from exporter.backfill.series import Book, samples
from exporter.backfill.task import Task
from exporter.backfill.writer import exposition, write
from exporter.exposition import Renderer
from exporter.exposition.render import accounts as about_accounts
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import HelpScoutError
from exporter.helpscout.persistence import persistently
from exporter.reports import ALL, Mailbox, ReportKey, ReportRequest
from exporter.selection import Selection, requests_for
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
    requests: list[ReportRequest]


def backfill(
    configuration: Configuration,
    task: Task,
    say: Callable[[str], None],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], bool] | None = None,
) -> None:
    """Fill the past as `task` wants it; `say` is told what it costs, before it begins.

    `pause` waits before something is tried again. Raises BackfillError, also where the file was
    written but reports are missing.
    """
    stopping = threading.Event()
    try:
        with _journal(configuration, task, now()) as journal:
            _Job(configuration, task, say, journal, stopping, pause).run()
    except KeyboardInterrupt:
        raise BackfillError(
            f"interrupted; what was answered is in {task.journal}: the same command goes on there",
            exit_code=130,
        ) from None
    finally:
        stopping.set()


@contextmanager
def _journal(configuration: Configuration, task: Task, now: datetime) -> Iterator[Journal]:
    if task.start > now:
        raise BackfillError("--from lies in the future", exit_code=2)
    end = min(task.end, now)
    task.grids(configuration.selection.windows, end)
    path = None if task.dry_run and not task.journal.exists() else task.journal
    journal = Journal(path, task.fingerprint(configuration), int(end.timestamp()))
    try:
        yield journal
    finally:
        journal.close()


class _Job:
    def __init__(
        self,
        configuration: Configuration,
        task: Task,
        say: Callable[[str], None],
        journal: Journal,
        stopping: threading.Event,
        pause: Callable[[float], bool] | None,
    ) -> None:
        self._configuration, self._task, self._say = configuration, task, say
        self._journal, self._stopping = journal, stopping
        self._wait = pause or stopping.wait
        self._log: Any = structlog.get_logger()
        self._names: dict[tuple[str, str], str] = {}
        self._unknown: list[str] = []
        """What is configured and cannot be asked, in words."""
        selection = configuration.selection
        self._grids = task.grids(selection.windows, moment(journal.end))
        self._finest: Grid = min(self._grids.values(), key=lambda grid: grid.step)
        self._renderer = Renderer(configuration.objectives, selection.windows)
        self._book = Book(self._renderer, self._mailbox, task.labels, compare=selection.compare)

    def run(self) -> None:
        shard = self._configuration.selection.shard
        parts = [self._part(a) for a in self._configuration.accounts if shard.may_own(a.name)]
        try:
            self._announce(parts)
            if self._unknown and not any(part.requests for part in parts):
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
        selection, telemetry = self._configuration.selection, Telemetry(process_metrics=False)
        share = self._task.budget * selection.shard.budget_share
        known = self._journal.mailboxes(account.identity)
        limit = known[1] if known else account.requests_per_minute
        budget = Budget(account.name, limit, share, telemetry, wait=self._stopping.wait)
        client = Client(account, budget, telemetry)
        if known is not None:
            mailboxes = known[0]
        else:
            with _of_account(account):
                mailboxes = persistently(account.name, client.mailboxes, self._wait)
        tags = self._journal.tags(account.identity) or {}
        if not requests_for(account.name, selection, mailboxes, tags):
            return self._without_reports(account, client, budget, mailboxes)
        if known is None:
            self._journal.keep_mailboxes(account.identity, mailboxes, budget.usage().limit)
        self._names |= {(account.name, str(each.id)): each.name for each in mailboxes}
        if self._task.dry_run:  # for the reckoning every name of a tag is taken for a known one
            tags = {name: 0 for s in selection.segments for name in s.tags if isinstance(name, str)}
        elif _unknown(selection, tags):
            tags = self._ask_tags(account, client, mailboxes, tags)
        requests = requests_for(account.name, selection, mailboxes, tags)
        for request in requests:
            self._journal.forget_malformed(request.key, len(list(self._book.series(request.key))))
        return _Part(account, client, budget, mailboxes, requests)

    def _without_reports(
        self, account: Account, client: Client, budget: Budget, mailboxes: list[Mailbox]
    ) -> _Part:
        """Nothing is kept of a list that may be wrong. A shard may own no mailbox of an account."""
        if not self._configuration.selection.mailboxes.chosen(mailboxes):
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
        selection, tags = self._configuration.selection, dict(known)
        asked = requests_for(account.name, selection, mailboxes, {})
        one_a_mailbox = {request.key.mailbox_id: request for request in reversed(asked)}
        failure: HelpScoutError | None = None
        answers = 0
        for request in list(reversed(one_a_mailbox.values()))[:_TAG_QUESTIONS]:
            at = self._grids[request.key.window].last
            ask = partial(client.report, request, request.window.ending(moment(at)), tags=True)
            try:
                answer = persistently(account.name, ask, self._wait)
            except HelpScoutError as error:
                failure = error
                continue
            self._journal.keep(request.key, at, self._book.figures(request.key, answer.report))
            tags |= answer.tags or {}
            answers += 1
            if answers == _TAG_ANSWERS or not _unknown(selection, tags):
                break
        if failure is not None and not answers:
            raise BackfillError(f"{account.name}: {failure}")
        self._journal.keep_tags(account.identity, tags)
        for segment, names in _unknown(selection, tags).items():
            self._unknown.append(
                f"account {account.name}, segment {segment}: not asked, for no report names"
                f" the tag {', '.join(names)}"
            )
        return tags

    def _asker(self, part: _Part) -> Asker:
        return Asker(
            part.account,
            part.client,
            part.requests,
            self._grids,
            self._book,
            self._journal,
            self._stopping,
            wait=self._wait,
        )

    def _mailbox(self, key: ReportKey) -> str:
        return ALL if key.mailbox_id == ALL else self._names[key.account, key.mailbox_id]

    def _announce(self, parts: list[_Part]) -> None:
        if self._journal.end < int(self._task.end.timestamp()):
            self._say(f"--to lies in the future: cut off at {written(self._journal.end)}")
        size, ends = Size(), self._journal.ends()
        for part in parts:
            reports = missing = 0
            for request in part.requests:
                key, grid = request.key, self._grids[request.key.window]
                reports += len(grid)
                missing += self._missing(key, ends)
                size = size.plus(
                    (len(s.text) + s.typical for s in self._book.series(key)), len(grid)
                )
            limit, planned = part.budget.usage().limit, part.budget.planned_per_minute
            budget = self._task.budget * self._configuration.selection.shard.budget_share
            self._say(str(Share(part.account.name, reports, missing, limit, budget, planned)))
        for _, lines in self._standing(parts):
            lengths = (len(self._book.labelled(t)) + len(value) for t, value in samples(lines))
            size = size.plus(lengths, len(self._finest))
        self._say(str(size))

    def _missing(self, key: ReportKey, ends: Mapping[ReportKey, int]) -> int:
        """Return how many reports of a key there should be and are not."""
        grid = self._grids[key.window]
        begin = max(grid.first, ends[key] + grid.step) if key in ends else grid.first
        wanted = len(Grid(begin, grid.last, grid.step))
        return wanted - self._journal.count(key, begin - 1)

    def _standing(self, parts: list[_Part]) -> Iterator[tuple[Family, bytes]]:
        chosen = self._configuration.selection.mailboxes.chosen
        yield from self._renderer.configured()
        listed = [(part.account.name, box) for part in parts for box in chosen(part.mailboxes)]
        yield from about_accounts(listed, {})

    def _ask(self, askers: list[Asker]) -> None:
        started, total = time.monotonic(), sum(asker.total for asker in askers)

        def standing() -> Standing:
            return Standing(
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
                    show(standing())
                    if any(asker.broken for asker in askers):
                        self._stopping.set()
                show(standing())
        finally:
            self._stopping.set()
            until = time.monotonic() + _IN_FLIGHT_SECONDS
            for asker in askers:
                asker.join(max(0.0, until - time.monotonic()))
        for asker in askers:
            if asker.broken is not None:
                raise asker.broken

    def _write(self, parts: list[_Part]) -> None:
        keys = [request.key for part in parts for request in part.requests]
        standing = self._standing(parts)
        lines = exposition(keys, self._book, self._journal, standing, self._finest)
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
                    f"failed: {describe(step.request.key)}, end {written(step.at)}: {failure}"
                )
            for key, count in asker.left_alone.items():
                self._say(
                    f"failed: {describe(key)}, its types, segments and office_hours ({count}): not"
                    " asked, for this one is refused"
                )
            if asker.given_up is not None:
                self._say(f"account {asker.account.name} was given up: {asker.given_up}")
        ends = self._journal.ends()
        keys = [request.key for part in parts for request in part.requests]
        missing = sum(self._missing(key, ends) for key in keys)
        if missing:
            raise BackfillError(
                f"{missing} reports are missing in {self._task.output}: the same command asks for"
                " them again"
            )
        if self._unknown:
            raise BackfillError(f"not all that is configured is in {self._task.output}, see above")


def _unknown(selection: Selection, tags: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the names of tags that are not known, by segment."""
    return {
        segment.name: [tag for tag in segment.tags if isinstance(tag, str) and tag not in tags]
        for segment in selection.segments
        if segment.tag_ids(tags) is None
    }


@contextmanager
def _of_account(account: Account) -> Iterator[None]:
    try:
        yield
    except HelpScoutError as error:
        raise BackfillError(f"{account.name}: {error}") from None
