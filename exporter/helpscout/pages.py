"""A list of the API, page by page: whole, or an error. Pure but for the pages it asks for.

Pages may say how many there are or not, change while they are read, or repeat themselves. A list
that is believed though it is short takes series away, so that is checked.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from pydantic import Field

from exporter.helpscout.account import Api, path_in
from exporter.helpscout.errors import BadResponse, ShortList
from exporter.helpscout.wire import Odd, Wire, parse, quoted

_MAX_PAGES: Final = 400
_READINGS: Final = 3


class _Identified(Protocol):
    @property
    def id(self) -> int: ...


Item = TypeVar("Item", bound=_Identified)


class Listed(NamedTuple):
    """What a list is of, as the API and our messages call it: `mailboxes` and `mailbox`.

    `named`: its elements have a name, and messages may quote it.
    """

    many: str
    one: str
    named: bool = True


class Page(NamedTuple, Generic[Item]):
    """A page of a list.

    `number` is its number, `pages` how many there are and `total` how many elements, None where the
    answer does not say. `skipped` counts the elements that are none, `has_next` is whether there is
    a link to another page.
    """

    items: list[Item]
    number: int | None
    pages: int | None
    total: int | None = None
    skipped: int = 0
    has_next: bool = False


class _LegacyPage(Wire):
    page: Any = None
    pages: Any = None
    count: Any = None
    items: list[Any]


class _HalPageInfo(Wire):
    number: Any = None
    total_pages: Any = None
    total_elements: Any = None


class _HalPage(Wire):
    embedded: Any = Field(default_factory=dict[str, Any], alias="_embedded")
    links: Any = Field(default=None, alias="_links")
    page: _HalPageInfo


def list_path(api: Api, listed: Listed, page: int) -> str:
    """Return the path and query of a page of an account's list, from 1."""
    return f"{path_in(api, f'/{listed.many}')}?page={page}"


def parse_page(
    api: Api, body: bytes, listed: Listed, element: Callable[[str, Any], Item], odd: Odd
) -> Page[Item]:
    """Return a page of a list; `element` reads one element, given its place and content.

    An element for which it raises BadResponse is left out, and `odd` is told. Raises BadResponse
    naming the field.
    """
    if api == "v1":
        legacy = parse(_LegacyPage, body)
        items = _elements("items", legacy.items, listed, element, odd)
        return Page(
            items,
            _size("page", legacy.page, odd),
            _size("pages", legacy.pages, odd),
            _size("count", legacy.count, odd),
            len(legacy.items) - len(items),
        )
    hal = parse(_HalPage, body)
    total = _size("page.totalElements", hal.page.total_elements, odd)
    embedded = _embedded(hal.embedded, listed.many, total)
    items = _elements(f"_embedded.{listed.many}", embedded, listed, element, odd)
    return Page(
        items,
        _size("page.number", hal.page.number, odd),
        _size("page.totalPages", hal.page.total_pages, odd),
        total,
        len(embedded) - len(items),
        isinstance(hal.links, dict) and bool(hal.links.get("next")),
    )


def _embedded(embedded: Any, name: str, total: int | None) -> list[Any]:
    """Return the list, which is missing in one form or another where it is empty.

    What is there under another name is not taken for none: that would remove series.
    """
    if embedded in ([], None) and total == 0:
        return []
    if not isinstance(embedded, dict):
        raise BadResponse("_embedded: is not an object")
    if name not in embedded and embedded:
        names = ", ".join(f'"{other}"' for other in list(embedded)[:3])
        raise BadResponse(f'_embedded: has no "{name}" but {names}'[:200])
    items = embedded.get(name, [])
    if not isinstance(items, list):
        raise BadResponse(f"_embedded.{name}: is not a list")
    return items


def _elements(
    where: str,
    items: list[Any],
    listed: Listed,
    element: Callable[[str, Any], Item],
    odd: Odd,
) -> list[Item]:
    """Return what can be read. That a page repeats one does not mean that another is missing."""
    found: dict[int, Item] = {}
    for position, item in enumerate(items):
        place = f"{where}[{position}]"
        try:
            each = element(place, item)
            if each.id in found:
                raise BadResponse(f"{place}.id: is that of another one")
            found[each.id] = each
        except BadResponse as error:
            name = item.get("name") if isinstance(item, dict) else None
            which = f"{listed.one} {quoted(name)}" if listed.named else listed.one
            odd(f"{error}: the {which} is left out")
    return [*found.values()]


def _size(where: str, value: Any, odd: Odd) -> int | None:
    """Return a number of pages or elements, None where the answer does not say it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if value is not None:
        odd(f"{where}: is not a whole number, and is ignored")
    return None


def read_list(listed: Listed, page: Callable[[int], Page[Item]]) -> list[Item]:
    """Return every element, each id once; `page` returns a page by its number, from 1.

    A list that changes while it is read is read again. Raises ShortList where fewer arrive than the
    service says there are, BadResponse, and what `page` raises.
    """
    for _ in range(_READINGS):
        reading = _read(listed, page)
        if reading.settled:
            break
    return reading.whole()


def read_pages(
    listed: Listed, page: Callable[[int], Page[Item]], most: int
) -> tuple[list[Item], bool]:
    """Return the elements of the first pages, each id once, and whether there are more.

    At most `most` pages are read. A list that changes while it is read may lack an element. Raises
    BadResponse, also where a page is empty that should not be, and what `page` raises.
    """
    reading = _read(listed, page, most)
    if reading.ends_empty and reading.is_short:
        raise BadResponse(reading.shortage)
    return reading.elements(), reading.has_more


def _read(
    listed: Listed, ask: Callable[[int], Page[Item]], most: int = _MAX_PAGES
) -> "_Reading[Item]":
    reading = _Reading[Item](listed)
    for number in range(1, most + 1):
        page = ask(number)
        is_this = page.number in (None, number)
        if not is_this and number > 1:
            raise BadResponse(f"the list is not whole: page {number} is page {page.number}")
        is_new = reading.take(page)
        if not reading.goes_on(page, number):
            return reading
        if not is_this or not is_new:
            if page.total is not None and not page.items:
                return reading  # it ended early; whether it is whole shows in the total
            raise BadResponse(f"the list does not end: page {number} brought nothing new")
    reading.has_more = True
    return reading


class _Reading(Generic[Item]):
    """What has been read of a list."""

    def __init__(self, listed: Listed) -> None:
        self._listed = listed
        self._found: dict[int, Item] = {}
        self._skipped = 0
        self._total: int | None = None
        self.settled = True
        """Whether all pages say the same total: nothing changed while they were read."""
        self.has_more = False
        """Whether there are more pages than were to be read."""
        self.ends_empty = False
        """Whether the last page that was read has no element."""

    def take(self, page: Page[Item]) -> bool:
        """Take a page in; return whether it has anything that was not there before."""
        known = len(self._found)
        self._found.update((item.id, item) for item in page.items)
        self._skipped += page.skipped
        self.settled = self.settled and self._total in (None, page.total)
        self._total = page.total
        self.ends_empty = not page.items and not page.skipped
        return len(self._found) > known or page.skipped > 0

    def whole(self) -> list[Item]:
        """Return the elements. Raises ShortList where there should be more, BadResponse."""
        if self.has_more:
            raise BadResponse(f"the list has more than {_MAX_PAGES} pages")
        found = self.elements()
        if self.is_short:
            raise ShortList(self.shortage, found)
        return found

    def elements(self) -> list[Item]:
        """Return what was read. Raises BadResponse where none of it can be read."""
        if self._skipped and not self._found:
            raise BadResponse(f"none of the {self._listed.many} in the list can be read")
        return list(self._found.values())

    @property
    def is_short(self) -> bool:
        """Whether there are fewer elements than the service says."""
        return self._total is not None and self._seen < self._total

    @property
    def shortage(self) -> str:
        """What is missing, in words."""
        return (
            f"the list is not whole: it has {self._seen} {self._listed.many} where Help Scout says"
            f" there are {self._total}"
        )

    @property
    def _seen(self) -> int:
        return len(self._found) + self._skipped

    def goes_on(self, page: Page[Item], number: int) -> bool:
        """Return whether there is another page. The link is the truth where there is one."""
        if page.has_next:
            return True
        if page.pages is None:
            return page.total is not None and self._seen < page.total
        return number < page.pages
