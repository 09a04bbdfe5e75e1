"""The SLA alerts as Grafana-managed rules, for those who run no Prometheus rules.

They need no recording rules. Thresholds are the exporter's SLA metrics, as in prometheus/rules;
the minimum of conversations, and how long each must last, are read from there.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

SOURCE_UID: Final = "helpscout-prometheus"
"""The data source's uid: grafana/provisioning/datasources sets it, docs/grafana.md names it."""
RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"

_PROCESS: Final = "without (instance, pod, endpoint, container, service, node)"
_OBJECTIVE: Final = "on (sla) group_left () max by (sla) (helpscout_sla_objective_ratio)"
_NOTE: Final = (
    "In mailbox {{ $labels.mailbox }} of account {{ $labels.account }} (type {{ $labels.type }}) "
    "{{ humanizePercentage $values.A.Value }} of the conversations of the last "
    "{{ $labels.window }} were within the target of "
    "{{ if $values.S.Value }}{{ humanizeDuration $values.S.Value }}{{ end }}"
    "{{ if $values.R.Value }}{{ $values.R.Value }} replies{{ end }}; the objective is "
    "{{ humanizePercentage $values.O.Value }}."
)


def _horizon(horizon: str, minimum: int) -> str:
    """Return the compliance of one horizon where there are enough conversations."""
    chosen = f'{{horizon="{horizon}"}}'
    return (
        f"(max {_PROCESS} (helpscout_sla_compliance_ratio{chosen})"
        f" and max {_PROCESS} (helpscout_sla_conversations{chosen}) >= {minimum})"
    )


def _rules(minimum: int) -> dict[str, tuple[str, str]]:
    """Return expression and note of each rule; its value is the compliance, none if all is well."""
    short, long = _horizon("short", minimum), _horizon("long", minimum)
    missed, missed_long = (f"{horizon} < {_OBJECTIVE}" for horizon in (short, long))
    both = f"{missed} and ignoring (horizon, window) {missed_long}"
    only_one = 'on (sla) max by (sla) (helpscout_sla_compliance_ratio{horizon="long"})'
    slope = f"deriv({short}[6h1s:5m])"
    seen = f"last_over_time({short}[3h1s:5m] offset 3h)"
    window = "max by (window) (helpscout_window_seconds)"
    # A slope over 6 hours suits windows of about a day; the rules of Prometheus know others, too.
    slow = f"({slope} and {seen} and on (window) ({window} > 43200 <= 345600))"
    forecast = f"({short} + {slow} * on (window) group_left () ({window} / 4))"
    return {
        "HelpscoutSlaMissed": (
            f"{both}\nor\n{missed} unless {only_one}",
            _NOTE + " The SLA's longer window misses it, too, if it has one.",
        ),
        "HelpscoutSlaAtRisk": (
            f"{missed}\nor\n{short} and ({forecast} < {_OBJECTIVE})",
            _NOTE + " It is missed over this window, or will be within a quarter of it.",
        ),
    }


def rule_file() -> dict[str, Any]:
    """Return grafana/examples/alerting/rules.yml."""
    recorded = yaml.safe_load((RULES / "helpscout.recording.yml").read_text())
    expressions = {rule["record"]: rule["expr"] for g in recorded["groups"] for rule in g["rules"]}
    found = re.fullmatch(r"vector\((\d+)\)", expressions["helpscout:minimum_conversations"])
    assert found is not None
    alerts = yaml.safe_load((RULES / "helpscout.alerts.yml").read_text())
    written = {rule["alert"]: rule for group in alerts["groups"] for rule in group["rules"]}
    rules = [
        _rule(written[name], expr, note)
        for name, (expr, note) in _rules(int(found.group(1))).items()
    ]
    group = {
        "orgId": 1,
        "name": "Help Scout service levels",
        "folder": "Help Scout",
        "interval": "1m",
        "rules": rules,
    }
    return {"apiVersion": 1, "groups": [group]}


def _rule(written: dict[str, Any], expr: str, note: str) -> dict[str, Any]:
    # The target and the objective get the labels of the alert's own series, so that Grafana
    # finds them for its text. Where nothing is wrong A has no series: that is no trouble.
    zero = f"0 * ({expr})"
    queries = {
        "A": expr,
        "O": f"{zero} + {_OBJECTIVE}",
        "S": f"{zero} + on (sla) group_left () max by (sla) (helpscout_sla_target_seconds)",
        "R": f"{zero} + on (sla) group_left () max by (sla) (helpscout_sla_target_replies)",
    }
    return {
        "uid": re.sub(r"(?<!^)(?=[A-Z])", "-", written["alert"]).lower(),
        "title": written["alert"],
        "condition": "C",
        "for": written["for"],
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": dict(written["labels"]),
        "annotations": {
            "summary": written["annotations"]["summary"],
            "description": note,
            "runbook_url": written["annotations"]["runbook_url"],
        },
        "data": [
            *(_query(ref, query) for ref, query in queries.items()),
            {
                "refId": "C",
                "relativeTimeRange": {"from": 0, "to": 0},
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "C",
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": "gt", "params": [-1]}}],
                },
            },
        ],
    }


def _query(ref: str, expr: str) -> dict[str, Any]:
    return {
        "refId": ref,
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": SOURCE_UID,
        "model": {"refId": ref, "expr": expr, "instant": True, "range": False},
    }
