"""What is configured of each kind of question: whether it is asked, how often, and how much of it.

`productivity` asks by the root's `types`, `windows`, `office_hours`, `segments` and `compare`. A
kind without a class here is on, unless an account names others.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from exporter.questions import ALL, Types, Window
from exporter.values import COMMAS, Boolean, Every, Listed, Share, Some, Whole

COLLECTORS: Final = ("productivity", "folders", "waiting", "happiness")
"""The kinds that have a key of their own, which can be named for an account."""
ONLY_V2: Final = ("waiting",)
"""Those of them that API 1.0 has nothing for."""


@dataclass(frozen=True, slots=True)
class ProductivitySettings:
    """The productivity report."""

    enabled: Boolean = True


@dataclass(frozen=True, slots=True)
class FoldersSettings:
    """How many conversations are in each queue now: `every` is how often a mailbox is asked."""

    enabled: Boolean = True
    every: Every = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class WaitingSettings:
    """Which customers wait now.

    `at_risk` is the share of an SLA's target, in (0, 1), beyond which a wait is at risk. At most
    `max_pages` pages of a mailbox's list are read.
    """

    enabled: Boolean = False
    every: Every = timedelta(minutes=1)
    at_risk: Share = 0.75
    max_pages: Annotated[
        Whole, Field(ge=1, le=1000, description="a whole number from 1 to 1000")
    ] = 4


@dataclass(frozen=True, slots=True)
class HappinessSettings:
    """The happiness report."""

    enabled: Boolean = False
    types: Types = (ALL,)
    windows: Annotated[tuple[Window, ...], Some, Listed, COMMAS] = (Window("7d"), Window("30d"))
