"""Asks an account for one step after the other, the newest first, within its budget.

A step that fails is left for the end and asked again there, and so is a key that the service
refuses: its history may end, see `history`, or the key may be refused altogether. Neither is
believed of one answer. An account that fails as a whole is waited for, and given up when it stays
away. A key whose reports a defect of this program fails is left after a few of them.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Final

import structlog

from exporter.backfill.answers import Answers
from exporter.backfill.grid import Grid, moment, newest_first, written
from exporter.backfill.history import Histories, History
from exporter.backfill.series import SeriesTable
from exporter.collectors import ask
from exporter.helpscout.account import Account
from exporter.helpscout.attempts import attempt, backoff_seconds
from exporter.helpscout.budget import Stopping
from exporter.helpscout.client import Client
from exporter.helpscout.errors import Defect, HelpScoutError, Refused
from exporter.questions import Key, Question, Reading

PATIENCE_SECONDS: Final = 600.0
_PAUSES_BEFORE_RETRIES: Final = (0.5, 2.0, 8.0)
_ISOLATED: Final = 5
_DEFECTS: Final = 3
"""After so many in a row the older reports of that key are not asked for: waiting mends none."""
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """A report that ends at `at`, Unix seconds."""

    question: Question
    at: int


class Asker:
    """One account's threads. `stopping` ends them; what is in flight is still kept."""

    def __init__(
        self,
        account: Account,
        client: Client,
        questions: Iterable[Question],
        grids: dict[tuple[str, str], Grid],
        series: SeriesTable,
        answers: Answers,
        stopping: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self.account, self._client = account, client
        self._grids, self._series, self._answers = grids, series, answers
        self._stopping, self._clock = stopping, clock
        self._wait = wait or stopping.wait
        self._log: Any = structlog.get_logger(account=account.name)
        self._questions = {question.key: question for question in questions}
        self._of_group: dict[tuple[str, str], list[Question]] = {group: [] for group in grids}
        for key, question in self._questions.items():
            self._of_group[key.group].append(question)
        ends = answers.ends()
        self._histories = Histories(
            (key, History(grids[key.group], answers.first(key, -1), ends.get(key)))
            for key in self._questions
        )
        self._lock = threading.Lock()
        self._defects = defaultdict[Key, list[int]](list)
        self._in_a_row, self._good_at, self._again = 0, clock(), False
        self._put_off = self._handed_out = False
        self.passed = self.answered = 0
        """Steps that were reached in this run, and those that were answered."""
        self.failures: dict[Step, HelpScoutError] = {}
        self.given_up: HelpScoutError | None = None
        """Why the account was given up, if it was."""
        self.broken: Exception | None = None
        """What went wrong on our side."""
        # Not the thread's own join: Ctrl-C in it makes Python take the thread for ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"asker-{account.name}", daemon=True)

    @property
    def total(self) -> int:
        """The number of steps."""
        return sum(len(self._grids[group]) * len(each) for group, each in self._of_group.items())

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; return whether it was reached."""
        return self._ended.wait(seconds)

    def _run(self) -> None:
        try:
            self._ask_everything()
        finally:
            self._ended.set()

    @property
    def holes(self) -> dict[Step, HelpScoutError]:
        """The steps that failed, without those of `unjudged`, `left_alone` and `defective`."""
        covers, defective = self._histories.covers, self.defective
        return {
            step: error
            for step, error in self.failures.items()
            if not covers(step.question.key, step.at)
            and not (isinstance(error, Defect) and step.question.key in defective)
        }

    @property
    def unjudged(self) -> dict[Key, tuple[Step, HelpScoutError]]:
        """The keys that were refused at a step and at all that is older, and no end was found."""
        return {
            key: (Step(self._questions[key], candidate), self._histories[key].refused[candidate])
            for key, candidate in self._histories.candidates().items()
            if self._histories[key].end is None
        }

    @property
    def defective(self) -> dict[Key, int]:
        """The keys whose reports a defect fails, each with the newest one since an answer."""
        return {key: max(ends) for key, ends in self._defects.items() if len(ends) >= _DEFECTS}

    @property
    def left_alone(self) -> dict[Key, int]:
        """The plain keys that are refused, with how many other keys are not asked because of it."""
        return Counter(key.plain for key in self._questions if self._histories.is_left_alone(key))

    def is_shut(self, key: Key) -> bool:
        """Return whether not a single report of the key was ever answered."""
        return self._histories[key].oldest is None

    def _ask_everything(self) -> None:
        self._walk(first=True)
        pauses = iter(_PAUSES_BEFORE_RETRIES)
        while (failed := _may_pass(self.failures)) or self._pending():
            pause = next(pauses, None)
            if self._over or pause is None or self._wait(pause):
                break
            if failed:
                self._log.info("asking again what failed", reports=len(failed))
            self._again = True
            self._judge_ends()
            self._ask_all(iter(_may_pass(self.holes)))
            self._again = False
            if self._put_off and self._walk():
                pauses = iter(_PAUSES_BEFORE_RETRIES)
        for key, history in self._histories.items():
            if history.end is not None and not history.confirmed:
                self._log.warning(
                    "the end of a history that an earlier run found could not be confirmed",
                    report=describe(key),
                    end=written(history.end),
                )

    def _pending(self) -> list[tuple[Key, int]]:
        """Return the keys of which it is not known whether their history ends, and where."""
        candidates = self._histories.candidates().items()
        return [(key, at) for key, at in candidates if not self._histories[key].confirmed]

    @property
    def _over(self) -> bool:
        return self._stopping.is_set() or bool(self.given_up or self.broken)

    def _walk(self, *, first: bool = False) -> bool:
        """Ask everything that need not wait; return whether there was anything to ask.

        Again, if some of it waited only for a moment: answers under way may have changed that.
        """
        anything = False
        while True:
            self._put_off, self._handed_out = False, False
            self._ask_all(self._steps(first=first))
            anything |= self._handed_out
            if not (self._put_off and self._handed_out) or self._over:
                return anything
            first = False

    def _steps(self, *, first: bool) -> Iterator[Step]:
        """Yield what has not been asked and need not wait."""
        histories, defects = self._histories, self._defects
        for at, group in newest_first(self._grids):
            for question in self._of_group[group]:
                self.passed += first
                if len(defects[question.key]) >= _DEFECTS:
                    continue
                step = Step(question, at)
                if step in self.failures or self._answers.has(question.key, at):
                    continue
                if histories.waits(question.key, at) or histories.is_left_alone(question.key):
                    self._put_off = True
                    continue
                self._handed_out = True
                yield step

    def _judge_ends(self) -> None:
        """Ask again where histories seem to end, and then a newer step and one beyond the range."""
        outcomes: dict[Step, HelpScoutError | None] = {}

        def probe(step: Step) -> None:
            outcomes[step] = self._ask(step)

        pending = [(key, Step(self._questions[key], at)) for key, at in self._pending()]
        self._ask_all(iter([candidate for _, candidate in pending]), probe)
        others = {
            candidate: [
                Step(self._questions[key], at) for at in (newer, self._histories[key].beyond)
            ]
            for key, candidate in pending
            if _refused(outcomes.get(candidate))
            and (newer := self._answers.first(key, candidate.at)) is not None
        }
        self._ask_all(chain.from_iterable(others.values()), probe)
        for candidate, (newer_step, beyond) in others.items():
            newer_answered = newer_step in outcomes and outcomes[newer_step] is None
            if newer_answered and _refused(outcomes.get(beyond)):
                self._end(candidate, outcomes[candidate])

    def _end(self, candidate: Step, error: HelpScoutError | None) -> None:
        key, at = candidate.question.key, candidate.at
        self._histories[key].ends(at)
        for step in [s for s in self.failures if s.question.key == key and s.at <= at]:
            self.failures.pop(step)
        if self._answers.keep_end(key, at):
            self._log.warning(
                "history ends here: the service refuses this range and what is older",
                report=describe(key),
                end=written(at),
                error=str(error),
            )

    def _ask_all(self, steps: Iterator[Step], do: Callable[[Step], object] | None = None) -> None:
        threads = [
            threading.Thread(target=self._work, args=(steps, do or self._ask), daemon=True)
            for _ in range(self.account.concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, steps: Iterator[Step], do: Callable[[Step], object]) -> None:
        try:
            while (step := self._next(steps)) is not None:
                do(step)
        except Stopping:
            pass
        except Exception as error:  # kept for the main thread, which says or raises it
            self.broken = error

    def _next(self, steps: Iterator[Step]) -> Step | None:
        if (failures := self._in_a_row - _ISOLATED + 1) > 0:
            self._wait(backoff_seconds(1.0, failures, _LONGEST_PAUSE_SECONDS))
        with self._lock:
            return None if self._over else next(steps, None)

    def _ask(self, step: Step) -> HelpScoutError | None:
        """Ask for a step and keep the answer; return the error, if any."""
        key = step.question.key
        in_range = step.at >= self._grids[key.group].first
        asked_once = partial(answer, self._client, self._series, step.question, step.at)
        outcome = attempt(asked_once, step)
        if isinstance(outcome, HelpScoutError):
            locked_out = outcome.locks_out and self._locks_out()
            with self._lock:
                if locked_out:
                    self.given_up = outcome
                if in_range:
                    self._failed(step, outcome)
            return outcome
        if in_range:
            _, figures = outcome
            self._answers.keep(key, step.at, figures)
        with self._lock:
            if self._histories[key].was_answered(step.at):
                self._answers.forget_end(key)
            self.answered += in_range
            self.failures.pop(step, None)
            self._defects[key].clear()
            self._in_a_row, self._good_at = 0, self._clock()
        return None

    def _locks_out(self) -> bool:
        """Return whether the mailbox list is refused, too: a 401 may be one report's."""
        listed = attempt(self._client.mailboxes, "mailbox list")
        return isinstance(listed, HelpScoutError) and listed.locks_out

    def _failed(self, step: Step, error: HelpScoutError) -> None:
        history = self._histories[step.question.key]
        if history.end is None or step.at > history.end:
            self.failures[step] = error
        if isinstance(error, Defect):  # it says nothing of the account
            self._defects[step.question.key].append(step.at)
            return
        if _refused(error):
            self._in_a_row = 0
            history.refused[step.at] = error
            return
        self._in_a_row += not self._again  # what failed before says nothing of the account
        silent = self._clock() - self._good_at
        if self._in_a_row >= _ISOLATED and silent >= PATIENCE_SECONDS:
            self.given_up = error
        elif self._in_a_row == _ISOLATED:
            self._log.warning("the account fails, waiting for it", error=str(error))


def answer(
    client: Client, series: SeriesTable, question: Question, at: int
) -> tuple[Reading, bytes]:
    """Ask as of `at`, in Unix seconds; return the reading, and its figures as `Answers` keeps them.

    Raises HelpScoutError.
    """
    reading: Reading = ask(client, question, moment(at))
    return reading, series.figures(question, reading)


def _may_pass(failures: Mapping[Step, HelpScoutError]) -> list[Step]:
    """Return the steps that failed, without those that a defect failed."""
    return [step for step, error in failures.items() if not isinstance(error, Defect)]


def _refused(error: HelpScoutError | None) -> bool:
    """Return whether the service answered that it does not answer this question."""
    if isinstance(error, Refused):
        return error.status == 400
    return error is not None and error.refusal


def describe(key: Key) -> str:
    """Return a key in words."""
    named = {
        "account": key.account,
        "collector": key.collector,
        "mailbox": key.mailbox_id,
        "type": key.type,
        "window": key.window,
        "office_hours": key.office_hours,
        "segment": key.segment,
    }
    return ", ".join(f"{name} {value}" for name, value in named.items() if value)
