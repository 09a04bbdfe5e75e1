"""Which metrics and labels an expression names. No parser of the language: enough for ours."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from exporter.exposition.catalogue import catalogue
from scripts.dashboards.parts import PROCESS
from tests.alarm.conftest import RECORDS

TARGET_LABELS: Final = frozenset({"job", "namespace", "cluster", *PROCESS.split(", ")})
"""What Prometheus, its service discovery or somebody's relabelling adds to every series."""

_SUFFIXES: Final = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gaugehistogram": ("_bucket",),
}
_LE: Final = {"histogram": {"le"}, "gaugehistogram": {"le"}}

SAMPLES: Final = {
    family.name + suffix: (
        family.name,
        {*family.labels, *_LE.get(family.kind, ())} | TARGET_LABELS,
    )
    for family in catalogue()
    for suffix in _SUFFIXES.get(family.kind, ("",))
}
"""From a sample's name to its family's name and the labels that it may have."""

_OF_ALERTS: Final = {"alertname", "alertstate", "severity", "component"}
LABELS: Final = set().union(
    *(labels for _, labels in SAMPLES.values()), _OF_ALERTS, {"shard_number", "file"}
)

FOREIGN: Final = {
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
"""Not of the catalogue: Prometheus's own, and the client library's."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR: Final = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_LISTS: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left)\s*\(([^()]*)\)")
_MADE: Final = re.compile(r', "(\w+)", "[^"]*", "\w+", "[^"]*"\)')
"""The label that a `label_replace` makes."""
_NAME: Final = re.compile(r"(?<![\w:$])((?:helpscout|process|python)[\w:]+|up)(?![\w(])")


def names(expression: str) -> set[str]:
    """Return the metrics of an expression."""
    bare = _LISTS.sub("", _STRING.sub('""', expression))
    return set(_NAME.findall(bare))


_FROM_NOTHING: Final = {
    *("absent", "absent_over_time", "scalar", "vector", "__name__", "ALERTS", "ALERTS_FOR_STATE"),
    *("minute", "hour", "month", "year"),
    *("day_of_week", "day_of_month", "day_of_year", "days_in_month"),
}
"""Words of an expression that may have a result where none of its metrics has a sample."""


def metrics_of(series: Iterable[dict[str, str]]) -> set[str]:
    """Return the metrics of the input series of a promtool test."""
    return {each["series"].partition("{")[0] for each in series}


def reachable(groups: Iterable[dict[str, Any]], metrics: set[str]) -> list[dict[str, Any]]:
    """Return the groups with the rules that may have a result where there are only these metrics.

    All other rules have none, whatever the samples are: no operator makes one of nothing.
    """
    there = metrics | _FROM_NOTHING
    while True:
        found = [
            group | {"rules": [rule for rule in group["rules"] if _words(rule["expr"]) & there]}
            for group in groups
        ]
        recorded = {
            rule["record"] for group in found for rule in group["rules"] if "record" in rule
        }
        if recorded <= there:
            return [group for group in found if group["rules"]]
        there |= recorded


def _words(expression: str) -> set[str]:
    return set(re.findall(r"[a-zA-Z_:][\w:]*", _STRING.sub('""', expression)))


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield every metric that has matchers, with the labels in them."""
    for name, matchers in _SELECTOR.findall(_STRING.sub('""', expression)):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def grouped(expression: str) -> set[str]:
    """Return the labels in the lists of `by`, `without`, `on`, `ignoring` and `group_left`."""
    lists = _LISTS.findall(_STRING.sub('""', expression))
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}


def problems(expression: str) -> list[str]:
    """Return what in an expression is neither in the catalogue nor recorded."""
    recorded = {rule["record"] for rule in RECORDS}
    found = [
        f"no metric {name}"
        for name in names(expression)
        if name not in SAMPLES and name not in recorded and name not in FOREIGN
    ]
    for name, labels in selectors(expression):
        known = SAMPLES[name][1] if name in SAMPLES else LABELS | {"shard"}
        found += [f"{name} has no label {label}" for label in labels - known]
    known = LABELS | set(_MADE.findall(expression))
    return found + [f"nothing has a label {label}" for label in grouped(expression) - known]
