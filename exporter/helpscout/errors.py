"""What can go wrong between us and Help Scout, as one tree.

    HelpScoutError                 reason (a metric label), status, reference of the service
    ├── BadCredentials             credentials    key, app or user refused (401, token refused)
    ├── NotAllowed                 plan           403: plan without reports, or no right to them
    ├── Suspended                  suspended      402: the key is suspended
    ├── NotThere                   not_found      404: a mailbox that is gone
    ├── Refused                    bad_request    400 and other 4xx: our question is at fault
    ├── Throttled                  throttled      429: the account's limit is used up
    ├── ServiceFailed              server_error   5xx
    ├── Unreachable                unreachable    no connection, broken connection, time-out
    └── BadResponse                bad_response   an answer that is not what the API promises
        ├── Foreign                bad_response   one that Help Scout did not write: a page
        ├── ShortList              bad_response   a list that cannot be the whole one
        └── Defect                 bad_response   a mistake in this program

`evidence` says what a failed attempt tells of its account (docs/behaviour.md#health): `sick`, that
the account may not answer at all; `key`, something about that question alone; `neutral`, nothing.
`transient` says whether the same question may be asked again soon (docs/behaviour.md#budget). What
else follows from a reason is in exporter/reasons.py.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from exporter.health import Failure
from exporter.reasons import REASONS

Evidence = Literal["sick", "key", "neutral"]
Step = Literal["trust", "connect", "proxy", "tls", "answer"]


class HelpScoutError(Exception):
    """A call that brought no usable answer. The message is one line without any secret.

    The message is `what`, the step with its host and the cause, and then `remedy`, what to do.
    `status` is the HTTP status, None where there was no answer. `reference` is what Help Scout's
    support asks for (logRef, else Correlation-ID). `retry_after` is the wait in seconds that the
    service asks for, None if it said none.
    """

    reason: ClassVar[str]
    transient: bool = False
    evidence: ClassVar[Evidence] = "key"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reference: str | None = None,
        retry_after: float | None = None,
        remedy: str = "",
    ) -> None:
        self.cause, self.where, self.remedy = _one_line(message), "", remedy
        super().__init__(self.cause)
        self.status = status
        self.reference = reference and _one_line(reference)
        self.retry_after = retry_after

    @property
    def locks_out(self) -> bool:
        """Whether it says that there is no way in at all."""
        return REASONS[self.reason].locks_out

    @property
    def refusal(self) -> bool:
        """Whether the service answered that it does not answer this: it is left alone a while."""
        return not REASONS[self.reason].may_pass

    @property
    def what(self) -> str:
        """What failed, without what to do about it."""
        return f"{self.where}: {self.cause}" if self.where else self.cause

    @property
    def failure(self) -> Failure:
        """What is told of it, as plain values."""
        return Failure(self.reason, self.what, self.reference, self.remedy)

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


def _one_line(text: str) -> str:
    """Return `text` without what breaks a line or steers a terminal: others wrote part of it."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class BadCredentials(HelpScoutError):
    """The key, the app or the user behind it is refused, or the secret cannot be read."""

    reason = "credentials"
    evidence = "sick"


class NotAllowed(HelpScoutError):
    """403: a plan without the reports API, a user who may not see reports, or one mailbox."""

    reason = "plan"


class Suspended(HelpScoutError):
    """402: the API key is suspended (1.0)."""

    reason = "suspended"
    evidence = "sick"


class NotThere(HelpScoutError):
    """404: what was asked for does not exist, or no more."""

    reason = "not_found"


class Refused(HelpScoutError):
    """400 and the rest of the 4xx: asking the same again brings the same."""

    reason = "bad_request"


class Throttled(HelpScoutError):
    """429: the account's limit is used up, by this or another tool."""

    reason = "throttled"
    transient = True
    evidence = "neutral"


class ServiceFailed(HelpScoutError):
    """5xx: Help Scout has a bad moment."""

    reason = "server_error"
    transient = True
    evidence = "sick"


class Unreachable(HelpScoutError):
    """No connection, one that broke, or no whole answer in time.

    `step` is how far the call got: reading the certificate authorities, resolving and connecting,
    asking the proxy for a way, the TLS handshake, waiting for the answer. `host` is the host
    of that step, `name:port`, empty before there was one.
    """

    reason = "unreachable"
    transient = True
    evidence = "sick"

    def __init__(
        self,
        message: str,
        *,
        step: Step = "answer",
        host: str = "",
        reference: str | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, reference=reference, remedy=remedy)
        self.step, self.host = step, host


class BadResponse(HelpScoutError):
    """An answer whose content type, size or shape is not what the API promises."""

    reason = "bad_response"


class Foreign(BadResponse):
    """An answer that is not Help Scout's own, such as a proxy's block page, whatever its status.

    A gateway's page with a 5xx passes like the service's own.
    """

    evidence = "sick"

    def __init__(
        self, message: str, *, status: int | None = None, reference: str | None = None
    ) -> None:
        super().__init__(message, status=status, reference=reference)
        self.transient = status is not None and status >= 500


class ShortList(BadResponse):
    """A list that is shorter than it says itself, or one of mailboxes that is suddenly empty.

    `found` is what is in it. It adds mailboxes to those that are known and takes none away.
    """

    def __init__(self, message: str, found: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.found = tuple(found)


class Defect(BadResponse):
    """A mistake in this program, which the log describes. Asking again does not mend it."""

    def __init__(self) -> None:
        super().__init__("a defect of the exporter, see the log")
