"""What can be made to go wrong: the faults document, the rules that pick the calls, the orders."""

import json
import math
from contextlib import suppress
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from exporter.simulator.orders import NEVER, Order, Orders

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: Any) -> Any:
    """A text like "30h" in seconds; any other value is left as it is."""
    if not isinstance(value, str):
        return value
    with suppress(ValueError, KeyError):
        return float(value[:-1]) * _UNITS[value[-1:]]
    raise ValueError(f'"{value}" is not a time: write seconds, or one unit like 30s, 15m, 2h, 7d')


def _instant(value: Any) -> Any:
    """An ISO 8601 text with an offset as an instant; None is left as it is."""
    if value is None:
        return value
    with suppress(TypeError, ValueError):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo:
            return moment
    raise ValueError(f'"{value}" is not an instant like 2026-11-02T11:00:00Z')


_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Instant = Annotated[AwareDatetime | None, BeforeValidator(_instant)]
_Header = Annotated[str, Field(pattern="^[ -~]+$", strict=False, coerce_numbers_to_str=True)]


_Endpoint = Literal[
    "*", "token", "mailboxes", "report", "folders", "conversations", "happiness", "tags"
]


class FaultRule(BaseModel, extra="forbid", strict=True):
    """Which calls are hit (None: any), and what happens to them."""

    endpoint: _Endpoint = "*"
    account: _Count | None = None
    mailbox: _Count | None = None  # that a call asks for
    min_range: _Seconds = 0.0  # of a report
    share: _Share = 1.0
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


class TeamOrder(BaseModel, extra="forbid", strict=True):
    """What a team does, and when; orders.py says what each means. None of `start`: from now on."""

    account: _Count | None = None
    mailbox: _Count | None = None
    start: _Instant = None
    end: _Instant = None
    silent: bool = False
    late: _Seconds = 0.0
    within: _Seconds | None = None
    snooze: _Share = 0.0
    flood: Annotated[int, Field(ge=0, le=100_000)] = 0

    @model_validator(mode="after")
    def _orders_something(self) -> Self:
        if not (self.silent or self.late or self.snooze or self.flood or self.within is not None):
            raise ValueError("orders nothing: give silent, late, within, snooze or flood")
        if self.flood and self.mailbox is None:
            raise ValueError("flood needs the mailbox that is flooded")
        if self.start and self.end and self.start >= self.end:
            raise ValueError("start must be before end")
        return self

    def order(self, now: int) -> Order:
        return Order(
            self.account,
            self.mailbox,
            int(self.start.timestamp()) if self.start else now,
            int(self.end.timestamp()) if self.end else NEVER,
            self.silent,
            int(self.late),
            None if self.within is None else int(self.within),
            self.snooze,
            self.flood,
        )


class Faults(BaseModel, extra="forbid", strict=True):
    """A faults document. None keeps what the simulator was started with; times in seconds."""

    rate_limit: _Count | None = None
    latency: _Seconds | None = None
    token_expires_in: _Seconds = 172_800.0
    mailboxes: dict[int, MailboxChange] = {}
    faults: tuple[FaultRule, ...] = ()
    team: tuple[TeamOrder, ...] = ()

    def orders(self, now: int) -> Orders:
        """What teams are ordered to do, at this second of the world's clock."""
        return Orders(order.order(now) for order in self.team)

    def choose(self, endpoint: str, account: int, mailboxes: list[str], seconds: int) -> FaultRule:
        """The first rule that hits, or one that does nothing."""
        rules = (rule for rule in self.faults if rule.hits(endpoint, account, mailboxes, seconds))
        return next(rules, FaultRule())


def _plain(value: Any) -> str:
    """YAML's own times as text. Raises TypeError for anything else that is not JSON."""
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not known here")


def parse_faults(text: str) -> Faults:
    """Reads YAML or JSON; empty means none. Raises ValueError with one line: where and what."""
    try:
        return Faults.model_validate_json(json.dumps(yaml.safe_load(text) or {}, default=_plain))
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
