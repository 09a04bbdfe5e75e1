"""The scrape-ready bodies: made when data changes, not when somebody asks.

`assemble` renders the reports that changed, splices them into the pieces, adds what is small and
the exporter's own metrics, and swaps the new bodies in whole. It runs in a thread of its own, at
once after the first change and then at most once a second; a scrape only sends what is there.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.exposition.pieces import Piece, Pieces, compress, gzip_member, joined
from exporter.exposition.render import REPORT_FAMILIES, Renderer, accounts
from exporter.reports import ReportKey
from exporter.store import Entry, Snapshot, Store
from exporter.telemetry import Family, Telemetry

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PERIOD_SECONDS: Final = 1.0
_AT_ONCE: Final = 256
_SEND_BYTES: Final = 16_384
_SUFFIXES: Final = ("_total", "_bucket", "_sum", "_count")


def text_header(family: Family) -> bytes:
    """Return a family's lines above its samples in the text format.

    A gauge histogram is shown there as what its samples are, `<name>_bucket`, untyped: called a
    histogram, programs that expose it again would invent the sum that nobody measured.
    """
    name, kind = family.name, str(family.kind)
    if kind == "gaugehistogram":
        name, kind = f"{name}_bucket", "untyped"
    return f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n".encode()


def openmetrics_header(family: Family) -> bytes:
    """Return a family's lines above its samples in OpenMetrics."""
    unit = f"# UNIT {family.name} {family.unit}\n" if family.unit else ""
    return (
        f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n{unit}".encode()
    )


@dataclass(frozen=True, slots=True)
class Body:
    """One format's exposition: in parts as they are sent, its length, and as a gzip member."""

    parts: tuple[bytes, ...]
    length: int
    gzipped: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """What a scrape is answered with."""

    text: Body
    openmetrics: Body


class _Format:
    """The headers of every family in one format."""

    def __init__(self, header: Callable[[Family], bytes]) -> None:
        self._header = header
        self._pieces: dict[str, Piece] = {}

    def header(self, family: Family) -> Piece:
        found = self._pieces.get(family.name)
        if found is None:
            found = self._pieces[family.name] = compress(self._header(family))
        return found


class Exposition:
    """Brings the store's state into bytes. `assemble` belongs to one thread, reading to all."""

    def __init__(self, store: Store, telemetry: Telemetry, renderer: Renderer) -> None:
        self._store, self._telemetry = store, telemetry
        self._lock = threading.Lock()
        self._renderer = renderer
        self._rendered: Mapping[ReportKey, Entry] = {}
        self._pieces = Pieces(len(REPORT_FAMILIES))
        self._accounts: object = None
        self._small: list[tuple[Family, Piece]] = []
        self._revision = -1
        self._text, self._openmetrics = _Format(text_header), _Format(openmetrics_header)
        self._ready = self._assembled()

    @property
    def ready(self) -> Ready:
        """The bodies as they were last assembled."""
        return self._ready

    def configure(self, renderer: Renderer) -> None:
        """Export under another configuration: every report is rendered anew, at once."""
        with self._lock:
            self._renderer = renderer
            self._rendered = {}
            self._accounts = None
            self._revision = -1
        self.assemble()

    def assemble(self) -> bool:
        """Bring the bodies up to date; tell whether there was news from the store."""
        with self._lock:
            before = self._revision
            self._ready = self._assembled()
            return self._revision != before

    def run(self, stopping: threading.Event) -> None:
        """Assemble until `stopping`: at once after a change, then at most once a second.

        The exporter's own metrics are refreshed once a second meanwhile.
        """
        while not stopping.is_set():
            started = time.monotonic()
            self._store.changed.clear()
            pause = stopping if self.assemble() else self._store.changed
            pause.wait(max(0.0, started + _PERIOD_SECONDS - time.monotonic()))

    def selected(self, names: Collection[str], content_type: str) -> bytes:
        """Return only the samples with these names: what `name[]` asks for.

        A family's name stands for all its samples.
        """
        openmetrics = content_type == OPENMETRICS
        format_ = self._openmetrics if openmetrics else self._text
        wanted = set(names)
        with self._lock:
            parts = []
            for family, piece in self._families():
                samples = (
                    f"{family.name}_bucket" if family.kind == "gaugehistogram" else family.name
                )
                if piece.length and wanted & {family.name, samples}:
                    parts += [*format_.header(family).parts, *piece.parts]
        suffixed = {name + suffix for name in wanted for suffix in _SUFFIXES}
        registry = self._telemetry.registry.restricted_registry(wanted | suffixed)
        own = _own(registry, openmetrics=openmetrics)
        return b"".join([*parts, own])

    def _assembled(self) -> Ready:
        snapshot = self._store.snapshot()
        if snapshot.revision != self._revision:
            self._update(snapshot)
            self._revision = snapshot.revision
        registry = self._telemetry.registry
        return Ready(
            self._body(self._text, _own(registry, openmetrics=False)),
            self._body(self._openmetrics, _own(registry, openmetrics=True)),
        )

    def _update(self, snapshot: Snapshot) -> None:
        entries, rendered = snapshot.entries, self._rendered
        if not rendered:
            self._pieces = Pieces(len(REPORT_FAMILIES))
        changed = [key for key, entry in entries.items() if rendered.get(key) is not entry]
        changed += [key for key in rendered if key not in entries]
        changed.sort()
        # A few at a time: all the fragments of a large change together would take much memory.
        for start in range(0, len(changed), _AT_ONCE):
            self._pieces.update(
                {
                    key: self._renderer.report(key, entries[key]) if key in entries else None
                    for key in changed[start : start + _AT_ONCE]
                }
            )
        self._rendered = entries
        if self._accounts != (snapshot.mailboxes, snapshot.accounts):
            self._accounts = (snapshot.mailboxes, snapshot.accounts)
            families = (
                *self._renderer.configured(),
                *accounts(snapshot.mailboxes, snapshot.accounts),
            )
            self._small = [(family, compress(body)) for family, body in families]

    def _families(self) -> Iterator[tuple[Family, Piece]]:
        for number, family in enumerate(REPORT_FAMILIES):
            yield family, self._pieces.family(number)
        yield from self._small

    def _body(self, format_: _Format, own: bytes) -> Body:
        pieces: list[Piece] = []
        for family, piece in self._families():
            if piece.length:
                pieces += [format_.header(family), piece]
        whole = joined((*pieces, compress(own)))
        return Body(_coalesced(whole.parts), whole.length, gzip_member(whole))


def _own(registry: Any, *, openmetrics: bool) -> bytes:
    """Return the exporter's own metrics; in OpenMetrics that ends the exposition, too."""
    generate: Any = generate_openmetrics if openmetrics else generate_text
    return cast(bytes, generate(registry))


def _coalesced(parts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Join what is too small for a send of its own; what is large is not copied."""
    result: list[bytes] = []
    small: list[bytes] = []
    size = 0
    for part in parts:
        large = len(part) >= _SEND_BYTES
        if small and (large or size >= _SEND_BYTES):
            result.append(b"".join(small))
            small, size = [], 0
        if large:
            result.append(part)
        else:
            small.append(part)
            size += len(part)
    return (*result, b"".join(small))
