"""Moves the project: `python -m scripts.repository OWNER/NAME` writes every copy of its address.

The address is `REPOSITORY` in exporter/__init__.py. Code reads it there; what cannot (rules, chart,
Dockerfile, package metadata, and what is written from them) has a copy, and a test finds any that
differs. With `--check OWNER/NAME` nothing is written, and it fails unless that is the address: a
release from elsewhere would publish links that lead here.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from exporter import REPOSITORY

ROOT: Final = Path(__file__).parent.parent
HOST: Final = "https://github.com/"


def image(repository: str = REPOSITORY) -> str:
    """Return the name of the image in the registry that belongs to a repository."""
    return f"ghcr.io/{repository.removeprefix(HOST)}".lower()


def tracked(root: Path) -> list[Path]:
    """Return the files of a checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git is where PATH has it
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [root / name for name in listed.split("\0") if (root / name).is_file()]


def move(files: list[Path], repository: str) -> list[Path]:
    """Write the address into files that have the old one; return those that changed."""
    changed = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        moved = text.replace(REPOSITORY, repository)
        if moved != text:
            path.write_text(moved, encoding="utf-8")
            changed.append(path)
    return changed


def main(arguments: list[str]) -> None:
    """Move to OWNER/NAME, or check that we are there."""
    *options, slug = arguments or [""]
    if options not in ([], ["--check"]) or slug.count("/") != 1:
        sys.exit("usage: python -m scripts.repository [--check] OWNER/NAME")
    if not options:
        for path in move(tracked(ROOT), HOST + slug):
            print(path.relative_to(ROOT))
    elif HOST + slug != REPOSITORY:
        sys.exit(
            f"the project's address is {REPOSITORY}, this is {slug}: see scripts/repository.py"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
