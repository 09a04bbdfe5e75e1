"""Worlds with two of everything, and exactly what is reported in each: rows for promtool.

Exporters of one job, of two namespaces and clusters, teams that name an SLA alike, replicas,
shards, roll-outs, renamed mailboxes and targets that vanish. tests/alarm/scenarios.py shows every
alert in all of its cases; here several things are wrong at once, or look wrong and are not.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from tests.alarm.conftest import ALERTS
from tests.alarm.scenarios import (
    ACCOUNT,
    AT_RISK,
    BEYOND,
    BOUNCED,
    DAY,
    IDENTITY,
    LONG,
    OPEN,
    SHORT,
    WELL,
    Age,
    Check,
    Process,
    Rise,
    Value,
    calls,
    history,
    problem,
)

State: TypeAlias = dict[str, Value | Rise | Age]
"""What is different from all being well."""

_SEVERITY: Final = {alert["alert"]: alert["labels"] for alert in ALERTS}
_OF_SLA: Final = {
    "account": "acme",
    "mailbox_id": "7",
    "type": "all",
    "office_hours": "false",
    "window": "24h",
    "sla": "first-reply",
    "horizon": "short",
}
US: Final = {**IDENTITY, "cluster": "us"}
STAGING: Final = {**IDENTITY, "namespace": "staging"}
SALES: Final = {**IDENTITY, "team": "sales"}
BETA: Final = {ACCOUNT: 'account="beta"'}
TOGETHER: Final = {'mailbox="Support", mailbox_id="7"': 'mailbox="all", mailbox_id="all"'}

MISSED: Final[State] = {
    f"helpscout_sla_compliance_ratio{SHORT}": 0.7,
    f"helpscout_sla_compliance_ratio{LONG}": 0.7,
}
LENIENT: Final[State] = {'helpscout_sla_objective_ratio{sla="first-reply"}': 0.5}
DOWN: Final[State] = {'helpscout_up{account="acme"}': 0, problem("unreachable"): 1}
REFUSED: Final[State] = {'helpscout_up{account="acme"}': 0, problem("plan"): 1}
STALE: Final[State] = {f"helpscout_report_last_success_timestamp_seconds{DAY}": Age(4000)}
NEVER: Final[State] = {
    f"helpscout_report_success{DAY}": 0,
    f"helpscout_report_last_success_timestamp_seconds{DAY}": None,
}
FAILING: Final[State] = {calls("503"): Rise(10)}
BEYOND_TARGET: Final[State] = {BEYOND: 2, AT_RISK: 3}
NEAR_TARGET: Final[State] = {BEYOND: 0, AT_RISK: 3}
CLOSED: Final[State] = {OPEN: 0}
IN_OFFICE_HOURS: Final = {'office_hours="false"': 'office_hours="true"'}
GONE: Final[State] = dict.fromkeys(WELL) | {"up": 0}


class World(NamedTuple):
    """Exporters, and what fires at which minute."""

    processes: list[Process]
    told: Mapping[int, list[dict[str, str]]]

    def test(self, name: str) -> dict[str, Any]:
        """Return it as promtool takes it."""
        checks = [Check(name, minute, alerts) for minute, alerts in self.told.items()]
        return history(name, self.processes, checks).test


def shard(index: int, total: int) -> State:
    """Return what a shard says of itself."""
    return {"helpscout_exporter_shard_index": index, "helpscout_exporter_shards": total}


def fires(alert: str, labels: Mapping[str, str] = IDENTITY, **own: str) -> dict[str, str]:
    """Return an alert that fires, as ALERTS has it."""
    name = f"Helpscout{alert}"
    return {"alertname": name, "alertstate": "firing", **_SEVERITY[name], **labels, **own}


def missed(labels: Mapping[str, str] = IDENTITY, **own: str) -> dict[str, str]:
    """Return the alert on a missed SLA."""
    return fires("SlaMissed", labels, **_OF_SLA | own)


def waits(alert: str, labels: Mapping[str, str] = IDENTITY, **own: str) -> dict[str, str]:
    """Return an alert on customers who wait."""
    of = {name: _OF_SLA[name] for name in ("account", "mailbox_id", "type", "office_hours", "sla")}
    return fires(f"CustomersWait{alert}", labels, **of | own)


_LOST: Final = Process(IDENTITY, 2, [(30, {}), (200, GONE)])

WORLDS: Final = {
    "two teams of one job have an SLA of one name, and each is held to its own objective": World(
        [
            Process(IDENTITY, 1, [(120, MISSED)]),
            Process(IDENTITY, 2, [(120, MISSED | LENIENT)], BETA),
            Process(SALES, 3, [(120, MISSED | LENIENT)]),
        ],
        {90: [missed()]},
    ),
    "two replicas of one exporter, only one of which sees the miss, are one alert": World(
        [Process(IDENTITY, 1, [(120, MISSED)]), Process(IDENTITY, 2, [(120, {})])],
        {90: [missed()]},
    ),
    "replicas that know a mailbox by its old and its new name are one alert": World(
        [
            Process(IDENTITY, 1, [(150, MISSED)]),
            Process(IDENTITY, 2, [(70, None), (150, MISSED)], {'mailbox="Support"': 'mailbox="X"'}),
        ],
        {60: [missed()], 80: [missed()], 149: [missed()]},
    ),
    "all mailboxes together are told of in the account where no single one misses it": World(
        [
            Process(IDENTITY, 1, [(120, MISSED)]),
            Process(IDENTITY, 2, [(120, MISSED)], TOGETHER),
            Process(IDENTITY, 3, [(120, {})], BETA),
            Process(IDENTITY, 4, [(120, MISSED)], BETA | TOGETHER),
        ],
        {90: [missed(), missed(account="beta", mailbox_id="all")]},
    ),
    "a mailbox that misses it in one cluster does not hide the other cluster, all of which does": (
        World(
            [
                Process(IDENTITY, 1, [(120, MISSED)]),
                Process(US, 2, [(120, MISSED)], TOGETHER),
            ],
            {90: [missed(), missed(US, mailbox_id="all")]},
        )
    ),
    "an account is refused in one cluster and unreachable in the other": World(
        [Process(IDENTITY, 1, [(60, REFUSED)]), Process(US, 2, [(60, DOWN)])],
        {40: [fires("AccountRefused", account="acme"), fires("AccountDown", US, account="acme")]},
    ),
    "of two replicas one is refused and the other gets no answer: the refusal is told": World(
        [Process(IDENTITY, 1, [(60, REFUSED)]), Process(IDENTITY, 2, [(60, DOWN)])],
        {40: [fires("AccountRefused", account="acme")]},
    ),
    "an outage is told once for each account, of whichever shard": World(
        [
            Process(IDENTITY, 1, [(90, shard(0, 2) | DOWN | FAILING)]),
            Process(IDENTITY, 2, [(90, shard(1, 2) | DOWN | FAILING)], BETA),
        ],
        {60: [fires("AccountDown", account=account) for account in ("acme", "beta")]},
    ),
    "one of two replicas dies: its target is told of, its account is watched by the other": World(
        [Process(IDENTITY, 1, [(200, {})]), _LOST],
        {60: [fires("ExporterDown", _LOST.labels)], 190: [fires("ExporterDown", _LOST.labels)]},
    ),
    "the target of a missed SLA vanishes: the account is gone, and nothing is told twice": World(
        [
            Process(IDENTITY, 1, [(90, MISSED), (260, None)]),
            Process(STAGING, 2, [(260, {})]),
        ],
        {
            80: [missed()],
            # The last miss holds on for as long as a gap may take and an hour.
            115: [missed(), fires("AccountGone", account="acme")],
            200: [fires("AccountGone", account="acme")],
        },
    ),
    "a roll-out of two replicas during a brown-out changes nothing": World(
        [
            Process(IDENTITY, 1, [(40, FAILING), (120, None)]),
            Process(IDENTITY, 2, [(45, FAILING), (120, None)]),
            Process(IDENTITY, 3, [(38, None), (120, FAILING)]),
            Process(IDENTITY, 4, [(43, None), (120, FAILING)]),
        ],
        {
            35: [fires("BrownOut", account="acme")],
            50: [fires("BrownOut", account="acme")],
            119: [fires("BrownOut", account="acme")],
        },
    ),
    "a roll-out from two shards to three is not told of": World(
        [
            Process(IDENTITY, 1, [(40, shard(0, 2)), (120, None)]),
            Process(IDENTITY, 2, [(46, shard(1, 2)), (120, None)], BETA),
            Process(IDENTITY, 3, [(42, None), (120, shard(0, 3))]),
            Process(IDENTITY, 4, [(48, None), (120, shard(1, 3))], BETA),
            Process(IDENTITY, 5, [(50, None), (120, shard(2, 3))], {ACCOUNT: 'account="gamma"'}),
        ],
        {minute: [] for minute in (45, 50, 60, 70, 90, 119)},
    ),
    "a shard that stands alone by mistake watches all, so none is missing": World(
        [
            Process(IDENTITY, 1, [(90, shard(0, 3))]),
            Process(IDENTITY, 2, [(90, shard(1, 3))], BETA),
            Process(IDENTITY, 3, [(90, {})]),
            Process(IDENTITY, 4, [(90, {})], BETA),
            Process(IDENTITY, 5, [(90, {})], {ACCOUNT: 'account="gamma"'}),
        ],
        {60: [fires("ShardsMismatched")]},
    ),
    "a shard is missing beside another team's exporter that stands alone in the same job": World(
        [
            Process(IDENTITY, 1, [(90, shard(0, 2))]),
            Process(IDENTITY, 2, [(90, {})], BETA),
        ],
        {60: [fires("ShardsMissing")]},
    ),
    "a shard is missing in one namespace, and stands alone by mistake in the other": World(
        [
            Process(IDENTITY, 1, [(90, shard(0, 2))]),
            Process(STAGING, 2, [(90, shard(0, 2))]),
            Process(STAGING, 3, [(90, {})]),
        ],
        {60: [fires("ShardsMissing"), fires("ShardsMismatched", STAGING)]},
    ),
    "reports are stale in one namespace and never arrived in the other": World(
        [Process(IDENTITY, 1, [(90, STALE)]), Process(STAGING, 2, [(90, NEVER)])],
        {
            60: [
                fires("ReportStale", account="acme", mailbox_id="7"),
                fires("ReportNeverSucceeded", STAGING, account="acme", mailbox_id="7"),
            ]
        },
    ),
    "a report that one replica has never got is told of beside the other, which has it": World(
        [Process(IDENTITY, 1, [(90, NEVER)]), Process(IDENTITY, 2, [(90, {})])],
        {60: [fires("ReportNeverSucceeded", account="acme", mailbox_id="7")]},
    ),
    "of reports that are stale, all mailboxes together are left out beside a single one": World(
        [
            Process(IDENTITY, 1, [(90, STALE)]),
            Process(IDENTITY, 2, [(90, STALE)], TOGETHER),
            Process(US, 3, [(90, STALE)], TOGETHER),
        ],
        {
            60: [
                fires("ReportStale", account="acme", mailbox_id="7"),
                fires("ReportStale", US, account="acme", mailbox_id="all"),
            ]
        },
    ),
    "some calls fail, then many, then all: each is told without a break": World(
        [
            Process(
                IDENTITY,
                1,
                [
                    (40, {problem("unreachable"): 1}),
                    (90, {problem("unreachable"): 1, **FAILING}),
                    (150, {**DOWN, **FAILING}),
                ],
            )
        ],
        {
            30: [fires("Unreachable", account="acme")],
            # Until the next one has waited, and some minutes more.
            54: [fires("Unreachable", account="acme")],
            60: [fires("Unreachable", account="acme"), fires("BrownOut", account="acme")],
            89: [fires("BrownOut", account="acme")],
            96: [fires("BrownOut", account="acme"), fires("AccountDown", account="acme")],
            149: [fires("AccountDown", account="acme")],
        },
    ),
    "an account with one name in two jobs goes with the job that vanishes": World(
        [
            Process({"job": "desk"}, 1, [(30, {}), (90, None)]),
            Process({"job": "shop"}, 2, [(90, {})]),
        ],
        {60: [fires("AccountGone", {"job": "desk"}, account="acme")]},
    ),
    "a configuration that one replica could not load is told of, in its cluster alone": World(
        [
            Process(IDENTITY, 1, [(60, {"helpscout_exporter_config_last_reload_successful": 0})]),
            Process(IDENTITY, 2, [(60, {})]),
            Process(US, 3, [(60, {})]),
        ],
        {40: [fires("ReloadFailed")]},
    ),
    "customers wait in one account and soon will in another; the worse replica counts": World(
        [
            Process(IDENTITY, 1, [(60, BEYOND_TARGET)]),
            Process(IDENTITY, 2, [(60, NEAR_TARGET)], {'mailbox="Support"': 'mailbox="X"'}),
            Process(IDENTITY, 3, [(60, NEAR_TARGET)], BETA),
            Process(STAGING, 4, [(60, NEAR_TARGET)]),
        ],
        {
            40: [
                waits("BeyondTarget"),
                waits("NearTarget", account="beta"),
                waits("NearTarget", STAGING),
            ]
        },
    ),
    "customers soon wait too long, then do: one is told until the other is": World(
        [Process(IDENTITY, 1, [(30, NEAR_TARGET), (90, BEYOND_TARGET), (130, {})])],
        {
            29: [waits("NearTarget")],
            38: [waits("NearTarget")],
            45: [waits("BeyondTarget")],
            89: [waits("BeyondTarget")],
            129: [],
        },
    ),
    "a closed office holds what is about its hours, not calendar time nor other offices": World(
        [
            Process(IDENTITY, 1, [(60, BEYOND_TARGET | CLOSED)], IN_OFFICE_HOURS),
            Process(IDENTITY, 2, [(60, BEYOND_TARGET)], IN_OFFICE_HOURS | BETA),
            Process(STAGING, 3, [(60, BEYOND_TARGET | CLOSED)]),
            Process(US, 4, [(30, BEYOND_TARGET | CLOSED), (60, BEYOND_TARGET)], IN_OFFICE_HOURS),
        ],
        {
            29: [
                waits("BeyondTarget", account="beta", office_hours="true"),
                waits("BeyondTarget", STAGING),
            ],
            50: [
                waits("BeyondTarget", account="beta", office_hours="true"),
                waits("BeyondTarget", STAGING),
                waits("BeyondTarget", US, office_hours="true"),
            ],
        },
    ),
    "two replicas of which one has not yet seen that mail bounces are one alert": World(
        [
            Process(IDENTITY, 1, [(90, {BOUNCED: 2})]),
            Process(IDENTITY, 2, [(90, {})]),
            Process(STAGING, 3, [(90, {})]),
        ],
        {80: [fires("MailBounces", account="acme", mailbox_id="7")]},
    ),
}
