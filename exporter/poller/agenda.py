"""What an account is asked, kept true to its configuration, its mailboxes and its tags.

When one of them changes, `follow` makes the questions again; schedule, store, own metrics and log
learn of it here.
"""

from collections.abc import Iterable
from typing import Final

from exporter.collectors import lists_tags, questions_of, scope, segments_of
from exporter.health import Missing
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.missing import mailbox_patterns
from exporter.poller.account_log import AccountLog
from exporter.poller.names import Names
from exporter.poller.turns import Turns
from exporter.questions import Key, Mailbox
from exporter.schedule import list_pages
from exporter.settings import Configuration
from exporter.store import Store
from exporter.telemetry import Telemetry

MIN_LIFETIME_SECONDS: Final = 600.0


class Agenda:
    """One account's. Times are monotonic seconds."""

    def __init__(
        self,
        account: Account,
        settings: Configuration,
        names: Names,
        turns: Turns,
        budget: Budget,
        store: Store,
        telemetry: Telemetry,
        log: AccountLog,
    ) -> None:
        self._names, self._turns, self._budget = names, turns, budget
        self._store, self._telemetry, self._log = store, telemetry, log
        self.segments: tuple[tuple[str, bool], ...] = ()
        """Whether each segment's tags and folders are known."""
        self._unmatched: list[Missing] = []
        """The globs and ids that match none of this account's mailboxes."""
        self._pages = 1
        """How many calls the lists of mailboxes and tags take together."""
        self.configure(account, settings)

    def configure(self, account: Account, settings: Configuration) -> None:
        """Go by these settings from the next `follow` on."""
        self._account, self._settings = account, settings
        self._asked_segments = segments_of(account, settings)
        self.lists_tags = lists_tags(account, settings)
        """Whether the account's tags must be listed: no report names them."""

    def follow(self, mailboxes: Iterable[Mailbox], now: float) -> None:
        """Ask what is wanted of an account with these mailboxes from now on."""
        name, settings, listed = self._account.name, self._settings, list(mailboxes)
        tags = self._names.known.tags
        within = scope(self._account, settings, listed, tags)
        self._pages = list_pages(len(listed), len(tags) if self.lists_tags else None)
        self._turns.keep(questions_of(within), now, self._ages(now))
        # The reports first: one of a mailbox that is gone would be shown under its id.
        self._store.schedule(name, self._turns.questions)
        self._store.set_mailboxes(name, settings.mailboxes.chosen(listed))
        whole = settings.shard.total == 1  # another shard may have what this one lacks
        self._unmatched = list(mailbox_patterns(settings.named_mailboxes, listed)) if whole else []
        self._log.keep(self._turns.questions)
        self.fit(now, always=True)

    def resume(self, before: Turns, now: float) -> None:
        """Go on from what was asked before: the store has its answers; what is refused is asked."""
        self._turns.refusals = before.refusals
        self._turns.forget_refusals()
        self._turns.keep(before.questions.values(), now, self._ages(now))

    def _ages(self, now: float) -> dict[Key, float]:
        """Return for how many seconds what is known of each key has been."""
        return {
            key: now - entry.fresh_since
            for key, entry in self._store.snapshot().entries.items()
            if key.account == self._account.name and entry.reading is not None
        }

    def fit(self, now: float, *, always: bool = False) -> None:
        """Stretch the intervals to fit the budget as it is now."""
        name, schedule = self._account.name, self._turns.schedule
        before, budget = schedule.stretch.windows, self._budget.planned_per_minute
        if not schedule.fit(budget, self._pages) and not always:
            return
        outlook = schedule.outlook(now, now)
        self._log.stretched(before, outlook.stretch, budget)
        self._telemetry.set_plan(
            name,
            outlook.stretch,
            [(o.group.collector, o.group.window, o.reports, o.interval) for o in outlook.groups],
        )
        after = self._settings.stale_after
        lifetimes = {
            key: max(MIN_LIFETIME_SECONDS, after * interval)
            for key, interval in schedule.intervals().items()
        }
        self._store.set_lifetimes(name, lifetimes)

    def look_for_missing(self, mailboxes: list[Mailbox]) -> None:
        """Say what the configuration names and the account does not have, once that is certain."""
        segments, names, settings = self._asked_segments, self._names, self._settings
        all_asked = self._turns.first_round_done and not self.lists_tags
        found = list(names.missing_tags(segments, all_asked=all_asked))
        if settings.needs_folders:
            chosen = settings.mailboxes.chosen(mailboxes)
            found += names.missing_folders(segments, chosen, self._turns.refused_segments)
        missing = {each.segment for each in found}
        postponed = {s.name for s in segments if s.tag_ids(names.known.tags) is None}
        self.segments = tuple((s.name, s.name not in missing | postponed) for s in segments)
        self._store.set_missing(self._account.name, found, self._unmatched)
        self._log.not_found.now([str(each) for each in found])
