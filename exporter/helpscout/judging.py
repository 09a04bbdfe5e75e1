"""What an HTTP answer is: a body that can be read, or the error of the tree that it means. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from exporter.helpscout.causes import proxy_wants_login
from exporter.helpscout.errors import (
    BadCredentials,
    BadResponse,
    Foreign,
    HelpScoutError,
    NotAllowed,
    NotThere,
    Refused,
    ServiceFailed,
    Suspended,
    Throttled,
)
from exporter.helpscout.foreign import (
    content_type,
    describe,
    is_foreign,
    is_json,
    redirect_target,
)
from exporter.helpscout.transport import Answer
from exporter.helpscout.wire import describe_error

_MAX_WAIT_SECONDS: Final = 3600.0


def usable_body(answer: Answer, secrets: list[str], now: datetime) -> bytes:
    """Return the body of an answer that is JSON, and not an error.

    `secrets` are what the call carried: asterisks stand for them in messages. `now` (aware UTC)
    tells how far away a date is. Raises HelpScoutError.
    """
    if answer.status != 200:
        raise _refusal(answer, secrets, now)
    _check_content(answer, secrets)
    return answer.body


def _refusal(answer: Answer, secrets: list[str], now: datetime) -> HelpScoutError:
    status = answer.status
    if status == 407:
        return proxy_wants_login()
    text, reference = describe_error(answer.body, secrets)
    reference = reference or answer.headers.get("Correlation-ID")
    if 300 <= status < 400:
        target = _without(redirect_target(answer), secrets)
        to = f" to {target}" if target else ""
        return Foreign(
            f"HTTP {status}: a redirect{to}, which is not followed",
            status=status,
            reference=reference,
        )
    if is_foreign(answer):
        return Foreign(_without(describe(answer), secrets), status=status, reference=reference)
    message = f"HTTP {status}" + (f": {text}" if text else "")
    kind: type[HelpScoutError] = {
        401: BadCredentials,
        402: Suspended,
        403: NotAllowed,
        404: NotThere,
        429: Throttled,
    }.get(status, Refused if 400 <= status < 500 else ServiceFailed)
    if status < 300:
        kind = BadResponse
    retry_after = _retry_after(answer, now)
    return kind(message, status=status, reference=reference, retry_after=retry_after)


def _retry_after(answer: Answer, now: datetime) -> float | None:
    """Seconds to wait as the service says, None where it says nothing that makes sense."""
    for header in ("X-RateLimit-Retry-After", "Retry-After"):
        text = answer.headers.get(header)
        if text is None:
            continue
        seconds = number(text)
        if seconds is None:
            # Against the answer's own date, where it has one: our clock may be wrong.
            then, reference = http_date(text), http_date(answer.headers.get("Date"))
            seconds = (then - (reference or now)).total_seconds() if then else None
        if seconds is not None:
            return min(max(seconds, 0.0), _MAX_WAIT_SECONDS)
    return None


def number(text: str | None) -> float | None:
    """Return a header's number, None where it is none; of one that was sent twice, the smaller."""
    try:
        values = [float(part) for part in (text or "").split(",")]
    except ValueError:
        return None
    return min(values) if all(0 <= value < float("inf") for value in values) else None


def http_date(text: str | None) -> datetime | None:
    """Return a header's date, None where it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_content(answer: Answer, secrets: list[str]) -> None:
    if not is_json(content_type(answer)) or answer.body.lstrip().startswith(b"<"):
        raise Foreign(_without(describe(answer), secrets), status=200)
    for parameter in answer.headers.get("Content-Type", "").lower().split(";")[1:]:
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
            raise BadResponse(
                f"the answer's charset is {charset.strip()[:40]}, not UTF-8", status=200
            )


def _without(text: str, secrets: list[str]) -> str:
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text
