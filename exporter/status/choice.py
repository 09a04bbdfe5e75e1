"""What of all the figures is looked at: chosen by the query, with a link to everything else.

Whatever a query says is answered: a value that does not exist (any more) is as if it were not
there, for a bookmark must not break when a segment is renamed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from exporter.questions import ALL, flag
from exporter.settings import Configuration

TYPE_NAMES: Final = {ALL: "All types", "email": "Email", "chat": "Chat", "phone": "Phone"}
_MOST_LINKS: Final = 6
"""More options than that are a list to choose from, not links side by side."""
_LONGEST_QUERY: Final = 200
_MOST_PAGES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One cut through the reports, the mailbox names looked for, and the page (from 1)."""

    account: str
    type: str
    office_hours: bool
    segment: str
    q: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Option:
    """One value to choose: its query parameter's value, its name, and the link that chooses it."""

    value: str
    text: str
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Selector:
    """A question with more than one answer; `parameter` is its name in the query."""

    parameter: str
    label: str
    options: tuple[Option, ...]

    @property
    def as_links(self) -> bool:
        """Whether the options are few enough for links side by side."""
        return len(self.options) <= _MOST_LINKS

    @property
    def value(self) -> str:
        """What is chosen now."""
        return next(option.value for option in self.options if option.chosen)


class Chooser:
    """What there is to choose from, and the links between the choices."""

    def __init__(self, accounts: Iterable[str], configuration: Configuration) -> None:
        hours = {"false": "All hours", "true": "Office hours"}
        segments = ["", *(segment.name for segment in configuration.segments)]
        self._offered: dict[str, tuple[str, dict[str, str]]] = {
            "account": ("Account", {name: name for name in accounts}),
            "type": ("Conversation type", {t: TYPE_NAMES[t] for t in configuration.types}),
            "office_hours": (
                "Time",
                {flag(hour): hours[flag(hour)] for hour in configuration.office_hours},
            ),
            "segment": ("Segment", {s: s or "Everything" for s in segments}),
        }

    def choose(self, query: Mapping[str, str]) -> Choice:
        """Return what a query asks for; where it asks for nothing that exists, the first there is.

        Needs at least one account.
        """
        found = {
            parameter: query[parameter] if query.get(parameter) in names else next(iter(names))
            for parameter, (_, names) in self._offered.items()
        }
        return Choice(
            found["account"],
            found["type"],
            found["office_hours"] == "true",
            found["segment"],
            query.get("q", "")[:_LONGEST_QUERY].strip(),
            _page(query.get("page", "")),
        )

    def selectors(self, choice: Choice) -> tuple[Selector, ...]:
        """Return every question that has more than one answer."""
        return tuple(
            Selector(
                parameter,
                label,
                tuple(
                    Option(
                        value,
                        text,
                        self.href(choice, parameter, value),
                        value == _values(choice)[parameter],
                    )
                    for value, text in names.items()
                ),
            )
            for parameter, (label, names) in self._offered.items()
            if len(names) > 1
        )

    def href(self, choice: Choice, parameter: str = "", value: str = "") -> str:
        """Return the link to `choice`, or to it with another value; what goes without is left out.

        Another value begins at the first page again. The link is relative, as all of the page's own
        are, so that a proxy may serve the page below a prefix.
        """
        values = _values(replace(choice, page=1) if parameter else choice)
        if parameter:
            values[parameter] = value
        usual = {name: next(iter(names)) for name, (_, names) in self._offered.items()}
        usual |= {"q": "", "page": "1"}
        asked = {name: text for name, text in values.items() if text != usual[name]}
        # Half a surrogate pair cannot be sent; nothing is called so.
        return f"./?{urlencode(asked, errors='replace')}" if asked else "./"


def _values(choice: Choice) -> dict[str, str]:
    return {
        "account": choice.account,
        "type": choice.type,
        "office_hours": flag(choice.office_hours),
        "segment": choice.segment,
        "q": choice.q,
        "page": str(choice.page),
    }


def _page(text: str) -> int:
    # A long enough number is an error to Python.
    good = text.isdecimal() and len(text) <= len(str(_MOST_PAGES))
    return max(1, int(text)) if good else 1
