"""What to do about a failure, by what was asked: one table for log, `check` and status page."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from exporter.helpscout.account import Account
from exporter.helpscout.errors import Foreign, HelpScoutError, Unreachable
from exporter.reports import ALL, ReportRequest

_STEPS: Final = {"token": "login", "mailboxes": "mailbox list", "report": "report"}

_GENERAL: Final = {
    "suspended": (
        "only the account's owner can help: look for an unpaid bill, else ask Help Scout's support"
    ),
    "throttled": (
        "the exporter waits and continues; if it lasts, slow down the other integration that uses"
        " the account, or lower budget"
    ),
    "server_error": "look at Help Scout's status page; the exporter keeps trying",
    "unreachable": (
        "look at Help Scout's status page, then at proxy, firewall and certificates on your side"
    ),
    "bad_response": (
        "look for a newer exporter; if there is none, report this line to its maintainers"
    ),
    "bad_request": "look for a newer exporter: Help Scout does not accept what this one asks",
    "plan": (
        "reports need the Plus or Pro plan and a user who may see them: check the plan and the role"
        " of the user behind the credentials"
    ),
    "not_found": (
        "the user behind the credentials may not see reports, or base_url is wrong: check both"
    ),
    "credentials": (
        "check that the app or API key still exists and that its user is active; put new"
        " credentials where the configuration says"
    ),
}


def general(reason: str) -> str:
    """Return what to do where everything of an account fails for `reason`."""
    return _GENERAL[reason]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call was for: `operation` as in the API metrics, and the request of a report."""

    account: Account
    operation: str
    request: ReportRequest | None = None

    def where(self, error: HelpScoutError) -> str:
        """Return step and host, and the proxy if it was the one spoken to."""
        through = ""
        if isinstance(error, Unreachable) and error.host:
            name = error.host.rpartition(":")[0].strip("[]")
            through = (
                f" through {error.host}" if name != urlsplit(self.account.base_url).hostname else ""
            )
        return f"{_STEPS[self.operation]} at {self.host}{through}"

    @property
    def host(self) -> str:
        """Host and port of the account's base URL."""
        parts = urlsplit(self.account.base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def remedy(self, error: HelpScoutError) -> str:
        """Return what to do about a failure of this call."""
        if error.remedy:
            return error.remedy
        if isinstance(error, Foreign):
            return (
                f"let proxy, web filter and firewall pass {self.host}, and check base_url"
                f" ({self._shown_url})"
            )
        if error.reason == "credentials":
            return self._of_login(error)
        if error.reason == "not_found" and self.request is None:
            return self._base_url
        if error.reason in ("plan", "not_found", "bad_request") and self.request is not None:
            return self._of_filter(error.reason, self.request)
        if error.status == 504 and self.request is not None:
            return (
                f"Help Scout ran out of time over {self.request.key.window}: it is tried again; if"
                " it lasts, use a shorter window, or leave out large mailboxes"
            )
        return _GENERAL[error.reason]

    def _of_login(self, error: HelpScoutError) -> str:
        if error.status is None:
            return "correct the file: it is read again at the next attempt"
        if self.account.api == "v1":
            return "check api_key, and that its user is active"
        return (
            "check client_id and client_secret, that the app still exists (Your Profile > My Apps)"
            " and that its user is active"
        )

    def _of_filter(self, reason: str, request: ReportRequest) -> str:
        key = request.key
        filtered = " and ".join(
            kind
            for kind, ids in (("tags", request.tag_ids), ("folders", request.folder_ids))
            if ids
        )
        if filtered:
            belongs = "; a folder belongs to one mailbox" if request.folder_ids else ""
            return f'check the {filtered} of segment "{key.segment}"{belongs}'
        if key.type != ALL and reason != "bad_request":
            return f"check that the account may see reports of type {key.type}"
        if key.mailbox_id != ALL and reason == "not_found":
            return "was the mailbox deleted? May the user behind the credentials see it?"
        if key.mailbox_id != ALL and reason == "plan":
            return (
                "may the user behind the credentials see this mailbox and its reports? Reports need"
                " the Plus or Pro plan"
            )
        return _GENERAL[reason]

    @property
    def _base_url(self) -> str:
        ending = f"/{self.account.api}"
        if self.account.base_url.rstrip("/").endswith(ending):
            return f"check base_url ({self._shown_url})"
        return f"check base_url ({self._shown_url}): it should end in {ending}"

    @property
    def _shown_url(self) -> str:
        parts = urlsplit(self.account.base_url)
        return f"{parts.scheme}://{self.host}{parts.path}"
