"""Fragments as bytes that are ready to be sent: against a naive model, and through every gunzip."""

import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.exposition import pieces
from exporter.exposition.pieces import NOTHING, Piece, Pieces, compress, gzip_member, joined
from exporter.reports import ReportKey

FAMILIES = 3
Changes = dict[ReportKey, list[bytes] | None]


def key(number: int) -> ReportKey:
    return ReportKey("acme", f"{number:05d}", "email", "24h", False, "")


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    """Blocks of few keys, so that small examples split and empty them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_BLOCK_KEYS", 3)
        yield


class Model:
    """What the pieces must say, said naively."""

    def __init__(self) -> None:
        self.fragments: dict[ReportKey, list[bytes]] = {}

    def update(self, changes: Changes) -> None:
        for each, fragments in changes.items():
            if fragments is None:
                self.fragments.pop(each, None)
            else:
                self.fragments[each] = fragments

    def keys(self) -> list[ReportKey]:
        return sorted(self.fragments)

    def body(self, family: int) -> bytes:
        return b"".join(self.fragments[each][family] for each in self.keys())


def bodies(actual: Pieces) -> list[bytes]:
    return [b"".join(actual.family(family).parts) for family in range(FAMILIES)]


def check(actual: Pieces, model: Model) -> None:
    assert actual.keys() == model.keys()
    for family in range(FAMILIES):
        assert bodies(actual)[family] == model.body(family)
        assert gzip.decompress(gzip_member(actual.family(family))) == model.body(family)


fragments = st.lists(st.binary(max_size=6), min_size=FAMILIES, max_size=FAMILIES)
changes = st.dictionaries(st.integers(0, 30).map(key), st.none() | fragments, max_size=12)


@given(st.lists(changes, max_size=12))
@settings(max_examples=100)
def test_after_any_sequence_of_updates_they_are_what_a_naive_model_is(
    sequence: list[Changes],
) -> None:
    actual, model = Pieces(FAMILIES), Model()
    for step in sequence:
        actual.update(step)
        model.update(step)
        check(actual, model)


@given(st.permutations(range(25)), st.permutations(range(25)))
@settings(max_examples=30)
def test_keys_put_in_and_taken_out_one_by_one_in_any_order_leave_nothing(
    come: list[int], go: list[int]
) -> None:
    actual, model = Pieces(FAMILIES), Model()
    for number in come:
        step: Changes = {key(number): [b"%d " % number, b"", b"x" * number]}
        actual.update(step)
        model.update(step)
    check(actual, model)
    for number in go:
        actual.update({key(number): None})
        model.update({key(number): None})
        check(actual, model)
    assert bodies(actual) == [b""] * FAMILIES


def test_many_keys_at_once_are_split_into_blocks() -> None:
    actual = Pieces(FAMILIES)
    actual.update({key(number): [b"a", b"", b"c"] for number in range(100)})
    assert len(actual.family(0).parts) == 34
    assert bodies(actual) == [b"a" * 100, b"", b"c" * 100]


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    actual = Pieces(FAMILIES)
    actual.update({key(1): None})
    actual.update({key(2): [b"a", b"b", b"c"]})
    before = bodies(actual)
    actual.update({key(1): None, key(3): None})
    assert bodies(actual) == before


# --- what is not done twice ---------------------------------------------------------------------


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Everything that is compressed from now on."""
    seen: list[bytes] = []

    def recording(raw: bytes) -> Piece:
        seen.append(bytes(raw))
        return compress(raw)

    monkeypatch.setattr(pieces, "compress", recording)
    return seen


def filled(number: int) -> Pieces:
    made = Pieces(FAMILIES)
    made.update({key(n): [b"a%d " % n, b"b%d " % n, b"c%d " % n] for n in range(number)})
    return made


def test_a_family_that_did_not_change_is_not_compressed_again(compressed: list[bytes]) -> None:
    actual = filled(4)
    before = [actual.family(family) for family in range(FAMILIES)]
    compressed.clear()
    actual.update({key(2): [b"a2 ", b"NEW", b"c2 "]})
    assert compressed == [b"b0 b1 NEWb3 "]
    assert actual.family(0) is before[0]
    assert actual.family(2) is before[2]


def test_a_block_that_did_not_change_is_not_compressed_again(compressed: list[bytes]) -> None:
    actual = filled(12)
    compressed.clear()
    actual.update({key(7): [b"A", b"B", b"C"]})
    assert compressed == [b"a6 Aa8 ", b"b6 Bb8 ", b"c6 Cc8 "]


def test_the_same_bytes_again_are_no_change(compressed: list[bytes]) -> None:
    actual = filled(12)
    before = [actual.family(family) for family in range(FAMILIES)]
    compressed.clear()
    actual.update({key(n): [b"a%d " % n, b"b%d " % n, b"c%d " % n] for n in (1, 5, 11)})
    assert compressed == []
    assert [actual.family(family) for family in range(FAMILIES)] == before


def test_what_is_taken_out_is_not_rendered_or_compressed_elsewhere(
    compressed: list[bytes],
) -> None:
    actual = filled(12)
    compressed.clear()
    actual.update({key(0): None})
    assert compressed == [b"a1 a2 ", b"b1 b2 ", b"c1 c2 "]


# --- gzip ---------------------------------------------------------------------------------------


def gunzip_strictly(member: bytes) -> bytes:
    """Decompress as one member and nothing behind it: length and checksum are looked at."""
    inflater = zlib.decompressobj(31)
    plain = inflater.decompress(member)
    assert inflater.eof
    assert inflater.unused_data == b""
    assert inflater.unconsumed_tail == b""
    return plain


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_pieces_make_one_gzip_member(parts: list[bytes]) -> None:
    member = gzip_member(joined(map(compress, parts)))
    assert gzip.decompress(member) == gunzip_strictly(member) == b"".join(parts)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_003])
def test_pieces_of_any_size_make_one_gzip_member(size: int) -> None:
    parts = [b"a" * size, bytes(range(256)) * (size // 256), b"", b"end"]
    assert gunzip_strictly(gzip_member(joined(map(compress, parts)))) == b"".join(parts)


def test_nothing_makes_an_empty_gzip_member() -> None:
    assert compress(b"") is NOTHING
    assert gunzip_strictly(gzip_member(joined([]))) == b""


def test_a_wrong_checksum_would_be_noticed() -> None:
    good = compress(b"samples")
    bad = replace(good, crc=good.crc ^ 1)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(gzip_member(joined([good, bad])))


def test_the_program_gzip_takes_it() -> None:
    program = shutil.which("gzip")
    assert program is not None
    member = gzip_member(joined(compress(b"sample %d\n" % number * 500) for number in range(50)))
    subprocess.run([program, "-t"], input=member, check=True, capture_output=True)
    plain = subprocess.run([program, "-dc"], input=member, check=True, capture_output=True).stdout
    assert plain == b"".join(b"sample %d\n" % number * 500 for number in range(50))
