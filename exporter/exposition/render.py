"""A key's reading into the bytes of its samples, family by family. Pure.

Sample lines are the same in the text format 0.0.4 and in OpenMetrics 1.0, so one rendering serves
both. Label order, escaping and number format are the client library's (a test compares them).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from prometheus_client.utils import floatToGoString

from exporter import metrics
from exporter.collectors import COLLECTORS, Meaning, Sample
from exporter.health import AccountStatus
from exporter.questions import Key, Mailbox
from exporter.reasons import PROBLEMS
from exporter.settings import Configuration
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


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders under one configuration."""

    configuration: Configuration

    def report(self, key: Key, entry: Entry) -> tuple[bytes, ...]:
        """Return the sample lines of a key, one element for each of its `report_families`."""
        labels = _Labels(key, entry.mailbox)
        lines: dict[str, list[str]] = {family.name: [] for family in report_families(key.collector)}
        if entry.reading is not None:
            meaning = Meaning(self.configuration)
            samples = COLLECTORS[key.collector].samples
            for sample in samples(key, entry.reading, entry.mailbox, meaning):
                lines[sample.family.name].append(labels.line(sample))
        for family, value in (
            (metrics.LAST_SUCCESS, entry.succeeded_at),
            (metrics.SUCCESS, entry.success),
        ):
            if value is not None:
                lines[family.name].append(labels.line(Sample(family, (), value)))
        return tuple("".join(of_family).encode() for of_family in lines.values())

    def configured(self) -> list[tuple[Family, bytes]]:
        """Return the families that come from the configuration alone."""
        objectives = self.configuration.objectives
        seconds = [o for o in objectives if o.statistic != "replies_to_resolve"]
        replies = [o for o in objectives if o.statistic == "replies_to_resolve"]
        return [
            _family(metrics.SLA_OBJECTIVE, (({"sla": o.name}, o.objective) for o in objectives)),
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
                (
                    ({"window": text}, length.total_seconds())
                    for text, length in self.configuration.ranges.items()
                ),
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
                for reason in PROBLEMS
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
        _family(
            metrics.OFFICE_OPEN,
            (
                ({"account": name}, status.office_open)
                for name, status in statuses.items()
                if status.office_open is not None
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


@cache
def report_families(collector: str) -> tuple[Family, ...]:
    """Return the families that the fragments of a collector's keys belong to, in their order."""
    return (*COLLECTORS[collector].families, metrics.LAST_SUCCESS, metrics.SUCCESS)


class _Labels:
    """A key's labels, written once for all samples of a family.

    In alphabetical order, as the client library has them.
    """

    __slots__ = ("_fixed", "_forms")

    def __init__(self, key: Key, mailbox: str) -> None:
        fixed = {**key._asdict(), "mailbox": mailbox}
        self._fixed = {name: escape(text) for name, text in fixed.items()}
        self._forms: dict[str, list[str]] = {}

    def line(self, sample: Sample) -> str:
        """Return the line of a sample; the samples of a family have the same labels."""
        family, labels, value = sample
        form = self._forms.get(family.name)
        if form is None:
            template = _template(family, tuple(name for name, _ in labels))
            form = self._forms[family.name] = (template % self._fixed).split("\n")
        if not labels:
            return f"{form[0]}{number(value)}\n"
        if len(labels) == 1:
            return f"{form[0]}{escape(labels[0][1])}{form[1]}{number(value)}\n"
        texts = [escape(text) for _, text in sorted(labels)]
        written = "".join(
            part + text for part, text in zip(form, (*texts, number(value)), strict=True)
        )
        return f"{written}\n"


@cache
def _template(family: Family, own: Collection[str]) -> str:
    """Return a line of a family up to its value.

    A key's labels are `%` fields. A line feed, which no escaped value has, stands for the value of
    each of the sample's own labels.
    """
    name = f"{family.name}_bucket" if family.kind == "gaugehistogram" else family.name
    labels = ",".join(
        f'{label}="\n"' if label in own else f'{label}="%({label})s"'
        for label in sorted(family.labels)
    )
    return f"{name}{{{labels}}} "
