"""From the store to the bodies that scrapes are answered with.

`assemble` renders the reports that changed and joins their fragments by family. It runs in a
thread of its own, at once after the first change and then at most once a second. A body in one
format and encoding is made for the first scrape that asks for it; later scrapes get the same one
until the next assembly, which makes it again if somebody asked for it since the one before.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.exposition.catalogue import catalogue
from exporter.exposition.compression import gzip_member
from exporter.exposition.render import Renderer, accounts, report_families
from exporter.questions import Key
from exporter.store import Entry, Snapshot, Store
from exporter.telemetry import Family, Telemetry

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PERIOD_SECONDS: Final = 1.0
_JOINED_BYTES: Final = 524_288
"""Small parts are joined up to this: the fastest of 256 KB, 512 KB and 1 MB, as measured."""
_SEND_BYTES: Final = 1_048_576
"""So much of a large part is sent at once: 100,000 series, compressed, are one send."""
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
class _Format:
    """How the formats differ: `own` writes a registry; in OpenMetrics it ends the exposition."""

    header: Callable[[Family], bytes]
    own: Callable[[Any], bytes]

    def parts(self, samples: Iterable[tuple[Family, bytes]], registry: Any) -> tuple[bytes, ...]:
        """Return the whole exposition; the samples are not copied."""
        parts = [part for family, lines in samples for part in (self.header(family), lines)]
        return (*parts, self.own(registry))


_FORMATS: Final[Mapping[str, _Format]] = {
    TEXT: _Format(text_header, generate_text),
    OPENMETRICS: _Format(openmetrics_header, generate_openmetrics),
}


class Body:
    """An exposition in one format and encoding, made once for all that ask. Thread-safe."""

    def __init__(self, make: Callable[[], tuple[bytes, ...]]) -> None:
        self._make, self._lock = make, threading.RLock()
        self._parts: tuple[bytes, ...] | None = None
        self._pieces: tuple[bytes | memoryview, ...] | None = None
        self.asked = False
        """Whether a scrape asked for it."""

    def ready(self) -> tuple[bytes | memoryview, ...] | None:
        """Return the bytes in pieces worth a send each, None where they are not made yet."""
        self.asked = True
        return self._pieces

    def made(self) -> tuple[bytes | memoryview, ...]:
        """Return the pieces; the first call makes them, and those that come meanwhile wait."""
        self.asked = True
        return self.prepared()

    def prepared(self) -> tuple[bytes | memoryview, ...]:
        """Do the same before a scrape asks."""
        with self._lock:
            if self._pieces is None:
                self._pieces = tuple(_in_pieces(self.parts()))
            return self._pieces

    def parts(self) -> tuple[bytes, ...]:
        """Return the bytes as they were joined, which several bodies share."""
        with self._lock:
            if self._parts is None:
                self._parts = self._make()
            return self._parts


def _in_pieces(parts: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    """Yield the bytes in pieces worth a send each; large parts are not copied."""
    small: list[bytes] = []
    size = 0
    for part in parts:
        if size + len(part) > _JOINED_BYTES and small:
            yield b"".join(small)
            small, size = [], 0
        if len(part) > _JOINED_BYTES:
            view = memoryview(part)
            yield from (view[at : at + _SEND_BYTES] for at in range(0, len(part), _SEND_BYTES))
        else:
            small.append(part)
            size += len(part)
    if small:
        yield b"".join(small)


class Exposition:
    """Turns the store's state into bytes. Thread-safe."""

    def __init__(self, store: Store, telemetry: Telemetry, renderer: Renderer) -> None:
        self._store, self._telemetry, self._renderer = store, telemetry, renderer
        self._lock = threading.Lock()
        self._revision = -1
        self._forget()
        self._families: tuple[tuple[Family, bytes], ...] = ()
        self._bodies: Mapping[tuple[str, bool], Body] = {}
        self.assemble()

    def body(self, content_type: str, *, gzipped: bool) -> Body:
        """Return the body as of the last assembly; its own metrics are as of its making."""
        return self._bodies[content_type, gzipped]

    def configure(self, renderer: Renderer) -> None:
        """Export under another configuration: every report is rendered again, at once."""
        with self._lock:
            self._renderer = renderer
            self._forget()
        self.assemble()

    def assemble(self) -> bool:
        """Bring the bodies up to date; return whether there was news from the store."""
        with self._lock:
            snapshot = self._store.snapshot()
            news = snapshot.revision != self._revision
            if news:
                self._update(snapshot)
                self._revision = snapshot.revision
            bodies = _bodies(self._families, self._telemetry.registry)
            # Scrapes that come more often than this never wait for the compressor.
            for kind, body in self._bodies.items():
                if body.asked:
                    bodies[kind].prepared()
            self._bodies = bodies
            return news

    def run(self, stopping: threading.Event) -> None:
        """Assemble until `stopping`: at once after a change, then at most once a second.

        Without a change, bodies are made again each second for the exporter's own metrics.
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
        wanted = set(names)
        families = [
            (family, samples)
            for family, samples in self._families
            if family.name in wanted
            or (family.kind == "gaugehistogram" and f"{family.name}_bucket" in wanted)
        ]
        suffixed = {name + suffix for name in wanted for suffix in _SUFFIXES}
        registry = self._telemetry.registry.restricted_registry(wanted | suffixed)
        return b"".join(_FORMATS[content_type].parts(families, registry))

    def _forget(self) -> None:
        self._revision = -1
        self._entries: Mapping[Key, Entry] = {}
        self._fragments: dict[str, dict[Key, tuple[bytes, ...]]] = {}
        """By collector, keys in their order."""
        self._samples = {family.name: lines for family, lines in self._renderer.configured()}
        """By family."""

    def _update(self, snapshot: Snapshot) -> None:
        changed = self._render(snapshot.entries)
        parts: dict[str, list[bytes]] = {name: [] for name in changed}
        for collector, fragments in sorted(self._fragments.items()):
            for place, family in enumerate(report_families(collector)):
                if family.name in changed:
                    parts[family.name] += [of_key[place] for of_key in fragments.values()]
        self._samples |= {name: b"".join(of_it) for name, of_it in parts.items()}
        for family, lines in accounts(snapshot.mailboxes, snapshot.accounts):
            self._samples[family.name] = lines
        self._families = tuple((f, s) for f in catalogue() if (s := self._samples.get(f.name)))

    def _render(self, entries: Mapping[Key, Entry]) -> set[str]:
        """Render the entries that changed; return the families with a fragment that differs."""
        changed: set[str] = set()
        grown: set[str] = set()
        for key in self._entries.keys() - entries.keys():
            old = self._fragments[key.collector].pop(key)
            changed.update(_differing(key.collector, old, _nothing(key.collector)))
        for key, entry in entries.items():
            if self._entries.get(key) is not entry:
                fragments = self._fragments.setdefault(key.collector, {})
                if key not in fragments:
                    grown.add(key.collector)
                    fragments[key] = _nothing(key.collector)
                new = self._renderer.report(key, entry)
                changed.update(_differing(key.collector, fragments[key], new))
                fragments[key] = new
        for collector in grown:
            self._fragments[collector] = dict(sorted(self._fragments[collector].items()))
        self._entries = entries
        return changed


def _nothing(collector: str) -> tuple[bytes, ...]:
    """Return the fragments of a key without samples."""
    return (b"",) * len(report_families(collector))


def _differing(collector: str, one: tuple[bytes, ...], other: tuple[bytes, ...]) -> Iterator[str]:
    """Yield the names of the families whose fragments differ."""
    for family, a, b in zip(report_families(collector), one, other, strict=True):
        if a != b:
            yield family.name


def _bodies(
    families: tuple[tuple[Family, bytes], ...], registry: Any
) -> dict[tuple[str, bool], Body]:
    """Return a body for each content type, plain and gzipped; none is made yet."""
    bodies = {}
    for content_type, format_ in _FORMATS.items():
        plain = Body(partial(format_.parts, families, registry))
        bodies[content_type, False] = plain
        bodies[content_type, True] = Body(partial(_gzipped, plain))
    return bodies


def _gzipped(plain: Body) -> tuple[bytes, ...]:
    return (gzip_member(plain.parts()),)
