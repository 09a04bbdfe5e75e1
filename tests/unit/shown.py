"""What a status page shows, read from its HTML as its readers have it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

from exporter.status import Facts, render, view

VOID = ("meta", "link", "input", "circle", "path", "rect")


@dataclass
class Node:
    """An element."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    inside: "list[Node | str]" = field(default_factory=list)

    @property
    def everything(self) -> "Iterator[Node]":
        """Every element below."""
        for child in self.inside:
            if isinstance(child, Node):
                yield child
                yield from child.everything

    def all(self, tag: str, class_: str = "") -> "Iterator[Node]":
        """Every element below with this tag, and this class where one is given."""
        for node in self.everything:
            if node.tag == tag and (not class_ or class_ in node.classes):
                yield node

    def one(self, tag: str, class_: str = "") -> "Node":
        """The first of them."""
        return next(self.all(tag, class_))

    def text_of(self, tag: str, class_: str = "") -> str:
        """The text of the first of them, empty without one."""
        return next((found.text for found in self.all(tag, class_)), "")

    @property
    def classes(self) -> list[str]:
        """What the style sheet goes by."""
        return self.attributes.get("class", "").split()

    @property
    def text(self) -> str:
        """All text below, with ordinary blanks."""
        parts = (child if isinstance(child, str) else child.text for child in self.inside)
        return " ".join("".join(parts).split())


class Reader(HTMLParser):
    """Reads a page; every element has to be closed in its place."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = Node("")
        self.open = [self.root]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        assert len(node.attributes) == len(attrs)
        self.open[-1].inside.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


@dataclass(frozen=True)
class Tile:
    """A tile; `share` is that of its meter, None without one."""

    value: str
    detail: str
    level: str
    share: float | None


@dataclass(frozen=True)
class Problem:
    """A problem; `since` is the moment for machines."""

    title: str
    bad: bool
    where: str
    since: str
    said: str
    reference: str
    advice: str
    runbook: str


@dataclass(frozen=True)
class Cell:
    """A figure: `value` is None where there is a dash; `why` says what the dash means."""

    value: str | None
    why: str
    change: tuple[str, str, str] | None
    """Short, how it is to be taken, and in words."""
    bars: str
    within: int
    beyond: int
    promises: list[tuple[str, str]]
    """What is shown, and in words."""
    note: str


@dataclass(frozen=True)
class Row:
    """A report."""

    window: str
    state: str
    word: str
    age: str
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Group:
    """A mailbox, with its number; empty for all of them together."""

    name: str
    id: str
    rows: list[Row]


class Shown:
    """A page as it is shown."""

    def __init__(self, facts: Facts, query: Mapping[str, str] | None = None) -> None:
        self.markup = render(view(facts, query or {})).html
        self.page = Reader(self.markup).root
        verdict = self.page.one("section", "verdict")
        self.level = verdict.classes[1]
        self.verdict = verdict.text_of("h1")
        self.tiles = {node.text_of("dt"): _tile(node) for node in verdict.all("div", "tile")}
        self.problems = [
            _problem(node)
            for listed in self.page.all("ul", "problems")
            for node in listed.all("li")
        ]
        self.empty = self.page.text_of("p", "empty")
        self.groups = [
            _group(node)
            for table in self.page.all("table", "figures")
            for node in table.all("tbody")
        ]
        self.queue = self._lines("queue", "Queue by mailbox")
        self.accounts = self._lines("plain", "Accounts")
        self.windows = self._lines("plain", "Polls by window")
        self.build = {
            node.text_of("dt"): node.text_of("dd")
            for node in self.page.one("dl", "build").all("div")
        }

    def _lines(self, class_: str, label: str) -> list[dict[str, str]]:
        return [
            {"": row.text_of("th")}
            | {cell.attributes.get("data-label", "Age"): cell.text for cell in row.all("td")}
            for table in self.page.all("table", class_)
            if table.attributes["aria-label"] == label
            for row in table.one("tbody").all("tr")
        ]


def _tile(node: Node) -> Tile:
    fill = next(node.all("rect", "fill"), None)
    share = None if fill is None else float(fill.attributes["width"]) / 100
    return Tile(node.text_of("span", "big"), node.text_of("span", "detail"), node.classes[1], share)


def _problem(node: Node) -> Problem:
    where = next(node.all("p", "where"), Node("p"))
    advice = node.one("p", "advice")
    return Problem(
        _seen(node.one("h3")),
        node.classes == ["bad"],
        where.text_of("bdi"),
        next((moment.attributes["datetime"] for moment in where.all("time")), ""),
        node.text_of("q"),
        node.text_of("code"),
        advice.text.partition(" Runbook ")[0],
        advice.text_of("a").removeprefix("Runbook "),
    )


def _group(node: Node) -> Group:
    mailbox = node.one("th", "mailbox")
    number = mailbox.text_of("span", "id").removeprefix("#")
    return Group(mailbox.text_of("bdi"), number, [_row(row) for row in node.all("tr")])


def _row(node: Node) -> Row:
    cells = {
        cell.attributes["data-label"]: _cell(cell)
        for cell in node.all("td")
        if "data-label" in cell.attributes
    }
    age = node.one("td", "age")
    window, state = node.text_of("th", "window"), node.classes[0]
    return Row(window, state, age.text_of("span", "state"), age.text_of("time"), cells)


def _cell(node: Node) -> Cell:
    value, dash = next(node.all("span", "value"), None), next(node.all("span", "none"), None)
    change, bars = (
        next(node.all("span", "change"), None),
        next(node.all("svg", "bars"), Node("svg")),
    )
    outlines = {path.classes[0]: path.attributes["d"].count("z") for path in bars.all("path")}
    return Cell(
        value.text if value else None,
        dash.attributes["title"] if dash else "",
        (_seen(change), change.classes[1], _blanks(change.attributes["title"])) if change else None,
        bars.text_of("title"),
        outlines.get("within", 0),
        outlines.get("beyond", 0),
        [(_seen(each), _blanks(each.attributes["title"])) for each in node.all("span", "promise")],
        node.text_of("span", "note"),
    )


def _seen(node: Node) -> str:
    return Node("", {}, [c for c in node.inside if not _is_unseen(c)]).text


def _is_unseen(node: Node | str) -> bool:
    return isinstance(node, Node) and "unseen" in node.classes


def _blanks(text: str) -> str:
    return " ".join(text.split())
