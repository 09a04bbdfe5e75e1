"""One report into the bytes of its samples, family by family. Pure.

Sample lines are the same in the text format 0.0.4 and in OpenMetrics 1.0, so one rendering serves
both. Label order, escaping and number format are the client library's (a test compares them).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import Final

from prometheus_client.utils import floatToGoString

from exporter import metrics
from exporter.health import REASONS, AccountStatus
from exporter.metrics import CHANGE, FIGURES, REPLIES_VALUES, SHAPES
from exporter.reports import ALL, PRODUCTIVITY, Mailbox, ReportKey, Window
from exporter.selection import matches
from exporter.sla import EDGES, Objective, compliance
from exporter.store import Entry
from exporter.telemetry import Family


def escape(value: str) -> str:
    """Return a label's value as both formats write it between quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a sample's value as the client library writes it, which is as Go does."""
    if type(value) is int and 0 <= value < 1_000_000:  # most of them are counts
        return f"{value}.0"
    return floatToGoString(value)  # type: ignore[no-any-return, no-untyped-call]


REPORT_FAMILIES: Final = (
    *(figure.family for figure in FIGURES),
    *(shape.family for shape in SHAPES),
    metrics.RESOLUTION_BY_REPLIES,
    *(figure.previous for figure in FIGURES),
    CHANGE,
    metrics.SLA_COMPLIANCE,
    metrics.SLA_CONVERSATIONS,
    metrics.LAST_SUCCESS,
    metrics.SUCCESS,
)
"""The families that a report's fragments belong to, in the order of the fragments."""

FAMILIES: Final[Mapping[str, tuple[Family, ...]]] = {PRODUCTIVITY: REPORT_FAMILIES}
"""The same for each collector."""

_NAMES: Final = [figure.family.name for figure in FIGURES]
_FIELDS: Final = [figure.field for figure in FIGURES]
_PREVIOUS_NAMES: Final = [figure.previous.name for figure in FIGURES]
_STATISTICS: Final = [figure.statistic for figure in FIGURES]
_BOUNDS: Final = [(*(number(edge) for edge in shape.edges), "+Inf") for shape in SHAPES]


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders under one configuration: the SLA objectives and windows that are exported."""

    objectives: tuple[Objective, ...]
    windows: tuple[Window, ...]

    def report(self, key: ReportKey, entry: Entry) -> tuple[bytes, ...]:
        """Return the sample lines of a report, one element for each of REPORT_FAMILIES."""
        labels = _Labels(key, entry.mailbox)
        if entry.report is None:
            lines = [""] * (len(REPORT_FAMILIES) - 2)
        else:
            lines = self._data(key, entry, labels)
        lines.append(labels.attempt(metrics.LAST_SUCCESS.name, entry.succeeded_at))
        lines.append(labels.attempt(metrics.SUCCESS.name, entry.success))
        return tuple(line.encode() for line in lines)

    def _data(self, key: ReportKey, entry: Entry, labels: "_Labels") -> list[str]:
        report = entry.report
        assert report is not None
        current = [getattr(report.current, field) for field in _FIELDS]
        lines = [labels.sample(name, value) for name, value in zip(_NAMES, current, strict=True)]
        for shape, bounds in zip(SHAPES, _BOUNDS, strict=True):
            distribution = getattr(report, shape.field)
            counts = accumulate(distribution.counts) if distribution else ()
            lines.append(
                "".join(
                    labels.bucket(shape.family.name, bound, count)
                    for bound, count in zip(bounds, counts, strict=False)
                )
            )
        lines.append(
            "".join(
                labels.replies(metrics.RESOLUTION_BY_REPLIES.name, replies, mean)
                for replies, mean in zip(
                    REPLIES_VALUES, report.resolution_time_by_replies, strict=True
                )
            )
        )
        if report.previous is None:
            lines += [""] * (len(FIGURES) + 1)
        else:
            previous = [getattr(report.previous, field) for field in _FIELDS]
            lines += [
                labels.sample(name, value)
                for name, value in zip(_PREVIOUS_NAMES, previous, strict=True)
            ]
            lines.append(
                "".join(
                    labels.change(CHANGE.name, statistic, now / before - 1)
                    for statistic, now, before in zip(_STATISTICS, current, previous, strict=True)
                    if now is not None and before and isfinite(now / before)
                )
            )
        return lines + self._sla(key, entry, labels)

    def _sla(self, key: ReportKey, entry: Entry, labels: "_Labels") -> list[str]:
        ratios, totals = "", ""
        for objective in self.objectives:
            if not covers(objective, key, entry.mailbox):
                continue
            distribution = getattr(entry.report, objective.statistic)
            within = distribution and compliance(
                distribution.counts, EDGES[objective.statistic], objective.target_value
            )
            if within:
                horizon = "short" if objective.windows[0] == key.window else "long"
                ratios += labels.sla(
                    metrics.SLA_COMPLIANCE.name, objective.name, horizon, within.ratio
                )
                totals += labels.sla(
                    metrics.SLA_CONVERSATIONS.name, objective.name, horizon, within.conversations
                )
        return [ratios, totals]

    def configured(self) -> list[tuple[Family, bytes]]:
        """Return the families that come from the configuration alone."""
        seconds = [o for o in self.objectives if o.statistic != "replies_to_resolve"]
        replies = [o for o in self.objectives if o.statistic == "replies_to_resolve"]
        return [
            _family(
                metrics.SLA_OBJECTIVE, (({"sla": o.name}, o.objective) for o in self.objectives)
            ),
            *(
                _family(
                    family,
                    (({"sla": o.name, "statistic": o.statistic}, o.target_value) for o in chosen),
                )
                for family, chosen in (
                    (metrics.SLA_TARGET_SECONDS, seconds),
                    (metrics.SLA_TARGET_REPLIES, replies),
                )
            ),
            _family(
                metrics.WINDOW,
                (({"window": w.text}, w.range.total_seconds()) for w in self.windows),
            ),
        ]


def accounts(
    mailboxes: Iterable[tuple[str, Mailbox]], statuses: Mapping[str, AccountStatus]
) -> list[tuple[Family, bytes]]:
    """Return the families about accounts and their mailboxes."""
    return [
        _family(
            metrics.MAILBOX_INFO,
            (
                (
                    {
                        "account": account,
                        "email": mailbox.email,
                        "mailbox": mailbox.name,
                        "mailbox_id": str(mailbox.id),
                        "slug": mailbox.slug,
                    },
                    1,
                )
                for account, mailbox in mailboxes
            ),
        ),
        _family(metrics.UP, (({"account": name}, status.up) for name, status in statuses.items())),
        _family(
            metrics.COLLECTOR_UP,
            (
                ({"account": name, "collector": collector}, up)
                for name, status in statuses.items()
                for collector, up in status.collectors
            ),
        ),
        _family(
            metrics.PROBLEM,
            (
                ({"account": name, "reason": reason}, reason in status.problems)
                for name, status in statuses.items()
                for reason in REASONS
            ),
        ),
        _family(
            metrics.SEGMENT_RESOLVED,
            (
                ({"account": name, "segment": segment}, resolved)
                for name, status in statuses.items()
                for segment, resolved in status.segments
            ),
        ),
    ]


def _family(
    family: Family, samples: Iterable[tuple[dict[str, str], float]]
) -> tuple[Family, bytes]:
    lines = []
    for labels, value in samples:
        written = ",".join(f'{name}="{escape(text)}"' for name, text in sorted(labels.items()))
        lines.append(f"{family.name}{{{written}}} {number(value)}\n")
    return family, "".join(lines).encode()


def covers(objective: Objective, key: ReportKey, mailbox: str) -> bool:
    """Tell whether an SLA is promised for a report; `mailbox` is its mailbox's present name."""
    if (
        key.window not in objective.windows
        or key.type not in objective.types
        or key.office_hours not in objective.office_hours
        or key.segment not in objective.segments
    ):
        return False
    number_ = 0 if key.mailbox_id == ALL else int(key.mailbox_id)
    return matches(objective.mailboxes, Mailbox(number_, mailbox, "", ""))


class _Labels:
    """A report's labels, written once, in alphabetical order as the client library has them."""

    __slots__ = ("_account", "_mailbox", "_plain", "_segment", "_tail")

    def __init__(self, key: ReportKey, mailbox: str) -> None:
        self._account = f'{{account="{escape(key.account)}"'
        self._mailbox = (
            f'mailbox="{escape(mailbox)}",mailbox_id="{key.mailbox_id}"'
            f',office_hours="{"true" if key.office_hours else "false"}"'
        )
        self._segment = f'segment="{escape(key.segment)}"'
        self._tail = f'type="{key.type}",window="{key.window}"}} '
        self._plain = f"{self._account},{self._mailbox},{self._segment},{self._tail}"

    def sample(self, name: str, value: float | None) -> str:
        return "" if value is None else f"{name}{self._plain}{number(value)}\n"

    def attempt(self, name: str, value: float | None) -> str:
        if value is None:
            return ""
        return (
            f'{name}{self._account},collector="{PRODUCTIVITY}",{self._mailbox},{self._segment},'
            f"{self._tail}{number(value)}\n"
        )

    def bucket(self, name: str, bound: str, count: int) -> str:
        return (
            f'{name}_bucket{self._account},le="{bound}",{self._mailbox},{self._segment},'
            f"{self._tail}{number(count)}\n"
        )

    def replies(self, name: str, replies: str, value: float | None) -> str:
        if value is None:
            return ""
        return (
            f'{name}{self._account},{self._mailbox},replies="{replies}",{self._segment},'
            f"{self._tail}{number(value)}\n"
        )

    def change(self, name: str, statistic: str, value: float) -> str:
        return (
            f'{name}{self._account},{self._mailbox},{self._segment},statistic="{statistic}",'
            f"{self._tail}{number(value)}\n"
        )

    def sla(self, name: str, sla: str, horizon: str, value: float) -> str:
        return (
            f'{name}{self._account},horizon="{horizon}",{self._mailbox},{self._segment},'
            f'sla="{escape(sla)}",{self._tail}{number(value)}\n'
        )
