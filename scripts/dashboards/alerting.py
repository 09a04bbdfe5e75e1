"""The alerts that matter most as Grafana-managed rules, for those who run no Prometheus rules.

They need no recording rules: the expressions, and how long each must last, are those of
prometheus/rules with what is recorded there written out. Texts are shorter: Grafana's templates
cannot query.
"""

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from scripts.dashboards.parts import PROCESS

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


class _Text(NamedTuple):
    """A rule's texts where ours query, and the series B, which have the mailbox's name."""

    summary: str = ""
    description: str = ""
    named: str = ""


_COUNT: Final = "{{ $values.A.Value }}"
_OF: Final = "of account {{ $labels.account }}"
_FURTHER: Final = {
    "HelpscoutCustomersWaitBeyondTarget": _Text(
        "customers wait longer than SLA {{ $labels.sla }} promises in "
        f"{_PLACE} {_OF}, type {{{{ $labels.type }}}}: {_COUNT}",
        "Customers who have waited longer than the target of the SLA and wait on: "
        f"{_COUNT}. First answer the one that has waited longest: in Help Scout, sort the mailbox "
        "by waiting since.",
        f"max without ({PROCESS}, threshold) "
        '(helpscout_sla_waiting_conversations{threshold="target"})',
    ),
    "HelpscoutMailBounces": _Text(
        f"replies need attention in {_PLACE} {_OF}: {_COUNT}",
        "Help Scout could not send a reply, or it came back. The customers got no answer. First "
        "open the folder Needs Attention and correct the address or send again.",
        f"max without ({PROCESS}, queue, folder, folder_id, state) "
        '(helpscout_queue_conversations{queue="needs_attention"})',
    ),
    "HelpscoutExporterDown": _Text(
        description="Prometheus gets no metrics, or only now and then, from "
        "{{ $labels.instance }} (job {{ $labels.job }}). Its accounts are not watched. First see "
        "whether the process runs and what the last lines of its log say."
    ),
    "HelpscoutExporterAbsent": _Text(),
    "HelpscoutAccountRefused": _Text(
        description="Help Scout does not accept the credentials, the plan has no reports, or the "
        "account is suspended: helpscout_account_problem says which. It does not pass by "
        "itself. First run helpscout-exporter check."
    ),
    "HelpscoutAccountDown": _Text(
        description="The exporter gets nothing usable from Help Scout for this account. First look "
        "at Help Scout's status page; if all is well there, at your network and proxy. It ends by "
        "itself when Help Scout answers."
    ),
    "HelpscoutCollectorDown": _Text(),
    "HelpscoutReportStale": _Text(
        f"no new figures for {_PLACE} {_OF}",
        "The oldest report has not arrived for {{ humanizeDuration $values.A.Value }}, while the "
        "account as a whole answers. First read the exporter's log or its status page.",
        f"max without ({PROCESS}, collector, type, window, office_hours, segment) "
        "(helpscout_report_success)",
    ),
}
"""Alerts that look back for minutes at most; those that compare with a week ago need the rules."""
_BRIDGED: Final = {
    "HelpscoutCustomersWaitBeyondTarget": "helpscout:sla_waiting:beyond_target",
    "HelpscoutMailBounces": "helpscout:mail_bounced",
}
"""What an alert is of, without the bridge over gaps that needs a history."""


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


def _written_out(expr: str, recorded: dict[str, str], keep: str = "") -> str:
    """Return an expression with everything recorded in it, but `keep`, written out, of this moment.

    Matchers go to the figures that are recorded; a range becomes a subquery.
    """
    expr = re.sub(r"last_over_time\((helpscout:[\w:]+(?:\{[^}]*\})?)\[\w+\]\)", r"\1", expr)

    def written(found: re.Match[str]) -> str:
        name, matchers, since = found.groups(default="")
        if name == keep:
            return found[0]
        body = _written_out(recorded[name], recorded, keep)
        if matchers:
            body = re.sub(r"\bhelpscout_(?!exporter_)\w+", rf"\g<0>{matchers}", body)
        return f"({body}){f'{since[:-1]}:1m]' if since else ''}"

    return re.sub(r"(helpscout:[\w:]+)(\{[^}]*\})?(\[\w+\])?", written, expr)


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
    for name in _RECORDED.values():
        recorded[name] = _written_out(recorded[name], recorded, keep=_MARGIN)
    # Its own history is not recorded here.
    recorded["helpscout:exporter_up"] = recorded["helpscout:exporter_up"].replace(
        "last_over_time(helpscout:exporter_up[3h1s])",
        "ignoring (version, revision, python) last_over_time(helpscout_exporter_build_info[3h1s])",
    )
    levels = [
        _service_level(rule, _giving_way(recorded[_RECORDED[rule["alert"]]], margin), margin)
        for rule in found
        if rule.get("alert") in _RECORDED
    ]
    further = [_further(rule, recorded) for rule in found if rule.get("alert") in _FURTHER]
    groups = [("Help Scout service levels", levels), ("Help Scout now", further)]
    return {
        "apiVersion": 1,
        "groups": [
            {"orgId": 1, "name": name, "folder": "Help Scout", "interval": "1m", "rules": rules}
            for name, rules in groups
        ],
    }


def _service_level(rule: dict[str, Any], expr: str, margin: str) -> dict[str, Any]:
    state = "missed" if rule["alert"] == "HelpscoutSlaMissed" else "at risk"
    summary = f"SLA {{{{ $labels.sla }}}} is {state} in {_PLACE} {_OF}"
    return _rule(rule, _queries(expr, margin), summary, _NOTE)


def _further(rule: dict[str, Any], recorded: dict[str, str]) -> dict[str, Any]:
    name, own = rule["alert"], _FURTHER[rule["alert"]]
    queries = {"A": _written_out(_BRIDGED.get(name, rule["expr"]).strip(), recorded)}
    if own.named:
        queries["B"] = f"{own.named} and ignoring (mailbox) ({queries['A']})"
    ours = rule["annotations"]
    return _rule(
        rule, queries, own.summary or ours["summary"], own.description or ours["description"]
    )


def _rule(
    written: dict[str, Any], queries: dict[str, str], summary: str, description: str
) -> dict[str, Any]:
    # Where nothing is wrong A has no series: that is not an error.
    return {
        "uid": re.sub(r"(?<!^)(?=[A-Z])", "-", written["alert"]).lower(),
        "title": written["alert"],
        "condition": "C",
        "for": written["for"],
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": dict(written["labels"]),
        "annotations": {
            "summary": summary,
            "description": description,
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
