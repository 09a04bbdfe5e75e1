"""Finds references to files and headings that are not in the repository, in any of its texts.

A path that is written from the root, or any name that ends like a page or a module, must be that of
a file of the repository or the end of one. A link of a page must lead somewhere from where the page
is, and a web address of ours to a file. What follows `#` must be a heading of that file.
"""

import posixpath
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Final

from exporter import REPOSITORY

_LINK: Final = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")
_ADDRESS: Final = re.compile(
    rf"{re.escape(REPOSITORY)}/(?:blob|tree)/main/([\w./-]+)(?:#([\w-]+))?"
)
_KINDS: Final = "md|py|toml|txt|html|css|js"


def tracked(root: Path) -> list[str]:
    """Return the files of a checkout that are in its repository or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if (root / name).is_file()]


@dataclass(frozen=True)
class Repository:
    """The files below `root`, by their paths from there."""

    root: Path
    files: list[str]

    def dangling(self) -> Iterator[str]:
        """Yield a line for each reference that leads nowhere: file, line, reference."""
        for name in self.files:
            try:
                text = (self.root / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture
            for number, line in enumerate(text.splitlines(), 1):
                for path, anchor in dict.fromkeys(self._dangling(name, line)):
                    yield f"{name}:{number}: {path}{anchor and '#'}{anchor}"

    def _dangling(self, name: str, line: str) -> Iterator[tuple[str, str]]:
        for path, anchor in _LINK.findall(line) if name.endswith(".md") else ():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
            if not self._leads(target if path else name, anchor):
                yield path, anchor
        for path, anchor in _ADDRESS.findall(line):
            if not self._leads(path.rstrip("./"), anchor):
                yield path, anchor
        for path, anchor in self._mentions.findall(line):
            ends = re.sub(r"^(\.\.?/)+", "", path.rstrip("./-"))
            if not any(self._leads(each, anchor) for each in self._ending(ends)):
                yield path, anchor

    def _leads(self, path: str, anchor: str) -> bool:
        return path in self._paths and (not anchor or anchor in self._anchors(path))

    def _ending(self, pattern: str) -> list[str]:
        return [
            path
            for path in self._paths
            if path == pattern
            or path.endswith(f"/{pattern}")
            or ("*" in pattern and fnmatchcase(path, f"*{pattern}"))
        ]

    @cached_property
    def _mentions(self) -> re.Pattern[str]:
        roots = {re.escape(name.partition("/")[0]) for name in self.files if "/" in name}
        from_a_root = rf"(?:{'|'.join(sorted(roots))})/[\w./*-]*"
        named = rf"(?:\.\.?/)*(?:[\w*][\w.*-]*/)*[\w*][\w.*-]*\.(?:{_KINDS})"
        begins = r"(?<![\w./$~@}-])"
        return re.compile(rf"{begins}({from_a_root}|{named})(?!\w)(?:#([\w-]+))?")

    @cached_property
    def _paths(self) -> set[str]:
        """Every file and folder."""
        folders = {str(parent) for name in self.files for parent in Path(name).parents}
        return {*self.files, *folders}

    def _anchors(self, page: str) -> set[str]:
        """Return what a page's headings can be linked to as, by the rule of the usual renderers."""
        if not page.endswith(".md"):
            return set()
        text = (self.root / page).read_text(encoding="utf-8")
        text = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)
        seen: Counter[str] = Counter()
        anchors = set()
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return anchors
