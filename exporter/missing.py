"""What the configuration names and Help Scout does not have: tags, folders, mailboxes. Pure.

A name that matches nothing removes series without an error, so it has to be said. To whom is
the caller's concern.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from exporter.health import Missing
from exporter.questions import Mailbox
from exporter.selection import Segment


def tags_of(
    segments: Iterable[Segment], tags: Mapping[str, int], renamed: Mapping[str, str]
) -> Iterator[Missing]:
    """Yield the tags of an account's `segments` that are missing.

    `tags` are the account's by name, `renamed` maps old names to new ones.
    """
    for where, segment in _placed(segments):
        for tag in segment.tags:
            if what := _tag(tag, tags, renamed):
                yield Missing(where, what, segment.name)


def folders_of(
    segments: Iterable[Segment],
    tags: Mapping[str, int],
    folders: Collection[int] | None,
    refused: Collection[str],
) -> Iterator[Missing]:
    """Yield the folders of an account's `segments` that are missing.

    `folders` are the ids of all there are, None where not all are known. `refused` has the segments
    of which Help Scout refuses every report: if their `tags` are there, a folder is not.
    """
    for where, segment in _placed(segments):
        unknown = [] if folders is None else [id_ for id_ in segment.folders if id_ not in folders]
        for id_ in unknown:
            yield Missing(where, f"no selected mailbox has the folder {id_}", segment.name)
        is_refused = segment.name in refused and segment.tag_ids(tags) is not None
        if segment.folders and is_refused and not unknown:
            listed = ", ".join(map(str, segment.folders))
            yield Missing(where, f"Help Scout refuses its folders ({listed})", segment.name)


def _placed(segments: Iterable[Segment]) -> Iterator[tuple[str, Segment]]:
    for index, segment in enumerate(segments):
        yield f"segments[{index}] ({segment.name})", segment


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
