"""One report into the bytes of its samples: numbers, escaping, which families have none."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.exposition import ALLOWUTF8, _escape
from prometheus_client.utils import floatToGoString

from exporter.collectors import COLLECTORS
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.exposition.catalogue import catalogue
from exporter.exposition.render import accounts, escape, number, report_families
from exporter.health import AccountStatus
from exporter.questions import ALL, Key, Mailbox
from exporter.sla import Objective
from exporter.store import Entry
from tests.readings import reading, renderer
from tests.unit.exposed import NASTY_NAMES, OBJECTIVES, WINDOWS, published_like, text

KEY = Key("productivity", "acme", "2", "email", "7d", "false", "")
LABELS = (
    '{account="acme",mailbox="Sales",mailbox_id="2",office_hours="false",segment="",type="email",'
    'window="7d"}'
)
ATTEMPT = LABELS.replace('",', '",collector="productivity",', 1)


def rendered(
    report: ProductivityReport | None,
    key: Key = KEY,
    mailbox: str = "Sales",
    objectives: tuple[Objective, ...] = (),
) -> dict[str, list[str]]:
    """The lines of each family that has some."""
    entry = Entry(mailbox, None if report is None else reading(report))
    fragments = renderer(objectives, WINDOWS).report(key, entry)
    return {
        family.name: fragment.decode().splitlines()
        for family, fragment in zip(report_families("productivity"), fragments, strict=True)
        if fragment
    }


def current(**figures: float) -> ProductivityReport:
    return ProductivityReport(Statistics(**figures))  # type: ignore[arg-type]


@given(st.floats() | st.integers(-(10**300), 10**300))
def test_a_number_is_written_as_the_library_writes_it(value: float) -> None:
    assert number(value) == floatToGoString(value)  # type: ignore[no-untyped-call]


@given(st.floats(allow_nan=False) | st.integers(0, 2**53))
def test_a_number_is_read_back_to_the_last_bit(value: float) -> None:
    assert struct.pack("d", float(number(value))) == struct.pack("d", float(value))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0.0"),
        (True, "1.0"),
        (94, "94.0"),
        (2278004, "2.278004e+06"),
        (488475.313, "488475.313"),
        (5e-324, "5e-324"),
        (1e308, "1e+308"),
        (2**53, "9.007199254740992e+15"),
    ],
)
def test_a_number_is_written_as_go_does(value: float, written: str) -> None:
    assert number(value) == written


@given(text)
def test_a_label_is_escaped_as_the_library_does(value: str) -> None:
    assert escape(value) == _escape(value, ALLOWUTF8, lambda *_: False)


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_no_name_breaks_out_of_its_label_or_its_line(name: str) -> None:
    lines = rendered(current(closed=1), mailbox=name)
    (line,) = lines["helpscout_conversations_closed"][:1] or [""]
    assert line.startswith('helpscout_conversations_closed{account="acme",mailbox="')
    fragment = renderer().report(KEY, Entry(name, reading(current(closed=1))))
    assert b"".join(fragment).count(b"\n") == 1


def test_what_is_not_known_has_no_sample() -> None:
    assert rendered(None) == {}
    assert rendered(ProductivityReport(Statistics())) == {}


@pytest.mark.parametrize(
    ("field", "family"),
    [
        ("response_time", "helpscout_response_time_seconds"),
        ("first_response_time", "helpscout_first_response_time_seconds"),
        ("handle_time", "helpscout_handle_time_seconds"),
        ("resolution_time", "helpscout_resolution_time_seconds"),
        ("replies_to_resolve", "helpscout_replies_to_resolve"),
        ("conversations", "helpscout_conversations"),
        ("resolved", "helpscout_conversations_resolved"),
        ("resolved_on_first_reply", "helpscout_conversations_resolved_on_first_reply"),
        ("closed", "helpscout_conversations_closed"),
        ("replies_sent", "helpscout_replies_sent"),
    ],
)
@pytest.mark.parametrize("value", [0, 7])
def test_a_figure_is_one_sample_and_0_is_one_too(field: str, family: str, value: int) -> None:
    assert rendered(current(**{field: value})) == {family: [f"{family}{LABELS} {value}.0"]}


def test_of_an_expired_report_the_last_success_and_the_outcome_stay() -> None:
    entry = Entry("Sales", None, 1_700_000_000.5, 1.0, False)
    fragments = renderer(OBJECTIVES, WINDOWS).report(KEY, entry)
    assert fragments[:-2] == (b"",) * (len(report_families("productivity")) - 2)
    assert b"".join(fragments).decode().splitlines() == [
        f"helpscout_report_last_success_timestamp_seconds{ATTEMPT} 1.7000000005e+09",
        f"helpscout_report_success{ATTEMPT} 0.0",
    ]


def test_buckets_are_cumulative_and_end_with_infinity() -> None:
    report = replace(current(), handle_time=Distribution((1, 2, 0, 3, 4), (9,) * 5))
    name = "helpscout_handle_time_distribution_seconds"
    written = [line.rsplit(" ", 1)[1] for line in rendered(report)[name]]
    assert written == ["1.0", "3.0", "3.0", "6.0", "10.0"]
    edges = [line.split('le="')[1].split('"')[0] for line in rendered(report)[name]]
    assert edges == ["60.0", "120.0", "300.0", "600.0", "+Inf"]


def test_the_edges_are_those_of_the_contract() -> None:
    def edges(family: str) -> list[str]:
        lines = rendered(published_like())[family]
        return [line.split('le="')[1].split('"')[0] for line in lines]

    seconds = ["900", "1800", "3600", "7200", "10800", "21600", "43200", "86400", "172800"]
    times = [*(f"{each}.0" for each in seconds), "+Inf"]
    assert edges("helpscout_response_time_distribution_seconds") == times
    assert edges("helpscout_first_response_time_distribution_seconds") == times
    assert edges("helpscout_replies_to_resolve_distribution") == [
        "1.0",
        "2.0",
        "3.0",
        "4.0",
        "+Inf",
    ]


def test_an_empty_distribution_is_zeros_and_a_missing_one_nothing() -> None:
    name = "helpscout_replies_to_resolve_distribution"
    empty = replace(current(), replies_to_resolve=Distribution((0,) * 5, (0,) * 5))
    assert [line.rsplit(" ", 1)[1] for line in rendered(empty)[name]] == ["0.0"] * 5
    assert name not in rendered(current())


def test_resolution_times_by_replies_lack_what_was_not_measured() -> None:
    report = replace(current(), resolution_time_by_replies=(60.5, None, None, 0.0, 7.0))
    lines = rendered(report)["helpscout_resolution_time_by_replies_seconds"]
    found = [line.split('replies="')[1].split('"')[0] for line in lines]
    assert found == ["1", "4", "5+"]


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [
        (2278004, 4850412, "-0.5303483497896673"),
        (7, 7, "0.0"),
        (0, 6, "-1.0"),
        (0, 0, None),
        (6, 0, None),
        (None, 6, None),
        (6, None, None),
        (1e300, 5e-324, None),  # no finite number says it
    ],
)
def test_a_change_is_known_where_both_are_and_the_first_is_above_0(
    now: float | None, before: float | None, change: str | None
) -> None:
    report = ProductivityReport(Statistics(response_time=now), Statistics(response_time=before))
    lines = rendered(report).get("helpscout_change_ratio", [])
    assert [line.rsplit(" ", 1)[1] for line in lines] == ([] if change is None else [change])
    assert all('statistic="response_time"' in line for line in lines)


def test_a_change_is_named_after_the_family_of_its_figure() -> None:
    lines = rendered(published_like())["helpscout_change_ratio"]
    named = [line.split('statistic="')[1].split('"')[0] for line in lines]
    assert named == [
        "response_time",
        "first_response_time",
        "handle_time",
        "resolution_time",
        "replies_to_resolve",
        "conversations",
        "conversations_resolved",
        "conversations_resolved_on_first_reply",
        "conversations_closed",
        "resolved_on_first_reply",
    ]


def test_without_a_second_period_there_is_neither_previous_nor_change() -> None:
    names = rendered(replace(published_like(), previous=None))
    assert not [name for name in names if "previous" in name or "change" in name]


# --- SLA ----------------------------------------------------------------------------------------

FIRST_REPLY = OBJECTIVES[0]
COMPLIANCE, CONVERSATIONS = "helpscout_sla_compliance_ratio", "helpscout_sla_conversations"


def test_the_share_within_the_target_and_of_how_many_is_shown() -> None:
    lines = rendered(published_like(), objectives=(FIRST_REPLY,))
    labels = LABELS.replace(",mailbox=", ',horizon="long",mailbox=').replace(
        ",type=", ',sla="first-reply-1h",type='
    )
    assert lines[COMPLIANCE] == [f"{COMPLIANCE}{labels} 0.9"]
    assert lines[CONVERSATIONS] == [f"{CONVERSATIONS}{labels} 10.0"]


def test_the_first_window_is_the_short_horizon() -> None:
    key = KEY._replace(window="24h")
    (line,) = rendered(published_like(), key, objectives=(FIRST_REPLY,))[COMPLIANCE]
    assert 'horizon="short"' in line


@pytest.mark.parametrize(
    "key",
    [
        KEY._replace(window="30d"),
        KEY._replace(type=ALL),
        KEY._replace(office_hours="true"),
        KEY._replace(segment="vip"),
    ],
)
def test_an_objective_covers_only_what_it_names(key: Key) -> None:
    assert COMPLIANCE not in rendered(published_like(), key, objectives=(FIRST_REPLY,))


@pytest.mark.parametrize(
    ("mailboxes", "mailbox_id", "mailbox", "covered"),
    [
        (("*",), "2", "Sales", True),
        (("*",), ALL, ALL, True),
        (("Sa*",), "2", "Sales", True),
        (("Sa*",), "2", "Support", False),
        ((2,), "2", "whatever", True),
        ((3,), "2", "Sales", False),
        ((2,), ALL, ALL, False),
        ((), "2", "Sales", False),
    ],
)
def test_an_objective_covers_mailboxes_by_glob_or_id(
    mailboxes: tuple[str | int, ...], mailbox_id: str, mailbox: str, covered: bool
) -> None:
    objective = replace(FIRST_REPLY, mailboxes=mailboxes)
    key = KEY._replace(mailbox_id=mailbox_id)
    found = rendered(published_like(), key, mailbox, (objective,))
    assert (COMPLIANCE in found) is covered


def test_an_empty_distribution_has_no_share() -> None:
    report = replace(current(), first_response_time=Distribution((0,) * 10, (0,) * 10))
    assert COMPLIANCE not in rendered(report, objectives=(FIRST_REPLY,))
    assert COMPLIANCE not in rendered(current(), objectives=(FIRST_REPLY,))


def test_targets_and_windows_come_from_the_configuration() -> None:
    families = {
        family.name: body.decode() for family, body in renderer(OBJECTIVES, WINDOWS).configured()
    }
    assert families == {
        "helpscout_sla_objective_ratio": (
            'helpscout_sla_objective_ratio{sla="first-reply-1h"} 0.9\n'
            'helpscout_sla_objective_ratio{sla="quick \\"handling\\""} 0.995\n'
            'helpscout_sla_objective_ratio{sla="two-replies"} 0.5\n'
        ),
        "helpscout_sla_target_seconds": (
            'helpscout_sla_target_seconds{sla="first-reply-1h",statistic="first_response_time"}'
            " 3600.0\n"
            'helpscout_sla_target_seconds{sla="quick \\"handling\\"",statistic="handle_time"}'
            " 90.0\n"
        ),
        "helpscout_sla_target_replies": (
            'helpscout_sla_target_replies{sla="two-replies",statistic="replies_to_resolve"} 2.0\n'
        ),
        "helpscout_window_seconds": (
            'helpscout_window_seconds{window="24h"} 86400.0\n'
            'helpscout_window_seconds{window="7d"} 604800.0\n'
        ),
    }


def test_accounts_show_whether_they_work_and_what_is_wrong() -> None:
    mailbox = Mailbox(7, 'A "b"', "slug", "a@b")
    statuses = {"acme": AccountStatus(False, frozenset({"plan"})), "b": AccountStatus()}
    found = accounts([("acme", mailbox)], statuses)
    lines = b"".join(body for _, body in found).decode().splitlines()
    info = 'account="acme",email="a@b",mailbox="A \\"b\\"",mailbox_id="7",slug="slug"'
    assert lines[:3] == [
        f"helpscout_mailbox_info{{{info}}} 1.0",
        'helpscout_up{account="acme"} 0.0',
        'helpscout_up{account="b"} 0.0',
    ]
    assert lines[3:] == [
        f'helpscout_account_problem{{account="{account}",reason="{reason}"}} {value}'
        for account in ("acme", "b")
        for reason, value in (
            ("credentials", "0.0"),
            ("plan", "1.0" if account == "acme" else "0.0"),
            ("suspended", "0.0"),
            ("throttled", "0.0"),
            ("unreachable", "0.0"),
            ("bad_response", "0.0"),
        )
    ]


def test_office_hours_are_open_or_not_and_absent_without_a_schedule() -> None:
    statuses = {
        "a": AccountStatus(office_open=True),
        "b": AccountStatus(office_open=False),
        "c": AccountStatus(office_open=None),
    }
    (lines,) = (body for family, body in accounts([], statuses) if "office" in family.name)
    assert lines.decode().splitlines() == [
        'helpscout_office_hours_open{account="a"} 1.0',
        'helpscout_office_hours_open{account="b"} 0.0',
    ]


@pytest.mark.parametrize("collector", COLLECTORS)
def test_fragments_are_in_the_order_of_the_catalogue(collector: str) -> None:
    every = catalogue()
    places = [every.index(family) for family in report_families(collector)]
    assert places == sorted(places)
