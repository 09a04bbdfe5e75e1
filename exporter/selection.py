"""What is asked about: the mailboxes, types, windows and segments that are configured. Pure.

Also which part of that work is this process's own, when it is split over shards.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

from pydantic import AfterValidator, Field

from exporter.questions import ALL, Mailbox
from exporter.values import Boolean, Listed, Name, NamesOrIds, Problems, Some, Whole, one_of


def _leave_some(exclude: tuple[str | int, ...]) -> tuple[str | int, ...]:
    if "*" in exclude:
        raise ValueError('"*" excludes every mailbox, so nothing would be left')
    return exclude


@dataclass(frozen=True, slots=True)
class MailboxChoice:
    """Which mailboxes are reported on; `all` adds one report over all the chosen together."""

    include: Annotated[NamesOrIds, Some] = ("*",)
    exclude: Annotated[NamesOrIds, AfterValidator(_leave_some)] = ()
    all: Boolean = True

    def chosen(self, mailboxes: Iterable[Mailbox]) -> list[Mailbox]:
        """Return those of `mailboxes` that are included and not excluded, in their order."""
        return [
            mailbox
            for mailbox in mailboxes
            if mailbox.matches(self.include) and not mailbox.matches(self.exclude)
        ]


@dataclass(frozen=True, slots=True)
class Segment:
    """A further cut through the conversations: any of these tags and any of these folders."""

    name: Annotated[
        Name,
        Field(
            pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
            description="a name of letters, digits, _ . and -",
        ),
    ]
    tags: NamesOrIds = ()
    folders: Annotated[
        tuple[Annotated[Whole, Field(gt=0)], ...],
        Field(description="a whole number above 0"),
        Listed,
    ] = ()

    def tag_ids(self, known: Mapping[str, int]) -> tuple[int, ...] | None:
        """Return the ids of the tags, or None while a name among them is not known.

        Case does not matter where exactly one tag has the name.
        """
        ids = [tag if isinstance(tag, int) else _tag_id(tag, known) for tag in self.tags]
        return None if None in ids else tuple(i for i in ids if i is not None)


def _tag_id(name: str, known: Mapping[str, int]) -> int | None:
    if name in known:
        return known[name]
    alike = {id_ for other, id_ in known.items() if other.casefold() == name.casefold()}
    return alike.pop() if len(alike) == 1 else None


@dataclass(frozen=True, slots=True)
class Shard:
    """This process's share: `index` of `total`; `by` is `account` or `mailbox`."""

    index: Annotated[Whole, Field(ge=0, description='a whole number from 0, or "auto"')] = 0
    total: Annotated[Whole, Field(ge=1, le=1000, description="a whole number from 1 to 1000")] = 1
    by: Annotated[str, one_of("account", "mailbox")] = "account"

    def owns(self, account: str, mailbox_id: str) -> bool:
        """Return whether a mailbox's reports (or those of `all`) are asked by this shard."""
        return self.total == 1 or self.index == self._owner(
            account if self.by == "account" else f"{account}/{mailbox_id}"
        )

    def may_own(self, account: str) -> bool:
        """Return whether any report of `account` can fall to this shard."""
        return self.by == "mailbox" or self.owns(account, ALL)

    @property
    def budget_share(self) -> float:
        """The part of an account's budget that is this shard's: split accounts split it."""
        return 1 / self.total if self.by == "mailbox" else 1.0

    def _owner(self, name: str) -> int:
        # Rendezvous hashing: one more shard takes its share from all the others and moves no more.
        def weight(index: int) -> bytes:
            return blake2b(f"{index}/{name}".encode(), digest_size=8).digest()

        return max(range(self.total), key=weight)


def cuts(segment: Segment) -> Segment:
    """Return the segment. Raises ValueError where it has neither tags nor folders."""
    if not segment.tags and not segment.folders:
        raise ValueError("needs at least one of tags and folders")
    return segment


def is_one_of_all(shard: Shard) -> Shard:
    """Return the shard. Raises Problems where its index is beyond the total."""
    if shard.index >= shard.total:
        text = f"{shard.index} is not below shard.total, which is {shard.total}"
        raise Problems((("index",), text))
    return shard
