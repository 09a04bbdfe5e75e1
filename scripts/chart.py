"""Writes what in the Helm chart is a copy or a summary of something else.

Copies: Prometheus's rules and Grafana's dashboards, for a chart must be whole in itself. Summary:
the table of values in the chart's README, from the comments in values.yaml that begin with `--`.
A test compares all of them with what this module would write.

`python -m scripts.chart release FOLDER` writes the chart of a release instead: the same, with the
image that the release publishes. The checkout's own names none, for none is published.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.repository import image

ROOT: Final = Path(__file__).parent.parent
CHART: Final = ROOT / "helm" / "helpscout-exporter"
_SOURCES: Final = {
    "rules": ROOT / "prometheus" / "rules",
    "dashboards": ROOT / "grafana/dashboards",
}
_BEGIN: Final = "<!-- values: written by `make chart` from values.yaml, a test compares -->\n"
_END: Final = "<!-- /values -->\n"
_RUNBOOK: Final = "Switch and settings of the [alert](../../docs/runbooks.md#{anchor})."


class Undocumented(Exception):
    """A value has no comment that begins with `--`."""


@dataclass(frozen=True, slots=True)
class Value:
    """A row of the table: a key as `--set` takes it, its default, and what it is for."""

    key: str
    default: Any
    meaning: str


def values() -> list[Value]:
    """Return every value that is documented for itself, in the order of values.yaml.

    Raises Undocumented for one that is not, and is not a mapping of some that are.
    """
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    node = yaml.compose(text, yaml.CSafeLoader)
    assert isinstance(node, yaml.MappingNode)
    return list(_values(node, yaml.load(text, yaml.CSafeLoader), text.splitlines(), ""))


def _values(node: yaml.MappingNode, tree: Any, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, below in node.value:
        name, default = f"{prefix}{key.value}", tree[key.value]
        meaning = _comment(lines, key.start_mark.line)
        if not meaning and prefix == "prometheusRule.alerts.":
            meaning = _RUNBOOK.format(anchor=key.value.lower())
        if meaning:
            yield Value(name, default, meaning)
        elif isinstance(below, yaml.MappingNode) and not below.flow_style:
            yield from _values(below, default, lines, f"{name}.")
        else:
            raise Undocumented(name)


def _comment(lines: list[str], line: int) -> str:
    """Return the comment that ends above a line, from its `--` on."""
    words: list[str] = []
    while line and (found := re.fullmatch(r"\s*# ?(.*)", lines[line - 1])):
        words.insert(0, found[1])
        if words[0].startswith("-- "):
            return " ".join(words).removeprefix("-- ")
        line -= 1
    return ""


def table() -> str:
    """Return the README's table of values."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in values():
        default = json.dumps(value.default, ensure_ascii=False)
        rows.append(f"| `{value.key}` | `{default}` | {value.meaning} |")
    return "\n".join(rows) + "\n"


def readme() -> str:
    """Return the chart's README with its table as it should be."""
    before, _, rest = (CHART / "README.md").read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


def files() -> dict[Path, str]:
    """Return the text of every file that is written here, by its place in the chart."""
    copies = {
        Path("files", kind, path.name): path.read_text(encoding="utf-8")
        for kind, folder in _SOURCES.items()
        for path in sorted(folder.iterdir())
    }
    return {**copies, Path("README.md"): readme()}


def release(folder: Path) -> Path:
    """Write the chart of a release into a folder, and return where it is."""
    chart = folder / CHART.name
    shutil.copytree(CHART, chart)
    for name in ("values.yaml", "README.md"):
        path = chart / name
        text = path.read_text(encoding="utf-8")
        text = text.replace(f"repository: {CHART.name}\n", f"repository: {image()}\n")
        text = text.replace(
            f'`image.repository` | `"{CHART.name}"`', f'`image.repository` | `"{image()}"`'
        )
        path.write_text(text, encoding="utf-8")
    metadata = chart / "Chart.yaml"
    version = yaml.safe_load(metadata.read_text(encoding="utf-8"))["appVersion"]
    with metadata.open("a", encoding="utf-8") as file:
        file.write(
            f"  artifacthub.io/images: |\n    - {{name: exporter, image: {image()}:{version}}}\n"
        )
    return chart


def main() -> None:
    """Write every file, and remove copies whose source is gone."""
    if sys.argv[1:2] == ["release"]:
        release(Path(sys.argv[2]))
        return
    written = files()
    for kind in _SOURCES:
        folder = CHART / "files" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.relative_to(CHART) not in written:
                path.unlink()
    for name, text in written.items():
        (CHART / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
