"""The rendered samples of all reports, kept as bytes that are ready to be sent.

A family's samples lie in one bytes object, in the order of the keys. Keys are grouped into blocks;
a family's part of a block, a piece, is compressed on its own. A changed report costs the splicing
and compressing of its block's pieces, nothing else.

Pieces end in a full flush, so that any sequence of them is one valid deflate stream: they are
joined inside one gzip member, whose checksum is combined from the pieces' (several members one
after the other are cut off silently by some clients).
"""

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from exporter.reports import ReportKey

_BLOCK_KEYS: Final = 256
_LEVEL: Final = 1
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_DEFLATE_END: Final = b"\x03\x00"
_POLYNOMIAL: Final = 0xEDB88320


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the exposition: its length, its deflated form and its checksum.

    `shift` is what a checksum in front of the piece is multiplied with.
    """

    length: int
    deflated: bytes
    crc: int
    shift: int


NOTHING: Final = Piece(0, b"", 0, 1 << 31)


def compress(raw: bytes | memoryview) -> Piece:
    """Return the piece that `raw` makes."""
    if not raw:
        return NOTHING
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    deflated = deflater.compress(raw) + deflater.flush(zlib.Z_FULL_FLUSH)
    return Piece(len(raw), deflated, zlib.crc32(raw), _shift(len(raw)))


def gzip_member(pieces: Iterable[Piece]) -> bytes:
    """Return the pieces as one gzip member."""
    parts, crc, length = [_GZIP_HEADER], 0, 0
    for piece in pieces:
        parts.append(piece.deflated)
        crc = _multiply(piece.shift, crc) ^ piece.crc
        length += piece.length
    parts += (_DEFLATE_END, crc.to_bytes(4, "little"), (length % 2**32).to_bytes(4, "little"))
    return b"".join(parts)


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2) modulo CRC-32's, bits reflected (as zlib does)."""
    product, bit = 0, 1 << 31
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


def _squares() -> list[int]:
    powers = [1 << 30]  # x
    while len(powers) < 32:
        powers.append(_multiply(powers[-1], powers[-1]))
    return powers


_POWERS: Final = _squares()


def _shift(length: int) -> int:
    """Return x to the power of 8 x `length`, modulo CRC-32's polynomial."""
    result, power = 1 << 31, 3
    while length:
        if length & 1:
            result = _multiply(_POWERS[power % 32], result)
        length >>= 1
        power += 1
    return result


_Run = tuple[int, int, list[bytes] | None]
"""Fragments from `start` to `stop` of the old ones, kept (None) or replaced; [] takes them out."""


class _Block:
    """Some neighbouring keys, and for each family the length of each key's fragment."""

    __slots__ = ("keys", "lengths", "pieces", "sizes")

    def __init__(self, families: int) -> None:
        self.keys: list[ReportKey] = []
        self.lengths = [array("I") for _ in range(families)]
        self.sizes = [0] * families
        self.pieces: list[Piece | None] = [NOTHING] * families
        """None where the piece still has to be compressed."""


class Pieces:
    """The fragments of all reports in the order of their keys. Not thread-safe."""

    def __init__(self, families: int) -> None:
        self._families = range(families)
        self._blocks = [_Block(families)]
        self.bodies = [b""] * families
        """For each family the samples of all reports."""

    def pieces(self, family: int) -> list[Piece]:
        """Return what `bodies[family]` is made of."""
        return [block.pieces[family] or NOTHING for block in self._blocks]

    def keys(self) -> list[ReportKey]:
        """Return the keys in their order."""
        return [key for block in self._blocks for key in block.keys]

    def update(self, changes: Mapping[ReportKey, list[bytes] | None]) -> None:
        """Put in, replace or (None) take out the fragments of these keys."""
        starts = [block.keys[0] for block in self._blocks[1:]]
        per_block: dict[int, dict[ReportKey, list[bytes] | None]] = {}
        for key, fragments in changes.items():
            per_block.setdefault(bisect_right(starts, key), {})[key] = fragments
        runs = {at: _runs(self._blocks[at].keys, part) for at, part in per_block.items()}
        for family in self._families:
            self._update_family(family, runs)
        for at, part in per_block.items():
            gone = {key for key, fragments in part.items() if fragments is None}
            self._blocks[at].keys = sorted({*self._blocks[at].keys, *part} - gone)
        self._rebalance()
        self._compress()

    def _update_family(self, family: int, runs: Mapping[int, list[_Run]]) -> None:
        body = memoryview(self.bodies[family])
        parts: list[bytes | memoryview] = []
        position, changed = 0, False
        for at, block in enumerate(self._blocks):
            end = position + block.sizes[family]
            old, position = body[position:end], end
            new = _spliced(old, block, family, runs[at]) if at in runs else None
            changed = changed or new is not None
            parts.append(old if new is None else new)
        if changed:
            self.bodies[family] = b"".join(parts)

    def _rebalance(self) -> None:
        if all(0 < len(block.keys) <= 2 * _BLOCK_KEYS for block in self._blocks):
            return
        blocks: list[_Block] = []
        for block in self._blocks:
            if len(block.keys) > 2 * _BLOCK_KEYS:
                blocks += self._split(block)
            elif block.keys:
                blocks.append(block)
        self._blocks = blocks or [_Block(len(self._families))]

    def _split(self, block: _Block) -> list[_Block]:
        parts = []
        for start in range(0, len(block.keys), _BLOCK_KEYS):
            part, here = _Block(len(self._families)), slice(start, start + _BLOCK_KEYS)
            part.keys = block.keys[here]
            part.lengths = [lengths[here] for lengths in block.lengths]
            part.sizes = [sum(lengths) for lengths in part.lengths]
            part.pieces = [None] * len(self._families)
            parts.append(part)
        return parts

    def _compress(self) -> None:
        for family in self._families:
            body, position = memoryview(self.bodies[family]), 0
            for block in self._blocks:
                end = position + block.sizes[family]
                if block.pieces[family] is None:
                    block.pieces[family] = compress(body[position:end])
                position = end


def _runs(keys: list[ReportKey], changes: Mapping[ReportKey, list[bytes] | None]) -> list[_Run]:
    runs: list[_Run] = []
    done = 0
    for key in sorted(changes):
        at = bisect_left(keys, key)
        stop = at + 1 if at < len(keys) and keys[at] == key else at
        if at > done:
            runs.append((done, at, None))
        fragments = changes[key]
        if fragments is not None or stop > at:
            runs.append((at, stop, fragments or []))
        done = stop
    if done < len(keys):
        runs.append((done, len(keys), None))
    return runs


def _spliced(old: memoryview, block: _Block, family: int, runs: list[_Run]) -> bytes | None:
    """Return a piece's bytes with the changes in and note its lengths; None if nothing changed."""
    before, after = block.lengths[family], array("I")
    parts: list[bytes | memoryview] = []
    position, different = 0, False
    for start, stop, fragments in runs:
        end = position + sum(before[start:stop])
        kept, position = old[position:end], end
        if fragments is None:
            parts.append(kept)
            after.extend(before[start:stop])
        elif not fragments:
            different = True
        else:
            different = different or start == stop or kept != fragments[family]
            parts.append(fragments[family])
            after.append(len(fragments[family]))
    if not different:
        return None
    block.lengths[family] = after
    block.sizes[family] = sum(after)
    block.pieces[family] = None
    return b"".join(parts)
