"""An account's tags and folders, as its answers named them, and which of those configured lack.

An answer that leaves one out does not take it away.
"""

from collections.abc import Collection, Iterable, Iterator

from exporter.health import Missing
from exporter.missing import folders_of, tags_of
from exporter.questions import Learned, Mailbox
from exporter.selection import Segment


class Names:
    """What one account's answers have said of its tags and folders."""

    def __init__(self) -> None:
        self.known = Learned()
        self._all_tags_known = False
        self._renamed: dict[str, str] = {}
        """Old names of tags to their new ones."""

    def add(self, said: Learned, *, tags: bool, folders: bool) -> None:
        """Add what an answer said of tags, of folders, or of both."""
        known, new = self.known, said.tags if tags else {}
        if new and said.has_all_tags:
            self._all_tags_known = True
            names = {id_: name for name, id_ in new.items()}
            self._renamed = {
                name: names[id_]
                for name, id_ in known.tags.items()
                if name not in new and id_ in names
            }
        more = said.folders if folders else {}
        self.known = Learned({**known.tags, **new}, {**known.folders, **more})

    def missing_tags(self, segments: Iterable[Segment], *, all_asked: bool) -> Iterator[Missing]:
        """Yield the tags of these segments that are not there, once that is certain.

        `all_asked` says that whatever could name one has been asked.
        """
        if self._all_tags_known or all_asked:
            yield from tags_of(segments, self.known.tags, self._renamed)

    def missing_folders(
        self, segments: Iterable[Segment], mailboxes: Iterable[Mailbox], refused: Collection[str]
    ) -> Iterator[Missing]:
        """Yield the folders of these segments that are in none of the selected mailboxes.

        `refused` has the segments of which every report is refused.
        """
        chosen = {str(each.id) for each in mailboxes}
        folders = self.known.folders
        is_whole = chosen and chosen <= set(folders.values())
        yield from folders_of(segments, self.known.tags, folders if is_whole else None, refused)
