"""The scrape-ready bodies: the client library's bytes, through any sequence of changes."""

import gzip
import importlib.util
import runpy
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.collectors.productivity.report import ProductivityReport, Statistics
from exporter.exposition import Exposition, Renderer, assembly, compression
from exporter.exposition.catalogue import catalogue
from exporter.health import AccountStatus
from exporter.questions import ALL, Key, Mailbox
from exporter.store import Entry, Snapshot, Store
from exporter.telemetry import Telemetry
from tests.readings import reading, renderer
from tests.support import eventually
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

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LIFETIME_SECONDS = 600.0
EVERY_KEY = dict.fromkeys(
    (
        Key("productivity", *axes)
        for axes in product(
            ACCOUNTS,
            ("1", "2", "10", ALL),
            ("email", "chat", ALL),
            ("24h", "7d"),
            ("true", "false"),
            exposed.SEGMENTS,
        )
    ),
    LIFETIME_SECONDS,
)
GOLDEN = Path(__file__).parent.parent / "testdata" / "exposition"


def plain(exposition: Exposition, content_type: str) -> bytes:
    """The body as a scrape gets it, once it is clear that every way gets the same."""
    whole = b"".join(exposition.body(content_type, gzipped=False).made())
    compressed = b"".join(exposition.body(content_type, gzipped=True).made())
    assert gzip.decompress(compressed) == whole
    inflater = zlib.decompressobj(31)
    assert inflater.decompress(compressed) == whole
    assert inflater.eof
    assert not inflater.unused_data
    return whole


def exposition_of(store: Store) -> Exposition:
    return Exposition(store, Telemetry(process_metrics=False), renderer(OBJECTIVES, WINDOWS))


def check(snapshot: Snapshot, exposition: Exposition) -> None:
    view = LibraryView(snapshot, OBJECTIVES, WINDOWS, exposition._telemetry)
    assert plain(exposition, TEXT).decode() == view.text().decode()
    assert plain(exposition, OPENMETRICS).decode() == view.openmetrics().decode()


@given(exposed.stores())
@settings(max_examples=50)
def test_the_bytes_are_those_of_the_client_library(store: Store) -> None:
    check(store.snapshot(), exposition_of(store))


def test_every_family_of_the_catalogue_is_among_the_compared() -> None:
    telemetry = Telemetry(process_metrics=False)
    view = LibraryView(full_store().snapshot(), OBJECTIVES, WINDOWS, telemetry)
    view.telemetry.watch_state_file(lambda: True)
    own = {family.name for family in view.telemetry.registry.collect()}
    assert {metric.name for metric in view.metrics(text=False)} | own == {
        family.name for family in catalogue()
    }


@given(exposed.stores())
@settings(max_examples=50)
def test_the_librarys_parsers_read_back_every_label_and_value(store: Store) -> None:
    exposition = exposition_of(store)
    view = LibraryView(store.snapshot(), OBJECTIVES, WINDOWS, exposition._telemetry)
    for content_type, parse, text in (
        (TEXT, parse_text, True),
        (OPENMETRICS, parse_openmetrics, False),
    ):
        parser: Any = parse
        parsed = {
            family.name: family for family in parser(plain(exposition, content_type).decode())
        }
        for metric in view.metrics(text=text):
            found = parsed[metric.name]
            assert (found.type, found.documentation) == (metric.type, metric.documentation)
            assert [(s.name, s.labels, float(s.value)) for s in found.samples] == [
                (s.name, s.labels, float(s.value)) for s in metric.samples
            ]


# --- through any sequence of changes ------------------------------------------------------------


class Changes(RuleBasedStateMachine):
    """A store that is changed at random, exposed after each step, and compared.

    What is compared with is kept here, not asked of the store: otherwise a store that forgets to
    drop what is too old would agree with itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.store = Store(clock=lambda: self.now, wall=lambda: 1.7e9 + self.now)
        self.exposition = exposition_of(self.store)
        self.entries: dict[Key, Entry] = {}
        self.mailboxes: dict[str, list[Mailbox]] = {}
        self.statuses = dict.fromkeys(ACCOUNTS, AccountStatus())

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.store.set_accounts(ACCOUNTS)
        for account in ACCOUNTS:
            self.store.set_lifetimes(account, EVERY_KEY)
        self.plan(data.draw(st.sets(exposed.keys, min_size=6, max_size=12)))

    @rule(keys=st.sets(exposed.keys, max_size=12))
    def plan(self, keys: set[Key]) -> None:
        for account in ACCOUNTS:
            self.store.schedule(account, sorted(key for key in keys if key.account == account))
        self.entries = {key: self.entries.get(key, Entry("")) for key in keys}

    @rule(data=st.data(), report=exposed.reports)
    def succeed(self, data: st.DataObject, report: ProductivityReport) -> None:
        if self.entries:
            key = data.draw(st.sampled_from(sorted(self.entries)))
            self.store.succeeded(key, reading(report))
            self.entries[key] = Entry("", reading(report), 1.7e9 + self.now, self.now, True)

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if self.entries:
            key = data.draw(st.sampled_from(sorted(self.entries)))
            self.store.failed(key, FAILURE)
            self.entries[key] = replace(self.entries[key], success=False)

    @rule(data=st.data(), account=st.sampled_from(ACCOUNTS))
    def rename(self, data: st.DataObject, account: str) -> None:
        names = [data.draw(exposed.names) for _ in range(3)]
        boxes = [Mailbox(id_, name, "", "") for id_, name in zip((1, 2, 10), names, strict=True)]
        listed = boxes[: data.draw(st.integers(0, 3))]
        self.store.set_mailboxes(account, listed)
        self.mailboxes[account] = listed

    @rule(account=st.sampled_from(ACCOUNTS), status=exposed.statuses)
    def change_status(self, account: str, status: AccountStatus) -> None:
        self.store.set_status(account, status)
        self.statuses[account] = status

    @rule(seconds=st.sampled_from([1.0, 400.0, 601.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), report=exposed.reports)
    def grow_old(self, data: st.DataObject, report: ProductivityReport) -> None:
        self.succeed(data, report)
        self.wait(LIFETIME_SECONDS + 1)

    @rule()
    def configure_again(self) -> None:
        self.exposition.configure(renderer(OBJECTIVES, WINDOWS))

    @rule()
    def drop_everything(self) -> None:
        self.plan(set())

    @invariant()
    def the_bytes_are_those_of_the_client_library(self) -> None:
        self.exposition.assemble()
        check(self.expected(), self.exposition)

    def expected(self) -> Snapshot:
        entries = {}
        for key, entry in self.entries.items():
            names = {str(box.id): box.name for box in self.mailboxes.get(key.account, [])}
            fresh = self.now - entry.fresh_since <= LIFETIME_SECONDS
            entries[key] = replace(
                entry,
                mailbox=ALL if key.mailbox_id == ALL else names.get(key.mailbox_id, key.mailbox_id),
                reading=entry.reading if fresh else None,
            )
        mailboxes = tuple((a, box) for a in ACCOUNTS for box in self.mailboxes.get(a, []))
        return Snapshot(0, entries, mailboxes, self.statuses)


test_after_any_changes_the_bytes_are_those_of_the_client_library = Changes.TestCase
test_after_any_changes_the_bytes_are_those_of_the_client_library.settings = settings(
    max_examples=25, stateful_step_count=15
)


# --- compression --------------------------------------------------------------------------------


@pytest.fixture(params=["isal", "zlib"])
def compress(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """gzip_member with the fast library, and as it is on a machine that has none."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    elif importlib.util.find_spec("isal") is None:
        pytest.skip("isal has no wheels for this machine")
    return runpy.run_path(compression.__file__)["gzip_member"]


@pytest.mark.parametrize("content_type", [TEXT, OPENMETRICS])
def test_the_program_gzip_takes_what_either_library_makes(compress: Any, content_type: str) -> None:
    program = shutil.which("gzip")
    assert program is not None
    parts = exposition_of(full_store()).body(content_type, gzipped=False).parts()
    done = subprocess.run([program, "-dc"], input=compress(parts), check=True, capture_output=True)
    assert done.stdout == b"".join(parts)
    assert not done.stderr


@given(st.lists(st.binary(max_size=100_000), max_size=5))
def test_parts_become_one_gzip_member(parts: list[bytes]) -> None:
    inflater = zlib.decompressobj(31)
    assert inflater.decompress(compression.gzip_member(parts)) == b"".join(parts)
    assert inflater.eof
    assert not inflater.unused_data


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is compressed from now on."""
    done: list[bytes] = []

    def recording(parts: Iterable[bytes]) -> bytes:
        done.append(b"".join(parts))
        return compression.gzip_member(parts)

    monkeypatch.setattr(assembly, "gzip_member", recording)
    return done


def test_nothing_is_compressed_before_a_scrape_asks_for_it(compressed: list[bytes]) -> None:
    store, keys = many(3)
    exposition = exposition_of(store)
    store.succeeded(keys[0], reading(published_like()))
    exposition.assemble()
    assert compressed == []
    exposition.body(TEXT, gzipped=False).made()
    assert compressed == []
    for _ in range(3):
        exposition.body(OPENMETRICS, gzipped=True).made()
    assert len(compressed) == 1
    assert compressed[0].endswith(b"# EOF\n")


def test_what_was_scraped_since_the_last_assembly_is_ready_after_the_next(
    compressed: list[bytes],
) -> None:
    exposition = exposition_of(full_store())
    exposition.body(TEXT, gzipped=True).made()
    exposition.assemble()
    assert len(compressed) == 2
    assert exposition.body(TEXT, gzipped=True).ready() is not None
    exposition.assemble()
    assert len(compressed) == 3
    exposition.assemble()  # nobody asked
    assert len(compressed) == 3
    assert exposition.body(TEXT, gzipped=True).ready() is None


def test_scrapes_that_wait_for_the_same_body_compress_it_once(
    compressed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording: Callable[[Iterable[bytes]], bytes] = vars(assembly)["gzip_member"]
    begun = threading.Event()

    def slow(parts: Iterable[bytes]) -> bytes:
        begun.set()
        threading.Event().wait(0.1)  # long enough for the others to ask
        return recording(parts)

    monkeypatch.setattr(assembly, "gzip_member", slow)
    body = exposition_of(full_store()).body(TEXT, gzipped=True)
    results: list[tuple[bytes | memoryview, ...]] = []

    threads = [
        threading.Thread(daemon=True, target=lambda: results.append(body.made())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
        assert begun.wait(5)
    for thread in threads:
        thread.join(5)
    assert len(results) == 8
    assert len(compressed) == 1
    assert all(result is results[0] for result in results)


# --- what is not done twice ---------------------------------------------------------------------


def many(number: int) -> tuple[Store, list[Key]]:
    store = Store()
    store.set_accounts(["acme"])
    store.set_mailboxes("acme", [Mailbox(1, "Support", "s", "s@x")])
    keys = [
        Key("productivity", "acme", "1", "email", "24h", "false", f"segment-{position:03d}")
        for position in range(number)
    ]
    store.schedule("acme", keys)
    for key in keys:
        store.succeeded(key, reading(ProductivityReport(Statistics(closed=1, response_time=60))))
    return store, keys


def test_only_the_families_that_changed_are_joined_again() -> None:
    store, keys = many(40)
    exposition = exposition_of(store)
    before = exposition.body(TEXT, gzipped=False).parts()
    store.succeeded(keys[7], reading(ProductivityReport(Statistics(closed=2, response_time=60))))
    exposition.assemble()
    after = exposition.body(TEXT, gzipped=False).parts()
    same = {
        new.split(b"{")[0]: any(new is old for old in before)
        for new in after
        if new.startswith((b"helpscout_conversations", b"helpscout_resp", b"helpscout_report"))
    }
    assert same == {
        b"helpscout_conversations_closed": False,
        b"helpscout_response_time_seconds": True,
        b"helpscout_report_last_success_timestamp_seconds": False,
        b"helpscout_report_success": True,
    }


def test_only_the_report_that_changed_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    store, keys = many(40)
    exposition = exposition_of(store)
    rendered: list[Key] = []
    report = Renderer.report

    def recording(self: Renderer, key: Key, entry: Any) -> tuple[bytes, ...]:
        rendered.append(key)
        return report(self, key, entry)

    monkeypatch.setattr(Renderer, "report", recording)
    store.succeeded(keys[3], reading(published_like()))
    exposition.assemble()
    store.schedule("acme", keys[5:])
    exposition.assemble()
    assert rendered == [keys[3]]


def test_assembling_returns_whether_there_was_news() -> None:
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
    exposition.assemble()
    assert name in plain(exposition, TEXT)
    assert name in plain(exposition, OPENMETRICS)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], []),
        ([b""], [b""]),
        ([b"ab", b"c"], [b"abc"]),
        ([b"ab", b"c", b"de"], [b"abc", b"de"]),
        ([b"0123456789"], [b"0123", b"4567", b"89"]),
        ([b"ab", b"01234567", b"c", b"d"], [b"ab", b"0123", b"4567", b"cd"]),
    ],
)
def test_a_body_is_sent_in_few_pieces_and_large_parts_are_not_copied(
    parts: list[bytes], expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "_JOINED_BYTES", 4)
    monkeypatch.setattr(assembly, "_SEND_BYTES", 4)
    found = assembly.Body(lambda: tuple(parts)).made()
    assert list(found) == expected
    views = {id(piece.obj) for piece in found if isinstance(piece, memoryview)}
    assert views == {id(part) for part in parts if len(part) > 4}


def test_what_was_handed_out_does_not_change() -> None:
    store, keys = many(5)
    exposition = exposition_of(store)
    body = exposition.body(TEXT, gzipped=False)
    before = b"".join(body.made())
    store.succeeded(keys[0], reading(published_like()))
    exposition.assemble()
    assert exposition.body(TEXT, gzipped=False) is not body
    assert b"".join(body.made()) == before


def test_a_report_that_is_too_old_is_not_exposed() -> None:
    now = [0.0]
    store = Store(clock=lambda: now[0], wall=lambda: 1.7e9 + now[0])
    store.set_accounts(["acme"])
    key = Key("productivity", "acme", "1", "email", "24h", "false", "")
    store.schedule("acme", [key])
    store.set_lifetimes("acme", {key: LIFETIME_SECONDS})
    store.succeeded(key, reading(ProductivityReport(Statistics(closed=1))))
    exposition = exposition_of(store)
    found = []
    for now[0] in (LIFETIME_SECONDS, LIFETIME_SECONDS + 1):
        exposition.assemble()
        found.append(b"helpscout_conversations_closed{" in plain(exposition, TEXT))
    assert found == [True, False]
    assert b"helpscout_report_last_success_timestamp_seconds{" in plain(exposition, TEXT)


def test_another_configuration_counts_at_once() -> None:
    store = full_store()
    exposition = exposition_of(store)
    assert b"helpscout_sla_compliance_ratio{" in plain(exposition, TEXT)
    exposition.configure(renderer(windows=WINDOWS[:1]))
    body = plain(exposition, TEXT)
    assert b"helpscout_sla" not in body
    assert b'helpscout_window_seconds{window="7d"}' not in body
    assert body == LibraryView(store.snapshot(), (), WINDOWS[:1], exposition._telemetry).text()


def test_the_loop_assembles_at_once_after_a_change_and_ends_at_once() -> None:
    store, keys = many(1)
    exposition = exposition_of(store)
    stopping = threading.Event()
    loop = threading.Thread(target=exposition.run, args=(stopping,), daemon=True)
    loop.start()
    store.succeeded(keys[0], reading(ProductivityReport(Statistics(closed=77))))
    eventually(
        lambda: b" 77.0\n" in b"".join(exposition.body(TEXT, gzipped=False).made()), "the change"
    )
    stopping.set()
    store.changed.set()
    loop.join(5)
    assert not loop.is_alive()


def test_while_nothing_happens_the_loop_waits_a_second_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An event that stays set would let it through at once: most of a core for nothing.
    monkeypatch.setattr(assembly, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    store, keys = many(1)
    exposition = exposition_of(store)
    waits: list[bool] = []

    class Stopping(threading.Event):
        def is_set(self) -> bool:
            return len(waits) >= 5

        def wait(self, timeout: float | None = None) -> bool:
            return waiting(False, timeout)

    class Changed(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return waiting(self.is_set(), timeout)

    def waiting(at_once: bool, timeout: float | None) -> bool:
        assert timeout == 1.0
        waits.append(at_once)
        return at_once

    store.changed = Changed()
    store.failed(keys[0], FAILURE)
    exposition.run(Stopping())
    assert waits == [False] * 5


def test_while_everything_changes_it_is_assembled_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(assembly, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    store, keys = many(1)
    exposition = exposition_of(store)
    waits: list[float | None] = []

    class Stopping(threading.Event):
        def is_set(self) -> bool:
            store.succeeded(keys[0], reading(ProductivityReport(current=Statistics())))
            return len(waits) >= 3

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    class Changed(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise AssertionError("another change would end the pause")

    store.changed = Changed()
    exposition.run(Stopping())
    assert waits == [1.0] * 3


# --- name[] -------------------------------------------------------------------------------------


def lines(body: bytes) -> list[str]:
    return body.decode().splitlines()


def selected(*names: str, content_type: str = TEXT, process_metrics: bool = False) -> list[str]:
    telemetry = Telemetry(process_metrics=process_metrics)
    telemetry.throttled.labels("acme").inc()
    telemetry.api_request_duration.labels("acme", "report").observe(0.2)
    exposition = Exposition(full_store(), telemetry, renderer(OBJECTIVES, WINDOWS))
    return lines(exposition.selected(names, content_type))


def test_a_chosen_family_has_its_header_and_nothing_else() -> None:
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
    everything = [family.name for family in catalogue()]
    chosen = exposition.selected(everything, content_type)
    whole = plain(exposition, content_type)

    def families(body: bytes) -> dict[str, Any]:
        return {f.name: f.samples for f in parse(body.decode()) if f.samples}

    assert families(chosen) == families(whole)


# --- golden -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content_type"), [("small.txt", TEXT), ("small.openmetrics.txt", OPENMETRICS)]
)
def test_a_small_exposition_is_the_golden_text(name: str, content_type: str) -> None:
    exposition = exposition_of(full_store())
    body = plain(exposition, content_type).decode()
    reports = body[: body.index("# HELP helpscout_exporter_")]
    assert reports == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_sample_lines_are_the_same_in_both_formats() -> None:
    exposition = exposition_of(full_store())
    texts = [
        [line for line in plain(exposition, each).decode().split("\n") if not line.startswith("#")]
        for each in (TEXT, OPENMETRICS)
    ]
    assert texts[0] == texts[1]


def test_all_has_its_own_series_beside_a_mailbox_of_that_name() -> None:
    store = Store()
    store.set_accounts(["acme"])
    store.set_mailboxes("acme", [Mailbox(1, ALL, "s", "e")])
    keys = [Key("productivity", "acme", id_, ALL, "24h", "false", "") for id_ in ("1", ALL)]
    store.schedule("acme", keys)
    for key in keys:
        store.succeeded(key, reading(ProductivityReport(Statistics(closed=1))))
    body = plain(exposition_of(store), TEXT).decode()
    series = [line for line in body.splitlines() if line.startswith("helpscout_conversations_cl")]
    assert len(set(series)) == 2
