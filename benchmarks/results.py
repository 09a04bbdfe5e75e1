"""RESULTS.md: one section a benchmark, each with machine, versions and date of its own run."""

import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
_INTRODUCTION = """# Results

Every section is written by the benchmark it names. Figures of one section come from one run on one
machine, side by side; compare ratios, not milliseconds. A figure that misses its target says so.
"""


def machine(*packages: str) -> str:
    """Return a line about the machine, the day and the versions of these packages."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.+)", cpuinfo.read_text(encoding="utf-8"))
        model = found.group(1) if found else model
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model}), load {load:.1f},"
        f" Python {platform.python_version()}" + (f", {versions}" if versions else "")
    )


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(titles) + " |", "|---" + "|---:" * (len(titles) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def write(heading: str, text: str) -> None:
    """Put `text` under `heading`, in place of what an earlier run left there."""
    page = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else _INTRODUCTION
    sections = re.split(r"(?m)^(?=## )", page)
    mine = f"## {heading}\n\n{text.strip()}\n\n"
    for index, section in enumerate(sections):
        if section.startswith(f"## {heading}\n"):
            sections[index] = mine
            break
    else:
        sections[-1] = sections[-1].rstrip() + "\n\n"
        sections.append(mine)
    RESULTS.write_text("".join(sections).rstrip() + "\n", encoding="utf-8")
    print(mine)


def verdict(value: float, target: float) -> str:
    """Return a figure's relation to its target, in words."""
    if value <= target:
        return "met"
    return f"missed: {value / target:.2f} x the target" if target else "missed"
