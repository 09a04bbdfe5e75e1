"""What a failed call was for, and what to do about it: for log, `check` and status page.

What only a kind of question knows, its collector says; what a reason alone says is in
exporter/reasons.py.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from exporter.helpscout.account import Account
from exporter.helpscout.errors import Foreign, HelpScoutError, Unreachable
from exporter.reasons import REASONS

_STEPS: Final = {"token": "login", "mailboxes": "mailbox list", "tags": "list of tags"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call was for: `operation` is as in the API metrics."""

    account: Account
    operation: str

    def where(self, error: HelpScoutError) -> str:
        """Return step and host, and the proxy if it was the one spoken to."""
        through = ""
        if isinstance(error, Unreachable) and error.host:
            name = error.host.rpartition(":")[0].strip("[]")
            through = (
                f" through {error.host}" if name != urlsplit(self.account.base_url).hostname else ""
            )
        return f"{_STEPS.get(self.operation, self.operation)} at {self.host}{through}"

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
        if error.reason == "not_found" and self.operation in _STEPS:
            return self._base_url
        return REASONS[error.reason].advice

    def _of_login(self, error: HelpScoutError) -> str:
        if error.status is None:
            return "correct the file: it is read again at the next attempt"
        if self.account.api == "v1":
            return "check api_key, and that its user is active"
        return (
            "check client_id and client_secret, that the app still exists (Your Profile > My Apps)"
            " and that its user is active"
        )

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
