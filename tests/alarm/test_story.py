"""The whole way, for real: six bad days, and the notifications that a person gets on each.

Simulator, two exporters, Prometheus with our rules (15 min are 6 s), Alertmanager as it is
shipped, and a webhook at its end; the older and the newer servers look at the same exporters. The
days follow each other, and each begins when nothing is wrong any more. What is told is in
tests/testdata/alerts.
"""

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from tests.alarm.conftest import Message, Webhook, run_alertmanager, run_prometheus
from tests.servers import Prometheus
from tests.support import ROOT, VERSIONS, Process, eventually, reserved_port
from tests.system.conftest import Desk, Start, address, desk

GOLDEN: Final = ROOT / "tests/testdata/alerts"
DAYS: Final = (
    "team-slow",
    "team-silent",
    "secret-revoked",
    "outage",
    "fifty-mailboxes",
    "exporter-killed",
)

_COMMON = """
types: [email]
sla:
  - {{name: first-reply-1h, statistic: first_response_time, target: 1h, objective: 0.9}}
"""
TEAM = (
    """
accounts:
  - {{name: acme, base_url: "{url}/v2", client_id: demo-1, client_secret: secret-1}}
  - {{name: beta, base_url: "{url}/v2", client_id: demo-2, client_secret: secret-2}}
windows: [{{range: 24h, every: 10s}}, {{range: 7d, every: 10s}}]
mailboxes: {{include: [1001, 101001], all: false}}
waiting: {{enabled: true, every: 10s}}
web: {{listen: "127.0.0.1:0"}}
"""
    + _COMMON
)
CROWD = (
    """
accounts:
  - name: crowd
    base_url: "{url}/v2"
    client_id: demo-3
    client_secret: secret-3
    requests_per_minute: 60000
    budget: 1
windows: [{{range: 24h, every: 10s}}]
mailboxes: {{all: false}}
web: {{listen: "127.0.0.1:{port}"}}
"""
    + _COMMON
)
SLOW, SWIFT = (1, 2, 3, 8, 9, 7, 30, 30, 10, 0), (60, 20, 12, 8, 0, 0, 0, 0, 0, 0)
"""First replies by range; those of the first three are within the hour: 6 of 100, 92 of 100."""
_PATIENCE_SECONDS = 120
_HASTE: Final = 150
"""So that a `for` of 15 min is longer than the shortest range: some alerts give way only then."""

pytestmark = pytest.mark.timeout(600)


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


def answers(account: int, first_replies: tuple[int, ...]) -> dict[str, Any]:
    """Return the simulator's rule that lets all reports of an account be this."""
    return {"endpoint": "report", "account": account, "body": report(first_replies)}


def waiting(since: datetime, customers: int) -> dict[str, Any]:
    """Return the simulator's rule that lets so many customers wait for the first account."""
    row = {
        "type": "email",
        "status": "active",
        "threads": 1,
        "createdBy": {"type": "customer"},
        "customerWaitingSince": {"time": f"{since:%Y-%m-%dT%H:%M:%SZ}"},
    }
    rows = [{"id": number, **row} for number in range(1, customers + 1)]
    page = {"size": 25, "totalElements": customers, "totalPages": min(customers, 1), "number": 1}
    body = {"_embedded": {"conversations": rows}, "page": page}
    return {"endpoint": "conversations", "account": 1, "body": json.dumps(body)}


_NOTHING: Final = {"page": {"size": 50, "totalElements": 0, "totalPages": 0, "number": 1}}
WELL: Final = [
    *(answers(account, SWIFT) for account in (1, 2, 3)),
    *({"endpoint": name, "body": json.dumps(_NOTHING)} for name in ("folders", "conversations")),
]
"""Nobody waits, and no mail bounces."""


def readable(messages: list[Message]) -> str:
    """Return notifications without what is different each time."""
    text = "\n".join(sorted(map(str, messages)))
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", text)


@dataclass(frozen=True, slots=True)
class Watch:
    """One version's servers, and what they told on which day."""

    webhook: Webhook
    prometheus: Prometheus
    days: dict[str, list[Message]] = field(default_factory=dict)

    def well(self) -> bool:
        """Return whether nothing is wrong nor was just now, and everything is there to see it."""
        kept = self.prometheus.query("helpscout:sla_margin_ratio > 0")
        return len(kept) == 2 * 2 + 50 and not self.prometheus.query("last_over_time(ALERTS[5s])")


class Story:
    """Lets things happen, and waits until they are told."""

    def __init__(self, service: Desk, watches: dict[str, Watch]) -> None:
        self.service, self.watches = service, watches

    def happens(self, *rules: dict[str, Any]) -> None:
        """Let Help Scout do this, before all that it does on a good day."""
        with requests.Session() as session:
            session.trust_env = False
            document = json.dumps({"faults": [*rules, *WELL]})
            answer = session.put(f"{self.service.url}/_faults", data=document, timeout=10)
        assert answer.status_code == 200, answer.text

    def everywhere(self, told: Callable[[Watch], bool], what: str) -> None:
        """Wait until this is so on all servers."""
        for watch in self.watches.values():
            eventually(partial(told, watch), what, _PATIENCE_SECONDS)

    def day(self, name: str, fault: Callable[[], None], mend: Callable[[], None], n: int) -> None:
        """Let one thing go wrong until `n` messages say so, and mend it until they take it back."""
        before = {version: len(w.webhook.messages) for version, w in self.watches.items()}

        def told(status: str) -> Callable[[Watch], bool]:
            def enough(watch: Watch) -> bool:
                (version,) = (v for v, w in self.watches.items() if w is watch)
                messages = watch.webhook.messages[before[version] :]
                return sum(f": {status}," in message.about for message in messages) >= n

            return enough

        fault()
        self.everywhere(told("firing"), f"{name}: the alerts at the webhook")
        mend()
        self.everywhere(told("resolved"), f"{name}: they are resolved at the webhook")
        self.everywhere(Watch.well, f"{name}: all is well again")
        for version, watch in self.watches.items():
            watch.days[name] = watch.webhook.messages[before[version] :]


@pytest.fixture(scope="module")
def watches(
    start_once: Start, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Watch]]:
    """All six days, as each version of Prometheus and Alertmanager tells them."""
    folder = tmp_path_factory.mktemp("story")
    service = desk(start_once, "--accounts", "3", "--mailboxes", "50")
    port = reserved_port()  # what is killed must come back where it was

    def serve(name: str, text: str) -> Process:
        path = Path(folder / f"{name}.yml")
        path.write_text(text.format(url=service.url, port=port))
        return start_once("serve", "--config", str(path))

    watches: dict[str, Watch] = {}
    story = Story(service, watches)
    story.happens()
    team, crowd = serve("team", TEAM), serve("crowd", CROWD)
    exporters = (address(team), address(crowd))
    alertmanagers = {version: f"127.0.0.1:{reserved_port()}" for version in VERSIONS}
    folders = {version: tmp_path_factory.mktemp(version) for version in VERSIONS}
    for version in VERSIONS:
        prometheus = run_prometheus(
            start_once,
            folders[version],
            *exporters,
            alertmanager=alertmanagers[version],
            version=version,
            haste=_HASTE,
        )
        watches[version] = Watch(Webhook(), prometheus)
    # A Prometheus that has just started knows no target for a moment; 5 min are as short here.
    story.everywhere(Watch.well, "all is well")
    for version, watch in watches.items():
        run_alertmanager(
            start_once, folders[version], alertmanagers[version], watch.webhook, version
        )
    began = time.time()
    story.everywhere(lambda watch: watch.well() and time.time() > began + 10, "all stays well")
    for watch in watches.values():
        watch.days["well"] = list(watch.webhook.messages)

    def asked_again(*rules: dict[str, Any]) -> None:
        # A reload lists the mailboxes and logs in again: no minute has to go by first.
        story.happens(*rules)
        for process in (team, crowd):
            process.signal(signal.SIGHUP)

    def back() -> None:
        serve("crowd", CROWD)

    story.day("team-slow", lambda: story.happens(answers(1, SLOW)), story.happens, 1)
    # The team's figures stay as they are: in them is what was replied to.
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    story.day("team-silent", lambda: story.happens(waiting(two_hours_ago, 3)), story.happens, 1)
    story.day("secret-revoked", lambda: asked_again({"account": 2, "status": 401}), asked_again, 1)
    story.day("outage", lambda: asked_again({"status": 503}), asked_again, 3)
    story.day("fifty-mailboxes", lambda: story.happens(answers(3, SLOW)), story.happens, 1)
    story.day("exporter-killed", crowd.kill, back, 1)
    yield watches
    for watch in watches.values():
        watch.webhook.close()


@pytest.fixture(scope="module", params=VERSIONS)
def watch(watches: dict[str, Watch], request: pytest.FixtureRequest) -> Watch:
    """Either of them."""
    return watches[request.param]


def test_nothing_is_reported_while_all_is_well(watch: Watch) -> None:
    assert watch.days["well"] == []


@pytest.mark.parametrize("day", DAYS)
def test_each_day_is_told_in_exactly_these_messages_and_words(watch: Watch, day: str) -> None:
    assert readable(watch.days[day]) == (GOLDEN / f"{day}.txt").read_text()


def test_each_message_of_a_fault_is_taken_back_once_and_nothing_else_is_reported(
    watch: Watch,
) -> None:
    counted = Counter(
        message.about.split(",")[0] for messages in watch.days.values() for message in messages
    )
    assert counted == {
        "support: firing": 3,
        "support: resolved": 3,
        "on-call: firing": 2,
        "on-call: resolved": 2,
        "operators: firing": 3,
        "operators: resolved": 3,
    }
    assert len(watch.webhook.messages) == sum(map(len, watch.days.values()))
