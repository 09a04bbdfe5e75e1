"""The exporter's own metrics: calls, budget, schedule, reloads, build. No figure of Help Scout.

One `Telemetry` per process holds a registry of its own, so that tests do not share counters. The
instruments are the client library's; names and labels are what users rely on.
"""

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    gc_collector,
    platform_collector,
    process_collector,
)

from exporter import __version__, revision

Kind = Literal["gauge", "counter", "histogram", "gaugehistogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family as the catalogue lists it. `name` is without `_total`, as in OpenMetrics."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""


_P: Final = "helpscout_exporter_"

FAMILIES: Final = (
    Family(
        f"{_P}build_info",
        "gauge",
        "Version, revision and Python of this exporter; always 1",
        ("version", "revision", "python"),
    ),
    Family(
        f"{_P}config_last_reload_successful",
        "gauge",
        "Whether the last attempt to load the configuration succeeded",
    ),
    Family(
        f"{_P}config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time of the last successful load of the configuration",
        unit="seconds",
    ),
    Family(
        f"{_P}api_requests",
        "counter",
        "Calls to Help Scout by operation and HTTP status, or the reason where no answer came",
        ("account", "operation", "code"),
    ),
    Family(
        f"{_P}api_request_duration_seconds",
        "histogram",
        "Duration of calls to Help Scout, failed ones included",
        ("account", "operation"),
        "seconds",
    ),
    Family(
        f"{_P}api_retries",
        "counter",
        "Calls to Help Scout that were repeated, by what had gone wrong",
        ("account", "reason"),
    ),
    Family(
        f"{_P}rate_limit_per_minute",
        "gauge",
        "The account's limit of calls a minute, as the service last said, else as configured",
        ("account",),
    ),
    Family(
        f"{_P}rate_limit_remaining",
        "gauge",
        "Calls left in the account's current minute, as the service last said",
        ("account",),
    ),
    Family(
        f"{_P}rate_budget_per_minute",
        "gauge",
        "Calls a minute that the exporter allows itself at present",
        ("account",),
    ),
    Family(
        f"{_P}throttled",
        "counter",
        "Calls that Help Scout refused because the account's limit was used up",
        ("account",),
    ),
    Family(
        f"{_P}reports",
        "gauge",
        "Reports that are asked regularly",
        ("account", "collector", "window"),
    ),
    Family(
        f"{_P}report_interval_seconds",
        "gauge",
        "How often a report is asked, stretch included",
        ("account", "collector", "window"),
        "seconds",
    ),
    Family(
        f"{_P}schedule_stretch_ratio",
        "gauge",
        "By how much intervals are stretched to fit the budget; 1: the plan fits",
        ("account",),
        "ratio",
    ),
    Family(
        f"{_P}schedule_lag_seconds",
        "gauge",
        "How long the most overdue report has been waiting",
        ("account",),
        "seconds",
    ),
    Family(
        f"{_P}state_file_ok",
        "gauge",
        "Whether the state file can be read and written; absent without one",
    ),
    Family(f"{_P}shard_index", "gauge", "Index of this shard, from 0"),
    Family(f"{_P}shards", "gauge", "Number of shards that the work is split over"),
)
"""Every family of the exporter itself, but for the client library's process and Python metrics."""

_DURATION_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Telemetry:
    """The instruments by name. Thread-safe, as the client library is."""

    def __init__(self, *, process_metrics: bool = True) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        if process_metrics:
            process_collector.ProcessCollector(registry=self.registry)
            platform_collector.PlatformCollector(registry=self.registry)
            gc_collector.GCCollector(registry=self.registry)
        families = self._families = {f.name.removeprefix(_P): f for f in FAMILIES}

        def gauge(name: str) -> Gauge:
            family = families[name]
            return Gauge(family.name, family.help, family.labels, registry=self.registry)

        def counter(name: str) -> Counter:
            family = families[name]
            return Counter(family.name, family.help, family.labels, registry=self.registry)

        self.build_info = gauge("build_info")
        self.build_info.labels(__version__, revision(), platform.python_version()).set(1)
        self.reload_successful = gauge("config_last_reload_successful")
        self.reload_timestamp = gauge("config_last_reload_success_timestamp_seconds")
        self.api_requests = counter("api_requests")
        duration = families["api_request_duration_seconds"]
        self.api_request_duration = Histogram(
            duration.name,
            duration.help,
            duration.labels,
            buckets=_DURATION_BUCKETS,
            registry=self.registry,
        )
        self.api_retries = counter("api_retries")
        self.rate_limit = gauge("rate_limit_per_minute")
        self.rate_limit_remaining = gauge("rate_limit_remaining")
        self.rate_budget = gauge("rate_budget_per_minute")
        self.throttled = counter("throttled")
        self.reports = gauge("reports")
        self.report_interval = gauge("report_interval_seconds")
        self.stretch = gauge("schedule_stretch_ratio")
        self.lag = gauge("schedule_lag_seconds")
        self._per_account = (
            self.api_requests,
            self.api_request_duration,
            self.api_retries,
            self.rate_limit,
            self.rate_limit_remaining,
            self.rate_budget,
            self.throttled,
            self.reports,
            self.report_interval,
            self.stretch,
            self.lag,
        )
        self.shard_index = gauge("shard_index")
        self.shards = gauge("shards")

    def watch_state_file(self, ok: Callable[[], bool]) -> None:
        """Export from now on whether the state file can be used."""
        family = self._families["state_file_ok"]
        Gauge(family.name, family.help, registry=self.registry).set_function(ok)

    def forget(self, account: str) -> None:
        """Remove every series of an account that is no longer configured."""
        for instrument in self._per_account:
            instrument.remove_by_labels({"account": account})

    def set_groups(self, account: str, groups: Iterable[tuple[str, str, int, float]]) -> None:
        """Export exactly these of an account: collector, window, reports, interval in seconds."""
        for instrument in (self.reports, self.report_interval):
            instrument.remove_by_labels({"account": account})
        for collector, window, number, interval in groups:
            self.reports.labels(account, collector, window).set(number)
            self.report_interval.labels(account, collector, window).set(interval)
