"""The latest report of every key and the state of every account. Hands out immutable snapshots.

Knows nothing of Prometheus and asks nobody. What is too old is dropped here, by the monotonic
clock, so that a wall clock set to and fro neither loses nor keeps a figure.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from exporter.health import AccountStatus, Failure, Missing, Trouble
from exporter.reports import ALL, Mailbox, ProductivityReport, ReportKey

_SKEW_SECONDS: Final = 300.0
_NOTHING: Final[tuple[tuple[Missing, ...], frozenset[Missing]]] = ((), frozenset())


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known under one key.

    `mailbox` is the mailbox's present name. `report` is None before the first success and once it
    is too old. `succeeded_at` is Unix seconds of the last success, None before it; `fresh_since`
    the same instant on the monotonic clock. `success` tells of the last attempt, None before it.
    """

    mailbox: str
    report: ProductivityReport | None = None
    succeeded_at: float | None = None
    fresh_since: float = 0.0
    success: bool | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state. Two snapshots with the same revision are equal.

    An entry that did not change is the same object in the next snapshot.
    """

    revision: int
    entries: Mapping[ReportKey, Entry]
    mailboxes: tuple[tuple[str, Mailbox], ...]
    accounts: Mapping[str, AccountStatus]


@dataclass(frozen=True, slots=True)
class Troubles:
    """What fails at present. Apart from the snapshot: a failure that goes on changes no series.

    `accounts` has those whose login or mailbox list fails. `since` says for how long (Unix seconds)
    an account has not worked, or has had any problem; it has no entry where all is well.
    """

    reports: Mapping[ReportKey, Trouble]
    accounts: Mapping[str, Trouble]
    since: Mapping[str, float]
    missing: Mapping[str, tuple[Missing, ...]]
    """What is configured and not found, by account; under "" what no account has."""


class Store:
    """Thread-safe. `clock` is monotonic seconds, `wall` Unix seconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._entries: dict[ReportKey, Entry] = {}
        self._mailboxes: dict[str, tuple[Mailbox, ...]] = {}
        self._names: dict[tuple[str, str], str] = {}
        """A mailbox's name by account and id, as they are in a key."""
        self._accounts: dict[str, AccountStatus] = {}
        self._lifetimes: dict[tuple[str, str], float] = {}
        self._report_troubles: dict[ReportKey, Trouble] = {}
        self._login_troubles: dict[str, Trouble] = {}
        self._ill_since: dict[str, float] = {}
        self._missing: dict[str, tuple[tuple[Missing, ...], frozenset[Missing]]] = {}
        self._snapshot = Snapshot(0, MappingProxyType({}), (), MappingProxyType({}))
        self._changed = False
        self._look_at = float("-inf")
        """When something may have become too old; until then nobody has to look."""
        self.changed = threading.Event()
        """Set whenever there is something new; whoever waits for it clears it."""

    def set_accounts(self, names: Iterable[str]) -> None:
        """Keep exactly these accounts; what belongs to others is dropped."""
        with self._lock:
            wanted = list(names)
            self._accounts = {n: self._accounts.get(n, AccountStatus()) for n in wanted}
            self._mailboxes = {n: m for n, m in self._mailboxes.items() if n in wanted}
            self._index_names()
            self._entries = {k: e for k, e in self._entries.items() if k.account in wanted}
            self._report_troubles = {
                k: t for k, t in self._report_troubles.items() if k.account in wanted
            }
            self._login_troubles = {n: t for n, t in self._login_troubles.items() if n in wanted}
            self._missing = {n: m for n, m in self._missing.items() if n in wanted}
            self._lifetimes = {k: s for k, s in self._lifetimes.items() if k[0] in wanted}
            now = self._wall()
            self._ill_since = {
                n: self._ill_since.get(n, now) for n, s in self._accounts.items() if _is_ill(s)
            }
            self._touch()

    def set_status(self, account: str, status: AccountStatus) -> None:
        """Note how an account is."""
        with self._lock:
            if account in self._accounts and self._accounts[account] != status:
                self._accounts[account] = status
                if _is_ill(status):
                    self._ill_since.setdefault(account, self._wall())
                else:
                    self._ill_since.pop(account, None)
                self._touch()

    def set_mailboxes(self, account: str, mailboxes: Iterable[Mailbox]) -> None:
        """Note the mailboxes that are reported on; a renamed one takes its series along.

        An account that is not kept any more is ignored, as in `schedule`: its last answers may come
        after it was taken out of the configuration.
        """
        with self._lock:
            listed = tuple(mailboxes)
            if account not in self._accounts or self._mailboxes.get(account) == listed:
                return
            self._mailboxes[account] = listed
            self._index_names()
            for key, entry in self._entries.items():
                name = self._name(key)
                if key.account == account and entry.mailbox != name:
                    self._entries[key] = replace(entry, mailbox=name)
            self._touch()

    def set_lifetime(self, account: str, window: str, seconds: float) -> None:
        """Say how long a report of this window stays good without being refreshed."""
        with self._lock:
            self._look_at = float("-inf")
            self._lifetimes[account, window] = seconds

    def schedule(self, account: str, keys: Collection[ReportKey]) -> None:
        """Keep an entry for exactly these keys of the account."""
        with self._lock:
            if account not in self._accounts:
                return
            wanted = set(keys)
            gone = [k for k in self._entries if k.account == account and k not in wanted]
            for key in gone:
                del self._entries[key]
                self._report_troubles.pop(key, None)
            new = [key for key in keys if key not in self._entries]
            for key in new:
                self._entries[key] = Entry(self._name(key))
            if gone or new:
                self._touch()

    def succeeded(self, key: ReportKey, report: ProductivityReport) -> float:
        """Keep `report` as the latest and return the Unix time of its success, which is now.

        A key that is no longer scheduled is ignored.
        """
        at = self._wall()
        with self._lock:
            self._report_troubles.pop(key, None)
            if key in self._entries:
                mailbox = self._entries[key].mailbox
                self._keep(key, Entry(mailbox, report, at, self._clock(), True))
        return at

    def restore(self, key: ReportKey, report: ProductivityReport, at: float) -> None:
        """Take in a report of an earlier process, got at Unix time `at`, unless it is too old.

        One from the future is not believed: the clock was set back since.
        """
        age = self._wall() - at
        with self._lock:
            entry = self._entries.get(key)
            lifetime = self._lifetimes.get((key.account, key.window), 0.0)
            if entry is None or entry.report is not None or not -_SKEW_SECONDS <= age <= lifetime:
                return
            fresh_since = self._clock() - max(age, 0.0)
            self._keep(key, Entry(entry.mailbox, report, at, fresh_since, True))

    def failed(self, key: ReportKey, failure: Failure) -> None:
        """Note that the last attempt, retries included, brought nothing; the report stays."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return
            self._report_troubles[key] = self._trouble(self._report_troubles.get(key), failure)
            if entry.success is not False:
                self._entries[key] = replace(entry, success=False)
                self._touch()

    def set_login(self, account: str, failure: Failure | None) -> None:
        """Note how an account's login and mailbox list went: None, or what came instead."""
        with self._lock:
            if failure is None:
                self._login_troubles.pop(account, None)
            elif account in self._accounts:
                before = self._login_troubles.get(account)
                self._login_troubles[account] = self._trouble(before, failure)

    def set_missing(
        self, account: str, found: Collection[Missing], patterns: Collection[Missing]
    ) -> None:
        """Note what of the configuration an account lacks: of its own, and of all accounts'."""
        with self._lock:
            self._missing[account] = (tuple(found), frozenset(patterns))

    def missing(self) -> dict[str, tuple[Missing, ...]]:
        """Return what is configured and not found, as `Troubles` has it."""
        with self._lock:
            return self._all_missing()

    def _all_missing(self) -> dict[str, tuple[Missing, ...]]:
        found = {a: m for a in self._accounts if (m := self._missing.get(a, _NOTHING)[0])}
        if all(account in self._missing for account in self._accounts) and self._accounts:
            nowhere = frozenset.intersection(*(self._missing[a][1] for a in self._accounts))
            if nowhere:
                found[""] = tuple(sorted(nowhere, key=str))
        return found

    def troubles(self) -> Troubles:
        """Return what fails at present: one trouble a report and account at most."""
        with self._lock:
            return Troubles(
                MappingProxyType(dict(self._report_troubles)),
                MappingProxyType(dict(self._login_troubles)),
                MappingProxyType(dict(self._ill_since)),
                MappingProxyType(self._all_missing()),
            )

    def snapshot(self) -> Snapshot:
        """Return the present state, without what is too old by now."""
        with self._lock:
            self._expire()
            if self._changed:
                self._changed = False
                self._snapshot = Snapshot(
                    self._snapshot.revision + 1,
                    MappingProxyType(dict(self._entries)),
                    tuple((a, m) for a, boxes in self._mailboxes.items() for m in boxes),
                    MappingProxyType(dict(self._accounts)),
                )
            return self._snapshot

    def mailbox_name(self, key: ReportKey) -> str:
        """Return the present name of a key's mailbox, its id where none is known."""
        with self._lock:
            return self._name(key)

    def _name(self, key: ReportKey) -> str:
        if key.mailbox_id == ALL:
            return ALL
        return self._names.get((key.account, key.mailbox_id), key.mailbox_id)

    def _index_names(self) -> None:
        self._names = {
            (account, str(mailbox.id)): mailbox.name
            for account, mailboxes in self._mailboxes.items()
            for mailbox in mailboxes
        }

    def _trouble(self, before: Trouble | None, failure: Failure) -> Trouble:
        now = self._wall()
        return Trouble(failure, before.since if before else now, now)

    def _expire(self) -> None:
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = float("inf")
        for key, entry in self._entries.items():
            lifetime = self._lifetimes.get((key.account, key.window))
            if entry.report is None or lifetime is None:
                continue
            if now - entry.fresh_since > lifetime:
                self._entries[key] = replace(entry, report=None)
                self._changed = True
            else:
                self._look_at = min(self._look_at, entry.fresh_since + lifetime)

    def _keep(self, key: ReportKey, entry: Entry) -> None:
        self._entries[key] = entry
        lifetime = self._lifetimes.get((key.account, key.window), float("inf"))
        self._look_at = min(self._look_at, entry.fresh_since + lifetime)
        self._touch()

    def _touch(self) -> None:
        self._changed = True
        self.changed.set()


def _is_ill(status: AccountStatus) -> bool:
    return not status.up or bool(status.problems)
