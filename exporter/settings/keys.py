"""What a key is called: a path in the code, `windows[1].range` in a message, or a variable.

Which keys there are is the schema's to say.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

PREFIX: Final = "HELPSCOUT_"

KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str]
"""A key and what is wrong with its value: the end of a message."""


def dotted(path: KeyPath) -> str:
    """Return a key path as messages write it."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def variable(path: KeyPath) -> str:
    """Return the environment variable of a key: `HELPSCOUT_WINDOWS__1__RANGE`."""
    return PREFIX + "__".join(str(part).upper() for part in path)


def split(words: Iterable[str]) -> KeyPath:
    """Return a key path from its words; what is written like an index is one."""
    return tuple(int(w) if re.fullmatch(r"0|[1-9]\d{0,3}", w, re.ASCII) else w for w in words)


def general(path: KeyPath) -> KeyPath:
    """Return a key path with index 0 standing for any element."""
    return tuple(0 if isinstance(part, int) else part for part in path)


def at(tree: Any, path: KeyPath) -> Any:
    """Return what is at a key path, None for nothing."""
    for part in path:
        if isinstance(tree, dict):
            tree = tree.get(part)
        else:
            is_there = isinstance(tree, list) and isinstance(part, int) and part < len(tree)
            tree = tree[part] if is_there else None
    return tree


def hint(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return `, did you mean …?` for a word that is close to a known one, else nothing."""
    close = get_close_matches(word, known, 1, likeness)
    return f", did you mean {close[0]}?" if close else ""
