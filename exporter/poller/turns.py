"""Which question of an account comes next: by schedule, as a retry, or not for a while.

What fails in passing is asked again soon, and what is refused is left alone
(docs/health.md#what-is-refused-is-left-alone). Nothing waits here: times are monotonic seconds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from exporter.collectors import COLLECTORS
from exporter.health import Refusals
from exporter.helpscout.attempts import pause_before_retry
from exporter.helpscout.errors import HelpScoutError
from exporter.questions import Key, Question
from exporter.schedule import Schedule

_PAUSE_SECONDS: Final = 900.0
"""How long a question that is refused is left alone, at least."""


class Turns:
    """One account's questions. `jitter` gives numbers from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.schedule = Schedule()
        self.refusals: dict[str, Refusals] = {}
        """By collector."""
        self.questions: dict[Key, Question] = {}
        self._failures: dict[Key, int] = {}
        """How many attempts failed, of what is asked again soon."""
        self._jitter = jitter

    def keep(self, questions: Iterable[Question], now: float, ages: Mapping[Key, float]) -> None:
        """Ask exactly these from now on; `ages` as `Schedule.set` has them."""
        self.questions = {question.key: question for question in questions}
        self.schedule.set(self.questions.values(), now, ages)
        self._failures = {k: n for k, n in self._failures.items() if k in self.questions}
        keys: dict[str, list[Key]] = {}
        for key in self.questions:
            keys.setdefault(key.collector, []).append(key)
        before = self.refusals
        self.refusals = {
            kind: before.get(kind) or Refusals(needs_reports=COLLECTORS[kind].needs_reports)
            for kind in keys
        }
        for kind, of_it in keys.items():
            self.refusals[kind].keep(of_it)

    @property
    def first_round_done(self) -> bool:
        """Whether every question has been asked, with its retries."""
        return not self._failures and self.schedule.first_round_done

    @property
    def refused_segments(self) -> set[str]:
        """The segments of which every report that was asked is refused by itself."""
        return set[str]().union(*(each.refused_segments() for each in self.refusals.values()))

    def next_due(self, now: float) -> float:
        """Return when the next question is to be asked; what is left alone loses its turn."""
        while (due := self.schedule.next_due()) <= now:
            key = self.schedule.peek(now)
            if key is None or not self._rests(key, now):
                break
            self.schedule.take(now)
            self.schedule.done(key, now)
        return due

    def take(self, now: float) -> Question | None:
        """Return the question whose turn it is; it counts as being asked."""
        question = self.schedule.take(now)
        if question is not None and (refusals := self._of(question.key)).collector_rests:
            refusals.trial_at = now + _PAUSE_SECONDS
        return question

    def take_all(self, now: float) -> Iterator[Question]:
        """Yield all that is due; each counts as being asked."""
        while (question := self.schedule.take(now)) is not None:
            yield question

    def forget_refusals(self) -> None:
        """Leave nothing alone until it is refused again."""
        for refusals in self.refusals.values():
            refusals.forget()

    def restored(self, key: Key) -> None:
        """A reading of an earlier process was taken in."""
        self._of(key).note(key, None)

    def answered(self, key: Key, calls: int, asked_at: float, now: float) -> None:
        """Put the key back to its place; what was left alone with it is asked again."""
        self._failures.pop(key, None)
        self.schedule.took(key, calls)
        self.schedule.done(key, asked_at)
        refusals = self._of(key)
        all_rested = refusals.collector_rests
        rested = refusals.mailbox_rests(key.mailbox_id)
        refusals.note(key, None)
        if rested:
            again = [
                other
                for other in self.questions
                if other.collector == key.collector
                and (all_rested or other.mailbox_id == key.mailbox_id)
                and other != key
            ]
            self.schedule.hurry(again, now)

    def retried(self, question: Question, error: HelpScoutError, now: float) -> bool:
        """Note that an attempt failed; return whether the same is asked again soon.

        It is not where that would be later than its next turn.
        """
        key = question.key
        if error.evidence != "neutral":
            self._of(key).note(key, error.reason)
        failures = self._failures.get(key, 0) + 1
        interval, jitter = self.schedule.interval(question), self._jitter()
        pause = pause_before_retry(error, failures, interval, jitter=jitter, patient=False)
        if pause is None:
            return False
        self._failures[key] = failures
        self.schedule.again(key, now + pause)
        return True

    def give_up(
        self, question: Question, error: HelpScoutError, asked_at: float, now: float
    ) -> float:
        """Ask at its next turn, or after a pause if it was refused; return in how many seconds."""
        key = question.key
        self._failures.pop(key, None)
        interval = self.schedule.interval(question)
        if not error.refusal:
            self.schedule.done(key, asked_at)
            return interval
        pause = max(interval, _PAUSE_SECONDS)
        self.schedule.pause(key, now + pause)
        return pause

    def _of(self, key: Key) -> Refusals:
        return self.refusals[key.collector]

    def _rests(self, key: Key, now: float) -> bool:
        refusals = self._of(key)
        plain = refusals.is_plain(key)
        if refusals.collector_rests:
            return not plain or now < refusals.trial_at
        return not plain and refusals.mailbox_rests(key.mailbox_id)
