"""Variables over the file and flags over both: one tree that remembers who set what.

A message can so name the place to mend. This is the source of the settings for pydantic-settings,
whose own sources cannot index into lists.

Values of variables and flags are `Text`: the key they are for decides what they are.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from exporter.probe import LISTEN_VARIABLE
from exporter.settings.keys import PREFIX, KeyPath, at, dotted, general, hint, split, variable
from exporter.settings.schema import CREDENTIALS, FIELDS, TWINS, Settings
from exporter.settings.values import Text
from exporter.yaml_file import is_unicode, parse_yaml

_SHORT: Final = {
    variable((key,)): ("accounts", 0, key) for key in ("api", "base_url", *CREDENTIALS)
}
_KNOWN: Final = (*map(variable, FIELDS), *map(variable, zip(Settings.model_fields)), *_SHORT)
_TWIN: Final = TWINS | {file: key for key, file in TWINS.items()}

_Origin = tuple[int, str]
"""The layer of who set a key (-1 the image, 0 the file, 1 a variable, 2 a flag), and the name."""


class Tree(dict[str, Any]):
    """A tree whose repr shows no secret, whoever logs it."""

    def __repr__(self) -> str:
        return "<configuration>"


class Overlay(PydanticBaseSettingsSource):
    """The tree under construction. `problems` and `warnings` are whole lines, ready to be shown."""

    def __init__(self, file: Path | None, content: Mapping[str, Any], listen: str = "") -> None:
        """`listen` is the default of `web.listen` that the image brings, if not empty."""
        super().__init__(Settings)
        self.tree = Tree()
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self._file = file
        self._origins: dict[KeyPath, _Origin] = {}
        self._refused: set[str | int] = set()
        if listen:
            self._assign(("web", "listen"), Text(listen), (-1, LISTEN_VARIABLE))
        for key, value in content.items():
            self._assign((key,), value, (0, str(file)))

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return self.tree.get(field_name), field_name, False

    def __call__(self) -> Tree:
        return self.tree

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Lay the variables over the file. An empty variable counts as one that is not set.

        White space around a value is no part of it: a Kubernetes Secret often has a line break.
        """
        given: dict[KeyPath, tuple[str, str]] = {}
        for name, padded in sorted(environ.items()):
            value = padded.strip()
            if not name.startswith(PREFIX) or not value or name == f"{PREFIX}CONFIG":
                continue
            path = _SHORT.get(name) or split(name.removeprefix(PREFIX).lower().split("__"))
            if path[0] not in Settings.model_fields:
                self.warnings.append(f"{name}: no such key, ignored{hint(name, _KNOWN, 0.9)}")
            elif name != name.upper():
                self.problems.append(f"{name}: variables are written in capitals: {name.upper()}")
            elif path in given:
                self.problems.append(f"{name}: {given[path][0]} sets the same key: keep one")
            else:
                given[path] = name, value
        self._add(1, given)

    def add_flags(self, overrides: Mapping[str, str]) -> None:
        """Lay flags, by dotted key, over what is there."""
        paths = {split(key.split(".")): value for key, value in overrides.items()}
        given = {p: (f"--{p[-1]}".replace("_", "-"), value) for p, value in paths.items()}
        self._add(2, given)

    def _add(self, layer: int, given: Mapping[KeyPath, tuple[str, str]]) -> None:
        for path, (name, value) in sorted(given.items(), key=lambda item: _outer_first(item[0])):
            try:
                if not is_unicode(name + value):
                    raise ValueError("is not UTF-8 text")
                is_yaml = value.lstrip()[:1] in ("[", "{") and general(path) not in FIELDS
                content = parse_yaml(value) if is_yaml else Text(value)
                self._assign(path, content, (layer, name))
            except ValueError as error:
                self.problems.append(f"{name}: {error}")
                self._refused.add(path[0])

    def _assign(self, path: KeyPath, value: Any, origin: _Origin) -> None:
        path, value = _written_out(path, value)
        if isinstance(value, dict) and isinstance(at(self.tree, path), dict):
            for key, below in value.items():
                self._assign((*path, key), below, origin)
            return
        *above, last = path
        node: Any = self.tree
        for depth, part in enumerate(above, 1):
            inner = at(node, (part,))
            if inner is None:
                inner = [] if isinstance(path[depth], int) else {}
                _put(node, part, inner, path[: depth - 1])
            if not isinstance(inner, dict | list):
                return  # something else stands where a mapping belongs, and is reported for itself
            node = inner
        _put(node, last, value, path[:-1])
        self._origins = {key: o for key, o in self._origins.items() if key[: len(path)] != path}
        self._origins[path] = origin
        twin = _TWIN.get(str(last), "")
        if isinstance(node, dict) and twin in node:
            layer, _ = self._origins[self._setter((*above, twin))]
            if layer < origin[0]:
                del node[twin]

    def _setter(self, path: KeyPath) -> KeyPath:
        """Return where a key was set or, for lack of that, something below it; else nothing."""
        above = [path[:length] for length in range(len(path), 0, -1)]
        below = [key for key in self._origins if key[: len(path)] == path]
        return next((key for key in (*above, *below) if key in self._origins), ())

    def message(self, path: KeyPath, text: str) -> str:
        """Return one line about a key, led by the variable, flag or file that set or lacks it."""
        setter = self._setter(path)
        layer, name = self._origins.get(setter, (0, str(self._file)))
        if layer and setter == path:
            return f"{name}: {text}"
        if setter or self._file:
            return f"{name}: {dotted(path)}: {text}"
        shorts = (short for short, key in _SHORT.items() if key == path)
        return f"{next(shorts, variable(path)) if path[1:] else dotted(path)}: {text}"

    def follows(self, path: KeyPath) -> bool:
        """Tell whether a key may lack only because a variable or flag was refused."""
        return path[0] in self._refused and not at(self.tree, path)


def _written_out(path: KeyPath, value: Any) -> tuple[KeyPath, Any]:
    """Write a window that is given by its range alone as a mapping."""
    if path == ("windows",) and isinstance(value, list):
        return path, [w if isinstance(w, dict | list) else {"range": w} for w in value]
    if path[:-1] == ("windows",) and not isinstance(value, dict | list):
        return (*path, "range"), value
    return path, value


def _outer_first(path: KeyPath) -> list[tuple[bool, int | str]]:
    return [(isinstance(part, str), part) for part in path]  # a path sorts before its extensions


def _put(node: Any, part: str | int, value: Any, here: KeyPath) -> None:
    if isinstance(node, dict):
        node[str(part)] = value
    elif not isinstance(part, int):
        raise ValueError(f"{dotted(here)} is a list: an index is missing")
    elif part > len(node):
        raise ValueError(f"leaves a gap in {dotted(here)}: the next free index is {len(node)}")
    else:
        node[part : part + 1] = [value]
