"""The scrape-ready bodies: the client library's bytes, through any sequence of changes."""

import gzip
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.exposition import OPENMETRICS, TEXT, Body, Exposition, Renderer, assembly, pieces
from exporter.exposition.render import REPORT_FAMILIES
from exporter.health import AccountStatus
from exporter.metrics import CATALOGUE
from exporter.reports import ALL, Mailbox, ProductivityReport, ReportKey, Statistics
from exporter.store import Store
from exporter.telemetry import Telemetry
from tests.unit import exposed
from tests.unit.exposed import (
    ACCOUNTS,
    FAILURE,
    OBJECTIVES,
    WINDOWS,
    full_store,
    published_like,
)
from tests.unit.library_view import LibraryView

GOLDEN = Path(__file__).parent.parent / "testdata" / "exposition"


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    """Blocks of few keys, so that small examples split and empty them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_BLOCK_KEYS", 2)
        yield


def plain(body: Body) -> bytes:
    """The body as a scrape gets it, once it is clear that every way gets the same."""
    whole = b"".join(body.parts)
    assert body.length == len(whole)
    assert gzip.decompress(body.gzipped) == whole
    inflater = zlib.decompressobj(31)
    assert inflater.decompress(body.gzipped) == whole
    assert inflater.eof
    assert not inflater.unused_data
    return whole


def exposition_of(store: Store) -> Exposition:
    return Exposition(store, Telemetry(process_metrics=False), Renderer(OBJECTIVES, WINDOWS))


def view_of(store: Store, exposition: Exposition) -> LibraryView:
    return LibraryView(store.snapshot(), OBJECTIVES, WINDOWS, exposition._telemetry)


def check(store: Store, exposition: Exposition) -> None:
    view = view_of(store, exposition)
    assert plain(exposition.ready.text).decode() == view.text().decode()
    assert plain(exposition.ready.openmetrics).decode() == view.openmetrics().decode()


@given(exposed.stores())
@settings(max_examples=50)
def test_the_bytes_are_those_of_the_client_library(store: Store) -> None:
    check(store, exposition_of(store))


def test_every_family_of_the_catalogue_is_among_the_compared() -> None:
    store = full_store()
    view = view_of(store, exposition_of(store))
    view.telemetry.watch_state_file(lambda: True)
    own = {family.name for family in view.telemetry.registry.collect()}
    assert {metric.name for metric in view.metrics(text=False)} | own == {
        family.name for family in CATALOGUE
    }


@given(exposed.stores())
@settings(max_examples=50)
def test_the_librarys_parsers_read_back_every_label_and_value(store: Store) -> None:
    exposition = exposition_of(store)
    view = view_of(store, exposition)
    for body, parse, text in (
        (exposition.ready.text, parse_text, True),
        (exposition.ready.openmetrics, parse_openmetrics, False),
    ):
        parser: Any = parse
        parsed = {family.name: family for family in parser(plain(body).decode())}
        for metric in view.metrics(text=text):
            found = parsed[metric.name]
            assert (found.type, found.documentation) == (metric.type, metric.documentation)
            assert [(s.name, s.labels, float(s.value)) for s in found.samples] == [
                (s.name, s.labels, float(s.value)) for s in metric.samples
            ]


# --- through any sequence of changes ------------------------------------------------------------


class Changes(RuleBasedStateMachine):
    """A store that is changed at random, exposed after each step, and compared."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.store = Store(clock=lambda: self.now, wall=lambda: 1.7e9 + self.now)
        self.exposition = exposition_of(self.store)
        self.planned: set[ReportKey] = set()

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.store.set_accounts(ACCOUNTS)
        for account in ACCOUNTS:
            for window in WINDOWS:
                self.store.set_lifetime(account, window.text, 600.0)
        self.plan(data.draw(st.sets(exposed.keys, min_size=6, max_size=12)))

    @rule(keys=st.sets(exposed.keys, max_size=12))
    def plan(self, keys: set[ReportKey]) -> None:
        for account in ACCOUNTS:
            self.store.schedule(account, sorted(key for key in keys if key.account == account))
        self.planned = keys

    @rule(data=st.data(), report=exposed.reports)
    def succeed(self, data: st.DataObject, report: ProductivityReport) -> None:
        if self.planned:
            self.store.succeeded(data.draw(st.sampled_from(sorted(self.planned))), report)

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.planned:
            self.store.failed(data.draw(st.sampled_from(sorted(self.planned))), FAILURE)

    @rule(data=st.data(), account=st.sampled_from(ACCOUNTS))
    def rename(self, data: st.DataObject, account: str) -> None:
        names = [data.draw(exposed.names) for _ in range(3)]
        boxes = [Mailbox(id_, name, "", "") for id_, name in zip((1, 2, 10), names, strict=True)]
        self.store.set_mailboxes(account, boxes[: data.draw(st.integers(0, 3))])

    @rule(account=st.sampled_from(ACCOUNTS), status=exposed.statuses)
    def change_status(self, account: str, status: AccountStatus) -> None:
        self.store.set_status(account, status)

    @rule(seconds=st.sampled_from([1.0, 400.0, 601.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def configure_anew(self) -> None:
        self.exposition.configure(Renderer(OBJECTIVES, WINDOWS))

    @rule()
    def drop_everything(self) -> None:
        self.plan(set())

    @invariant()
    def the_bytes_are_those_of_the_client_library(self) -> None:
        self.exposition.assemble()
        check(self.store, self.exposition)


test_after_any_changes_the_bytes_are_those_of_the_client_library = Changes.TestCase
test_after_any_changes_the_bytes_are_those_of_the_client_library.settings = settings(
    max_examples=25, stateful_step_count=15
)


def test_the_program_gzip_takes_both_bodies() -> None:
    program = shutil.which("gzip")
    assert program is not None
    exposition = exposition_of(full_store())
    for body in (exposition.ready.text, exposition.ready.openmetrics):
        done = subprocess.run([program, "-dc"], input=body.gzipped, check=True, capture_output=True)
        assert done.stdout == plain(body)
        assert not done.stderr


# --- what is not done twice ---------------------------------------------------------------------


def many(number: int) -> tuple[Store, list[ReportKey]]:
    store = Store()
    store.set_accounts(["acme"])
    store.set_mailboxes("acme", [Mailbox(1, "Support", "s", "s@x")])
    keys = [
        ReportKey("acme", "1", "email", "24h", False, f"segment-{position:03d}")
        for position in range(number)
    ]
    store.schedule("acme", keys)
    for key in keys:
        store.succeeded(key, ProductivityReport(Statistics(closed=1, response_time=60)))
    return store, keys


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """What is compressed from now on: pieces of reports, and the rest."""
    done: dict[str, list[bytes]] = {"pieces": [], "rest": []}
    compress = pieces.compress

    def recorder(where: str) -> Any:
        def recording(raw: bytes) -> pieces.Piece:
            done[where].append(bytes(raw))
            return compress(raw)

        return recording

    monkeypatch.setattr(pieces, "compress", recorder("pieces"))
    monkeypatch.setattr(assembly, "compress", recorder("rest"))
    return done


def test_only_the_family_and_the_block_that_changed_are_compressed(
    work: dict[str, list[bytes]],
) -> None:
    store, keys = many(40)
    exposition = exposition_of(store)
    families = range(len(REPORT_FAMILIES))
    before = [exposition._pieces.family(number) for number in families]
    work["pieces"].clear()
    changed = ProductivityReport(Statistics(closed=2, response_time=60))
    store.succeeded(keys[7], changed)
    exposition.assemble()
    compressed = [piece for piece in work["pieces"] if piece]
    names = {piece.split(b"{")[0] for piece in compressed}
    assert names == {
        b"helpscout_conversations_closed",
        b"helpscout_report_last_success_timestamp_seconds",
    }
    assert all(piece.count(b"\n") <= 4 for piece in compressed)
    unchanged = [exposition._pieces.family(number) is before[number] for number in families]
    assert unchanged.count(False) == 2


def test_only_the_report_that_changed_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    store, keys = many(40)
    exposition = exposition_of(store)
    rendered: list[ReportKey] = []
    report = Renderer.report

    def recording(self: Renderer, key: ReportKey, entry: Any) -> list[bytes]:
        rendered.append(key)
        return report(self, key, entry)

    monkeypatch.setattr(Renderer, "report", recording)
    store.succeeded(keys[3], published_like())
    exposition.assemble()
    store.schedule("acme", keys[5:])
    exposition.assemble()
    assert rendered == [keys[3]]


def test_without_news_no_piece_is_compressed(work: dict[str, list[bytes]]) -> None:
    store, _ = many(10)
    exposition = exposition_of(store)
    work["pieces"].clear()
    assert exposition.assemble() is False
    assert work["pieces"] == []


def test_assembling_tells_whether_there_was_news() -> None:
    store, keys = many(3)
    exposition = exposition_of(store)
    assert exposition.assemble() is False
    store.failed(keys[0], FAILURE)
    assert exposition.assemble() is True
    assert exposition.assemble() is False


def test_the_exporters_own_metrics_are_fresh_after_each_assembly() -> None:
    exposition = exposition_of(Store())
    exposition._telemetry.throttled.labels("acme").inc()
    name = b'helpscout_exporter_throttled_total{account="acme"} 1.0\n'
    assert name not in plain(exposition.ready.text)
    exposition.assemble()
    assert name in plain(exposition.ready.text)
    assert name in plain(exposition.ready.openmetrics)


def test_what_was_handed_out_does_not_change() -> None:
    store, keys = many(5)
    exposition = exposition_of(store)
    ready = exposition.ready
    before = plain(ready.text)
    store.succeeded(keys[0], published_like())
    exposition.assemble()
    assert exposition.ready is not ready
    assert plain(ready.text) == before


def test_large_bodies_are_sent_in_parts_worth_a_send_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "_BLOCK_KEYS", 200)
    store, _ = many(3000)
    parts = exposition_of(store).ready.text.parts
    assert len(parts) > 1
    # A small part stands alone only where its neighbour is large: joining them would copy that.
    small = [len(part) < assembly._SEND_BYTES for part in parts]
    assert not any(both == (True, True) for both in pairwise(small))


def test_another_configuration_counts_at_once() -> None:
    store = full_store()
    exposition = exposition_of(store)
    assert b"helpscout_sla_compliance_ratio{" in plain(exposition.ready.text)
    exposition.configure(Renderer((), WINDOWS[:1]))
    body = plain(exposition.ready.text)
    assert b"helpscout_sla" not in body
    assert b'helpscout_window_seconds{window="7d"}' not in body
    assert body == LibraryView(store.snapshot(), (), WINDOWS[:1], exposition._telemetry).text()


def test_the_loop_assembles_at_once_after_a_change_and_ends_at_once() -> None:
    store, keys = many(1)
    exposition = exposition_of(store)
    stopping = threading.Event()
    loop = threading.Thread(target=exposition.run, args=(stopping,))
    loop.start()
    until = time.monotonic() + 5
    store.succeeded(keys[0], ProductivityReport(Statistics(closed=77)))
    while b" 77.0\n" not in b"".join(exposition.ready.text.parts):
        assert time.monotonic() < until
        threading.Event().wait(0.01)
    stopping.set()
    store.changed.set()
    loop.join(5)
    assert not loop.is_alive()


# --- name[] -------------------------------------------------------------------------------------


def lines(body: bytes) -> list[str]:
    return body.decode().splitlines()


def selected(*names: str, content_type: str = TEXT, process_metrics: bool = False) -> list[str]:
    telemetry = Telemetry(process_metrics=process_metrics)
    telemetry.throttled.labels("acme").inc()
    telemetry.api_request_duration.labels("acme", "report").observe(0.2)
    exposition = Exposition(full_store(), telemetry, Renderer(OBJECTIVES, WINDOWS))
    return lines(exposition.selected(names, content_type))


def test_a_chosen_family_comes_with_its_header_and_nothing_else() -> None:
    help_, *rest = selected("helpscout_up")
    assert help_.startswith("# HELP helpscout_up ")
    assert rest == ["# TYPE helpscout_up gauge", 'helpscout_up{account="acme"} 1.0']


def test_in_openmetrics_a_choice_ends_with_the_mark() -> None:
    found = selected("helpscout_up", content_type=OPENMETRICS)
    assert found[-1] == "# EOF"
    assert found.count("# EOF") == 1
    assert found[1] == "# TYPE helpscout_up gauge"


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("helpscout_replies_to_resolve_distribution", 5),
        ("helpscout_replies_to_resolve_distribution_bucket", 5),
        ("helpscout_replies_to_resolve", 1),
        ("helpscout_exporter_throttled_total", 1),
        ("helpscout_exporter_throttled", 1),
        ("helpscout_exporter_api_request_duration_seconds", 12),
        ("helpscout_exporter_api_request_duration_seconds_count", 1),
        ("helpscout_exporter_build_info", 1),
        ("process_resident_memory_bytes", 1),
        ("python_info", 1),
        ("helpscout_nothing", 0),
        ("helpscout_", 0),
        ("", 0),
    ],
)
@pytest.mark.parametrize("content_type", [TEXT, OPENMETRICS])
def test_a_familys_name_stands_for_its_samples(name: str, samples: int, content_type: str) -> None:
    found = selected(name, content_type=content_type, process_metrics=True)
    assert len([line for line in found if not line.startswith("#")]) == samples


def test_several_names_choose_all_of_theirs() -> None:
    found = selected("helpscout_up", "helpscout_window_seconds", "helpscout_exporter_shards")
    names = {line.split("{")[0].split(" ")[0] for line in found if not line.startswith("#")}
    assert names == {"helpscout_up", "helpscout_window_seconds", "helpscout_exporter_shards"}


@pytest.mark.parametrize(
    ("content_type", "parse"), [(TEXT, parse_text), (OPENMETRICS, parse_openmetrics)]
)
def test_all_names_together_choose_the_whole(content_type: str, parse: Any) -> None:
    exposition = exposition_of(full_store())
    everything = [family.name for family in CATALOGUE]
    chosen = exposition.selected(everything, content_type)
    whole = exposition.ready.openmetrics if content_type == OPENMETRICS else exposition.ready.text

    def families(body: bytes) -> dict[str, Any]:
        return {f.name: f.samples for f in parse(body.decode()) if f.samples}

    assert families(chosen) == families(plain(whole))


# --- golden -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), [("small.txt", True), ("small.openmetrics.txt", False)])
def test_a_small_exposition_is_the_golden_text(name: str, text: bool) -> None:
    exposition = exposition_of(full_store())
    body = plain(exposition.ready.text if text else exposition.ready.openmetrics).decode()
    reports = body[: body.index("# HELP helpscout_exporter_")]
    assert reports == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_sample_lines_are_the_same_in_both_formats() -> None:
    exposition = exposition_of(full_store())
    texts = [
        [line for line in plain(body).decode().split("\n") if not line.startswith("#")]
        for body in (exposition.ready.text, exposition.ready.openmetrics)
    ]
    assert texts[0] == texts[1]


def test_all_has_its_own_series_beside_a_mailbox_of_that_name() -> None:
    store = Store()
    store.set_accounts(["acme"])
    store.set_mailboxes("acme", [Mailbox(1, ALL, "s", "e")])
    keys = [ReportKey("acme", id_, ALL, "24h", False, "") for id_ in ("1", ALL)]
    store.schedule("acme", keys)
    for key in keys:
        store.succeeded(key, ProductivityReport(Statistics(closed=1)))
    body = plain(exposition_of(store).ready.text).decode()
    series = [line for line in body.splitlines() if line.startswith("helpscout_conversations_cl")]
    assert len(set(series)) == 2
