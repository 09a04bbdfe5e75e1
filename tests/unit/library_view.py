"""The exposition as the client library would have it: the same snapshot as its `Metric` objects.

Made from what docs/metrics.md says of each family, and not from the code that renders.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.collectors.folders import Folder
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.collectors.waiting import Waiting
from exporter.exposition.catalogue import catalogue
from exporter.questions import Key, Window
from exporter.sla import EDGES, Objective, compliance
from exporter.store import Entry, Snapshot
from exporter.telemetry import Telemetry

Sample = tuple[dict[str, str], float]

FIGURES = {
    "response_time": "response_time_seconds",
    "first_response_time": "first_response_time_seconds",
    "handle_time": "handle_time_seconds",
    "resolution_time": "resolution_time_seconds",
    "replies_to_resolve": "replies_to_resolve",
    "conversations": "conversations",
    "resolved": "conversations_resolved",
    "resolved_on_first_reply": "conversations_resolved_on_first_reply",
    "closed": "conversations_closed",
    "replies_sent": "replies_sent",
    "resolved_on_first_reply_ratio": "resolved_on_first_reply_ratio",
}
"""Fields of Statistics and the names of their families after `helpscout_`."""

STATISTICS = {
    "resolved": "conversations_resolved",
    "resolved_on_first_reply": "conversations_resolved_on_first_reply",
    "closed": "conversations_closed",
    "resolved_on_first_reply_ratio": "resolved_on_first_reply",
}
"""Where the label `statistic` differs from the field."""

DISTRIBUTIONS = {
    "response_time": "response_time_distribution_seconds",
    "first_response_time": "first_response_time_distribution_seconds",
    "handle_time": "handle_time_distribution_seconds",
    "replies_to_resolve": "replies_to_resolve_distribution",
}


@dataclass(frozen=True)
class LibraryView:
    """What the client library makes of a snapshot and the exporter's own metrics."""

    snapshot: Snapshot
    objectives: tuple[Objective, ...]
    windows: tuple[Window, ...]
    telemetry: Telemetry

    def text(self) -> bytes:
        """The text format 0.0.4, where distributions are `<name>_bucket`, untyped."""
        generate: Any = generate_text
        return cast(bytes, generate(self._registry(text=True)))

    def openmetrics(self) -> bytes:
        """OpenMetrics 1.0."""
        generate: Any = generate_openmetrics
        return cast(bytes, generate(self._registry(text=False)))

    def metrics(self, *, text: bool) -> list[Metric]:
        """Every family that has a sample, in the order of the catalogue."""
        samples = self._samples()
        found = []
        for family in catalogue():
            if not (of_family := samples.pop(family.name, [])):
                continue
            name, kind = family.name, str(family.kind)
            bucket = f"{name}_bucket" if kind == "gaugehistogram" else name
            if text and kind == "gaugehistogram":
                name, kind = bucket, "untyped"
            metric = Metric(name, family.help, kind, "" if text else family.unit)
            for labels, value in of_family:
                metric.add_sample(bucket, labels, value)
            found.append(metric)
        assert not any(samples.values()), f"not in the catalogue: {sorted(samples)}"
        return found

    def _registry(self, *, text: bool) -> Any:
        mine, own = self.metrics(text=text), self.telemetry.registry

        class Both:
            def collect(self) -> Iterator[Metric]:
                yield from mine
                yield from own.collect()

        return Both()

    def _samples(self) -> dict[str, list[Sample]]:
        samples: dict[str, list[Sample]] = {}

        def add(name: str, found: Iterable[Sample]) -> None:
            samples.setdefault(f"helpscout_{name}", []).extend(found)

        for key in sorted(self.snapshot.entries):
            entry = self.snapshot.entries[key]
            labels = _labels(key, entry)
            if entry.reading is not None:
                value = entry.reading.value
                if key.collector == "folders":
                    add("queue_conversations", _queues(labels, value))
                elif key.collector == "happiness":
                    for rating in ("great", "okay", "not_good"):
                        count = getattr(value, rating)
                        add("happiness_ratings", _known(labels | {"rating": rating}, count))
                    add("happiness_score", _known(labels, value.score))
                else:
                    of_kind = self._waiting if key.collector == "waiting" else self._report
                    for name, found in of_kind(key, entry, value, labels):
                        add(name, found)
            attempt = labels | {"collector": key.collector}
            add("report_last_success_timestamp_seconds", _known(attempt, entry.succeeded_at))
            add("report_success", _known(attempt, entry.success))
        for objective in self.objectives:
            target = {"sla": objective.name, "statistic": objective.statistic}
            unit = "replies" if objective.statistic == "replies_to_resolve" else "seconds"
            add("sla_objective_ratio", [({"sla": objective.name}, objective.objective)])
            add(f"sla_target_{unit}", [(target, objective.target_value)])
        for window in self.windows:
            add("window_seconds", [({"window": window.text}, window.range.total_seconds())])
        for account, mailbox in self.snapshot.mailboxes:
            info = {"account": account, "mailbox": mailbox.name, "mailbox_id": str(mailbox.id)}
            add("mailbox_info", [(info | {"slug": mailbox.slug, "email": mailbox.email}, 1)])
        for account, status in self.snapshot.accounts.items():
            add("up", [({"account": account}, 1 if status.up else 0)])
            for segment, known in status.segments:
                resolved = {"account": account, "segment": segment}
                add("segment_resolved", [(resolved, int(known))])
            if status.office_open is not None:
                add("office_hours_open", [({"account": account}, int(status.office_open))])
            for collector, works in status.collectors:
                add("collector_up", [({"account": account, "collector": collector}, int(works))])
            for reason in (
                "credentials",
                "plan",
                "suspended",
                "throttled",
                "unreachable",
                "bad_response",
            ):
                value = 1 if reason in status.problems else 0
                add("account_problem", [({"account": account, "reason": reason}, value)])
        return samples

    def _waiting(
        self, key: Key, entry: Entry, waiting: Waiting, labels: dict[str, str]
    ) -> Iterator[tuple[str, Sequence[Sample]]]:
        """In calendar time, without segments: no schedule and no segment is configured here."""
        assert entry.reading is not None
        mailbox = {name: labels[name] for name in ("account", "mailbox", "mailbox_id")}
        yield "waiting_truncated", [(mailbox, int(waiting.is_truncated))]
        as_of = entry.reading.as_of.timestamp()
        for type_ in ("all", "email", "chat", "phone"):
            cut = mailbox | {"type": type_, "segment": "", "office_hours": "false"}
            since = [row.since for row in waiting.rows if type_ in ("all", row.type)]
            waits = [max(0, as_of - each) for each in since]
            yield "waiting_conversations", [(cut, len(waits))]
            if since:
                yield "waiting_since_timestamp_seconds", [(cut, min(*since, as_of))]
            yield (
                "waiting_distribution_seconds",
                [
                    (cut | {"le": f"{edge}.0"}, sum(wait <= edge for wait in waits))
                    for edge in EDGES["response_time"]
                ]
                + [(cut | {"le": "+Inf"}, len(waits))],
            )
            report = key._replace(type=type_, office_hours="false")
            for objective in self.objectives:
                times = ("response_time", "first_response_time")
                own = report._replace(window=objective.windows[0])
                if objective.statistic not in times or not _covers(objective, own, entry.mailbox):
                    continue
                for threshold, share in (("target", 1), ("at_risk", 0.75)):
                    labelled = cut | {"sla": objective.name, "threshold": threshold}
                    late = sum(wait > objective.target_value * share for wait in waits)
                    yield "sla_waiting_conversations", [(labelled, late)]

    def _report(
        self, key: Key, entry: Entry, report: ProductivityReport, labels: dict[str, str]
    ) -> Iterator[tuple[str, list[Sample]]]:
        for field, name in FIGURES.items():
            now = getattr(report.current, field)
            yield name, _known(labels, now)
            before = getattr(report.previous or Statistics(), field)
            yield f"previous_{name}", _known(labels, before)
            if now is not None and before is not None and before > 0:
                statistic = labels | {"statistic": STATISTICS.get(field, field)}
                if math.isfinite(now / before):
                    yield "change_ratio", [(statistic, now / before - 1)]
        for field, name in DISTRIBUTIONS.items():
            shape: Distribution | None = getattr(report, field)
            if shape is not None:
                yield name, list(_buckets(labels, EDGES[field], shape.counts))
        for replies, mean in zip(
            ("1", "2", "3", "4", "5+"), report.resolution_time_by_replies, strict=True
        ):
            yield (
                "resolution_time_by_replies_seconds",
                _known(labels | {"replies": replies}, mean),
            )
        for objective in self.objectives:
            shape = getattr(report, objective.statistic)
            if shape is None or not _covers(objective, key, entry.mailbox):
                continue
            within = compliance(
                shape.counts, EDGES[objective.statistic], float(objective.target_value)
            )
            if within is not None:
                horizon = "short" if key.window == objective.windows[0] else "long"
                sla = labels | {"sla": objective.name, "horizon": horizon}
                yield "sla_compliance_ratio", [(sla, within.ratio)]
                yield "sla_conversations", [(sla, within.conversations)]


def _labels(key: Key, entry: Entry) -> dict[str, str]:
    return {
        "account": key.account,
        "mailbox": entry.mailbox,
        "mailbox_id": key.mailbox_id,
        "type": key.type,
        "window": key.window,
        "office_hours": key.office_hours,
        "segment": key.segment,
    }


def _queues(labels: dict[str, str], folders: Iterable[Folder]) -> Iterator[Sample]:
    of_mailbox = {name: labels[name] for name in ("account", "mailbox", "mailbox_id")}
    for folder in folders:
        own = {"queue": folder.queue, "folder": folder.name, "folder_id": str(folder.id)}
        for state, count in folder.counts:
            yield of_mailbox | own | {"state": state}, count


def _known(labels: dict[str, str], value: float | None) -> list[Sample]:
    return [] if value is None else [(labels, value)]


def _buckets(
    labels: dict[str, str], edges: Sequence[int], counts: Sequence[int]
) -> Iterator[Sample]:
    for position, bound in enumerate([*map(float, edges), math.inf], start=1):
        le = "+Inf" if bound == math.inf else repr(bound)
        yield labels | {"le": le}, sum(counts[:position])


def _covers(objective: Objective, key: Key, mailbox: str) -> bool:
    return (
        key.window in objective.windows
        and key.type in objective.types
        and {"true": True, "false": False}[key.office_hours] in objective.office_hours
        and key.segment in objective.segments
        and any(
            pattern == "*" or pattern == mailbox or str(pattern) == key.mailbox_id
            for pattern in objective.mailboxes
        )
    )
