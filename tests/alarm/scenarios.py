"""Histories that every alert must stand, as promtool tests: rows of faults in a healthy world.

A world is a few exporters, each with everything that it exports while all is well. A fault changes
some of it. Each alert gets two histories: one through time (just below, pending, a gap, another
pod, a second replica, resolved), one among neighbours that are well (of the same job, another
namespace, another cluster, another shard), at whose end the target vanishes. At each moment exactly
the expected alerts fire, and no other of ours.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final, NamedTuple

from tests.alarm.conftest import ALERTS

Value = float | None | Callable[[int], float | None]
"""A sample, or one for each minute; None stands for no sample."""

MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Rise:
    """A counter that rises by so much a minute."""

    by: float


@dataclass(frozen=True, slots=True)
class Age:
    """A timestamp that is always so many seconds old."""

    seconds: float


Samples = Mapping[str, Value | Rise | Age]
"""From a series without its process's labels to what it is."""

REPORT: Final = (
    'account="acme", mailbox="Support", mailbox_id="7", type="all", office_hours="false", window='
)
SHORT: Final = f'{{{REPORT}"24h", sla="first-reply", horizon="short"}}'
LONG: Final = f'{{{REPORT}"7d", sla="first-reply", horizon="long"}}'
WEEK: Final = f'{{{REPORT}"7d"}}'
CHANGE: Final = f'helpscout_change_ratio{{{REPORT}"7d", statistic="%s"}}'
DAY: Final = f'{{collector="productivity", {REPORT}"24h"}}'
MAILBOX: Final = 'account="acme", mailbox="Support", mailbox_id="7"'
WAITS: Final = f'{MAILBOX}, type="all", office_hours="false"'
BEYOND, AT_RISK = (
    f'helpscout_sla_waiting_conversations{{{WAITS}, sla="first-reply", threshold="{threshold}"}}'
    for threshold in ("target", "at_risk")
)
OPEN: Final = 'helpscout_office_hours_open{account="acme"}'
_ATTENTION: Final = 'queue="needs_attention", state="all", folder_id="3"'
BOUNCED: Final = f"helpscout_queue_conversations{{{MAILBOX}, {_ATTENTION}}}"
ACCOUNT: Final = 'account="acme"'
ACME: Final = f"{{{ACCOUNT}}}"
PROBLEMS: Final = (
    "credentials",
    "plan",
    "suspended",
    "throttled",
    "unreachable",
    "bad_response",
)


def problem(reason: str) -> str:
    """Return the series of one of the account's problems."""
    return f'helpscout_account_problem{{account="acme", reason="{reason}"}}'


def calls(code: str) -> str:
    """Return the counter of the calls that ended with a code."""
    labels = f'account="acme", operation="report", code="{code}"'
    return f"helpscout_exporter_api_requests_total{{{labels}}}"


def some_of_ten(minutes: int, well: Value, ill: Value) -> Value:
    """Return a value that is ill for so many of every ten minutes."""

    def at(minute: int) -> float | None:
        value = ill if minute % 10 < minutes else well
        assert not callable(value)
        return value

    return at


WELL: Final[Samples] = {
    "up": 1,
    'helpscout_exporter_build_info{version="1", revision="a", python="3"}': 1,
    "helpscout_exporter_shards": 1,
    "helpscout_exporter_shard_index": 0,
    "helpscout_exporter_config_last_reload_successful": 1,
    "helpscout_exporter_state_file_ok": 1,
    f"helpscout_up{ACME}": 1,
    **{problem(reason): 0 for reason in PROBLEMS},
    'helpscout_collector_up{account="acme", collector="productivity"}': 1,
    'helpscout_collector_up{account="acme", collector="folders"}': 1,
    'helpscout_segment_resolved{account="acme", segment="vip"}': 1,
    f"helpscout_exporter_schedule_stretch_ratio{ACME}": 1,
    f"helpscout_exporter_schedule_lag_seconds{ACME}": 0,
    f"helpscout_exporter_throttled_total{ACME}": Rise(0),
    calls("200"): Rise(10),
    calls("503"): Rise(0),
    f"helpscout_report_success{DAY}": 1,
    f"helpscout_report_last_success_timestamp_seconds{DAY}": Age(60),
    'helpscout_exporter_report_interval_seconds{account="acme", collector="productivity",'
    ' window="24h"}': 300,
    'helpscout_window_seconds{window="24h"}': 86_400,
    'helpscout_window_seconds{window="7d"}': 604_800,
    f"helpscout_sla_compliance_ratio{SHORT}": 0.95,
    f"helpscout_sla_compliance_ratio{LONG}": 0.95,
    f"helpscout_sla_conversations{SHORT}": 400,
    f"helpscout_sla_conversations{LONG}": 900,
    'helpscout_sla_objective_ratio{sla="first-reply"}': 0.9,
    'helpscout_sla_target_seconds{sla="first-reply", statistic="first_response_time"}': 3600,
    f"helpscout_conversations{WEEK}": 300,
    f"helpscout_previous_conversations{WEEK}": 280,
    f"helpscout_response_time_seconds{WEEK}": 5868,
    f"helpscout_replies_to_resolve{WEEK}": 2.6,
    CHANGE % "response_time": 0,
    CHANGE % "replies_to_resolve": 0,
    f"helpscout_waiting_conversations{{{WAITS}}}": 5,
    f"helpscout_waiting_truncated{{{MAILBOX}}}": 0,
    OPEN: 1,
    BEYOND: 0,
    AT_RISK: 0,
    BOUNCED: 0,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What an alert is about: its worst allowed state, the state it fires in, and its labels.

    `onset` and `relief` are the minutes from a change of the figures to that of the expression.
    """

    labels: Mapping[str, str]
    edge: Samples
    ill: Samples
    onset: int = 0
    relief: int = 0
    process: bool = False
    """The alert is about one target and carries all of its labels."""
    well: Samples = field(default_factory=dict)
    """The exporter's state before and after, where that is not one that stands alone."""
    beside: tuple[Samples, ...] = ()
    """Other processes of the same exporter, with accounts of their own."""


def _only_up(value: Value) -> Samples:
    return dict.fromkeys(WELL) | {"up": value}


def _without_account(value: Callable[[str], Value]) -> Samples:
    return {series: value(series) for series in WELL if 'account="acme"' in series}


def _gone_at_times(series: str) -> Value:
    well = WELL[series]
    return some_of_ten(8, None if isinstance(well, Rise | Age) else well, None)


def _shard(index: int, total: int) -> Samples:
    return {"helpscout_exporter_shard_index": index, "helpscout_exporter_shards": total}


_OF_ACCOUNT: Final = {"account": "acme"}
_OF_MAILBOX: Final = {**_OF_ACCOUNT, "mailbox_id": "7"}
_OF_WEEK: Final = {**_OF_MAILBOX, "type": "all", "office_hours": "false", "window": "7d"}
_OF_SLA: Final = {**_OF_WEEK, "window": "24h", "sla": "first-reply", "horizon": "short"}
_OF_WAITS: Final = {**_OF_MAILBOX, "type": "all", "office_hours": "false", "sla": "first-reply"}
_SHORT: Final = f"helpscout_sla_compliance_ratio{SHORT}"
_LONG: Final = f"helpscout_sla_compliance_ratio{LONG}"
_UP: Final = f"helpscout_up{ACME}"
_PRODUCTIVITY: Final = 'helpscout_collector_up{account="acme", collector="productivity"}'
_SUCCESS: Final = f"helpscout_report_success{DAY}"
_SINCE: Final = f"helpscout_report_last_success_timestamp_seconds{DAY}"
_RESPONSE: Final = CHANGE % "response_time"
_REPLIES: Final = CHANGE % "replies_to_resolve"

FAULTS: Final = {
    "HelpscoutSlaMissed": Fault(_OF_SLA, {_SHORT: 0.9, _LONG: 0.89}, {_SHORT: 0.85, _LONG: 0.89}),
    "HelpscoutSlaAtRisk": Fault(_OF_SLA, {_SHORT: 0.9}, {_SHORT: 0.85}),
    "HelpscoutCustomersWaitBeyondTarget": Fault(
        _OF_WAITS,
        {BEYOND: some_of_ten(9, 0, 2), AT_RISK: some_of_ten(9, 0, 2)},
        {BEYOND: 2, AT_RISK: 3},
    ),
    "HelpscoutCustomersWaitNearTarget": Fault(
        _OF_WAITS, {AT_RISK: some_of_ten(4, 0, 2)}, {AT_RISK: 2}
    ),
    "HelpscoutMailBounces": Fault(_OF_MAILBOX, {BOUNCED: 0}, {BOUNCED: 1}, relief=15),
    "HelpscoutResponseTimeRising": Fault(_OF_WEEK, {_RESPONSE: 0.5}, {_RESPONSE: 0.63}, relief=20),
    "HelpscoutRepliesToResolveRising": Fault(
        _OF_WEEK, {_REPLIES: 0.25}, {_REPLIES: 0.3}, relief=20
    ),
    "HelpscoutExporterDown": Fault(
        {}, _only_up(some_of_ten(4, 1, 0)), _only_up(0), relief=5, process=True
    ),
    "HelpscoutShardsMissing": Fault(
        {}, {"helpscout_exporter_shards": 1}, {"helpscout_exporter_shards": 3}
    ),
    "HelpscoutShardsMismatched": Fault(
        {},
        _shard(1, 3),
        _shard(1, 2),
        well=_shard(1, 3),
        beside=(_shard(0, 3), _shard(2, 3)),
    ),
    "HelpscoutReloadFailed": Fault(
        {},
        {"helpscout_exporter_config_last_reload_successful": some_of_ten(4, 1, 0)},
        {"helpscout_exporter_config_last_reload_successful": 0},
    ),
    "HelpscoutStateFileFailing": Fault(
        {},
        {"helpscout_exporter_state_file_ok": some_of_ten(9, 1, 0)},
        {"helpscout_exporter_state_file_ok": 0},
    ),
    "HelpscoutAccountRefused": Fault(
        _OF_ACCOUNT,
        {_UP: some_of_ten(4, 1, 0), problem("credentials"): some_of_ten(4, 0, 1)},
        {_UP: 0, problem("credentials"): 1},
    ),
    "HelpscoutAccountDown": Fault(
        _OF_ACCOUNT,
        {_UP: some_of_ten(4, 1, 0), problem("unreachable"): some_of_ten(4, 0, 1)},
        {_UP: 0, problem("unreachable"): 1},
    ),
    "HelpscoutAccountGone": Fault(
        _OF_ACCOUNT, _without_account(_gone_at_times), _without_account(lambda _: None), onset=10
    ),
    "HelpscoutCollectorDown": Fault(
        {**_OF_ACCOUNT, "collector": "productivity"},
        {_PRODUCTIVITY: some_of_ten(9, 1, 0), _SUCCESS: some_of_ten(9, 1, 0)},
        {_PRODUCTIVITY: 0, _SUCCESS: 0},
    ),
    "HelpscoutBrownOut": Fault(
        _OF_ACCOUNT, {calls("503"): Rise(2)}, {calls("503"): Rise(10)}, onset=5, relief=5
    ),
    "HelpscoutUnreachable": Fault(
        _OF_ACCOUNT,
        {problem("unreachable"): some_of_ten(9, 0, 1)},
        {problem("unreachable"): 1},
    ),
    "HelpscoutBadResponse": Fault(
        _OF_ACCOUNT,
        {problem("bad_response"): some_of_ten(9, 0, 1)},
        {problem("bad_response"): 1},
    ),
    "HelpscoutAccountThrottled": Fault(
        _OF_ACCOUNT,
        {problem("throttled"): some_of_ten(4, 0, 1)},
        {problem("throttled"): 1},
        onset=17,
        relief=17,
    ),
    "HelpscoutThrottledOften": Fault(
        _OF_ACCOUNT,
        {f"helpscout_exporter_throttled_total{ACME}": Rise(0.4)},
        {f"helpscout_exporter_throttled_total{ACME}": Rise(1)},
        onset=32,
        relief=32,
    ),
    "HelpscoutScheduleStretched": Fault(
        _OF_ACCOUNT,
        {f"helpscout_exporter_schedule_stretch_ratio{ACME}": 1.2},
        {f"helpscout_exporter_schedule_stretch_ratio{ACME}": 1.5},
    ),
    "HelpscoutScheduleLagging": Fault(
        _OF_ACCOUNT,
        {f"helpscout_exporter_schedule_lag_seconds{ACME}": 900},
        {f"helpscout_exporter_schedule_lag_seconds{ACME}": 1000},
    ),
    "HelpscoutReportStale": Fault(_OF_MAILBOX, {_SINCE: Age(1200)}, {_SINCE: Age(2000)}),
    "HelpscoutReportNeverSucceeded": Fault(_OF_MAILBOX, {_SUCCESS: 0}, {_SUCCESS: 0, _SINCE: None}),
    "HelpscoutSegmentUnresolved": Fault(
        {**_OF_ACCOUNT, "segment": "vip"},
        {'helpscout_segment_resolved{account="acme", segment="vip"}': some_of_ten(9, 1, 0)},
        {'helpscout_segment_resolved{account="acme", segment="vip"}': 0},
    ),
}

BY_HAND: Final = {
    "HelpscoutExporterAbsent": (
        "a gap while it waits",
        "another name",
        "among neighbours",
        "the target vanishes",
    )
}
"""Alerts whose histories stand in prometheus/tests/causes.test.yml, and the cases that cannot be.

No exporter at all: that has neither gap nor mailbox nor neighbour, and it is the vanished target.
"""

CASES: Final = (
    "just below",
    "not long enough",
    "a gap while it waits",
    "fires",
    "a gap",
    "another pod",
    "another name",
    "two replicas",
    "resolved",
    "among neighbours",
    "the target vanishes",
)


class Check(NamedTuple):
    """What fires at a moment, and the case that it shows."""

    case: str
    minute: int
    alerts: list[dict[str, str]]


class History(NamedTuple):
    """A test for promtool, and the cases in it."""

    test: dict[str, Any]
    cases: list[str]


@dataclass(frozen=True, slots=True)
class Process:
    """An exporter: its target's labels, and from when to when it is in which state."""

    identity: Mapping[str, str]
    number: int
    states: list[tuple[int, Samples | None]]
    """Until which minute; None: there is no such target."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """In its series: parts to replace, like the account's name."""
    well: Samples = field(default_factory=lambda: WELL)
    """Its series, as they are while all is well."""

    @property
    def labels(self) -> dict[str, str]:
        """The target's labels."""
        return {
            **self.identity,
            "instance": f"10.0.0.{self.number}:9877",
            "pod": f"exporter-{self.number}",
            "container": "exporter",
            "endpoint": "metrics",
            "service": "exporter",
            "pod_template_hash": f"hash-{self.number}",
        }

    def series(self) -> Iterator[dict[str, str]]:
        """Yield the series as promtool takes them, a sample a minute."""
        for name in self.well:
            yield {"series": self._named(name), "values": " ".join(_short(self._values(name)))}

    def _named(self, name: str) -> str:
        for old, new in self.renamed.items():
            name = name.replace(old, new)
        metric, _, own = name.rstrip("}").partition("{")
        return f"{metric}{{{_labels(self.labels)}{', ' if own else ''}{own}}}"

    def _values(self, name: str) -> Iterator[str]:
        count, minute, there = 0.0, 0, False
        for until, state in self.states:
            value = None if state is None else state.get(name, self.well[name])
            for moment in range(minute, until):
                now = value(moment) if callable(value) else value
                if isinstance(now, Rise):
                    count += now.by
                    now = count
                elif isinstance(now, Age):
                    now = moment * MINUTE - now.seconds
                yield f"{now:.10g}" if now is not None else "stale" if there else "_"
                there = now is not None
            minute = until


def _short(values: Iterator[str]) -> Iterator[str]:
    """Write the same value many times as promtool reads it in a third of the time."""
    for value, same in groupby(values):
        number = sum(1 for _ in same)
        yield value if number == 1 else f"{value}x{number if value == '_' else number - 1}"


IDENTITY: Final = {"job": "helpscout", "namespace": "prod", "cluster": "eu", "team": "desk"}


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


def minutes(duration: str) -> int:
    """Return how many minutes a duration of a rule is."""
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]


def fired_alert(
    name: str, fault: Fault, rule: Mapping[str, Any], process: Process
) -> dict[str, str]:
    """Return the alert as ALERTS has it."""
    own = process.labels if fault.process else process.identity
    return {"alertname": name, "alertstate": "firing", **rule["labels"], **own, **fault.labels}


def _beside(fault: Fault, last: int) -> Iterator[Process]:
    for number, state in enumerate(fault.beside, start=20):
        yield Process(IDENTITY, number, [(last, state)], {ACCOUNT: f'account="beside-{number}"'})


def _through_time(name: str, fault: Fault, rule: Mapping[str, Any]) -> History:
    waits, holds = minutes(rule["for"]), minutes(rule["keep_firing_for"])
    start = 40
    # A target that goes on failing after a gap is another incident: what is gone is not down.
    gap = 0 if fault.process else 3
    fires = start + fault.onset + waits
    gone = fires + 10
    back = gone + 10
    end = back + 20 + (waits if fault.process else 0)
    last = end + holds + fault.relief + 12
    first = [(start, fault.edge), (start + 1, fault.ill), (start + 1 + gap, None)]
    first += [(gone, fault.ill), (gone + 4, None), (back, fault.ill), (last, None)]
    replica = fault.well if fault.process else fault.ill
    processes = [
        Process(IDENTITY, 1, first),
        Process(
            IDENTITY,
            2,
            [(back, None), (end, fault.ill), (last, fault.well)],
            {'mailbox="Support"': 'mailbox="Help desk"'},
        ),
        Process(IDENTITY, 3, [(back + 10, None), (end, replica), (last, fault.well)]),
        *_beside(fault, last),
    ]
    one, two = (fired_alert(name, fault, rule, process) for process in processes[:2])
    another = back + 6 + (waits if fault.process else 0)
    checks = [
        Check("just below", start - 1, []),
        Check("not long enough", start + waits - 2, []),
        Check("a gap while it waits", fires + 3, [one]),
        Check("fires", fires + 8, [one]),
        Check("a gap", gone + 3, [one]),
        Check("another pod", another, [two]),
        Check("another name", another, [two]),
        Check("two replicas", end - 1, [two]),
        Check("resolved", last - 1, []),
    ]
    return history(f"{name} through time", processes, checks)


def _among_neighbours(name: str, fault: Fault, rule: Mapping[str, Any]) -> History:
    waits, holds = minutes(rule["for"]), minutes(rule["keep_firing_for"])
    start = 15
    fires = start + fault.onset + waits + 6
    gone = fires + 10
    last = gone + 30 + holds + 2 * fault.relief
    well = fault.well or _shard(0, 2)
    ill = Process(IDENTITY, 1, [(start, well), (gone, {**well, **fault.ill}), (last, None)])
    lenient = {'helpscout_sla_objective_ratio{sla="first-reply"}': 0.5}
    us = {**IDENTITY, "cluster": "us"}
    processes = [
        ill,
        # The other shard of the same exporter.
        *(
            _beside(fault, last)
            if fault.beside
            else [Process(IDENTITY, 2, [(last, _shard(1, 2))], {ACCOUNT: 'account="beta"'})]
        ),
        # In the same job, another team's, with an SLA of the same name and another objective.
        Process(IDENTITY, 3, [(last, lenient)], {ACCOUNT: 'account="gamma"'}),
        # The same account in another namespace, in the worst allowed state; and in another cluster,
        # where pods are replaced one after the other.
        Process(
            {**IDENTITY, "namespace": "staging"}, 4, [(last, {} if fault.beside else fault.edge)]
        ),
        Process(us, 5, [(start + 5, {}), (last, None)]),
        Process(us, 6, [(start + 4, None), (fires, {}), (last, None)]),
        Process(us, 7, [(fires - 2, None), (last, {})]),
    ]
    fired = [fired_alert(name, fault, rule, ill)]
    # Nothing is said of its accounts: a shard is missing.
    missing = {
        "alertname": "HelpscoutShardsMissing",
        "alertstate": "firing",
        "severity": "critical",
        "component": "exporter",
        **IDENTITY,
    }
    checks = [
        Check("among neighbours", start - 1, []),
        Check("among neighbours", fires, fired),
        Check("among neighbours", gone - 1, fired),
        Check("the target vanishes", last - 1, [missing]),
    ]
    return history(f"{name} among neighbours", processes, checks)


def history(name: str, processes: list[Process], checks: list[Check], step: int = 1) -> History:
    """Return a test that at each check exactly its alerts fire; a sample every `step` minutes.

    All of it carries a label of its own, so that worlds fit side by side into one test.
    """
    own = {"world": name}
    there = [replace(process, identity={**process.identity, **own}) for process in processes]
    test = {
        "interval": f"{step}m",
        "input_series": [series for process in there for series in process.series()],
        "promql_expr_test": [
            {
                "expr": " or ".join(
                    f'ALERTS{{alertstate="firing", world="{world}"}}' for world in (name, "")
                ),
                "eval_time": f"{check.minute * step}m",
                "exp_samples": [
                    {
                        "labels": f"ALERTS{{{_labels(alert)}}}",
                        "value": 1,
                    }
                    # That nothing is there is told of no world.
                    for alert in (a | own if "job" in a else a for a in check.alerts)
                ],
            }
            for check in checks
        ],
    }
    return History(test, [check.case for check in checks])


def together(tests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return tests of as many worlds as one: at each step promtool parses every rule once more."""
    parts = ("input_series", "promql_expr_test")
    rows = {part: [row for test in tests for row in test[part]] for part in parts}
    return {"interval": tests[0]["interval"], **rows}


def tests() -> dict[str, list[History]]:
    """Return the tests of every alert that has a fault here."""
    rules = {alert["alert"]: alert for alert in ALERTS}
    return {
        name: [
            _through_time(name, fault, rules[name]),
            _among_neighbours(name, fault, rules[name]),
        ]
        for name, fault in FAULTS.items()
    }
