"""The documentation says what the code says: generated pages are current, examples are true."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.durations import format_duration, parse_duration
from exporter.exposition.catalogue import catalogue
from exporter.settings import ConfigurationError, load
from scripts.generate_docs import DOCS, KEYS, PAGES, configuration_page, example, metrics_page
from tests.support import ROOT, code_block

PAGES_BY_HAND = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/RESULTS.md",
    "helm/helpscout-exporter/README.md",
    *(f"docs/{page.name}" for page in sorted(DOCS.glob("*.md")) if page.name not in PAGES),
)
CREDENTIALS = {"client_id": "an-id", "client_secret": "a-secret"}
WHOLE_SCHEDULE = {"timezone": "UTC", "hours": {"mon": "09:00-17:00"}}
WHOLE_SLA = {
    "name": "first",
    "statistic": "first_response_time",
    "target": "1h",
    "objective": 0.9,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run make docs"


def test_every_family_is_documented_once() -> None:
    headings = re.findall(r"^### `(.+)`$", metrics_page(), re.MULTILINE)
    assert sorted(headings) == sorted(family.name for family in catalogue())


def test_every_key_is_documented_once() -> None:
    headings = re.findall(r"^### `(.+)`$", configuration_page(), re.MULTILINE)
    assert len(headings) == len(set(headings)) == len(KEYS)


def _completed(name: str, tree: dict[str, object]) -> dict[str, object]:
    """Return an example with what its neighbours demand."""
    section, _, key = name.partition("[0].")
    if section == "accounts":
        account = {k: v for k, v in CREDENTIALS.items() if k != key.removesuffix("_file")}
        if key.startswith("api_key"):
            account = {}
        given: dict[str, Any] = tree["accounts"][0]  # type: ignore[index]
        if "office_schedule" in given:
            given["office_schedule"] = WHOLE_SCHEDULE | given["office_schedule"]
        return {"accounts": [account | given]}
    others: dict[str, dict[str, object]] = {
        "windows": {"range": "7d"},
        "segments": {"name": "vip", "tags": ["vip"]},
        "sla": WHOLE_SLA,
    }
    if section in others:
        tree = {section: [others[section] | tree[section][0]]}  # type: ignore[index]
    if name.startswith("happiness.windows"):
        (window,) = tree["happiness"]["windows"]  # type: ignore[index]
        tree = {"happiness": {"windows": [{"range": "7d"} | window]}}
    if name == "shard.index":
        tree = {"shard": {"index": 1, "total": 2}}
    return {"accounts": [CREDENTIALS], **tree}


@pytest.mark.parametrize("name", KEYS)
def test_the_example_of_every_key_is_accepted(name: str, tmp_path: Path) -> None:
    path = tuple(int(part) if part.isdigit() else part for part in re.findall(r"[a-z_]+|\d+", name))
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump(_completed(name, example(path, KEYS[name].example))))
    assert load(config, {}).accounts


def _with(name: str, value: object, folder: Path) -> str:
    """Return why a configuration is refused in which a key has a value, or nothing."""
    path = tuple(int(part) if part.isdigit() else part for part in re.findall(r"[a-z_]+|\d+", name))
    config = folder / "config.yml"
    config.write_text(yaml.safe_dump(_completed(name, example(path, value))))
    try:
        load(config, {})
    except ConfigurationError as error:
        return str(error)
    return ""


def _beside(bound: str, way: int) -> int | str:
    """Return the next number or duration in whole seconds, upwards or downwards."""
    if bound.isdigit():
        return int(bound) + way
    seconds = parse_duration(bound) + way * timedelta(seconds=1)
    return format_duration(seconds)


def _bound(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _bounds() -> Iterator[tuple[str, int | float | str, bool]]:
    """Yield a value at or beyond each bound that a note tells, and whether it is accepted."""
    for name, key in KEYS.items():
        if found := re.search(r"\b(\d+\w*) to (\d+\w*)\b", key.meaning):
            least, most = found.groups()
            yield name, _bound(least), True
            yield name, _beside(least, -1), False
            yield name, _bound(most), True
            yield name, _beside(most, 1), False
        elif found := re.search(r"; (?:.*, )?at most (\d+\w*)\b", key.meaning):
            yield name, _bound(found[1]), True
            yield name, _beside(found[1], 1), False
        elif "between 0 and 1" in key.meaning:
            yield from ((name, value, 0 < value < 1) for value in (0, 0.001, 0.999, 1))


@pytest.mark.parametrize(("name", "value", "accepted"), [*_bounds()])
def test_the_bounds_that_a_note_tells_are_those_of_the_key(
    name: str, value: float | str, accepted: bool, tmp_path: Path
) -> None:
    assert (_with(name, value, tmp_path) == "") == accepted


WORDS = {
    name: found
    for name, key in KEYS.items()
    if len(found := re.findall("`([a-z_0-9]+)`", key.kind)) > 1 and "true" not in found
}
"""Of the keys that take one of several words, or a list of them, those that the page has."""


@pytest.mark.parametrize("name", WORDS)
def test_the_words_that_a_page_lists_are_those_that_the_key_takes(
    name: str, tmp_path: Path
) -> None:
    listed = "list" in KEYS[name].kind
    message = _with(name, ["nonsense"] if listed else "nonsense", tmp_path)
    assert re.findall(r"\w+(?=,|$)", message.partition(" is not ")[2]) == WORDS[name]


def test_the_example_configuration_is_accepted() -> None:
    assert load(ROOT / "config.example.yml", {}).accounts


def test_the_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(code_block("configuration"))
    configuration = load(config, {})
    assert configuration.warnings == ()
    assert [window.text for window in configuration.windows] == ["24h", "7d", "30d"]


@pytest.mark.parametrize("page", [*PAGES_BY_HAND, *(f"docs/{name}" for name in PAGES)])
def test_every_metric_that_a_page_names_exists(page: str) -> None:
    known = {"helpscout_exporter"}
    for family in catalogue():
        known |= {family.name + suffix for suffix in ("", "_total", "_bucket", "_count", "_sum")}
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\bhelpscout_[a-z_]+[a-z]\b", text))
    assert named <= known


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        todo += [page.parent / link for link in links]
    assert {page.resolve() for page in DOCS.glob("*.md")} <= reached


def test_every_message_that_troubleshooting_explains_is_one_that_the_program_writes() -> None:
    source = " ".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "exporter").rglob("*.py"))
    )
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(messages) > 20
    assert [message for message in messages if message not in source] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    rules = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    for page in PAGES_BY_HAND:
        text = (ROOT / page).read_text(encoding="utf-8")
        named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))
        assert named <= targets, page


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("Productivity report", "/reports/productivity"),
        ("Folders", "/folders"),
        ("Conversation list", "/conversations"),
        ("Happiness report", "/reports/happiness"),
    ],
)
def test_the_facts_say_of_an_endpoint_that_is_not_asked_that_it_is_not(
    section: str, path: str
) -> None:
    page = (DOCS / "api-facts.md").read_text(encoding="utf-8")
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    collectors = ROOT / "exporter" / "collectors"
    source = "".join(each.read_text("utf-8") for each in collectors.rglob("*.py"))
    assert text
    assert ("Not used yet" in text) is (path not in source)
