"""The whole way, for real: a team that suddenly answers slowly, and a Help Scout that is down.

Exporter, Prometheus with our rules (hours are seconds), Alertmanager, and a webhook at its end. One
account's team slows down and recovers while Help Scout is down for another account.
"""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import requests

from tests.alarm.conftest import Webhook, run_alertmanager, run_prometheus
from tests.servers import Prometheus
from tests.support import VERSIONS, eventually
from tests.system.conftest import Start, address, desk

CONFIG = """
accounts:
  - {{name: acme, base_url: "{url}/v2", client_id: demo-1, client_secret: secret-1}}
  - {{name: beta, base_url: "{url}/v2", client_id: demo-2, client_secret: secret-2}}
types: [email]
windows: [{{range: 24h, every: 10s}}, {{range: 7d, every: 10s}}]
mailboxes: {{all: false}}
sla:
  - name: first-reply-1h
    statistic: first_response_time
    target: 1h
    objective: 0.9
    mailboxes: [1001, 101001]
web: {{listen: "127.0.0.1:0"}}
"""
SLOW, SWIFT = (1, 2, 3, 8, 9, 7, 30, 30, 10, 0), (60, 20, 12, 8, 0, 0, 0, 0, 0, 0)
"""First replies by range; those of the first three are within the hour: 6 of 100, 92 of 100."""


def report(first_replies: tuple[int, ...]) -> str:
    """Return Help Scout's answer for a team that is this swift."""
    count = sum(first_replies)
    ranges = [{"id": i, "count": n} for i, n in enumerate(first_replies, start=1)]
    statistics = {
        "totalConversations": count,
        "firstResponseTime": 1800,
        "responseTime": 1800,
        "repliesSent": count,
    }
    return json.dumps(
        {
            "filterTags": [],
            "current": statistics,
            "firstResponseTime": {"count": count, "ranges": ranges},
        }
    )


def rule(mailbox: int, first_replies: tuple[int, ...]) -> dict[str, Any]:
    """Return the simulator's rule that lets one mailbox's reports be this."""
    return {"endpoint": "report", "mailbox": mailbox, "body": report(first_replies)}


@dataclass(frozen=True, slots=True)
class Story:
    """What was told, and by whom it was seen."""

    webhook: Webhook
    prometheus: Prometheus
    before: list[dict[str, Any]] = field(default_factory=list)
    """Alerts about service levels before the team slowed down."""


@pytest.fixture(scope="module")
def both(start_once: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Story]]:
    """The story as it is told by each version of Prometheus and Alertmanager."""
    folder = tmp_path_factory.mktemp("story")
    service = desk(start_once, "--accounts", "2", "--mailboxes", "2")

    def happens(*rules: dict[str, Any]) -> None:
        with requests.Session() as session:
            session.trust_env = False
            document = json.dumps({"faults": rules})
            answer = session.put(f"{service.url}/_faults", data=document, timeout=10)
        assert answer.status_code == 200, answer.text

    swift, slow = rule(1001, SWIFT), rule(1001, SLOW)
    down = {"endpoint": "*", "account": 2, "status": 503}
    happens(swift, rule(101001, SWIFT))
    (folder / "config.yml").write_text(CONFIG.format(url=service.url))
    process = start_once("serve", "--config", str(folder / "config.yml"))
    exporter = address(process)
    stories = {}
    for version in VERSIONS:
        own = tmp_path_factory.mktemp(version)
        webhook = Webhook()
        alertmanager = run_alertmanager(start_once, own, webhook, version)
        prometheus = run_prometheus(start_once, own, exporter, alertmanager, version)
        stories[version] = Story(webhook, prometheus)

    def everywhere(told: Callable[[Story], object], what: str) -> None:
        for story in stories.values():
            eventually(partial(told, story), what)

    everywhere(
        lambda story: len(story.prometheus.query("helpscout:sla_margin_ratio > 0")) == 4,
        "both teams keep their promise in both horizons",
    )
    for story in stories.values():
        story.before.extend(story.prometheus.query('ALERTS{sla!=""}'))

    happens(down, slow)
    # Who reloads has the mailboxes listed anew: that fails now, and no minute has to go by first.
    process.signal(signal.SIGHUP)
    missed = {"alertname": "HelpscoutSlaMissed"}
    everywhere(lambda story: story.webhook.told("firing", **missed), "the alert at the webhook")
    happens(down, swift)
    everywhere(
        lambda story: story.webhook.told("resolved", **missed),
        "the alert is resolved at the webhook",
    )
    everywhere(
        lambda story: story.webhook.told("firing", alertname="HelpscoutAccountDown"),
        "the account's alert",
    )
    yield stories
    for story in stories.values():
        story.webhook.close()


@pytest.fixture(scope="module", params=VERSIONS)
def story(both: dict[str, Story], request: pytest.FixtureRequest) -> Story:
    """Either of them."""
    return both[request.param]


def test_nothing_is_told_while_the_team_keeps_its_promise(story: Story) -> None:
    assert story.before == []


def test_a_team_that_suddenly_answers_slowly_reaches_the_webhook_with_labels_and_text(
    story: Story,
) -> None:
    alert = story.webhook.told("firing", alertname="HelpscoutSlaMissed")[0]
    assert alert["labels"] == {
        "alertname": "HelpscoutSlaMissed",
        "severity": "warning",
        "component": "support",
        "job": "helpscout",
        "account": "acme",
        "mailbox_id": "1001",
        "type": "email",
        "window": "24h",
        "office_hours": "false",
        "sla": "first-reply-1h",
        "horizon": "short",
    }
    assert alert["annotations"]["summary"] == (
        "SLA first-reply-1h is missed in mailbox Support (#1001) of account acme"
    )
    assert alert["annotations"]["description"] == (
        "6% of 100 conversations of the last 24h were within the target of 1h 0m 0s (first response"
        " time); the objective is 90%. Account acme, mailbox #1001, type email. First look at the"
        " mailbox's queue: is it longer than usual, is somebody away?"
    )
    assert alert["annotations"]["runbook_url"].endswith("/docs/runbooks.md#helpscoutslamissed")


def test_when_the_team_recovers_exactly_this_alert_is_resolved(story: Story) -> None:
    fired = story.webhook.told("firing", alertname="HelpscoutSlaMissed")
    resolved = story.webhook.told("resolved", alertname="HelpscoutSlaMissed")
    assert {json.dumps(a["labels"], sort_keys=True) for a in fired} == {
        json.dumps(a["labels"], sort_keys=True) for a in resolved
    }
    assert story.prometheus.query('ALERTS{alertname="HelpscoutSlaMissed"}') == []


def test_when_help_scout_is_down_the_account_is_told_of_and_no_service_level(story: Story) -> None:
    alert = story.webhook.told("firing", alertname="HelpscoutAccountDown")[0]
    assert alert["labels"] == {
        "alertname": "HelpscoutAccountDown",
        "severity": "warning",
        "component": "exporter",
        "job": "helpscout",
        "account": "beta",
    }
    assert alert["annotations"]["summary"] == "no answers from Help Scout for account beta"
    of_beta = story.webhook.told("firing", account="beta")
    assert {alert["labels"]["alertname"] for alert in of_beta} == {"HelpscoutAccountDown"}


def test_what_befalls_one_account_is_not_told_of_the_other(story: Story) -> None:
    of_acme = story.webhook.told("firing", account="acme")
    assert {alert["labels"]["alertname"] for alert in of_acme} <= {
        "HelpscoutSlaMissed",
        "HelpscoutSlaAtRisk",
    }
