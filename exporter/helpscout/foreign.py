"""Answers that Help Scout did not write: a proxy's block page, a portal, another web server."""

import html
import json
import re
from typing import Final
from urllib.parse import urlsplit

from exporter.helpscout.transport import Answer

_TITLE: Final = re.compile(rb"<title[^>]*>(.{0,1000}?)</title", re.IGNORECASE | re.DOTALL)
_MOST_SEARCHED: Final = 65_536
_MOST_QUOTED: Final = 80


def content_type(answer: Answer) -> str:
    """Return the declared content type in lower case, without parameters, empty without one."""
    return answer.headers.get("Content-Type", "").lower().partition(";")[0].strip()


def is_json(kind: str) -> bool:
    """Return whether a content type is one of those that the API uses."""
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def is_foreign(answer: Answer) -> bool:
    """Return whether an answer that is not a success comes from something in between.

    Help Scout's errors are JSON, at times under another content type, or a few plain words, or
    nothing. All else says nothing about the account. A 429 is believed whatever its body is.
    """
    kind, body = content_type(answer), answer.body.lstrip(b"\xef\xbb\xbf \t\r\n")
    if answer.status == 429 or _is_object(body):
        return False
    if body.startswith(b"<"):
        return True
    if not body:
        return "html" in kind
    return not (is_json(kind) or kind in ("", "text/plain"))


def describe(answer: Answer) -> str:
    """Return what a foreign answer is: status, content type, and the page's title."""
    kind = "".join(c if c.isprintable() else " " for c in content_type(answer))[:60]
    if answer.body.lstrip().startswith(b"<") or "html" in kind:
        title = _title(answer)
        titled = f' titled "{title}"' if title else ""
        what = f"a web page ({kind or 'no declared type'}){titled}"
    else:
        what = f"content of {f'type {kind}' if kind else 'no declared type'}"
    return f"HTTP {answer.status} with {what}, which is not Help Scout's"


def redirect_target(answer: Answer) -> str:
    """Return where a redirect leads, without its query and login, empty where it says nothing."""
    try:
        parts = urlsplit(answer.headers.get("Location", ""))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    where = f"{parts.scheme}://" * bool(parts.scheme and host) + host + (f":{port}" if port else "")
    return (where + parts.path)[:120]


def _title(answer: Answer) -> str:
    found = _TITLE.search(answer.body[:_MOST_SEARCHED])
    if found is None:
        return ""
    text = html.unescape(found[1].decode("utf-8", "replace"))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _MOST_QUOTED else f"{text[: _MOST_QUOTED - 1]}…"


def _is_object(body: bytes) -> bool:
    if not body.startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False
