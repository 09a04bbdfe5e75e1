"""Which keys there are, and what each is called: a path, `windows[1].range`, or a variable.

The keys are the fields of Configuration and of the classes below it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from exporter.helpscout.account import CREDENTIALS
from exporter.questions import Window
from exporter.settings.configuration import Configuration
from exporter.values import COMMAS, MAP, ONE, KeyPath

PREFIX: Final = "HELPSCOUT_"


class Shape(NamedTuple):
    """A key: a mapping with `keys` or with any keys, a list, or a single value."""

    keys: tuple[str, ...] = ()
    short: str = ""
    """The key below that a mapping may be written as, alone."""
    is_list: bool = False
    is_map: bool = False
    """Whether its keys are the user's own."""
    has_commas: bool = False
    """Whether a variable may separate the list's elements by commas."""
    takes_one: bool = False
    """Whether a single value is a list of one."""
    description: str | None = None
    """What a value, or an element, has to be."""
    default: Any = None

    @property
    def is_value(self) -> bool:
        """Whether it is a single value."""
        return not (self.keys or self.is_list or self.is_map)

    @property
    def wanted(self) -> str:
        """What it takes, in words."""
        return "a list" if self.is_list else "a mapping"


def _walk(model: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Shape]]:
    """Yield the keys of a class, index 0 standing for any element."""
    own, below = list[str](), list[tuple[KeyPath, Shape]]()
    hints = get_type_hints(model, include_extras=True)
    for field in fields(model):
        info = FieldInfo.from_annotation(hints[field.name])
        if not field.init or info.exclude:
            continue
        own.append(info.alias or field.name)
        here, kind = (*path, own[-1]), info.annotation
        if get_origin(kind) is tuple and MAP not in info.metadata:
            has_commas, takes_one = COMMAS in info.metadata, ONE in info.metadata
            below.append((here, Shape(is_list=True, has_commas=has_commas, takes_one=takes_one)))
            here, kind = (*here, 0), get_args(kind)[0]
            kind = FieldInfo.from_annotation(kind).annotation
        mapping = next((part for part in (kind, *get_args(kind)) if is_dataclass(part)), None)
        if mapping is not None:
            below += _walk(mapping, here)
        else:
            shape = Shape(description=info.description, default=field.default)
            below.append((here, shape._replace(is_map=MAP in info.metadata)))
    yield path, Shape(tuple(own), "range" if model is Window else "")
    yield from below


KEYS: Final = dict(_walk(Configuration, ()))
"""Every key, index 0 standing for any element."""
SHORT: Final = {
    f"{PREFIX}{key.upper()}": ("accounts", 0, key) for key in ("api", "base_url", *CREDENTIALS)
}
"""Variables that are short for those of the first account."""


def leaves() -> Iterator[KeyPath]:
    """Yield every key that takes a value, index 0 standing for any element."""
    for path, key in KEYS.items():
        if key.takes_one or key.is_map or (key.is_value and not KEYS[path[:-1]].takes_one):
            yield path


def dotted(path: KeyPath) -> str:
    """Return a key path as messages write it."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def variable(path: KeyPath) -> str:
    """Return the environment variable of a key: `HELPSCOUT_WINDOWS__1__RANGE`."""
    return PREFIX + "__".join(str(part).upper() for part in path)


def key_of(name: str) -> KeyPath | None:
    """Return the key that a variable sets, None if its first word is not a key."""
    path = SHORT.get(name) or split(name.removeprefix(PREFIX).lower().split("__"))
    return path if path[0] in KEYS[()].keys else None


def split(words: Iterable[str]) -> KeyPath:
    """Return a key path from its words; what is written like an index is one."""
    return tuple(int(w) if re.fullmatch(r"0|[1-9]\d{0,3}", w, re.ASCII) else w for w in words)


def general(path: KeyPath) -> KeyPath:
    """Return a key path with index 0 standing for any element."""
    return tuple(0 if isinstance(part, int) else part for part in path)


def at(tree: Any, path: KeyPath) -> Any:
    """Return what is at a key path of a tree of mappings, None for nothing."""
    for part in path:
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def hint(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return `, did you mean …?` for a word that is close to a known one, else nothing.

    Help Scout's own names of the credentials are close to ours.
    """
    ours = re.sub(
        r"(?i)app(?=_(id|secret))", lambda m: "CLIENT" if m[0].isupper() else "client", word
    )
    close = get_close_matches(ours, known, 1, likeness)
    return f", did you mean {close[0]}?" if close else ""


def belongs(word: str) -> str:
    """Return `, it belongs under …` for a key that is known at another place, else nothing."""
    above = next((path[:-1] for path in KEYS if path[1:] and path[-1] == word), None)
    return f": it belongs under {dotted(above)}, indented" if above else ""
