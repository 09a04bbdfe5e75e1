"""The conversation list over the wire: what is paid, kept and shown, and that nothing personal is.

The service's rows hold made-up personal data in every place where real ones have some, also in rows
and bodies that are malformed.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import LogCapture

from exporter.backfill import backfill, task
from exporter.checking import check_account
from exporter.core import Exporter, one_round
from exporter.planning import plan
from exporter.settings import Configuration, load
from exporter.status import Facts, render, view
from tests.contract.conftest import UNHURRIED, Serve, a_round, scraped
from tests.contract.scripted import Asked, Reply, Service, as_json

NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)  # a Monday
# Numbers are long: a short one is found by chance among the digits of times.
PERSONAL = (
    "jane",
    "doe@",
    "hunter2",
    "elm street",
    "cannot log in",
    "700110011",
    "431243124312",
    "red shoes",
)
PAGE, TAGS_PAGE = 25, 50


def row(id_: int, **more: Any) -> dict[str, Any]:
    person = {
        "id": 431_243_124_312,
        "type": "customer",
        "first": "Jane",
        "last": "Doe",
        "email": "jane.doe@example.com",
        "photoUrl": "https://example.com/jane.png",
    }
    return {
        "id": 70_011_001_100_000 + id_,
        "number": 431_243_124_312,
        "threads": 1,
        "type": "email",
        "status": "active",
        "subject": "Jane Doe cannot log in",
        "preview": "My password is hunter2, I live at Elm Street",
        "createdBy": person,
        "primaryCustomer": person,
        "cc": ["jane.doe@example.com"],
        "customerWaitingSince": {"time": "2026-03-02T11:00:00Z", "friendly": "Jane waits"},
        "customFields": [{"name": "Size", "value": "red shoes", "text": "Jane"}],
        "tags": [{"id": 5, "tag": "vip"}],
        "assignee": person,
        **more,
    }


MALFORMED: list[Any] = [
    "Jane Doe",
    ["jane.doe@example.com"],
    {"name": "Jane Doe", "subject": "hunter2"},
    row(90, id="Jane Doe"),
    row(91, id=None, name="Jane Doe"),
    row(92, customerWaitingSince="Jane Doe since yesterday"),
    row(93, customerWaitingSince={"time": "Jane Doe, Elm Street"}),
    row(94, createdBy="jane.doe@example.com", latestReplyFrom="Jane"),
    row(95, tags=["Jane Doe", {"tag": "Jane Doe"}]),
    row(96, type="Jane Doe", status=["hunter2"]),
    row(97, threads="hunter2", snooze="Jane"),
]
BODIES: dict[str, Any] = {
    "another list": {"_embedded": {"people": [row(1)]}, "page": {"totalElements": 1}},
    "no list": {"_embedded": {"conversations": {"subject": "hunter2"}}, "page": {}},
    "no object": {"_embedded": "Jane Doe", "page": {"totalElements": 1}},
    "no page": {"_embedded": {"conversations": [row(1)]}, "page": "Jane Doe"},
    "odd numbers": {
        "_embedded": {"conversations": ["Jane"]},
        "page": {"number": "Jane", "totalPages": "hunter2", "totalElements": "Elm Street"},
    },
    "text": "Jane Doe cannot log in",
}


def listed(rows: list[Any], number: int, pages: int, total: int) -> Any:
    size = {"size": PAGE, "number": number, "totalPages": pages, "totalElements": total}
    return {"_embedded": {"conversations": rows}, "page": size}


class World:
    """A mailbox with so many customers who wait, or whose list is a body of a test's own."""

    def __init__(
        self,
        waiting: int = 2,
        body: Any = None,
        more: list[Any] | None = None,
        tags: list[Any] | None = None,
    ) -> None:
        self.waiting, self.body, self.more, self.tags = waiting, body, more or [], tags

    def __call__(self, asked: Asked) -> Reply:
        url = urlsplit(asked.target)
        if url.path == "/v2/oauth2/token":
            return as_json({"access_token": "a-token", "expires_in": 7200})
        if url.path == "/v2/mailboxes":
            boxes = [{"id": 12, "name": "Support", "slug": "s", "email": "help@acme.com"}]
            return as_json({"_embedded": {"mailboxes": boxes}, "page": {"totalElements": 1}})
        if url.path == "/v2/conversations":
            if self.body is not None:
                return as_json(self.body)
            number = int(parse_qs(url.query)["page"][0])
            first = PAGE * (number - 1)
            ids = range(first, min(first + PAGE, self.waiting))
            total = self.waiting + len(self.more)
            pages = -(-total // PAGE)
            return as_json(listed([row(id_) for id_ in ids] + self.more, number, pages, total))
        if url.path == "/v2/tags":
            if self.tags is None:
                return as_json({"message": "no tags for you"}, status=403)
            number = int(parse_qs(url.query)["page"][0])
            pages = -(-len(self.tags) // TAGS_PAGE)
            size = {"totalElements": len(self.tags), "totalPages": pages, "number": number}
            tags = self.tags[TAGS_PAGE * (number - 1) : TAGS_PAGE * number]
            return as_json({"_embedded": {"tags": tags}, "page": size})
        return as_json({"current": {"closed": 1}, "filterTags": [{"id": 5, "name": "vip"}]})


def configured(service: Service, **more: str) -> Configuration:
    environ = {
        "HELPSCOUT_ACCOUNTS__0__NAME": "acme",
        "HELPSCOUT_CLIENT_ID": "an-id",
        "HELPSCOUT_CLIENT_SECRET": "a-secret",
        "HELPSCOUT_BASE_URL": f"{service.url}/v2",
        **UNHURRIED,
        "HELPSCOUT_WAITING__ENABLED": "true",
        "HELPSCOUT_FOLDERS__ENABLED": "false",
        "HELPSCOUT_WINDOWS": "[24h]",
        "HELPSCOUT_TYPES": "[all]",
        "HELPSCOUT_MAILBOXES": "{all: false}",
        "HELPSCOUT_SEGMENTS": "[{name: vip, tags: [vip]}]",
        "HELPSCOUT_SLA": "[{name: fast, statistic: response_time, target: 30m, objective: 0.9}]",
    }
    return load(None, environ | {f"HELPSCOUT_{key.upper()}": text for key, text in more.items()})


def sample(text: str, name: str, **labels: str) -> float | None:
    """The value of the only sample with these labels, None without one."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith(f"helpscout_{name}{{") and all(each in line for each in wanted)
    ]
    assert len(found) <= 1
    return found[0] if found else None


def page_of(exporter: Exporter) -> str:
    facts = Facts(
        now=time.time(),
        clock=time.monotonic(),
        configuration=exporter.configuration,
        snapshot=exporter.store.snapshot(),
        troubles=exporter.store.troubles(),
        progress=exporter.poller.progress(),
        started_at=exporter.started_at,
        loaded_at=exporter.loaded_at,
        reload_failure=None,
    )
    return render(view(facts, {})).html


WORLDS = {
    "good rows": World(3),
    "malformed rows": World(3, more=MALFORMED),
    **{name: World(body=body) for name, body in BODIES.items()},
}


def test_what_is_searched_for_is_in_a_row() -> None:
    text = str(row(1)).lower()
    assert [word for word in PERSONAL if word not in text] == []


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_nothing_personal_is_stored_logged_or_shown(
    world: World, serve: Serve, tmp_path: Path, log: LogCapture
) -> None:
    service = serve(world)
    configuration = configured(service, state_file=str(tmp_path / "state.db"))
    exporter = Exporter(configuration, now=lambda: NOW)
    text = a_round(exporter)
    assert any("/conversations" in asked.target for asked in service.asked)
    seen = {
        "metrics": text,
        "page": page_of(exporter),
        "log": str(log.entries),
        "troubles": str(exporter.store.troubles()),
        **{
            path.name: path.read_bytes().decode("latin-1")
            for path in tmp_path.iterdir()
            if path.is_file()
        },
    }
    assert "state.db" in seen
    for place, content in seen.items():
        found = [word for word in PERSONAL if word in content.lower()]
        assert found == [], place


def test_malformed_rows_cost_themselves_alone_and_are_reported(
    serve: Serve, log: LogCapture
) -> None:
    text = a_round(Exporter(configured(serve(World(3, more=MALFORMED))), now=lambda: NOW))
    # Of the eleven, three have a customer who waits for all that can be read.
    assert sample(text, "waiting_conversations", type="all", segment="") == 6
    odd = [entry["what"] for entry in log.entries if "what" in entry]
    first = "mailbox 12: _embedded.conversations[3]: is not an object: the conversation is left out"
    assert odd[0] == first
    assert sum(line.endswith("the conversation is left out") for line in odd) == 6


def test_waiting_customers_are_exported_and_each_page_is_paid_for(serve: Serve) -> None:
    service = serve(World(60))
    exporter = Exporter(configured(service), now=lambda: NOW)
    text = a_round(exporter)
    cut = {"type": "all", "segment": "", "office_hours": "false"}
    assert sample(text, "waiting_conversations", **cut) == 60
    assert sample(text, "waiting_conversations", **(cut | {"segment": "vip"})) == 60
    since = datetime(2026, 3, 2, 11, tzinfo=UTC).timestamp()
    assert sample(text, "waiting_since_timestamp_seconds", **cut) == since
    assert sample(text, "sla_waiting_conversations", threshold="target", sla="fast", **cut) == 60
    assert sample(text, "waiting_truncated") == 0
    calls = [asked for asked in service.asked if "/conversations" in asked.target]
    assert sample(text, "exporter_api_requests_total", operation="conversations") == len(calls)
    _, usage = exporter.poller.progress()["acme"]
    assert usage.used == len(service.asked)


def test_ten_thousand_open_conversations_cost_four_calls_and_are_marked(serve: Serve) -> None:
    service = serve(World(10_000))
    text = a_round(Exporter(configured(service, segments="[]"), now=lambda: NOW))
    assert sum("/conversations" in asked.target for asked in service.asked) == 4
    assert sample(text, "waiting_truncated") == 1
    assert sample(text, "waiting_conversations", type="all", segment="") == 4 * PAGE


def test_it_survives_a_restart(serve: Serve, tmp_path: Path) -> None:
    service = serve(World(2))
    configuration = configured(service, state_file=str(tmp_path / "state.db"))
    a_round(Exporter(configuration, now=lambda: NOW))
    service.close()
    second = Exporter(configuration, now=lambda: NOW)
    text = scraped(second)
    second.stop()
    assert sample(text, "waiting_conversations", type="all", segment="vip") == 2


HOURS = '{{timezone: UTC, hours: {{mon: "{0}"}}}}'


def test_a_reload_with_another_schedule_or_sla_renders_again_without_a_call(serve: Serve) -> None:
    service = serve(World(2))
    exporter = Exporter(configured(service), now=lambda: NOW)
    text = a_round(exporter)
    asked = sum("/conversations" in each.target for each in service.asked)
    key = "accounts__0__office_schedule"
    beyond = {"type": "all", "segment": "", "office_hours": "true", "threshold": "target"}
    assert sample(text, "sla_waiting_conversations", **beyond) is None
    sla = "[{name: fast, statistic: response_time, target: 30m, objective: 0.9,"
    for hours, target, expected in (("11:15-17:00", "30m", 2), ("11:45-17:00", "30m", 0)):
        more = {
            key: HOURS.format(hours),
            "office_hours": "[true]",
            "sla": sla.replace("30m", target) + " office_hours: [true]}]",
        }
        exporter.configure(configured(service, **more))
        text = scraped(exporter)
        assert sample(text, "sla_waiting_conversations", **beyond) == expected
    assert sum("/conversations" in each.target for each in service.asked) == asked


def test_a_single_round_has_waiting_customers_and_whether_the_office_is_open(serve: Serve) -> None:
    hours = {"accounts__0__office_schedule": HOURS.format("09:00-17:00")}
    body, complete = one_round(configured(serve(World(2)), **hours), lambda: NOW)
    text = body.decode()
    assert complete
    assert sample(text, "waiting_conversations", segment="vip", office_hours="true") == 2
    assert sample(text, "office_hours_open", account="acme") == 1


def test_the_past_has_no_waiting_customers(serve: Serve, tmp_path: Path) -> None:
    service, said = serve(World(2)), list[str]()
    output = tmp_path / "past.om"
    at = NOW.replace(hour=0)
    wanted = task(at, at, timedelta(days=1), [], 1.0, output, dry_run=False)
    backfill(configured(service), wanted, said.append)
    assert "waiting asks about now and has no past: skipped" in said
    assert "waiting" not in output.read_text()
    assert not any("/conversations" in each.target for each in service.asked)


QUEUE_ALONE = {
    "productivity__enabled": "false",
    "segments": "[{name: vip, tags: [vip]}, {name: gold, tags: [gold]},"
    " {name: typo, tags: [glod]}]",
    "sla": "[]",
}
TAGS = [{"id": 5, "name": "vip", "slug": "vip"}, {"id": 6, "name": "gold"}, {"id": 7, "slug": "x"}]


def tag_lists(service: Service) -> int:
    return sum(asked.target.startswith("/v2/tags") for asked in service.asked)


def test_where_no_report_names_the_tags_they_are_listed(serve: Serve, log: LogCapture) -> None:
    service = serve(World(2, tags=TAGS))
    exporter = Exporter(configured(service, **QUEUE_ALONE), now=lambda: NOW)
    text = a_round(exporter)
    assert tag_lists(service) == 1
    counts = {
        segment: sample(text, "waiting_conversations", type="all", segment=segment)
        for segment in ("vip", "gold", "typo")
    }
    assert counts == {"vip": 2, "gold": 0, "typo": None}
    assert sample(text, "segment_resolved", segment="gold") == 1
    assert sample(text, "segment_resolved", segment="typo") == 0
    (missing,) = exporter.store.missing()["acme"]
    assert str(missing) == "segments[2] (typo): no tag is called 'glod'; is it 'gold'?"
    odd = [entry["what"] for entry in log.entries if "what" in entry]
    assert "_embedded.tags[2].name: is not text: the tag without a name is left out" in odd


def test_a_list_of_tags_that_is_refused_is_a_warning(serve: Serve, log: LogCapture) -> None:
    service = serve(World(2))
    exporter = Exporter(configured(service, **QUEUE_ALONE), now=lambda: NOW)
    text = a_round(exporter)
    assert sample(text, "waiting_conversations", type="all", segment="") == 2
    assert sample(text, "waiting_conversations", type="all", segment="vip") == 2  # rows say it
    assert sample(text, "waiting_conversations", type="all", segment="gold") is None
    assert sample(text, "segment_resolved", segment="gold") == 0
    assert exporter.store.missing() == {}
    (line,) = [entry["what"] for entry in log.entries if "what" in entry]
    assert line.startswith("list of tags at 127.0.0.1:")
    assert line.endswith("segments wait until a conversation names their tags")
    assert log.entries[0]["log_level"] == "warning"


def test_where_a_report_names_the_tags_they_are_not_listed(serve: Serve) -> None:
    service = serve(World(2, tags=TAGS))
    a_round(Exporter(configured(service), now=lambda: NOW))
    assert tag_lists(service) == 0


def test_check_knows_tags_by_their_list_and_says_nothing_of_them_without(
    serve: Serve, log: LogCapture
) -> None:
    for tags, missing in ((TAGS, ["typo"]), (None, list[str]())):
        service = serve(World(2, tags=tags))
        configuration = configured(service, **QUEUE_ALONE)
        checked = check_account(configuration, configuration.accounts[0])
        assert [each.segment for each in checked.missing] == missing
        assert "waiting good" in checked.line
    assert any("whether the tags of segments exist" in str(entry) for entry in log.entries)


def test_check_asks_as_fast_as_the_whole_limit_allows(serve: Serve) -> None:
    service, seconds = serve(World(2, tags=TAGS)), [0.0]

    def wait(for_seconds: float) -> bool:
        seconds[0] += for_seconds
        return False

    more = {"accounts__0__requests_per_minute": "30", "accounts__0__budget": "0.1"}
    configuration = configured(service, **QUEUE_ALONE, **more)
    (account,) = configuration.accounts
    check_account(configuration, account, clock=lambda: seconds[0], wait=wait)
    # One goes at once, and of a limit of 30 a minute one every two seconds, but for a margin.
    assert seconds[0] == pytest.approx(2.0 * (len(service.asked) - 1), rel=0.05)


def test_tags_are_known_from_every_page_of_their_list(serve: Serve) -> None:
    many = [{"id": 100 + number, "name": f"tag {number}"} for number in range(TAGS_PAGE)]
    service = serve(World(2, tags=[*many, *TAGS]))
    exporter = Exporter(configured(service, **QUEUE_ALONE), now=lambda: NOW)
    text = a_round(exporter)
    assert tag_lists(service) == 2
    assert sample(text, "segment_resolved", segment="gold") == 1


def test_the_list_of_tags_is_planned_where_it_is_asked(serve: Serve) -> None:
    service = serve(World(2, tags=TAGS))
    with_list = configured(service, **QUEUE_ALONE)
    by_id = QUEUE_ALONE | {"segments": "[]"}
    without = configured(service, **by_id)
    difference = plan(with_list, with_list.accounts[0], 50).overhead
    assert difference == pytest.approx(plan(without, without.accounts[0], 50).overhead + 0.1)
