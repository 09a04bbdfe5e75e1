"""The SLA alerts as Grafana-managed rules, for those who run no Prometheus rules.

They need no recording rules: the expressions, and how long each must last, are those of
prometheus/rules with what is recorded there written out.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

SOURCE_UID: Final = "helpscout-prometheus"
"""The data source's uid: grafana/provisioning/datasources sets it, docs/grafana.md names it."""
RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"

_LABELS: Final = "horizon, account, mailbox, mailbox_id, type, window, office_hours, segment"
_NOTE: Final = (
    "{{ humanizePercentage $values.B.Value }} of the conversations of the last "
    "{{ $labels.window }} were within the target of "
    "{{ if $values.S.Value }}{{ humanizeDuration $values.S.Value }}{{ end }}"
    "{{ if $values.R.Value }}{{ $values.R.Value }} replies{{ end }}; the objective is "
    "{{ humanizePercentage $values.O.Value }}. Account {{ $labels.account }}, mailbox "
    "#{{ $labels.mailbox_id }}, type {{ $labels.type }}."
)
_PLACE: Final = (
    '{{ if eq $labels.mailbox_id "all" }}all mailboxes together{{ else }}mailbox '
    '{{ with $values.B }}{{ reReplaceAll "\\\\s+" " " .Labels.mailbox }} {{ end }}'
    "(#{{ $labels.mailbox_id }}){{ end }}"
)
"""Where it is. B keeps the mailbox's name: Grafana matches series that have a label more."""
_RECORDED: Final = {
    "HelpscoutSlaMissed": "helpscout:sla_missed_ratio",
    "HelpscoutSlaAtRisk": "helpscout:sla_at_risk_ratio",
}
_MARGIN: Final = "helpscout:sla_margin_ratio"


def _inlined(expr: str, margin: str, only: str = "") -> str:
    """Return a recorded expression with the recorded margins in it written out.

    `only`: a matcher for the mailboxes.
    """

    def written(found: re.Match[str]) -> str:
        horizon, offset = found.group("horizon"), found.group("offset") or ""
        chosen = f'{{horizon="{horizon}"{only}}}{offset}'
        return re.sub(
            r"helpscout_sla_(?:compliance_ratio|conversations)", rf"\g<0>{chosen}", margin
        )

    # Without a history of its own, the longer window is taken as it is now.
    expr = re.sub(r"min_over_time\((.*)\[.*\]\)", r"\1", expr)
    selector = _MARGIN + r'\{horizon="(?P<horizon>\w+)"\}(?P<offset> offset \w+)?'
    return re.sub(selector, written, expr)


def _giving_way(expr: str, margin: str) -> str:
    """Return an expression that leaves out all mailboxes together where a single one is in it."""
    single = _inlined(expr, margin, ', mailbox_id!="all"')
    found = f"group without (mailbox_id) ({single})"
    together = f'label_replace({found}, "mailbox_id", "all", "", "")'
    return f"({_inlined(expr, margin)})\nunless\n{together}"


def _queries(missed: str, margin: str) -> dict[str, str]:
    """Return the alert's expression, and the figures of its text with the labels of its series."""
    found = re.match(r"min (without \([^)]*\))", margin)
    assert found is not None
    with_name = found[1].replace(", mailbox)", ")")
    share = 'helpscout_sla_compliance_ratio{horizon="short"}'

    def of_its_process(metric: str) -> str:
        joined = f"0 * {share} + ignoring (statistic, {_LABELS}) group_left () {metric}"
        return f"max {found[1]} ({joined}) and ({missed})"

    return {
        "A": missed,
        "B": f"min {with_name} ({share}) and ignoring (mailbox) ({missed})",
        "O": of_its_process("helpscout_sla_objective_ratio"),
        "S": of_its_process("helpscout_sla_target_seconds"),
        "R": of_its_process("helpscout_sla_target_replies"),
    }


def rule_file() -> dict[str, Any]:
    """Return grafana/examples/alerting/rules.yml."""
    text = (RULES / "helpscout.alerts.yml").read_text(encoding="utf-8")
    found = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    recorded = {rule["record"]: rule["expr"].strip() for rule in found if "record" in rule}
    margin = recorded[_MARGIN]
    rules = [
        _rule(rule, _queries(_giving_way(recorded[_RECORDED[rule["alert"]]], margin), margin))
        for rule in found
        if rule.get("alert") in _RECORDED
    ]
    group = {
        "orgId": 1,
        "name": "Help Scout service levels",
        "folder": "Help Scout",
        "interval": "1m",
        "rules": rules,
    }
    return {"apiVersion": 1, "groups": [group]}


def _rule(written: dict[str, Any], queries: dict[str, str]) -> dict[str, Any]:
    # Where nothing is wrong A has no series: that is no trouble.
    state = "missed" if written["alert"] == "HelpscoutSlaMissed" else "at risk"
    return {
        "uid": re.sub(r"(?<!^)(?=[A-Z])", "-", written["alert"]).lower(),
        "title": written["alert"],
        "condition": "C",
        "for": written["for"],
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": dict(written["labels"]),
        "annotations": {
            "summary": f"SLA {{{{ $labels.sla }}}} is {state} in {_PLACE} of account "
            "{{ $labels.account }}",
            "description": _NOTE,
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
