"""gzip, by a library that compresses 18 MB in 10 ms where there is one for the machine."""

import zlib
from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

_LEVEL: Final = 1
_GZIP_WINDOW_BITS: Final = 31


def _library() -> Any:
    """Return isal, or zlib on machines for which isal has no wheels."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


_LIBRARY: Final = _library()


def gzip_member(parts: Iterable[bytes]) -> bytes:
    """Return the parts one after the other as one gzip member.

    Some clients cut off silently what follows the first member.
    """
    compressor = _LIBRARY.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])
