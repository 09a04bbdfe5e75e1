"""What can be made to go wrong: the faults document, and the rules that pick the calls."""

import json
import math
from contextlib import suppress
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, Field, PrivateAttr, ValidationError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: Any) -> Any:
    """A text like "30h" in seconds; any other value is left as it is."""
    if not isinstance(value, str):
        return value
    with suppress(ValueError, KeyError):
        return float(value[:-1]) * _UNITS[value[-1:]]
    raise ValueError(f'"{value}" is not a time: write seconds, or one unit like 30s, 15m, 2h, 7d')


_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
_Header = Annotated[str, Field(pattern="^[ -~]+$", strict=False, coerce_numbers_to_str=True)]


class FaultRule(BaseModel, extra="forbid", strict=True):
    """Which calls are hit (None: any), and what happens to them."""

    endpoint: Literal["*", "token", "mailboxes", "report"] = "*"
    account: _Count | None = None
    mailbox: _Count | None = None  # that a report asks for
    min_range: _Seconds = 0.0  # of a report
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    times: _Count | None = None  # how often at most
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    headers: dict[_Header, _Header] = {}
    body: str | None = None
    content_type: _Header | None = None
    delay: _Seconds = 0.0
    cut: Annotated[int, Field(ge=0)] | None = None  # bytes of the body that still arrive
    garbage: bool = False  # broken JSON
    _matched: int = PrivateAttr(default=0)

    def hits(self, endpoint: str, account: int, mailboxes: list[str], seconds: int) -> bool:
        """Counts rather than dices, so runs repeat: share 0.5 is every second call it matches."""
        is_meant = self.endpoint in ("*", endpoint) and self.account in (None, account)
        is_asked = self.mailbox is None or str(self.mailbox) in mailboxes
        if not (is_meant and is_asked and seconds >= self.min_range):
            return False
        before = self._matched * self.share + 1e-9  # ten tenths are one
        self._matched += 1
        return int(before + self.share) > int(before) and before < (self.times or math.inf)


class MailboxChange(BaseModel, extra="forbid", strict=True):
    name: str | None = None
    deleted: bool = False


class Faults(BaseModel, extra="forbid", strict=True):
    """A faults document. None keeps what the simulator was started with; times in seconds."""

    rate_limit: _Count | None = None
    latency: _Seconds | None = None
    token_expires_in: _Seconds = 172_800.0
    mailboxes: dict[int, MailboxChange] = {}
    faults: tuple[FaultRule, ...] = ()

    def choose(self, endpoint: str, account: int, mailboxes: list[str], seconds: int) -> FaultRule:
        """The first rule that hits, or one that does nothing."""
        rules = (rule for rule in self.faults if rule.hits(endpoint, account, mailboxes, seconds))
        return next(rules, FaultRule())


def parse_faults(text: str) -> Faults:
    """Reads YAML or JSON; empty means none. Raises ValueError with one line: where and what."""
    try:
        return Faults.model_validate_json(json.dumps(yaml.safe_load(text) or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "document"
        message = (
            "unknown key"
            if first["type"] == "extra_forbidden"
            else first["msg"].removeprefix("Value error, ")
        )
        raise ValueError(" ".join(f"{where}: {message}".split())) from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ValueError("not a document: " + " ".join(str(error).split())) from None
