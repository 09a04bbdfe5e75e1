"""The latest reading of every key and the state of every account. Hands out immutable snapshots.

Knows nothing of Prometheus and asks nobody. What is too old is dropped here, by the monotonic
clock, so that a wall clock set to and fro neither loses nor keeps a figure.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from exporter.health import AccountStatus, Failure, Missing, Trouble
from exporter.questions import Key, Mailbox, Reading

_SKEW_SECONDS: Final = 300.0
_TURN_SECONDS: Final = 0.5
"""How long a reader waits for the end of a change, which may hang on a disk or a full pipe."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known under one key.

    `mailbox` is the mailbox's present name. `reading` is None before the first success and once it
    is too old. `succeeded_at` is Unix seconds of the last success, None before it; `fresh_since`
    the same instant on the monotonic clock. `success` says how the last attempt ended, None before
    it.
    """

    mailbox: str
    reading: Reading | None = None
    succeeded_at: float | None = None
    fresh_since: float = 0.0
    success: bool | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state. Two snapshots with the same revision are equal.

    An entry that did not change is the same object in the next snapshot.
    """

    revision: int
    entries: Mapping[Key, Entry]
    mailboxes: tuple[tuple[str, Mailbox], ...]
    accounts: Mapping[str, AccountStatus]


@dataclass(frozen=True, slots=True)
class Troubles:
    """What fails at present. Apart from the snapshot: a failure that goes on changes no series.

    `accounts` has those whose login or mailbox list fails. `since` says for how long (Unix seconds)
    an account has not worked, or has had any problem; it has no entry where all is well.
    """

    reports: Mapping[Key, Trouble]
    accounts: Mapping[str, Trouble]
    since: Mapping[str, float]
    missing: Mapping[str, tuple[Missing, ...]]
    """What is configured and not found, by account; under "" what no account has."""


@dataclass(slots=True)
class _Account:
    """All that is kept of one account; it goes with it."""

    status: AccountStatus = field(default_factory=AccountStatus)
    ill_since: float | None = None
    mailboxes: tuple[Mailbox, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    """The mailboxes' names by their ids as they are in a key."""
    entries: dict[Key, Entry] = field(default_factory=dict)
    lifetimes: Mapping[Key, float] = field(default_factory=dict)
    """For how many seconds a reading stays good without being refreshed."""
    troubles: dict[Key, Trouble] = field(default_factory=dict)
    login_trouble: Trouble | None = None
    missing: tuple[Missing, ...] = ()
    unmatched: frozenset[Missing] | None = None
    """What of all accounts' configuration this one lacks, None until that is known."""

    def name(self, key: Key) -> str:
        """Return the present name of a key's mailbox, its id where none is known."""
        return self.names.get(key.mailbox_id, key.mailbox_id)

    def expires_at(self, key: Key, entry: Entry) -> float:
        """Return when an entry's reading becomes too old, on the monotonic clock."""
        return entry.fresh_since + self.lifetimes.get(key, float("inf"))


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
        self.at_once = threading.RLock()
        """What is noted while it is held belongs together: a reader sees all of it, or nothing."""
        self._accounts: dict[str, _Account] = {}
        self._snapshot = Snapshot(0, MappingProxyType({}), (), MappingProxyType({}))
        self._changed = False
        self._look_at = float("-inf")
        """When something may have become too old."""
        self.changed = threading.Event()
        """Set whenever there is something new; the thread that waits for it clears it."""

    def set_accounts(self, names: Iterable[str]) -> None:
        """Keep exactly these accounts; what belongs to others is dropped."""
        with self._lock:
            now = self._wall()
            self._accounts = {n: self._accounts.get(n) or _Account(ill_since=now) for n in names}
            self._touch()

    def forget(self, account: str) -> None:
        """Drop all that is known of an account: the name is another login's from now on."""
        with self._lock:
            if account in self._accounts:
                self._accounts[account] = _Account(ill_since=self._wall())
                self._touch()

    def set_status(self, account: str, status: AccountStatus) -> None:
        """Note how an account is."""
        with self._lock:
            of_it = self._accounts.get(account)
            if of_it is not None and of_it.status != status:
                of_it.status = status
                if status.up and not status.problems:
                    of_it.ill_since = None
                elif of_it.ill_since is None:
                    of_it.ill_since = self._wall()
                self._touch()

    def set_mailboxes(self, account: str, mailboxes: Iterable[Mailbox]) -> None:
        """Note the mailboxes that are reported on; a renamed one takes its series along.

        An account that is not kept any more is ignored, here and below: its last answers may arrive
        after it was taken out of the configuration.
        """
        listed = tuple(mailboxes)
        with self._lock:
            of_it = self._accounts.get(account)
            if of_it is None or of_it.mailboxes == listed:
                return
            of_it.mailboxes = listed
            of_it.names = {str(mailbox.id): mailbox.name for mailbox in listed}
            for key, entry in of_it.entries.items():
                if entry.mailbox != (name := of_it.name(key)):
                    of_it.entries[key] = replace(entry, mailbox=name)
            self._touch()

    def set_lifetimes(self, account: str, lifetimes: Mapping[Key, float]) -> None:
        """Say for how many seconds each key's reading stays good without being refreshed."""
        with self._lock:
            if of_it := self._accounts.get(account):
                of_it.lifetimes = lifetimes
                self._look_at = float("-inf")

    def schedule(self, account: str, keys: Collection[Key]) -> None:
        """Keep an entry for exactly these keys of the account."""
        with self._lock:
            of_it = self._accounts.get(account)
            if of_it is None or of_it.entries.keys() == set(keys):
                return
            of_it.entries = {
                key: of_it.entries.get(key) or Entry(of_it.name(key)) for key in sorted(keys)
            }
            of_it.troubles = {k: t for k, t in of_it.troubles.items() if k in of_it.entries}
            self._touch()

    def succeeded(self, key: Key, reading: Reading) -> float:
        """Keep `reading` as the latest and return the Unix time of its success, which is now.

        A key that is no longer scheduled is ignored.
        """
        at = self._wall()
        with self._lock:
            of_it = self._accounts.get(key.account)
            if of_it is not None and key in of_it.entries:
                of_it.troubles.pop(key, None)
                self._keep(of_it, key, Entry(of_it.name(key), reading, at, self._clock(), True))
        return at

    def restore(self, key: Key, reading: Reading, at: float) -> bool:
        """Take in a reading of an earlier process, got at Unix time `at`, unless it is too old.

        One from the future is not believed: the clock was set back since. Returns whether it was
        taken in.
        """
        age = self._wall() - at
        with self._lock:
            of_it = self._accounts.get(key.account)
            entry = of_it.entries.get(key) if of_it else None
            if of_it is None or entry is None or entry.reading is not None:
                return False
            if not -_SKEW_SECONDS <= age <= of_it.lifetimes.get(key, 0.0):
                return False
            fresh_since = self._clock() - max(age, 0.0)
            self._keep(of_it, key, Entry(entry.mailbox, reading, at, fresh_since, True))
            return True

    def failed(self, key: Key, failure: Failure) -> None:
        """Note that the last attempt, retries included, brought nothing; the reading stays."""
        with self._lock:
            of_it = self._accounts.get(key.account)
            entry = of_it.entries.get(key) if of_it else None
            if of_it is None or entry is None:
                return
            of_it.troubles[key] = self._trouble(of_it.troubles.get(key), failure)
            if entry.success is not False:
                of_it.entries[key] = replace(entry, success=False)
                self._touch()

    def set_login(self, account: str, failure: Failure | None) -> None:
        """Note how an account's login and mailbox list went: None, or the error."""
        with self._lock:
            if of_it := self._accounts.get(account):
                before = of_it.login_trouble
                of_it.login_trouble = self._trouble(before, failure) if failure else None

    def set_missing(
        self, account: str, found: Collection[Missing], unmatched: Collection[Missing]
    ) -> None:
        """Note what of the configuration an account lacks: of its own, and of all accounts'."""
        with self._lock:
            if of_it := self._accounts.get(account):
                of_it.missing, of_it.unmatched = tuple(found), frozenset(unmatched)

    def missing(self) -> dict[str, tuple[Missing, ...]]:
        """Return what is configured and not found, as `Troubles` has it."""
        with self._lock:
            return self._missing()

    def _missing(self) -> dict[str, tuple[Missing, ...]]:
        found = {name: of_it.missing for name, of_it in self._accounts.items() if of_it.missing}
        unmatched = [of_it.unmatched for of_it in self._accounts.values()]
        known = [each for each in unmatched if each is not None]
        if known and len(known) == len(unmatched) and (nowhere := frozenset.intersection(*known)):
            found[""] = tuple(sorted(nowhere, key=str))
        return found

    def troubles(self) -> Troubles:
        """Return what fails at present: one trouble a report and account at most."""
        with self._lock:
            accounts = self._accounts
            return Troubles(
                MappingProxyType({k: t for a in accounts.values() for k, t in a.troubles.items()}),
                MappingProxyType(
                    {n: a.login_trouble for n, a in accounts.items() if a.login_trouble}
                ),
                MappingProxyType(
                    {n: a.ill_since for n, a in accounts.items() if a.ill_since is not None}
                ),
                MappingProxyType(self._missing()),
            )

    def snapshot(self) -> Snapshot:
        """Return the present state, without what is too old by now."""
        with self._whole(), self._lock:
            self._expire()
            if self._changed:
                self._changed = False
                accounts = self._accounts
                self._snapshot = Snapshot(
                    self._snapshot.revision + 1,
                    MappingProxyType(
                        {k: e for a in accounts.values() for k, e in a.entries.items()}
                    ),
                    tuple((name, m) for name, a in accounts.items() for m in a.mailboxes),
                    MappingProxyType({name: a.status for name, a in accounts.items()}),
                )
            return self._snapshot

    def mailbox_name(self, key: Key) -> str:
        """Return the present name of a key's mailbox, its id where none is known."""
        with self._lock:
            return self._accounts.get(key.account, _Account()).name(key)

    def picture(self) -> tuple[Snapshot, Troubles]:
        """Return the present state and what fails, of one instant."""
        with self._whole():
            return self.snapshot(), self.troubles()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Between two changes, unless one does not end."""
        is_whole = self.at_once.acquire(timeout=_TURN_SECONDS)
        try:
            yield
        finally:
            if is_whole:
                self.at_once.release()

    def _trouble(self, before: Trouble | None, failure: Failure) -> Trouble:
        now = self._wall()
        return Trouble(failure, before.since if before else now, now)

    def _expire(self) -> None:
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = float("inf")
        for of_it in self._accounts.values():
            for key, entry in of_it.entries.items():
                if entry.reading is None:
                    continue
                if now > (end := of_it.expires_at(key, entry)):
                    of_it.entries[key] = replace(entry, reading=None)
                    self._changed = True
                else:
                    self._look_at = min(self._look_at, end)

    def _keep(self, of_it: _Account, key: Key, entry: Entry) -> None:
        of_it.entries[key] = entry
        self._look_at = min(self._look_at, of_it.expires_at(key, entry))
        self._touch()

    def _touch(self) -> None:
        self._changed = True
        self.changed.set()
