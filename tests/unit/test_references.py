"""No text of the repository refers to a file or heading that is not there."""

from pathlib import Path

import pytest

from exporter import REPOSITORY
from tests.references import Repository, tracked
from tests.support import ROOT, need

EXEMPT = {
    "grafana/grafana-oss": "is a container image",
    "tests/unit/test_references.py": "has the references below, which lead nowhere on purpose",
}
PLANTED = {
    "a page's link": ("docs/a.md", "[x](gone.md)"),
    "a page's link to a folder": ("docs/a.md", "[x](../gone/)"),
    "a link from the wrong folder": ("docs/a.md", "[x](docs/b.md)"),
    "a link to a heading": ("docs/a.md", "[x](b.md#gone)"),
    "a link to a heading of its own": ("docs/a.md", "[x](#gone)"),
    "a comment in a block": ("docs/a.md", "[x](b.md#no-heading)"),
    "a third heading of two": ("docs/a.md", "[x](b.md#twice-2)"),
    "a docstring": ("exporter/a.py", '"""As gone.md, section 4, says."""'),
    "a comment": ("exporter/a.py", "# docs/gone.md has the reason"),
    "a heading in a comment": ("exporter/a.py", "# see docs/b.md#gone"),
    "a module": ("exporter/a.py", '"""The tree is in gone.py."""'),
    "a message": ("exporter/a.py", 'raise ValueError("see docs/gone/page")'),
    "a glob": ("Makefile", "lint docs/gone*.yml"),
    "a script": ("Dockerfile", "COPY exporter/gone.sh ./"),
    "a path from elsewhere": ("exporter/a.py", "# ../../docs/gone.md"),
    "a runbook": (
        "exporter/rules.yml",
        f"{REPOSITORY}/blob/main/docs/b.md#gone",
    ),
    "an address": (
        "exporter/rules.yml",
        f"{REPOSITORY}/tree/main/gone",
    ),
}
SOUND = (
    ("docs/a.md", "[x](b.md#a-heading-its-text) [y](../exporter) [z](#own) [w](b.md#twice-1)"),
    ("docs/a.md", "# own"),
    ("exporter/a.py", '"""See docs/b.md#a-heading-its-text, b.md, c.py and exporter/*.py."""'),
    ("exporter/a.py", 'f"docs/{name}.md"; "https://example.org/gone.md"; "/etc/gone.md"'),
    ("exporter/a.py", "platform.python_version()"),
    (
        "exporter/rules.yml",
        f"{REPOSITORY}/blob/main/docs",
    ),
)


def made_up(root: Path, *lines: tuple[str, str]) -> Repository:
    """Return a small repository with these lines, each at the end of its file."""
    files = {
        "docs/b.md": "# A heading: its `text`\n```sh\n# no heading\n```\n## Twice\n## Twice\n",
        "docs/a.md": "",
        "exporter/a.py": "",
        "exporter/c.py": "",
        "exporter/rules.yml": "",
    }
    for name, line in lines:
        files[name] = files.get(name, "") + line + "\n"
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "docs" / "picture.png").write_bytes(b"\x89PNG\xff")
    return Repository(root, [*files, "docs/picture.png"])


@pytest.mark.parametrize("case", PLANTED)
def test_a_reference_that_leads_nowhere_is_found(case: str, tmp_path: Path) -> None:
    name, line = PLANTED[case]
    (found,) = made_up(tmp_path, PLANTED[case]).dangling()
    assert found.startswith(f"{name}:1: ")
    assert found.partition(": ")[2].partition("#")[0] in line


def test_references_that_lead_somewhere_are_not(tmp_path: Path) -> None:
    assert list(made_up(tmp_path, *SOUND).dangling()) == []


@pytest.mark.no_cover
def test_every_reference_of_the_repository_leads_somewhere() -> None:
    need("git")
    files = tracked(ROOT)
    assert "docs/behaviour.md" in files
    found = list(Repository(ROOT, files).dangling())
    needed = {exempt for exempt in EXEMPT for each in found if exempt in each}
    assert [each for each in found if not any(exempt in each for exempt in EXEMPT)] == []
    assert needed == EXEMPT.keys()
