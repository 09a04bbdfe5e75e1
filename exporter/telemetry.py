"""The exporter's own metrics: calls, budget, schedule, reloads, build. No figure of Help Scout.

One `Telemetry` per process holds a registry of its own, so that tests do not share counters. The
instruments are the client library's; names and labels are what users rely on. A family is declared
where its instrument is made.
"""

import platform
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    gc_collector,
    platform_collector,
    process_collector,
)
from prometheus_client.registry import RestrictedRegistry

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


_PREFIX: Final = "helpscout_exporter_"
_Instrument = TypeVar("_Instrument", Gauge, Counter, Histogram)
_KINDS: Final[Mapping[type, Kind]] = {
    Gauge: "gauge",
    Counter: "counter",
    Histogram: "histogram",
}
_DURATION_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _Registry(CollectorRegistry):
    """Collects nothing while `at_once` is held."""

    def __init__(self) -> None:
        super().__init__(auto_describe=True)
        self.at_once = threading.RLock()

    def collect(self) -> list[Metric]:
        with self.at_once:
            return list(super().collect())

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        return _Restricted(names, self)


class _Restricted(RestrictedRegistry):
    def __init__(self, names: Iterable[str], registry: _Registry) -> None:
        super().__init__(names, registry)
        self._at_once = registry.at_once

    def collect(self) -> list[Metric]:
        with self._at_once:
            return list(super().collect())


class Telemetry:
    """The instruments by name. Thread-safe, as the client library is.

    What is set while `at_once` is held belongs together: a scrape sees all of it, or nothing.
    """

    def __init__(self, *, process_metrics: bool = True) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = _Registry()
        self.at_once = self.registry.at_once
        if process_metrics:
            process_collector.ProcessCollector(registry=self.registry)
            platform_collector.PlatformCollector(registry=self.registry)
            gc_collector.GCCollector(registry=self.registry)
        self._instruments: dict[Family, Gauge | Counter | Histogram] = {}

        build_info = self._make(
            Gauge,
            "build_info",
            "Version, revision and Python of this exporter; always 1",
            ("version", "revision", "python"),
        )
        build_info.labels(__version__, revision(), platform.python_version()).set(1)
        self.reload_successful = self._make(
            Gauge,
            "config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded",
        )
        self.reload_timestamp = self._make(
            Gauge,
            "config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the configuration",
            unit="seconds",
        )
        self.api_requests = self._make(
            Counter,
            "api_requests",
            "Calls to Help Scout by operation and HTTP status, or the reason without an answer",
            ("account", "operation", "code"),
        )
        self.api_request_duration = self._make(
            Histogram,
            "api_request_duration_seconds",
            "Duration of calls to Help Scout, failed ones included",
            ("account", "operation"),
            unit="seconds",
            buckets=_DURATION_BUCKETS,
        )
        self.api_retries = self._make(
            Counter,
            "api_retries",
            "Calls to Help Scout that were repeated, by what had gone wrong",
            ("account", "reason"),
        )
        self.rate_limit = self._make(
            Gauge,
            "rate_limit_per_minute",
            "The account's limit of calls a minute, as the service last said, else as configured",
            ("account",),
        )
        self.rate_limit_remaining = self._make(
            Gauge,
            "rate_limit_remaining",
            "Calls left in the account's current minute, as the service last said",
            ("account",),
        )
        self.rate_budget = self._make(
            Gauge,
            "rate_budget_per_minute",
            "Calls a minute that the exporter allows itself at present",
            ("account",),
        )
        self.throttled = self._make(
            Counter,
            "throttled",
            "Calls that Help Scout refused because the account's limit was used up",
            ("account",),
        )
        self.reports = self._make(
            Gauge,
            "reports",
            "Reports that are asked regularly",
            ("account", "collector", "window"),
        )
        self.report_interval = self._make(
            Gauge,
            "report_interval_seconds",
            "How often a report is asked, stretch included",
            ("account", "collector", "window"),
            unit="seconds",
        )
        self.stretch = self._make(
            Gauge,
            "schedule_stretch_ratio",
            "By how much intervals are stretched to fit the budget; 1: the plan fits",
            ("account",),
            unit="ratio",
        )
        self.lag = self._make(
            Gauge,
            "schedule_lag_seconds",
            "How long the most overdue report has been waiting",
            ("account",),
            unit="seconds",
        )
        self._state_file_ok = self._make(
            Gauge,
            "state_file_ok",
            "Whether the state file can be read and written; absent without one",
            registry=None,
        )
        self.shard_index = self._make(Gauge, "shard_index", "Index of this shard, from 0")
        self.shards = self._make(Gauge, "shards", "Number of shards that the work is split over")

    @property
    def families(self) -> tuple[Family, ...]:
        """Every family of the exporter itself, in the order of the exposition."""
        return tuple(self._instruments)

    def _make(
        self,
        kind: type[_Instrument],
        name: str,
        documentation: str,
        labels: tuple[str, ...] = (),
        *,
        unit: str = "",
        **options: Any,
    ) -> _Instrument:
        """Make an instrument, and with it declare its family."""
        family = Family(f"{_PREFIX}{name}", _KINDS[kind], documentation, labels, unit)
        registered = {"registry": self.registry, **options}
        instrument = kind(family.name, documentation, labels, **registered)
        self._instruments[family] = instrument
        return instrument

    def watch_state_file(self, ok: Callable[[], bool]) -> None:
        """Export from now on whether the state file can be used."""
        self._state_file_ok.set_function(ok)
        self.registry.register(self._state_file_ok)

    def forget(self, account: str) -> None:
        """Remove every series of an account that is no longer configured."""
        with self.at_once:
            for family, instrument in self._instruments.items():
                if "account" in family.labels:
                    instrument.remove_by_labels({"account": account})

    def set_plan(
        self, account: str, stretch: float, groups: Iterable[tuple[str, str, int, float]]
    ) -> None:
        """Export an account's stretch, and exactly these of its groups.

        Each is a collector, a window, its reports and their interval in seconds.
        """
        with self.at_once:
            self.stretch.labels(account).set(stretch)
            for instrument in (self.reports, self.report_interval):
                instrument.remove_by_labels({"account": account})
            for collector, window, number, interval in groups:
                self.reports.labels(account, collector, window).set(number)
                self.report_interval.labels(account, collector, window).set(interval)


FAMILIES: Final = Telemetry(process_metrics=False).families
"""Every family of the exporter itself, but for the client library's process and Python metrics."""
