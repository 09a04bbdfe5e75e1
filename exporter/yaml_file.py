"""YAML without its traps, from a file or from a variable: plain values out, or one line why not.

No message here quotes a value, so none can hold a secret.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

MAX_FILE_BYTES: Final = 1_000_000
MAX_VALUES: Final = 100_000


class _Refused(yaml.MarkedYAMLError):
    """YAML that we refuse, in our words."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars without 1.1's traps (`on`, `1:30`, `010`, dates are text).

    What is not recognised stays text, so that the key it is for can say what it wants instead.
    """

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - the library's own way to hold them

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._values_of: dict[str, int] = {}
        """How many values an anchor stands for. Aliases of aliases soon make billions."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias, before = isinstance(event, yaml.AliasEvent), self._values
        self._values += self._values_of.get(event.anchor, 1) if is_alias else 1
        if is_alias and event.anchor not in self._values_of:
            problem = "an alias (*) needs its anchor (&) above it: use quotes around such a text"
        elif self._values > MAX_VALUES:
            problem = f"is larger than {MAX_VALUES} values, aliases (*) written out"
        elif getattr(event, "tag", None) is not None:
            problem = "tags (!) are not supported: use quotes around such a text"
        elif not is_unicode(getattr(event, "value", "")):
            problem = "half a surrogate pair is not text"
        else:
            node = super().compose_node(parent, index)
            if event.anchor is not None and not is_alias:
                self._values_of[event.anchor] = self._values - before
            return node
        raise _Refused(problem=problem, problem_mark=event.start_mark)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        mapping, merged = dict[Any, Any](), dict[Any, Any]()
        for key, value in node.value:
            if key.value == "<<" and (bases := _mappings(value)):
                for base in reversed(bases):  # of several, the first wins
                    merged |= self.construct_mapping(base, deep=True)
                continue
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key is a word, not a list or a mapping"
            elif key.value in mapping:
                problem = f"duplicate key {json.dumps(key.value, ensure_ascii=False)}"
            else:
                mapping[key.value] = self.construct_object(value, deep=deep)
                continue
            raise _Refused(problem=problem, problem_mark=key.start_mark)
        return merged | mapping


def _mappings(node: Any) -> list[yaml.MappingNode]:
    """Return the mapping, or the mappings of a list of nothing else; else nothing."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return nodes if all(isinstance(each, yaml.MappingNode) for each in nodes) else []


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_form})\Z"), _first
    )


def is_unicode(text: str) -> bool:
    """Return whether a text has no half of a surrogate pair, which cannot be written out again."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def parse_yaml(text: str) -> Any:
    """Return the plain value that `text` writes. Raises ValueError with one line and its place."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        words = str(error.problem) if isinstance(error, _Refused) else _unquoted(error)
        raise ValueError(place + words) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"line {line}: a control character is not allowed") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except (ValueError, OverflowError):  # an escape beyond Unicode
        raise ValueError("is not YAML") from None


def _unquoted(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's words without what it quotes of the text: it may be part of a secret."""
    words = error.problem or "is not YAML"
    if "'\\t'" in words:
        return "a tab: indent with spaces"
    if "<block end>" in words:
        return "is not indented like the lines above it"
    if words.startswith("but "):
        words = f"{error.context}, {words}"
    return re.sub(r"'([^']+)'", lambda m: m[0] if len(m[1]) < 3 or m[1][0] == "<" else "…", words)


def read_file(path: Path) -> dict[str, Any]:
    """Return a configuration file's keys, relative paths starting at its folder.

    Raises ValueError with one line, without the name.
    """
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
    if not isinstance(content, dict | None):
        raise ValueError("is not a mapping of keys to values")
    return {key: _from_folder(path.parent, key, value) for key, value in (content or {}).items()}


def _from_folder(folder: Path, key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _from_folder(folder, name, below) for name, below in value.items()}
    if isinstance(value, list):
        return [_from_folder(folder, key, item) for item in value]
    is_path = key.endswith("_file") and isinstance(value, str) and value
    return str(folder / value) if is_path else value
