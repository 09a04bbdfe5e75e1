"""The rendered samples of all reports, kept as bytes that are ready to be sent.

Keys are grouped into blocks, in their order; the samples of one family and one block are a piece:
its bytes, and the same deflated. A changed report costs the splicing and deflating of its block's
pieces, nothing else.

Deflated pieces end in a full flush, so that any sequence of them is one valid deflate stream: they
are joined inside one gzip member, whose checksum is combined from the pieces' (several members one
after the other are cut off silently by some clients).
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from exporter.reports import ReportKey

_BLOCK_KEYS: Final = 192
_LEVEL: Final = 1
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_DEFLATE_END: Final = b"\x03\x00"
_POLYNOMIAL: Final = 0xEDB88320
_ONE: Final = 1 << 31
"""The polynomial 1: bits are reflected, as zlib has them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the exposition: parts as they are sent, parts of its deflated form, checksum.

    `shift` is what the checksum of what comes before is multiplied with.
    """

    parts: tuple[bytes, ...]
    deflated: tuple[bytes, ...]
    length: int
    crc: int
    shift: int


NOTHING: Final = Piece((), (), 0, 0, _ONE)


def compress(raw: bytes) -> Piece:
    """Return the piece that `raw` makes."""
    if not raw:
        return NOTHING
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    deflated = deflater.compress(raw) + deflater.flush(zlib.Z_FULL_FLUSH)
    return Piece((raw,), (deflated,), len(raw), zlib.crc32(raw), _shift(len(raw)))


def joined(pieces: Iterable[Piece]) -> Piece:
    """Return the pieces one after the other as one; no byte is copied."""
    parts: list[bytes] = []
    deflated: list[bytes] = []
    length, crc = 0, 0
    for piece in pieces:
        if piece.length:
            parts += piece.parts
            deflated += piece.deflated
            length += piece.length
            crc = _multiply(piece.shift, crc) ^ piece.crc
    return Piece(tuple(parts), tuple(deflated), length, crc, _shift(length))


def gzip_member(piece: Piece) -> bytes:
    """Return the piece as one gzip member."""
    trailer = piece.crc.to_bytes(4, "little") + (piece.length % 2**32).to_bytes(4, "little")
    return b"".join((_GZIP_HEADER, *piece.deflated, _DEFLATE_END, trailer))


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2) modulo CRC-32's."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=1_024)
def _power(digit: int, place: int) -> int:
    """Return x to the power of 8 x `digit` x 256^`place`."""
    if digit > 1:
        return _multiply(_power(1, place), _power(digit - 1, place))
    if place:
        return _multiply(_power(255, place - 1), _power(1, place - 1))
    return 1 << 23


def _shift(length: int) -> int:
    """Return x to the power of 8 x `length`."""
    result = _ONE
    for place, digit in enumerate(length.to_bytes(4, "little")):
        if digit:
            result = _multiply(_power(digit, place), result)
    return result


_Run = tuple[int, int, list[bytes] | None]
"""Fragments from `start` to `stop` of the old ones, kept (None) or replaced; [] takes them out."""


class _Block:
    """Some neighbouring keys, and for each family their piece and each key's length in it."""

    __slots__ = ("keys", "lengths", "pieces")

    def __init__(self, families: int) -> None:
        self.keys: list[ReportKey] = []
        self.lengths = [array("I") for _ in range(families)]
        self.pieces = [NOTHING] * families


class Pieces:
    """The fragments of all reports in the order of their keys. Not thread-safe."""

    def __init__(self, families: int) -> None:
        self._families = range(families)
        self._blocks = [_Block(families)]
        self._whole = [NOTHING] * families

    def family(self, number: int) -> Piece:
        """Return the samples of all reports for one family."""
        return self._whole[number]

    def keys(self) -> list[ReportKey]:
        """Return the keys in their order."""
        return [key for block in self._blocks for key in block.keys]

    def update(self, changes: Mapping[ReportKey, list[bytes] | None]) -> None:
        """Put in, replace or (None) take out the fragments of these keys."""
        starts = [block.keys[0] for block in self._blocks[1:]]
        per_block: dict[int, dict[ReportKey, list[bytes] | None]] = {}
        for key, fragments in changes.items():
            per_block.setdefault(bisect_right(starts, key), {})[key] = fragments
        changed: set[int] = set()
        blocks: list[_Block] = []
        for at, block in enumerate(self._blocks):
            if at in per_block:
                blocks += self._updated(block, per_block[at], changed)
            else:
                blocks.append(block)
        self._blocks = blocks or [_Block(len(self._families))]
        for family in changed:
            self._whole[family] = joined(block.pieces[family] for block in self._blocks)

    def _updated(
        self,
        block: _Block,
        changes: Mapping[ReportKey, list[bytes] | None],
        changed: set[int],
    ) -> list[_Block]:
        """Return the blocks that take a block's place; note in `changed` which families differ."""
        runs = _runs(block.keys, changes)
        gone = {key for key, fragments in changes.items() if fragments is None}
        keys = sorted({*block.keys, *changes} - gone)
        blocks = []
        for start in range(0, len(keys), _BLOCK_KEYS) if len(keys) > 2 * _BLOCK_KEYS else (0,):
            part = _Block(len(self._families))
            part.keys = keys[start : start + _BLOCK_KEYS] if len(keys) > 2 * _BLOCK_KEYS else keys
            blocks.append(part)
        for family in self._families:
            raw, lengths, different = _spliced(block, family, runs)
            if different:
                changed.add(family)
            self._cut(family, raw, lengths, blocks, None if different else block)
        return [part for part in blocks if part.keys]

    def _cut(
        self,
        family: int,
        raw: bytes,
        lengths: array[int],
        blocks: list[_Block],
        same: _Block | None,
    ) -> None:
        start = position = 0
        for part in blocks:
            part.lengths[family] = lengths[start : start + len(part.keys)]
            start += len(part.keys)
            end = position + sum(part.lengths[family])
            if same is not None and len(blocks) == 1:
                part.pieces[family] = same.pieces[family]
            else:
                part.pieces[family] = compress(raw[position:end])
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


def _spliced(block: _Block, family: int, runs: list[_Run]) -> tuple[bytes, array[int], bool]:
    """Return a piece's bytes with the changes in, its lengths, and whether anything changed."""
    old = memoryview(b"".join(block.pieces[family].parts))
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
    return b"".join(parts), after, different
