"""Where the project lives is one variable, and every copy follows it."""

import re
import shutil
from pathlib import Path

import pytest

from exporter import REPOSITORY
from scripts import repository
from tests.support import ROOT, read_yaml

OTHER = "https://github.com/Someone/Elsewhere"
NAME = REPOSITORY.rpartition("/")[2]
ADDRESS = re.compile(rf"(?:github\.com|ghcr\.io)/([\w.-]+/{NAME})\b", re.IGNORECASE)
COPIES = (
    "pyproject.toml",
    "Dockerfile",
    "prometheus/",
    "grafana/examples/",
    "helm/helpscout-exporter/Chart.yaml",
    "helm/helpscout-exporter/files/rules/",
    "tests/testdata/alerts/",
)
"""What cannot read the variable."""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Every text of the repository by its path."""
    found = {}
    for path in repository.tracked(ROOT):
        try:
            found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
    return found


def test_no_text_has_another_address(texts: dict[str, str]) -> None:
    slug = REPOSITORY.removeprefix(repository.HOST)
    others = {name: found for name, text in texts.items() if (found := ADDRESS.findall(text))}
    assert {slug} == {each for found in others.values() for each in found}


def test_only_what_cannot_read_the_variable_has_a_copy(texts: dict[str, str]) -> None:
    holders = {name for name, text in texts.items() if ADDRESS.search(text)}
    assert "exporter/__init__.py" in holders
    assert {n for n in holders if not n.startswith(COPIES)} == {"exporter/__init__.py"}
    for copy in COPIES:
        assert any(name.startswith(copy) for name in holders), copy


def test_a_move_reaches_every_copy(tmp_path: Path) -> None:
    files = []
    for path in repository.tracked(ROOT):
        files.append(tmp_path / path.relative_to(ROOT))
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, files[-1])
    changed = repository.move(files, OTHER)
    assert tmp_path / "exporter/__init__.py" in changed
    for path in changed:
        assert REPOSITORY not in path.read_text()
    chart = read_yaml(tmp_path / "helm/helpscout-exporter/Chart.yaml")
    assert chart["home"] == OTHER
    assert chart["sources"] == [OTHER]
    assert f"ARG SOURCE={OTHER}\n" in (tmp_path / "Dockerfile").read_text()
    rules = (tmp_path / "prometheus/rules/helpscout.alerts.yml").read_text()
    assert f"runbook_url: {OTHER}/blob/main/docs/runbooks.md#helpscoutslamissed" in rules
    assert repository.image(OTHER) == "ghcr.io/someone/elsewhere"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "usage:"),
        (["--check"], "usage:"),
        (["--check", "someone/elsewhere"], f"the project's address is {REPOSITORY}, this is"),
    ],
)
def test_a_release_from_elsewhere_is_refused(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "tracked", lambda _: [])  # one that moves moves nothing here
    with pytest.raises(SystemExit, match=says):
        repository.main(arguments)
    repository.main(["--check", REPOSITORY.removeprefix(repository.HOST)])
