"""gzip, by a library that compresses 18 MB in 10 ms where there is one for the machine."""

from collections.abc import Iterable

try:
    from isal.isal_zlib import DEFLATED, compressobj
except ImportError:  # it has no wheels for this machine
    from zlib import DEFLATED, compressobj  # type: ignore[assignment]

_LEVEL = 1
_GZIP_WINDOW_BITS = 31


def gzip_member(parts: Iterable[bytes]) -> bytes:
    """Return the parts one after the other as one gzip member.

    Some clients cut off silently what follows the first member.
    """
    compressor = compressobj(_LEVEL, DEFLATED, _GZIP_WINDOW_BITS)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])
