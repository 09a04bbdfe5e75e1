"""The catalogue is one table: what is exposed is in it, and what is in it is exposed."""

import platform
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import Gauge, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter import __version__
from exporter.collectors import COLLECTORS, Collector, Meaning, imagined
from exporter.collectors.productivity.figures import FIGURES, SHAPES
from exporter.exposition import OPENMETRICS, Exposition
from exporter.exposition.catalogue import catalogue
from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.metrics import REPORT_LABELS
from exporter.questions import Reading
from exporter.selection import MailboxChoice
from exporter.settings import Configuration
from exporter.sla import EDGES
from exporter.telemetry import FAMILIES, Family, Telemetry
from tests.readings import AT, office_schedule, renderer
from tests.unit.exposed import OBJECTIVES, WINDOWS, full_store

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
UNITS = {"seconds", "ratio"}

BY_NAME = {family.name: family for family in catalogue()}
families = pytest.mark.parametrize(
    "family", catalogue(), ids=[family.name for family in catalogue()]
)

PERIOD = (
    "response_time_seconds",
    "first_response_time_seconds",
    "handle_time_seconds",
    "resolution_time_seconds",
    "replies_to_resolve",
    "conversations",
    "conversations_resolved",
    "conversations_resolved_on_first_reply",
    "conversations_closed",
    "replies_sent",
    "resolved_on_first_reply_ratio",
)
DISTRIBUTIONS = (
    "response_time_distribution_seconds",
    "first_response_time_distribution_seconds",
    "handle_time_distribution_seconds",
    "replies_to_resolve_distribution",
)
WAITING = {"account", "mailbox", "mailbox_id", "type", "segment", "office_hours"}
CONTRACT = {
    **{f"helpscout_{name}": set(REPORT_LABELS) for name in PERIOD},
    **{f"helpscout_previous_{name}": set(REPORT_LABELS) for name in PERIOD},
    **{f"helpscout_{name}": {*REPORT_LABELS, "le"} for name in DISTRIBUTIONS},
    "helpscout_resolution_time_by_replies_seconds": {*REPORT_LABELS, "replies"},
    "helpscout_change_ratio": {*REPORT_LABELS, "statistic"},
    "helpscout_sla_compliance_ratio": {*REPORT_LABELS, "sla", "horizon"},
    "helpscout_sla_conversations": {*REPORT_LABELS, "sla", "horizon"},
    "helpscout_sla_objective_ratio": {"sla"},
    "helpscout_sla_target_seconds": {"sla", "statistic"},
    "helpscout_sla_target_replies": {"sla", "statistic"},
    "helpscout_mailbox_info": {"account", "mailbox", "mailbox_id", "slug", "email"},
    "helpscout_up": {"account"},
    "helpscout_collector_up": {"account", "collector"},
    "helpscout_segment_resolved": {"account", "segment"},
    "helpscout_office_hours_open": {"account"},
    "helpscout_waiting_conversations": WAITING,
    "helpscout_waiting_since_timestamp_seconds": WAITING,
    "helpscout_waiting_distribution_seconds": {*WAITING, "le"},
    "helpscout_sla_waiting_conversations": {*WAITING, "sla", "threshold"},
    "helpscout_waiting_truncated": {"account", "mailbox", "mailbox_id"},
    "helpscout_account_problem": {"account", "reason"},
    "helpscout_report_last_success_timestamp_seconds": {"collector", *REPORT_LABELS},
    "helpscout_report_success": {"collector", *REPORT_LABELS},
    "helpscout_window_seconds": {"window"},
    "helpscout_exporter_build_info": {"version", "revision", "python"},
    "helpscout_exporter_config_last_reload_successful": set(),
    "helpscout_exporter_config_last_reload_success_timestamp_seconds": set(),
    "helpscout_exporter_api_requests": {"account", "operation", "code"},
    "helpscout_exporter_api_request_duration_seconds": {"account", "operation"},
    "helpscout_exporter_api_retries": {"account", "reason"},
    "helpscout_exporter_rate_limit_per_minute": {"account"},
    "helpscout_exporter_rate_limit_remaining": {"account"},
    "helpscout_exporter_rate_budget_per_minute": {"account"},
    "helpscout_exporter_throttled": {"account"},
    "helpscout_exporter_reports": {"account", "collector", "window"},
    "helpscout_exporter_report_interval_seconds": {"account", "collector", "window"},
    "helpscout_exporter_schedule_stretch_ratio": {"account"},
    "helpscout_exporter_schedule_lag_seconds": {"account"},
    "helpscout_exporter_state_file_ok": set(),
    "helpscout_exporter_shard_index": set(),
    "helpscout_exporter_shards": set(),
}
"""Names and labels that users, dashboards and alerts rely on."""


def test_names_and_labels_are_those_of_the_contract() -> None:
    # What the catalogue has beyond it is an addition; what it lacks is a broken dashboard.
    assert {name: set(BY_NAME[name].labels) for name in CONTRACT} == CONTRACT


def test_no_family_is_listed_twice() -> None:
    exposed: list[str] = []
    for family in catalogue():
        suffixes = {
            "gauge": [""],
            "counter": ["_total"],
            "histogram": ["_bucket", "_sum", "_count"],
            "gaugehistogram": ["_bucket"],
        }
        exposed += [family.name + suffix for suffix in suffixes[family.kind]]
    assert len(exposed) == len(set(exposed))


@families
def test_a_name_obeys_prometheus_conventions(family: Family) -> None:
    assert NAME.fullmatch(family.name)
    assert family.name.startswith("helpscout_")
    # Suffixes that would be taken for another kind's; `_info` is a gauge of 1 by convention.
    assert not re.search(r"_(total|sum|count|bucket|created|gsum|gcount)$", family.name)
    assert not re.search(r"_(milliseconds|minutes|hours|days|percent)$", family.name)


@families
def test_a_unit_is_a_base_unit_and_ends_the_name(family: Family) -> None:
    assert family.unit in {"", *UNITS}
    for unit in UNITS:
        assert family.name.endswith(f"_{unit}") is (family.unit == unit)


@families
def test_labels_obey_prometheus_conventions(family: Family) -> None:
    assert len(set(family.labels)) == len(family.labels)
    for label in family.labels:
        assert NAME.fullmatch(label)


@families
def test_a_help_text_is_one_plain_sentence(family: Family) -> None:
    assert family.help[0].isupper()
    assert family.help.isprintable()
    assert not family.help.endswith((".", " "))
    # Neither format has to escape it, so the header is the same bytes in both.
    assert not set(family.help) & {"\\", '"'}


def test_no_two_families_have_the_same_help() -> None:
    # Those of the distributions and the like differ in a word at least.
    texts = [family.help for family in catalogue()]
    assert len(set(texts)) == len(texts)


def test_every_statistic_has_a_field_and_every_distribution_its_edges() -> None:
    entries = full_store().snapshot().entries
    entry = next(entry for key, entry in entries.items() if key.collector == "productivity")
    assert entry.reading
    report = entry.reading.value
    assert report is not None
    assert all(getattr(report.current, figure.field) is not None for figure in FIGURES)
    assert {shape.field: shape.bounds for shape in SHAPES} == {
        field: (*(str(float(edge)) for edge in edges), "+Inf") for field, edges in EDGES.items()
    }


@pytest.mark.parametrize("collector", COLLECTORS.values(), ids=list(COLLECTORS))
def test_a_specimen_has_a_sample_of_every_family_of_its_kind(collector: Collector) -> None:
    """Else `plan` and the size of a backfill count too few series."""
    always = office_schedule({"mon-sun": "00:00-24:00"})
    account = Account(name="acme", api="v2", base_url="", office_schedule=always)
    configuration = Configuration(
        (account,),
        mailboxes=MailboxChoice(all=False),
        types=("email",),
        windows=WINDOWS,
        compare=True,
        objectives=OBJECTIVES,
    )
    question = next(iter(collector.questions(imagined(account, configuration, 1))))
    specimen = Reading(collector.specimen(question), AT)
    samples = collector.samples(question.key, specimen, "mailbox 1", Meaning(configuration))
    assert {sample.family for sample in samples} == set(collector.families)


def exposed() -> dict[str, Any]:
    telemetry = Telemetry(process_metrics=False)
    telemetry.watch_state_file(lambda: True)
    for instrument, labels in (
        (telemetry.api_requests, ("acme", "report", "200")),
        (telemetry.api_retries, ("acme", "throttled")),
        (telemetry.throttled, ("acme",)),
    ):
        instrument.labels(*labels).inc()
    telemetry.api_request_duration.labels("acme", "report").observe(0.2)
    for gauge in (
        telemetry.rate_limit,
        telemetry.rate_limit_remaining,
        telemetry.rate_budget,
        telemetry.stretch,
        telemetry.lag,
    ):
        gauge.labels("acme").set(1)
    telemetry.reports.labels("acme", "productivity", "24h").set(1)
    telemetry.report_interval.labels("acme", "productivity", "24h").set(1)
    exposition = Exposition(full_store(), telemetry, renderer(OBJECTIVES, WINDOWS))
    text = b"".join(exposition.body(OPENMETRICS, gzipped=False).made()).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


def test_a_full_store_exposes_exactly_the_catalogue() -> None:
    with_samples = {name for name, family in exposed().items() if family.samples}
    # Whatever telemetry has beyond the contract is in the catalogue too, with or without samples.
    assert with_samples <= set(BY_NAME)
    assert set(CONTRACT) <= with_samples
    assert set(exposed()) == set(BY_NAME)


def test_what_is_exposed_has_the_kind_the_help_and_the_labels_of_the_catalogue() -> None:
    for name, found in exposed().items():
        family = BY_NAME[name]
        assert (found.type, found.documentation) == (family.kind, family.help)
        allowed = {*family.labels, *(["le"] if family.kind == "histogram" else [])}
        for sample in found.samples:
            assert set(sample.labels) in (allowed, set(family.labels))


def test_the_buckets_of_the_exporters_own_histogram_are_seconds() -> None:
    samples = exposed()["helpscout_exporter_api_request_duration_seconds"].samples
    edges = [sample.labels["le"] for sample in samples if sample.name.endswith("_bucket")]
    assert edges == ["0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf"]


def test_no_sample_has_a_timestamp() -> None:
    assert all(
        sample.timestamp is None for family in exposed().values() for sample in family.samples
    )


def test_every_instrument_of_the_exporter_is_listed_with_its_labels_and_help() -> None:
    telemetry = Telemetry(process_metrics=False)
    telemetry.watch_state_file(lambda: True)
    listed = {family.name: family for family in FAMILIES}
    instruments: list[Any] = list(telemetry.registry._collector_to_names)
    found = {}
    for instrument in instruments:
        (described,) = instrument.describe()
        found[described.name] = Family(
            described.name,
            described.type,
            described.documentation,
            tuple(instrument._labelnames),
            listed[described.name].unit,
        )
    assert found == listed


def test_the_version_is_exported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.telemetry.revision", lambda: "abc")
    labels = {"version": __version__, "revision": "abc", "python": platform.python_version()}
    registry = Telemetry(process_metrics=False).registry
    assert registry.get_sample_value("helpscout_exporter_build_info", labels) == 1


def test_two_exporters_in_a_process_share_no_counter() -> None:
    one, other = Telemetry(process_metrics=False), Telemetry(process_metrics=False)
    one.throttled.labels("acme").inc()
    assert other.registry.get_sample_value("helpscout_exporter_throttled_total") is None
    name, labels = "helpscout_exporter_throttled_total", {"account": "acme"}
    assert one.registry.get_sample_value(name, labels) == 1
    assert other.registry.get_sample_value(name, labels) is None


def test_no_series_says_when_it_was_created() -> None:
    assert not [name for name in exposed() if name.endswith("_created")]
    for family in exposed().values():
        assert not [sample for sample in family.samples if sample.name.endswith("_created")]


def test_process_and_python_metrics_are_exported_where_they_are_wanted() -> None:
    names = {metric.name for metric in Telemetry().registry.collect()}
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections"} <= names


# --- what belongs together -----------------------------------------------------------------------

PAIR = ("helpscout_exporter_shard_index", "helpscout_exporter_shards")


@pytest.mark.parametrize("names", [PAIR, ()], ids=["only some", "everything"])
def test_a_scrape_sees_all_of_what_is_set_at_once_or_nothing(names: tuple[str, ...]) -> None:
    telemetry = Telemetry(process_metrics=False)
    registry = telemetry.registry.restricted_registry(names) if names else telemetry.registry
    seen: list[list[Metric]] = []
    scrape = threading.Thread(daemon=True, target=lambda: seen.append(list(registry.collect())))
    with telemetry.at_once:
        telemetry.shard_index.set(3)
        scrape.start()
        scrape.join(0.1)
        assert seen == []
        telemetry.shards.set(7)
    scrape.join(20)
    found = {each.name: each.samples[0].value for each in seen[0] if each.name in PAIR}
    assert found == {PAIR[0]: 3, PAIR[1]: 7}


def test_what_belongs_together_is_set_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = Telemetry(process_metrics=False)
    budget = Budget("acme", 400, 0.5, telemetry, wait=lambda _: False)
    groups = [("productivity", "24h", 8, 300.0), ("productivity", "7d", 8, 2100.0)]
    telemetry.set_plan("acme", 1.0, groups)
    seen: list[dict[tuple[str, ...], float]] = []
    scrapes: list[threading.Thread] = []

    def values() -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for metric in telemetry.registry.collect()
            for sample in metric.samples
        }

    def scraped_after(kind: type[Any], name: str) -> None:
        really = getattr(kind, name)

        def then_scraped(*arguments: Any) -> None:
            really(*arguments)
            scrapes.append(threading.Thread(daemon=True, target=lambda: seen.append(values())))
            scrapes[-1].start()
            scrapes[-1].join(0.05)

        monkeypatch.setattr(kind, name, then_scraped)

    scraped_after(Gauge, "set")
    scraped_after(Gauge, "remove_by_labels")
    changes: tuple[Callable[[], None], ...] = (
        lambda: telemetry.set_plan("acme", 2.0, groups[:1]),
        lambda: telemetry.set_plan("acme", 1.0, groups),
        lambda: budget.observe(0.0, 100, 90),
        lambda: telemetry.forget("acme"),
    )
    for change in changes:
        before = values()
        change()
        for scrape in scrapes:
            scrape.join(20)
        assert scrapes
        assert all(each in (before, values()) for each in seen)
        seen.clear()
        scrapes.clear()
