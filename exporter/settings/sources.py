"""Flags, environment and file as sources of pydantic-settings, which merges them by precedence.

In a source's tree the elements of a list have their indices as keys, so that the library merges
lists as it merges mappings; a list that is given whole is marked, and replaces that of a lower
source. What does not have the shape of the keys is reported here, with the name of what set it; a
value is checked where its key is declared. Values of variables and flags are `Text`: their sources
know no types.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.helpscout.account import TWINS, Confidential
from exporter.settings.configuration import Configuration
from exporter.settings.keys import (
    KEYS,
    PREFIX,
    SHORT,
    Shape,
    belongs,
    dotted,
    general,
    hint,
    key_of,
    leaves,
    split,
    variable,
)
from exporter.values import IN_QUOTES, WHOLE, KeyPath, Text, is_quoted, shown
from exporter.yaml_file import is_unicode, parse_yaml, read_file

_KNOWN: Final = (*map(variable, leaves()), *(variable((key,)) for key in KEYS[()].keys), *SHORT)
_TWIN: Final = TWINS | {file: key for key, file in TWINS.items()}
_FEW: Final = 4
_EXPANSION: Final = re.compile(r"\$\{\w+[^{}]*\}")
_WHOLE_EXPANSION: Final = re.compile(rf"{_EXPANSION.pattern}|\$\(\w+\)|\$[A-Z_][A-Z0-9_]+")


class Tree(dict[Any, Any]):
    """A tree whose repr shows no secret: it may be logged."""

    def __repr__(self) -> str:
        return "<configuration>"


class Source(PydanticBaseSettingsSource):
    """What one source sets. `problems` are whole lines, `refused` the keys that they are about."""

    def __init__(self, given: Mapping[KeyPath, tuple[str, Any]], *, is_file: bool = False) -> None:
        """`given` maps a key (of a file: the root) to the name of what sets it, and the value."""
        super().__init__(Settings)
        self.tree = Tree()
        self.names: dict[KeyPath, str] = {}
        self.problems: list[str] = []
        self.refused: list[KeyPath] = []
        self._is_file = is_file
        for path, (name, value) in sorted(given.items(), key=lambda item: _outer_first(item[0])):
            self.names[path] = name
            try:
                if not is_unicode(name + str(value)):
                    raise ValueError("is not UTF-8 text")
                self._put(path, value)
            except ValueError as error:
                self._refuse(path, str(error))

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {"configuration": _beneath(self.tree, self.current_state.get("configuration"))}

    def setter(self, path: KeyPath) -> str | None:
        """Return what sets a key, None if nothing does or only what is below it is set."""
        node: Any = self.tree
        for part in path:
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        return self._name(path)

    def _name(self, path: KeyPath) -> str | None:
        above = (path[:length] for length in range(len(path), -1, -1))
        return next((self.names[key] for key in above if key in self.names), None)

    def _put(self, path: KeyPath, value: Any) -> None:
        node: dict[Any, Any] = self.tree
        for depth, part in enumerate(path):
            shape = KEYS[general(path[:depth])]
            if shape.is_list and not isinstance(part, int):
                raise ValueError(f"{dotted(path[:depth])} is a list: an index is missing")
            if shape.is_map:
                example = "{mon-fri: 09:00-17:00}"
                raise ValueError(f"set {variable(path[:depth])} as a whole, like {example}")
            if general(path[: depth + 1]) not in KEYS:
                words = hint(str(part), shape.keys)
                raise ValueError(f"unknown key{words}")
            if depth + 1 < len(path):
                if not isinstance(node.get(part), dict):
                    node[part] = {}
                node = node[part]
        taken = self._taken(path, value)
        if path:
            node[path[-1]] = taken
        elif isinstance(taken, dict):
            node.update(taken)

    def _taken(self, path: KeyPath, value: Any) -> Any:
        """Return the tree of a value; None where it has not the shape of its key."""
        key = KEYS[general(path)]
        if key.is_value:
            return self._expanded(path, value)
        if isinstance(value, Text):
            value = _read(value, key)
        if key.takes_one and value is not None and not isinstance(value, list):
            value = value.split(",") if isinstance(value, str) else [value]
        if key.short and not isinstance(value, dict | list):
            self.names |= {(*path, key.short): self.names[path]} if path in self.names else {}
            value = {key.short: value}
        if value is None:
            return None
        if key.is_list and isinstance(value, list):
            elements = enumerate(value)
            return {WHOLE: True} | {i: self._taken((*path, i), each) for i, each in elements}
        if key.is_map and isinstance(value, dict):
            return {WHOLE: True} | value
        if not key.is_list and isinstance(value, dict):
            return {
                name: self._taken((*path, name), below)
                for name, below in value.items()
                if self._is_known((*path, name), key)
            }
        self._refuse(path, f"takes {key.wanted}, not {_told(value)}{self._advice(path, value)}")
        return None

    def _is_known(self, path: KeyPath, above: Shape) -> bool:
        is_known = path[-1] in above.keys
        if not is_known:
            word = str(path[-1])
            words = f"unknown key{hint(word, above.keys) or belongs(word)}"
            self.problems.append(f"{self._name(path)}: {dotted(path)}: {words}")
        return is_known

    def _advice(self, path: KeyPath, value: Any) -> str:
        element = KEYS.get((*general(path), 0))
        if element is None:
            keys = [variable((*path, key)) for key in KEYS[general(path)].keys]
            few = isinstance(value, Text) and 0 < len(keys) <= _FEW
            return f": set {' or '.join(keys)}" if few else ""
        if isinstance(value, dict):
            return "" if element.is_value else ": put a dash before its first key"
        if not (element.is_value or element.short):
            return ""
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
        whole = len(parts) == 1 or not KEYS[general(path)].has_commas
        also = f", or [{_listed(parts)}] for several" if whole and parts[1:] else ""
        also += f", or set {variable((*path, 0))}" if isinstance(value, Text) else ""
        return f": write [{_listed([value] if whole else parts)}]{also}"

    def _expanded(self, path: KeyPath, value: Any) -> Any:
        """Return a value. Refuse one that expects a variable to be filled in."""
        if not isinstance(value, str):
            return value
        twin = TWINS.get(str(path[-1]))
        # Inside a secret it may be meant as it is written.
        found = None if path[-1] in get_args(Confidential) else _EXPANSION.search(value)
        if found or (twin and _WHOLE_EXPANSION.fullmatch(value)):
            where, instead = "", "give the value itself"
            if self._is_file:
                where, instead = " in a file", f"set {variable(path)} instead"
            also = f", or {twin}" if twin else ""
            form = "${…}" if "{" in value else "$…"
            self._refuse(path, f"{form} is not expanded{where}: {instead}{also}")
        return value

    def _refuse(self, path: KeyPath, text: str) -> None:
        self.refused.append(path)
        name = self._name(path)
        is_named = path in self.names and path
        self.problems.append(f"{name}: {text}" if is_named else f"{name}: {dotted(path)}: {text}")


def _read(value: Text, key: Shape) -> Any:
    """Return what a variable or flag writes for a list or mapping. Raises ValueError."""
    # An IPv6 address starts with a bracket, too.
    if value.startswith("{") or (value.startswith("[") and (not key.takes_one or value[-1] == "]")):
        return parse_yaml(value)
    return [Text(part.strip()) for part in value.split(",")] if key.has_commas else value


def _listed(parts: Iterable[Any]) -> str:
    return ", ".join(map(shown, parts))


def _told(value: Any) -> str:
    return "text" if isinstance(value, str) else shown(value)


def _outer_first(path: KeyPath) -> list[tuple[bool, int | str]]:
    return [(isinstance(part, str), part) for part in path]  # a path sorts before its extensions


def _beneath(tree: Any, above: Any) -> Any:
    """Return what a tree adds to the one above it: no whole list's elements, no secret's twin."""
    if not isinstance(tree, dict) or not isinstance(above, dict):
        return tree
    if WHOLE in above:
        return Tree()
    return Tree(
        {
            key: _beneath(below, above.get(key))
            for key, below in tree.items()
            if above.get(_TWIN.get(key, "")) is None
        }
    )


def of_file(path: Path) -> Source:
    """Return a file's source. Raises ValueError with one line, without the name."""
    return Source({(): (str(path), read_file(path))}, is_file=True)


def of_flags(flags: Mapping[str, str]) -> Source:
    """Return the source of flags, which are given by dotted key."""
    paths = {split(key.split(".")): value for key, value in flags.items()}
    return Source({path: (f"--{path[-1]}", Text(value)) for path, value in paths.items()})


def of_environment(environ: Mapping[str, str]) -> tuple[Source, list[str]]:
    """Return the source of the variables, and warnings. An empty variable counts as not set.

    White space around a value is dropped: a Kubernetes Secret often ends with a line break.
    """
    given: dict[KeyPath, tuple[str, Text]] = {}
    warnings, problems, refused = [], [], list[KeyPath]()
    for name, padded in sorted(environ.items()):
        value = Text(padded.strip())
        if not name.startswith(PREFIX) or not value or name == f"{PREFIX}CONFIG":
            continue
        path = key_of(name)
        if path is None:
            warnings.append(f"{name}: no such key, ignored{hint(name, _KNOWN, 0.9)}")
        elif name != name.upper():
            problems.append(f"{name}: variables are written in capitals: {name.upper()}")
        elif is_quoted(value):
            problems.append(f"{name}: {IN_QUOTES}")
            refused.append(path)
        elif path in given:
            problems.append(f"{name}: {given[path][0]} sets the same key: keep one")
        else:
            given[path] = name, value
    source = Source(given)
    source.problems[:0] = problems
    source.refused += refused
    return source, warnings


class Merged(Source):
    """The lowest source, which adds nothing and remembers what the others make together."""

    def __init__(self) -> None:
        super().__init__({})

    def __call__(self) -> dict[str, Any]:
        self.tree = self.current_state["configuration"]
        return {}


class Settings(BaseSettings):
    """The configuration out of `Settings(sources=…)`, the highest source first."""

    model_config = SettingsConfigDict(extra="forbid", validate_default=False)

    configuration: Configuration

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        *args: PydanticBaseSettingsSource,  # noqa: ARG003
        **kwargs: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return tuple(init_settings()["sources"])
