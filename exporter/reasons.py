"""Why a call to Help Scout brings no usable answer: all that is known of each reason, once.

Log, metrics, `check` and status page say a reason by its name or its texts. Poller, backfill and
health go by its properties. Pure.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Problem:
    """What can be the matter with an account: a `reason` of `helpscout_account_problem`.

    `title` heads it on the status page; `runbook` is its section in docs/runbooks.md.
    """

    name: str
    title: str
    runbook: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a call fails. `name` is the label and the word in the log.

    `problem` is what the account has while it fails for this reason. `title` heads reports that
    fail, on the status page; `advice` is what to do where everything of an account fails.
    """

    name: str
    problem: Problem
    title: str
    advice: str
    locks_out: bool = False
    """Whether there is no way in at all, where login or mailbox list are refused."""
    refuses_question: bool = False
    """Whether Help Scout refuses this question: where all of them fail, the cause is another."""
    rests: bool = False
    """Whether a mailbox whose plain questions are refused so is left alone (403, 404)."""

    @property
    def may_pass(self) -> bool:
        """Whether it may be over once the account answers again: nothing was refused."""
        return not (self.locks_out or self.refuses_question)


_UNREACHABLE: Final = Problem("unreachable", "Help Scout is out of reach", "HelpscoutUnreachable")
_BAD_RESPONSE: Final = Problem(
    "bad_response",
    "Help Scout's answers are not what its API promises",
    "HelpscoutBadResponse",
)

_ALL: Final = (
    Reason(
        "credentials",
        Problem("credentials", "Help Scout refuses the credentials", "HelpscoutAccountRefused"),
        "Help Scout does not accept the credentials",
        "check that the app or API key still exists and that its user is active; put new"
        " credentials where the configuration says",
        locks_out=True,
    ),
    Reason(
        "plan",
        Problem("plan", "Help Scout refuses every report", "HelpscoutAccountRefused"),
        "Help Scout does not allow it",
        "reports need the Plus or Pro plan and a user who may see them: check the plan and the"
        " role of the user behind the credentials; for an account without reports set its"
        " collectors to [folders]",
        refuses_question=True,
        rests=True,
    ),
    Reason(
        "suspended",
        Problem(
            "suspended",
            "Help Scout has suspended the account's key",
            "HelpscoutAccountRefused",
        ),
        "Help Scout has suspended the key",
        "only the account's owner can help: look for an unpaid bill, else ask Help Scout's support",
        locks_out=True,
    ),
    Reason(
        "throttled",
        Problem(
            "throttled",
            "The account's limit of calls a minute is used up",
            "HelpscoutAccountThrottled",
        ),
        "Help Scout says that the limit of calls is used up",
        "the exporter waits and continues; if it lasts, slow down the other integration that uses"
        " the account, or lower budget",
    ),
    Reason(
        "unreachable",
        _UNREACHABLE,
        "No answer",
        "look at Help Scout's status page, then at proxy, firewall and certificates on your side",
    ),
    Reason(
        "server_error",
        _UNREACHABLE,
        "Help Scout fails",
        "look at Help Scout's status page; the exporter keeps trying",
    ),
    Reason(
        "bad_response",
        _BAD_RESPONSE,
        "The answers cannot be used",
        "look for a newer exporter; if there is none, report this line to its maintainers",
    ),
    Reason(
        "bad_request",
        _BAD_RESPONSE,
        "Help Scout does not accept what is asked",
        "look for a newer exporter: Help Scout does not accept what this one asks",
        refuses_question=True,
    ),
    Reason(
        "not_found",
        _BAD_RESPONSE,
        "Help Scout does not find what is asked for",
        "the user behind the credentials may not see reports, or base_url is wrong: check both",
        refuses_question=True,
        rests=True,
    ),
)

REASONS: Final = {reason.name: reason for reason in _ALL}
"""Every reason by its name."""

PROBLEMS: Final = {reason.problem.name: reason.problem for reason in _ALL}
"""What `helpscout_account_problem` can say, in the order of its series."""
