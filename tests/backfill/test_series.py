"""A report as bare figures and back into lines is what the live renderer says, byte for byte."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.backfill.series import Series, SeriesTable
from exporter.collectors.productivity.figures import SHAPES
from exporter.collectors.productivity.report import Distribution, ProductivityReport, Statistics
from exporter.questions import Key, Question, Window
from exporter.sla import Objective
from exporter.store import Entry
from tests.readings import reading, renderer

HOSTILE = 'a "b", c\\d\ne\r{f}=\u2028🌻'
NAMES = st.one_of(st.just(HOSTILE), st.text(min_size=1))
COUNTS = st.none() | st.integers(0, 10**6)
MEANS = st.none() | st.floats(0, 1e9)
STATISTICS = st.builds(
    Statistics,
    **dict.fromkeys(("conversations", "closed", "replies_sent"), COUNTS),
    **dict.fromkeys(("resolved", "resolved_on_first_reply"), COUNTS),
    **dict.fromkeys(("response_time", "first_response_time", "handle_time"), MEANS),
    **dict.fromkeys(("resolution_time", "replies_to_resolve"), MEANS),
)


def shape(ranges: int) -> st.SearchStrategy[Distribution | None]:
    counts = st.tuples(*[st.integers(0, 99)] * ranges)
    return st.none() | st.builds(Distribution, counts, counts)


REPORTS = st.builds(
    ProductivityReport,
    STATISTICS,
    st.none() | STATISTICS,
    **{each.field: shape(len(each.bounds)) for each in SHAPES},
    resolution_time_by_replies=st.tuples(*[MEANS] * 5),
)
KEY = Key("productivity", "acme", "1001", "email", "24h", "false", "")
OBJECTIVES = tuple(
    Objective(name, "response_time", timedelta(hours=hours), 0.9, ("24h", "7d"), ("*",),
              ("email",), (False,), ("",))
    for name, hours in ((HOSTILE, 1), ("slow", 2))
)  # fmt: skip
RENDERER = renderer(OBJECTIVES, (Window("24h", timedelta(minutes=5)),))


QUESTION = Question(KEY, timedelta(minutes=5), timedelta(days=1), ((1001,), (), (), "compare"))


def table(mailbox: str, *labels: tuple[str, str]) -> SeriesTable:
    return SeriesTable(RENDERER, lambda _: mailbox, labels)


@settings(deadline=None)
@given(REPORTS, NAMES)
def test_every_line_is_read_back_from_the_figures_in_the_same_order(
    report: ProductivityReport, mailbox: str
) -> None:
    one = table(mailbox)
    values = one.figures(QUESTION, reading(report)).split(b" ")
    lines = b"".join(
        b"%s %s\n" % (series.text, values[series.place])
        for series in one.series(QUESTION)
        if values[series.place]
    )
    assert lines == b"".join(RENDERER.report(KEY, Entry(mailbox, reading(report))))


def labels_of(series: Series) -> dict[str, str]:
    """Return what the client library's own parser reads in a series."""
    text = series.text.decode()
    document = f"# TYPE {text.partition('{')[0]} unknown\n{text} 1.0\n# EOF\n"
    (family,) = text_string_to_metric_families(document)  # type: ignore[no-untyped-call]
    labels: dict[str, str] = family.samples[0].labels
    return labels


@settings(deadline=None, max_examples=25)
@given(NAMES, NAMES, NAMES)
def test_added_labels_are_there_beside_the_others_in_alphabetical_order(
    mailbox: str, instance: str, zone: str
) -> None:
    added = {"instance": instance, "zone": zone}
    plain, labelled = table(mailbox), table(mailbox, *added.items())
    for before, after in zip(plain.series(QUESTION), labelled.series(QUESTION), strict=True):
        labels = labels_of(after)
        assert labels == labels_of(before) | added
        assert list(labels) == sorted(labels)


def test_how_the_asking_went_has_no_history() -> None:
    families = {series.family.name for series in table("Support").series(QUESTION)}
    assert {name for name in families if "_report_" in name} == set()
    assert "helpscout_response_time_seconds" in families
