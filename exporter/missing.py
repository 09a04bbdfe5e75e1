"""What the configuration names and Help Scout does not have: tags, folders, mailboxes. Pure.

A name that matches nothing removes series without an error, so it has to be said. Who hears of it
is the caller's concern.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from exporter.health import Missing
from exporter.questions import Mailbox
from exporter.selection import Segment


def of_segments(
    segments: Iterable[Segment],
    tags: Mapping[str, int],
    renamed: Mapping[str, str],
    refused: Collection[str],
) -> Iterator[Missing]:
    """Yield what is missing of an account's `segments`.

    `tags` are the account's by name, `renamed` maps old names to new ones. `refused` has the
    segments of which Help Scout refuses every report: one of their folders is not there.
    """
    for index, segment in enumerate(segments):
        where = f"segments[{index}] ({segment.name})"
        for tag in segment.tags:
            if what := _tag(tag, tags, renamed):
                yield Missing(where, what, segment.name)
        if segment.folders and segment.name in refused and segment.tag_ids(tags) is not None:
            listed = ", ".join(map(str, segment.folders))
            yield Missing(where, f"Help Scout refuses its folders ({listed})", segment.name)


def _tag(tag: str | int, tags: Mapping[str, int], renamed: Mapping[str, str]) -> str | None:
    if isinstance(tag, int):
        return None if tag in tags.values() else f"no tag has the id {tag}"
    if new := renamed.get(tag):
        return f"tag {tag!r} is now called {new!r}; it is asked by its id until the next start"
    if Segment("", (tag,)).tag_ids(tags) is not None:
        return None
    alike = sorted(name for name in tags if name.casefold() == tag.casefold())
    if alike:
        return f"no tag is called {tag!r}, and several differ in case only: {', '.join(alike)}"
    close = get_close_matches(tag.casefold(), [name.casefold() for name in tags], n=1)
    near = next((name for name in tags if close and name.casefold() == close[0]), None)
    hint = f"; is it {near!r}?" if near else ""
    return f"no tag is called {tag!r}{hint}"


def mailbox_patterns(
    named: Iterable[tuple[str, str | int]], mailboxes: Iterable[Mailbox]
) -> Iterator[Missing]:
    """Yield the globs and ids, each with its place, that match none of an account's mailboxes."""
    listed = list(mailboxes)
    for where, pattern in named:
        if not any(mailbox.matches((pattern,)) for mailbox in listed):
            kind = "has the id" if isinstance(pattern, int) else "has a name like"
            yield Missing(where, f"no mailbox {kind} {pattern}")
