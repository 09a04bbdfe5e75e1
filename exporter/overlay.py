"""The raw configuration: a YAML file, environment variables over it, flags over both.

What comes out is one plain tree that remembers whence each value came, so that a message can name
the place to mend. It knows what a key path is, but not which keys there are or what they mean:
that is settings.py. pydantic-settings cannot index into lists, hence this.

Values of variables and flags are `Text`: the key they are for decides what they are. No message
made here holds a value, so none can hold a secret.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

PREFIX: Final = "HELPSCOUT_"
MAX_FILE_BYTES: Final = 1_000_000

KeyPath = tuple[str | int, ...]
Tree = dict[str, Any]


class Text(str):
    """A value that arrived as text because its source knows no types: a variable or a flag."""

    __slots__ = ()


class Origin(NamedTuple):
    """Who set a key: the variable's or flag's name, and its layer (the higher one wins)."""

    name: str
    layer: int
    whole: bool  # the value is the text itself, so the name says all; else it was YAML inside


@dataclass(frozen=True, slots=True)
class Shape:
    """What this module must know of the keys.

    `first_words` are the top-level keys; `scalar` tells whether a key takes a plain value, so that
    a `[` at its start is no YAML; `short` are further variables and the keys they stand for;
    `shorthands` says which lists take a scalar for a mapping, and for which of its keys;
    `twins` pairs a secret's key with that of its file, both ways; `known` are all variables.
    """

    first_words: frozenset[str]
    scalar: Callable[[KeyPath], bool]
    short: Mapping[str, KeyPath]
    shorthands: Mapping[str, str]
    twins: Mapping[str, str]
    known: tuple[str, ...]

    def variable(self, path: KeyPath) -> str:
        """Return the environment variable of a key, the short one where there is one."""
        for name, key in self.short.items():
            if key == path:
                return name
        return variable(path)


def dotted(path: Iterable[str | int]) -> str:
    """Return a key path as messages write it: `windows[1].range`."""
    return "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in path
    ).removeprefix(".")


def variable(path: Iterable[str | int]) -> str:
    """Return the environment variable of a key, by the rule."""
    return PREFIX + "__".join(str(part).upper() for part in path)


def split(words: Iterable[str]) -> KeyPath:
    """Return a key path from its words; what is written like an index is one."""
    return tuple(int(w) if re.fullmatch(r"(?:0|[1-9]\d{0,3})", w, re.ASCII) else w for w in words)


def hint(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return `, did you mean …?` for a word that is close to a known one, else nothing."""
    close = get_close_matches(word, known, 1, likeness)
    return f", did you mean {close[0]}?" if close else ""


@dataclass(slots=True)
class Overlay:
    """The tree under construction. `problems` and `warnings` are whole lines, ready to be shown."""

    file: Path | None
    tree: Tree = field(repr=False)
    shape: Shape = field(repr=False)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _in_file: Tree = field(init=False, repr=False)
    _refused: set[KeyPath] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._in_file = deepcopy(self.tree)

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Lay the variables over the file. An empty variable counts as one that is not set."""
        named: dict[KeyPath, str] = {}
        values: list[tuple[KeyPath, str, str]] = []
        for name, value in sorted(environ.items()):
            if not name.startswith(PREFIX) or value == "" or name == f"{PREFIX}CONFIG":
                continue
            path = self.shape.short.get(name) or split(
                name.removeprefix(PREFIX).lower().split("__")
            )
            if path[0] not in self.shape.first_words:
                known = hint(name, self.shape.known, 0.9)
                self.warnings.append(f"{name}: no such key, ignored{known}")
            elif name != name.upper():
                self.problems.append(f"{name}: variables are written in capitals: {name.upper()}")
            elif path in named:
                self.problems.append(f"{name}: {named[path]} sets the same key: keep one")
            else:
                named[path] = name
                values.append((path, value, name))
        self._add(values, layer=1)

    def add_flags(self, overrides: Mapping[str, str]) -> None:
        """Lay flags, by dotted key, over what is there."""
        self._add(
            [
                (path, value, "--" + str(path[-1]).replace("_", "-"))
                for path, value in ((split(key.split(".")), v) for key, v in overrides.items())
            ],
            layer=2,
        )

    def _add(self, values: Iterable[tuple[KeyPath, str, str]], layer: int) -> None:
        for path, value, name in sorted(values, key=lambda item: _outer_first(item[0])):
            try:
                if not _is_unicode(name + value):
                    raise ValueError("is not UTF-8 text")
                if value.lstrip()[:1] in ("[", "{") and not self.shape.scalar(path):
                    self._assign(path, parse_yaml(value), Origin(name, layer, whole=False))
                else:
                    self._assign(path, Text(value), Origin(name, layer, whole=True))
            except ValueError as error:
                self.problems.append(f"{name}: {error}")
                self._refused.add(path[:1])

    def _assign(self, path: KeyPath, value: Any, origin: Origin) -> None:
        if isinstance(value, dict) and isinstance(_at(self.tree, path), dict):
            for key, inner in value.items():
                self._assign((*path, key), inner, origin)
            return
        node: Any = self.tree
        for depth, (part, following) in enumerate(pairwise(path), 1):
            node = self._step(node, part, path[:depth], following)
        if not isinstance(node, dict | list):
            return  # something else stands where a mapping belongs, and is reported for itself
        self._drop_lower_twin(node, path, origin)
        _put(node, path[-1], value, path[:-1])
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]
        self.origins[path] = origin

    def _step(self, node: Any, part: str | int, here: KeyPath, following: str | int) -> Any:
        """Return the container at `here`, made or unfolded from its shorthand where need be."""
        inner = _get(node, part)
        name = here[-2] if isinstance(part, int) and len(here) > 1 else None
        if isinstance(inner, str) and name in self.shape.shorthands:
            inner = {self.shape.shorthands[str(name)]: inner}
        elif inner is None:
            inner = [] if isinstance(following, int) else {}
        else:
            return inner
        if isinstance(node, dict | list):
            _put(node, part, inner, here[:-1])
        return inner

    def _drop_lower_twin(self, node: Any, path: KeyPath, origin: Origin) -> None:
        """Let a secret replace its file, or the file the secret, that a lower layer gave."""
        twin = self.shape.twins.get(str(path[-1]))
        if twin is None or not isinstance(node, dict) or twin not in node:
            return
        other = self.origin((*path[:-1], twin))
        if other is None or other.layer < origin.layer:
            del node[twin]

    def origin(self, path: KeyPath) -> Origin | None:
        """Return who set the key or what it lies in; None for the file, or for nobody."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return None

    def message(self, path: KeyPath, text: str) -> str:
        """Return one line about a key, led by the variable, flag or file that set or lacks it."""
        origin = self.origin(path)
        if origin and origin.whole:
            return f"{origin.name}: {text}"
        if origin is None and not self._file_holds(path):
            origin = next((o for key, o in self.origins.items() if key[: len(path)] == path), None)
            if origin is None and self.file is None:
                name = self.shape.variable(path) if len(path) > 1 else dotted(path)
                return f"{name}: {text}"
        return f"{origin.name if origin else self.file}: {dotted(path)}: {text}"

    def follows(self, path: KeyPath) -> bool:
        """Tell whether a key lacks only because a variable or flag for it was refused already."""
        return (
            path[:1] in self._refused and self.origin(path) is None and not self._file_holds(path)
        )

    def _file_holds(self, path: KeyPath) -> bool:
        return _at(self._in_file, path) is not None

    def resolve(self, path: KeyPath, value: Path | None) -> Path | None:
        """Return a path that the file gave as relative to the file's folder; others stay."""
        if value is None or self.file is None or self.origin(path):
            return value
        return self.file.parent / value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _outer_first(path: KeyPath) -> list[tuple[bool, int | str]]:
    return [(isinstance(part, str), part) for part in path]  # a path sorts before its extensions


def _at(node: Any, path: KeyPath) -> Any:
    for part in path:
        node = _get(node, part)
    return node


def _get(node: Any, part: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _put(node: Any, part: str | int, value: Any, here: KeyPath) -> None:
    if isinstance(node, dict):
        node[str(part)] = value
    elif not isinstance(part, int):
        raise ValueError(f"{dotted(here)} is a list: an index is missing")
    elif part < len(node):
        node[part] = value
    elif part == len(node):
        node.append(value)
    else:
        raise ValueError(f"leaves a gap in {dotted(here)}: the next free index is {len(node)}")


class _NotSupported(yaml.MarkedYAMLError):
    """YAML that we refuse, in our words."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars without 1.1's traps (`on`, `1:30`, `010`, dates are text), no aliases.

    What is not recognised stays text, so that the key it is for can say what it wants instead.
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - the library's own way to hold them

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:
            problem = "anchors and aliases (&, *) are not supported: use quotes around such a text"
        elif not _is_unicode(getattr(event, "value", "")):
            problem = "half a surrogate pair is not text"
        else:
            return super().compose_node(parent, index)
        raise _NotSupported(problem=problem, problem_mark=event.start_mark)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key is a word, not a list or a mapping"
            elif key.value in mapping:
                problem = f"duplicate key {json.dumps(key.value, ensure_ascii=False)}"
            else:
                mapping[key.value] = self.construct_object(value, deep=deep)
                continue
            raise _NotSupported(problem=problem, problem_mark=key.start_mark)
        return mapping

    def refuse_tag(self, node: Any) -> Any:
        problem = "tags (!) are not supported: use quotes around such a text"
        raise _NotSupported(problem=problem, problem_mark=node.start_mark)


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_form})\Z"), _first
    )
for _tag in ("binary", "omap", "pairs", "set", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.refuse_tag)
_Loader.add_constructor(None, _Loader.refuse_tag)


def parse_yaml(text: str) -> Any:
    """Return the plain value that `text` writes. Raises ValueError with one line and its place."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        ours = isinstance(error, _NotSupported)
        raise ValueError(place + (str(error.problem) if ours else _unquoted(error))) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"line {line}: a control character is not allowed") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise ValueError("is not YAML") from None


def _unquoted(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's words without what it quotes of the text: it may be part of a secret."""
    words = error.problem or "is not YAML"
    if words.startswith("but "):
        words = f"{error.context}, {words}"

    def kept(match: re.Match[str]) -> str:
        return match[0] if re.fullmatch(r"\\?.|<.*>", match[0][1:-1]) else "…"

    return re.sub(r"\"[^\"]+\"|'[^']+'", kept, words)


def read_file(path: Path) -> Tree:
    """Return a configuration file's keys. Raises ValueError with one line, without the name."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"is larger than {MAX_FILE_BYTES} bytes")
    try:
        content = parse_yaml(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: is not UTF-8 text") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError("is not a mapping of keys to values")
    return content
