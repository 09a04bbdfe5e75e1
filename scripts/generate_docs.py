"""Writes docs/metrics.md from the catalogue and docs/configuration.md from the settings.

Names, types, units, labels and defaults come from the code; what the code cannot know, when a
family has no sample and what a key means, stands here, one note for each. A family or a key
without its note, and a note without its family or key, is an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from exporter import questions
from exporter.collectors.folders import QUEUE
from exporter.collectors.happiness import RATINGS, SCORE
from exporter.collectors.productivity.figures import FIGURES
from exporter.collectors.productivity.report import ProductivityReport, Statistics
from exporter.exposition import Renderer
from exporter.exposition.assembly import text_header
from exporter.exposition.catalogue import catalogue
from exporter.metrics import REPORT_LABELS
from exporter.settings import Configuration, leaves, load, variable
from exporter.settings.collectors import COLLECTORS
from exporter.settings.keys import KEYS as ALL_KEYS
from exporter.settings.keys import SHORT, dotted
from exporter.store import Entry
from exporter.telemetry import Family
from exporter.values import KeyPath

DOCS: Final = Path(__file__).parent.parent / "docs"
_HEADER: Final = "<!-- Written by `make docs` from the code. Do not edit: a test compares. -->\n"


class Orphan(Exception):
    """Something in the code is without its note here, or the other way round."""


# --- metrics ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Note:
    """About a family: when it has no sample, and a query that uses it."""

    absent: str
    example: str


_WAITS: Final = "nothing was measured: the mean is missing, or 0 while no reply was sent"
_ENDS: Final = "nothing was measured: the mean is missing, or 0 while nothing was resolved"
_COUNT: Final = "Help Scout gives no number, as for a range without conversations; 0 is shown as 0"
_SHAPE: Final = "the answer lacks the distribution"
_NEVER: Final = "never, it is always there"
_OFF: Final = "`compare` is off"
_SLA: Final = "the report is none of the SLA's, or its distribution is missing or empty"
_PER_SLA: Final = "no SLA is configured"
_NO_WAITING: Final = "`waiting` is off, or the account's API is 1.0"

_ABSENT: Final = {
    "response_time": _WAITS,
    "first_response_time": _WAITS,
    "handle_time": _WAITS,
    "resolution_time": _ENDS,
    "replies_to_resolve": _ENDS,
    "resolved_on_first_reply": "nothing was resolved, or one of the two counts is missing",
}
_WHOLE: Final = '{type="all", window="7d", segment=""}'


def _of_figures() -> Iterator[tuple[str, Note]]:
    for figure in FIGURES:
        absent = _ABSENT.get(figure.statistic, _COUNT)
        name = figure.family.name
        yield name, Note(absent, f'{name}{{type="email", window="24h"}}')
        previous = figure.previous.name
        yield (
            previous,
            Note(f"{_OFF}, or for the preceding period {absent}", f"{name} - {previous}"),
        )


_EXPORTER: Final = "helpscout_exporter_"

FAMILIES: Final[Mapping[str, Note]] = {
    **dict(_of_figures()),
    "helpscout_response_time_distribution_seconds": Note(
        _SHAPE,
        f"histogram_quantile(0.9, helpscout_response_time_distribution_seconds_bucket{_WHOLE})",
    ),
    "helpscout_first_response_time_distribution_seconds": Note(
        _SHAPE,
        'helpscout_first_response_time_distribution_seconds_bucket{le="3600.0"}\n'
        "  / ignoring(le)\n"
        'helpscout_first_response_time_distribution_seconds_bucket{le="+Inf"}',
    ),
    "helpscout_handle_time_distribution_seconds": Note(
        _SHAPE,
        f"histogram_quantile(0.5, helpscout_handle_time_distribution_seconds_bucket{_WHOLE})",
    ),
    "helpscout_replies_to_resolve_distribution": Note(
        _SHAPE, 'helpscout_replies_to_resolve_distribution_bucket{le="1.0"}'
    ),
    "helpscout_resolution_time_by_replies_seconds": Note(
        "no conversation was resolved with so many replies",
        'helpscout_resolution_time_by_replies_seconds{replies="5+"}',
    ),
    "helpscout_change_ratio": Note(
        f"{_OFF}, one of the two is not known, or the preceding one is 0",
        '100 * helpscout_change_ratio{statistic="response_time", window="7d"}',
    ),
    "helpscout_sla_compliance_ratio": Note(
        _SLA,
        "helpscout_sla_compliance_ratio\n"
        "  < on(job, instance, sla) group_left helpscout_sla_objective_ratio",
    ),
    "helpscout_sla_conversations": Note(_SLA, 'helpscout_sla_conversations{horizon="short"} >= 10'),
    "helpscout_queue_conversations": Note(
        "Help Scout gives no number, or the collector `folders` is off; an empty queue is 0",
        'sum without (folder, folder_id) (helpscout_queue_conversations{queue="unassigned"})',
    ),
    "helpscout_happiness_ratings": Note(
        "the collector `happiness` is off, or Help Scout gives no number; no ratings are 0",
        'sum without (rating) (helpscout_happiness_ratings{type="all", window="7d"})',
    ),
    "helpscout_happiness_score": Note(
        "the collector `happiness` is off, or there are no ratings in the window",
        'helpscout_happiness_score{type="all", window="30d"}',
    ),
    "helpscout_report_last_success_timestamp_seconds": Note(
        "the report has never arrived since the start; the moment is kept when its data is too old "
        "to show",
        "time() - helpscout_report_last_success_timestamp_seconds",
    ),
    "helpscout_report_success": Note(
        "the report has not been asked yet", "helpscout_report_success == 0"
    ),
    "helpscout_sla_objective_ratio": Note(_PER_SLA, "helpscout_sla_objective_ratio"),
    "helpscout_sla_target_seconds": Note(
        f"{_PER_SLA} with a target in time", "helpscout_sla_target_seconds"
    ),
    "helpscout_sla_target_replies": Note(
        f"{_PER_SLA} with a target in replies", "helpscout_sla_target_replies"
    ),
    "helpscout_window_seconds": Note(
        _NEVER,
        "3600 * helpscout_replies_sent\n"
        "  / on(job, instance, window) group_left helpscout_window_seconds",
    ),
    "helpscout_mailbox_info": Note(
        "the mailbox is not selected, or the account's list has not arrived yet",
        "helpscout_response_time_seconds\n"
        "  * on(job, instance, account, mailbox_id) group_left(email) helpscout_mailbox_info",
    ),
    "helpscout_up": Note(_NEVER, "helpscout_up == 0"),
    "helpscout_collector_up": Note(
        "before a plain report (type `all`, no segment, calendar time) was asked",
        "helpscout_collector_up == 0 and on (account) helpscout_up == 1",
    ),
    "helpscout_account_problem": Note(_NEVER, "helpscout_account_problem == 1"),
    "helpscout_segment_resolved": Note(
        "before the account's mailboxes are known, and without segments",
        "helpscout_segment_resolved == 0",
    ),
    "helpscout_waiting_conversations": Note(
        f"{_NO_WAITING}, for a segment whose tags are not known or that names folders, or in "
        "office hours without an `office_schedule`; nobody who waits is 0",
        'helpscout_waiting_conversations{type="all", segment="", office_hours="false"}',
    ),
    "helpscout_waiting_since_timestamp_seconds": Note(
        f"nobody waits, or {_NO_WAITING}; calendar time only",
        'time() - helpscout_waiting_since_timestamp_seconds{type="all", segment=""}',
    ),
    "helpscout_waiting_distribution_seconds": Note(
        "as `helpscout_waiting_conversations`",
        "helpscout_waiting_conversations\n"
        "  - ignoring (le) helpscout_waiting_distribution_seconds_bucket"
        '{le="3600.0"}',
    ),
    "helpscout_sla_waiting_conversations": Note(
        f"{_NO_WAITING}, or the SLA is not about `response_time` or `first_response_time`, or not "
        "about these labels",
        'helpscout_sla_waiting_conversations{threshold="target"} > 0',
    ),
    "helpscout_waiting_truncated": Note(_NO_WAITING, "helpscout_waiting_truncated == 1"),
    "helpscout_office_hours_open": Note(
        "the account has no `office_schedule`", "helpscout_office_hours_open == 0"
    ),
    f"{_EXPORTER}build_info": Note(_NEVER, f"{_EXPORTER}build_info"),
    f"{_EXPORTER}config_last_reload_successful": Note(
        _NEVER, f"{_EXPORTER}config_last_reload_successful == 0"
    ),
    f"{_EXPORTER}config_last_reload_success_timestamp_seconds": Note(
        _NEVER, f"time() - {_EXPORTER}config_last_reload_success_timestamp_seconds"
    ),
    f"{_EXPORTER}api_requests": Note(
        "no such call has been made yet",
        f"sum by (code) (rate({_EXPORTER}api_requests_total[5m]))",
    ),
    f"{_EXPORTER}api_request_duration_seconds": Note(
        "no such call has been made yet",
        "histogram_quantile(0.99, sum by (le, operation)"
        f" (rate({_EXPORTER}api_request_duration_seconds_bucket[5m])))",
    ),
    f"{_EXPORTER}api_retries": Note(
        "nothing has been repeated yet", f"rate({_EXPORTER}api_retries_total[15m])"
    ),
    f"{_EXPORTER}rate_limit_per_minute": Note(_NEVER, f"{_EXPORTER}rate_limit_per_minute"),
    f"{_EXPORTER}rate_limit_remaining": Note(
        "the service has not said it yet",
        f"{_EXPORTER}rate_limit_remaining / {_EXPORTER}rate_limit_per_minute",
    ),
    f"{_EXPORTER}rate_budget_per_minute": Note(
        _NEVER,
        f"sum without (operation, code) (rate({_EXPORTER}api_requests_total[5m])) * 60\n"
        f"  / {_EXPORTER}rate_budget_per_minute",
    ),
    f"{_EXPORTER}throttled": Note(
        "the account has not been throttled yet", f"increase({_EXPORTER}throttled_total[1h])"
    ),
    f"{_EXPORTER}reports": Note(
        "the account's mailboxes are not known yet", f"sum by (account) ({_EXPORTER}reports)"
    ),
    f"{_EXPORTER}report_interval_seconds": Note(
        "the account's mailboxes are not known yet",
        f'{_EXPORTER}report_interval_seconds{{window="24h"}}',
    ),
    f"{_EXPORTER}schedule_stretch_ratio": Note(
        "the account's mailboxes are not known yet", f"{_EXPORTER}schedule_stretch_ratio > 1"
    ),
    f"{_EXPORTER}schedule_lag_seconds": Note(
        "the first second is not over", f"{_EXPORTER}schedule_lag_seconds"
    ),
    f"{_EXPORTER}state_file_ok": Note("`state_file` is not set", f"{_EXPORTER}state_file_ok == 0"),
    f"{_EXPORTER}shard_index": Note(_NEVER, f"{_EXPORTER}shard_index"),
    f"{_EXPORTER}shards": Note(
        _NEVER,
        f'max({_EXPORTER}shards) - count(count_values("shard", {_EXPORTER}shard_index))',
    ),
}
"""The note of every family in the catalogue."""

_METRICS_INTRO: Final = """# Metrics

Every family that the exporter shows, in the order of the page. A value that Help Scout did not
measure has no sample: it is never 0 and never NaN. Figures of a report are also gone when the
report has not been refreshed for `stale_after` of its intervals; then only
`helpscout_report_success` and `helpscout_report_last_success_timestamp_seconds` are left of it.

*Report labels* are {labels}.

| label | value |
|---|---|
| `account` | the account's `name` in the configuration |
| `mailbox` | the mailbox's present name, or `all` for every selected mailbox together |
| `mailbox_id` | its id, which is unique and lasts, or `all` |
| `type` | `email`, `chat`, `phone`, or `all` for a report over every type |
| `window` | the window as configured, like `24h` |
| `office_hours` | `true` where only office hours count, else `false` |
| `segment` | the segment's `name`, empty without one |
| `queue` | what a folder is: `unassigned`, `assigned`, `mine`, `team`, `drafts`, `spam`, \
`custom`, or `needs_attention` (mail that bounced or could not be sent) |
| `folder`, `folder_id` | the folder's name if it is `team` or `custom`, else empty; its id |
| `rating` | `great`, `okay` or `not_good` |
| `threshold` | `target` for waits longer than the SLA's target, `at_risk` for those longer than \
`waiting.at_risk` of it, which include the others |
| `state` | `active` and `pending` in `unassigned`, `assigned`, `mine` and `team`; `active` in \
`custom`; `all` in the others |

`all` is a report of its own, asked of Help Scout. It is not the sum of the others, so do not add
`all` and the others up: choose one side with a matcher. Of the customers who wait, type `all` is
everyone, whatever the type.

## The two formats

`/metrics` answers in the text format 0.0.4 or in OpenMetrics 1.0, as `Accept` asks. Names of
series and values are the same in both; what differs is said with each family. In text 0.0.4 a
family looks like this:

```
{example}```

The distributions are gauge histograms in OpenMetrics: counts of what is in the window now, which
go down, too. Text 0.0.4 has no such type, so there the family is named after its samples,
`<name>_bucket`, and is untyped. `histogram_quantile` takes them as they are, without `rate`.
There is no `_sum`, because nobody measured one; the count is `le="+Inf"`.
"""


def metrics_page() -> str:
    """Return docs/metrics.md."""
    _compare({family.name for family in catalogue()}, set(FAMILIES), "family")
    parts = [
        _HEADER,
        _METRICS_INTRO.format(
            labels=", ".join(f"`{label}`" for label in REPORT_LABELS), example=_example()
        ),
    ]
    for title, families in groupby(catalogue(), _chapter):
        parts.append(f"## {title}\n")
        parts += [_family(family, FAMILIES[family.name]) for family in families]
    return "\n".join(parts)


def _chapter(family: Family) -> str:
    if family.name.startswith(_EXPORTER):
        return "The exporter itself"
    if "_waiting_" in family.name:
        return "What waits now"
    if "_previous_" in family.name or "_change_" in family.name:
        return "The preceding period"
    if family.kind == "gaugehistogram" or "by_replies" in family.name:
        return "Distributions"
    if "_sla_" in family.name:
        return "Service levels"
    if family.name in {figure.family.name for figure in FIGURES}:
        return "The report's figures"
    if family in (RATINGS, SCORE):
        return "Ratings"
    if family is QUEUE:
        return "What waits now"
    return "Reports and accounts"


def _family(family: Family, note: Note) -> str:
    own = [label for label in family.labels if label not in REPORT_LABELS]
    labels = ", ".join(f"`{label}`" for label in own)
    if len(family.labels) - len(own) == len(REPORT_LABELS):
        labels = f"report labels{', ' if own else ''}{labels}"
    else:
        labels = ", ".join(f"`{label}`" for label in family.labels)
    lines = {
        "type": str(family.kind),
        "unit": family.unit,
        "labels": labels or "none",
        "in text 0.0.4": _in_text(family),
        "no sample": note.absent,
    }
    listed = "\n".join(f"- {key}: {value}" for key, value in lines.items() if value)
    return f"### `{family.name}`\n\n{family.help}.\n\n{listed}\n\n```promql\n{note.example}\n```\n"


def _in_text(family: Family) -> str:
    if family.kind == "gaugehistogram":
        return f"untyped `{family.name}_bucket`"
    if family.kind == "counter":
        return f"counter `{family.name}_total`"
    if family.kind == "histogram":
        return "histogram " + ", ".join(f"`{family.name}_{s}`" for s in ("bucket", "count", "sum"))
    return f"{family.kind} `{family.name}`"


def _example() -> str:
    key = questions.Key("productivity", "acme", "1234", "email", "24h", "false")
    report = ProductivityReport(Statistics(response_time=4520.5))
    reading = questions.Reading(report, datetime(2026, 1, 1, tzinfo=UTC))
    lines = Renderer(Configuration(())).report(key, Entry("Support", reading))
    return (text_header(FIGURES[0].family) + lines[0]).decode()


# --- configuration ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """About a key: what kind of value it takes, what that means, and one as it could be."""

    kind: str
    meaning: str
    example: Any
    default: str | None = None
    """Where it is not among the effective configuration's: a list's element, a rule."""


_NONE: Final = "none"

KEYS: Final[Mapping[str, Key]] = {
    "accounts[0].name": Key("text", "the label `account`; unique", "acme"),
    "accounts[0].api": Key(
        "`v1` or `v2`",
        "the generation of the API: `v1` is the legacy Mailbox API 1.0",
        "v2",
        "by the credentials given",
    ),
    "accounts[0].base_url": Key(
        "URL",
        "where the API is; the token comes from there + `/oauth2/token`. `http://` is for "
        "loopback only",
        "https://api.helpscout.net/v2",
        "`https://api.helpscout.net/v1` or `/v2`, by `api`",
    ),
    "accounts[0].allow_http": Key(
        "`true` or `false`", "let `base_url` be `http://` elsewhere, too", True, "`false`"
    ),
    "accounts[0].client_id": Key("text", "v2: the App ID", "0123abcd", _NONE),
    "accounts[0].client_id_file": Key(
        "path", "v2: a file with the App ID, read when it is needed", "/run/secrets/app-id", _NONE
    ),
    "accounts[0].client_secret": Key("text", "v2: the App Secret", "s3cret", _NONE),
    "accounts[0].client_secret_file": Key(
        "path",
        "v2: a file with the App Secret, read when it is needed",
        "/run/secrets/helpscout",
        _NONE,
    ),
    "accounts[0].api_key": Key("text", "v1: the API key", "k3y", _NONE),
    "accounts[0].api_key_file": Key(
        "path", "v1: a file with the API key, read when it is needed", "/run/secrets/key", _NONE
    ),
    "accounts[0].requests_per_minute": Key(
        "number", "the account's limit, until the service's own header says otherwise", 400
    ),
    "accounts[0].budget": Key(
        "number", "the share of that limit that the exporter may use; above 0, at most 1", 0.25
    ),
    "accounts[0].concurrency": Key("whole number", "calls at once; 1 to 64", 8),
    "accounts[0].timeout": Key(
        "duration",
        "for a whole call: name resolution, every address tried, the whole body; at most 10m",
        "10s",
    ),
    "accounts[0].ca_file": Key(
        "path",
        "a PEM file with the certificate authorities to trust, instead of the usual ones and of "
        "those in the environment: see [network.md](network.md#certificate-authorities)",
        "/etc/ssl/corp.pem",
        "those of the environment, or the usual ones",
    ),
    "accounts[0].proxy_url": Key(
        "URL",
        "the HTTP proxy to call through, `http://` or `https://`, perhaps with user and password: "
        "see [network.md](network.md#proxies)",
        "http://proxy.example.com:3128",
        "`HTTPS_PROXY` and `NO_PROXY` of the environment",
    ),
    "accounts[0].proxy_url_file": Key(
        "path",
        "a file with that URL, read when it is needed",
        "/run/secrets/proxy",
        _NONE,
    ),
    "accounts[0].collectors[0]": Key(
        f"list out of {', '.join(f'`{name}`' for name in COLLECTORS)}",
        "what this account is asked for, out of what is on: `[folders]` for an account whose plan "
        "has no reports",
        ["folders"],
        "all that are on",
    ),
    "accounts[0].office_schedule.timezone": Key(
        "text",
        "the time zone whose local clock the hours are read on: see "
        "[behaviour.md](behaviour.md#office-schedule)",
        "Europe/Berlin",
        "no schedule",
    ),
    "accounts[0].office_schedule.hours": Key(
        "mapping of days to a text or a list of texts",
        "when the team works: a day (`mon` to `sun`) or a range of days, which may wrap "
        "(`fri-mon`), and one or more spans `HH:MM-HH:MM`. A day that is not named is closed, and "
        "no day is named twice. `24:00` ends a day; a span that ends before it starts runs into "
        "the next day and belongs to the day it starts on. Spans must not overlap. In a variable "
        "the whole mapping is YAML, and replaces that of the file",
        {"mon-thu": "09:00-17:30", "fri": ["08:00-12:00", "13:00-16:00"]},
        "needed with a schedule",
    ),
    "accounts[0].office_schedule.closed[0]": Key(
        "list of dates", "days on which no span starts", ["2026-12-25", "2026-12-26"], _NONE
    ),
    "mailboxes.include[0]": Key(
        "list of text and numbers",
        "the mailboxes to report on: a text is a glob on the name (case matters), a number an id",
        ["Support*", 1234],
    ),
    "mailboxes.exclude[0]": Key(
        "list of text and numbers", "and those of them that are left out", ["*test*"]
    ),
    "mailboxes.all": Key(
        "`true` or `false`", "one more report over every selected mailbox together", False
    ),
    "types[0]": Key(
        "list out of `all`, `email`, `chat`, `phone`",
        "the types to report on; `all` is a report of its own",
        ["all", "email"],
    ),
    "windows[0].range": Key(
        "duration",
        "how far a window reaches back from now: 1m to 366d. As written it is the label `window`. "
        "A window may be written as this alone",
        "14d",
        "windows `24h`, `7d`, `30d`",
    ),
    "windows[0].every": Key(
        "duration",
        "how often each of its reports is asked: 10s to 1d",
        "15m",
        "`range` / 288, at least 1m, at most 1h",
    ),
    "office_hours[0]": Key(
        "list out of `true`, `false`",
        "whether only time within the account's office hours counts; both give both",
        [False, True],
    ),
    "segments[0].name": Key(
        "text",
        "the label `segment` of a further cut; letters, digits, `_`, `.`, `-`; unique",
        "vip",
        "no segments",
    ),
    "segments[0].tags[0]": Key(
        "list of text and numbers",
        "conversations with any of these tags, by name or id",
        ["vip", 4711],
        _NONE,
    ),
    "segments[0].folders[0]": Key(
        "list of numbers", "conversations in any of these folders, by id", [991], _NONE
    ),
    "compare": Key("`true` or `false`", "ask for the preceding period, too", True),
    "end_delay": Key(
        "duration",
        "windows end this long before now, where Help Scout's reports arrive late; at most 1d. "
        "What is asked about now is not delayed, nor is any series' timestamp. `backfill` does "
        "the same at each of its steps, so that a series means the same throughout",
        "5m",
    ),
    "stale_after": Key(
        "number",
        "a report that was not refreshed for so many of its intervals, and at least 10 minutes, "
        "is no longer shown; from 1",
        5,
    ),
    "productivity.enabled": Key(
        "`true` or `false`",
        "ask for the productivity report. Without it `types`, `windows`, `office_hours` and "
        "`segments` ask for nothing by themselves",
        False,
    ),
    "folders.enabled": Key(
        "`true` or `false`",
        "ask how many conversations are in each queue now: one call a mailbox, one more for every "
        "50 folders",
        False,
    ),
    "folders.every": Key("duration", "how often each mailbox is asked: 10s to 1d", "15m"),
    "waiting.enabled": Key(
        "`true` or `false`",
        "ask which customers wait now, and since when. API 2.0 only; it reads the conversation "
        "list: see [security.md](security.md)",
        True,
    ),
    "waiting.every": Key("duration", "how often each mailbox is asked: 10s to 1d", "2m"),
    "waiting.at_risk": Key(
        "number",
        "the share of an SLA's target beyond which a customer's wait is at risk; between 0 and 1",
        0.5,
    ),
    "waiting.max_pages": Key(
        "whole number",
        "how many pages of a mailbox's list are read at most, the longest waits first; 1 to 1000. "
        "If there are more, the counts are lower bounds",
        10,
    ),
    "happiness.enabled": Key(
        "`true` or `false`", "ask for the happiness report: how customers rated the answers", True
    ),
    "happiness.types[0]": Key(
        "list out of `all`, `email`, `chat`, `phone`",
        "the types to ask for; `all` is a report of its own",
        ["all", "email"],
    ),
    "happiness.windows[0].range": Key(
        "duration",
        "how far a window reaches back from now, as in `windows`: 1m to 366d. A range that is "
        "among `windows` has the text and interval that it has there",
        "30d",
        "windows `7d`, `30d`",
    ),
    "happiness.windows[0].every": Key(
        "duration",
        "how often each of its reports is asked: 10s to 1d",
        "1h",
        "`range` / 288, at least 1m, at most 1h",
    ),
    "sla[0].name": Key("text", "the label `sla`; unique", "first-reply-1h", "no SLAs"),
    "sla[0].statistic": Key(
        "`response_time`, `first_response_time`, `handle_time` or `replies_to_resolve`",
        "what is promised",
        "first_response_time",
        "needed",
    ),
    "sla[0].target": Key(
        "duration; a number for `replies_to_resolve`",
        "the most that keeps the promise: exact at an edge of Help Scout's ranges, interpolated "
        "between two",
        "1h",
        "needed",
    ),
    "sla[0].objective": Key(
        "number", "the share that shall keep it; between 0 and 1", 0.9, "needed"
    ),
    "sla[0].windows[0]": Key(
        "list out of `windows`",
        "the horizons, the shorter one first: the label `horizon` is `short` for the first, `long` "
        "for the last, `mid` for those between",
        ["24h", "7d"],
        "the first two of `windows`, the shorter one first",
    ),
    "sla[0].mailboxes[0]": Key(
        "list of text and numbers", "for which mailboxes, as in `include`", ["Support*"], '`["*"]`'
    ),
    "sla[0].types[0]": Key(
        "list out of `types`", "for which types", ["all"], "`all` if configured, else every one"
    ),
    "sla[0].office_hours[0]": Key(
        "list out of `office_hours`", "in which time", [False], "`false` if configured, else `true`"
    ),
    "sla[0].segments[0]": Key(
        "list of names of `segments`", "for which segments; the empty name is none", [""], '`[""]`'
    ),
    "state_file": Key(
        "path",
        "an SQLite file; with it the last known reports survive a restart. One process uses it at "
        "a time: a second `serve` is refused, while `plan` may read it beside the exporter. Put it "
        "on a disk of this machine and not on a network file system, on whose locks SQLite cannot "
        "rely, into a folder that can be written: other files stand beside it (`-wal`, `-shm`, "
        "`.lock`). A file of an older exporter is taken over",
        "/var/lib/helpscout-exporter/state.db",
    ),
    "shard.index": Key(
        "whole number, or `auto`",
        "which part of the work is this process's, from 0; `auto` is the ordinal at the end of a "
        "StatefulSet pod's host name",
        1,
    ),
    "shard.total": Key("whole number", "over how many processes it is split; 1 to 1000", 2),
    "shard.by": Key("`account` or `mailbox`", "by what it is split", "mailbox"),
    "web.listen": Key(
        "HOST:PORT, a list of them (in a variable also separated by commas), or `systemd`",
        "where to listen; `:9877` is every interface, and the default in the image; `systemd` is "
        "for the sockets that systemd passes. `healthcheck` asks the first: see "
        "[network.md](network.md#listening)",
        ["127.0.0.1:9877", "[::1]:9877"],
    ),
    "web.telemetry_path": Key("path", "where the metrics are", "/helpscout/metrics"),
    "web.external_url": Key(
        "URL",
        "where people open the status page, for example behind a proxy: the log says it at the "
        "start, and the page names it as its canonical address. Everything is served as without "
        "it: see [status-page.md](status-page.md#below-a-prefix)",
        "https://tools.example.com/helpscout/",
    ),
    "web.config_file": Key(
        "path",
        "TLS, basic auth and headers, in the exporter-toolkit's format: see "
        "[security.md](security.md)",
        "web.yml",
    ),
    "web.enable_lifecycle": Key("`true` or `false`", "allow `POST /-/reload`", True),
    "web.process_metrics": Key(
        "`true` or `false`",
        "export `process_*` and `python_*` too; without them the dashboard *Exporter* has no CPU, "
        "memory, files and age of the process",
        False,
    ),
    "log.level": Key("`debug`, `info`, `warning` or `error`", "the least that is logged", "debug"),
    "log.format": Key(
        "`auto`, `console`, `json` or `logfmt`",
        "the form of a log line; `auto` is console on a terminal and JSON elsewhere",
        "logfmt",
    ),
}
"""The note of every key that takes a value; index 0 stands for any."""

_CONFIGURATION_INTRO: Final = """# Configuration

A YAML file (`--config FILE`, or `HELPSCOUT_CONFIG`), environment variables, or both. Two variables
are enough to start: `HELPSCOUT_CLIENT_ID` and `HELPSCOUT_CLIENT_SECRET`.
[config.example.yml](../config.example.yml) has every key in its place.

- Unknown and duplicate keys are errors. Each message names the file and the key.
- A flag wins over a variable, a variable over the file, the file over the default.
- Every key is also a variable: `HELPSCOUT_` and the path in capitals, joined with `__`. An element
  of a list goes by its index, from 0; the next free one appends. A whole list or mapping is YAML:
  `HELPSCOUT_WINDOWS='[24h, {{range: 7d, every: 30m}}]'`; a whole list replaces that of the file.
- A list whose elements have no commas may also be separated by commas: `HELPSCOUT_WINDOWS=24h,7d`.
  These are {commas}. The other lists hold free text.
- Variables are not expanded in a value: `${{VAR}}` is refused, set the key's own variable instead.
  YAML's anchors and merge keys (`&`, `*`, `<<`) are accepted.
- For the first account there are short names: {short}.
- An empty variable counts as one that is not set. White space around a variable's value is dropped,
  and so it is around a secret or an ID in the file. An unknown `HELPSCOUT_*` variable is a warning,
  an unknown key below a known one an error.
- Durations are written as in Prometheus: `90s`, `15m`, `1h30m`, `7d`, `2w`.
- A relative path starts at the file's folder; in a variable or flag, at the working directory.
- A secret's file is read when the secret is needed, so rotating it needs no restart.
- SIGHUP reloads. A bad file changes nothing, and
  `helpscout_exporter_config_last_reload_successful` says so. A change of `web` or
  `state_file` takes effect at the next start: the log says so, `/config` shows what is in force.
"""


def configuration_page() -> str:
    """Return docs/configuration.md."""
    _compare({dotted(path) for path in leaves()}, set(KEYS), "key")
    short = ", ".join(f"`{name}`" for name in SHORT)
    lists = (dotted(path).replace("[0]", "[]") for path, key in ALL_KEYS.items() if key.has_commas)
    commas = ", ".join(f"`{path}`" for path in lists)
    parts = [_HEADER, _CONFIGURATION_INTRO.format(short=short, commas=commas)]
    defaults = _defaults()
    for section, paths in groupby(leaves(), lambda path: str(path[0])):
        parts.append(f"## `{section}`\n")
        parts += [_key(path, KEYS[dotted(path)], defaults) for path in paths]
    return "\n".join(parts)


def example(path: KeyPath, value: Any) -> Any:
    """Return the tree in which `value` is at a key path; a list there is the whole value."""
    if not path:
        return value
    below = example(path[1:], value)
    return below if path == (0,) else [below] if path[0] == 0 else {path[0]: below}


def _key(path: KeyPath, key: Key, defaults: Any) -> str:
    name = dotted(path).replace("[0]", "[]")
    default = key.default or f"`{_inline(_found(path, defaults))}`"
    lines = {
        "variable": f"`{variable(tuple('N' if part == 0 else part for part in path))}`",
        "type": key.kind,
        "default": default,
    }
    listed = "\n".join(f"- {word}: {text}" for word, text in lines.items())
    meaning = key.meaning[0].upper() + key.meaning[1:]
    shown = yaml.safe_dump(example(path, key.example), sort_keys=False, default_flow_style=None)
    return f"### `{name}`\n\n{meaning}.\n\n{listed}\n\n```yaml\n{shown}```\n"


def _defaults() -> Any:
    environ = {"HELPSCOUT_CLIENT_ID": "an-id", "HELPSCOUT_CLIENT_SECRET": "a-secret"}
    return yaml.safe_load(load(None, environ).masked())


def _found(path: KeyPath, tree: Any) -> Any:
    for position, part in enumerate(path):
        if part == 0 and position == len(path) - 1:
            break
        if isinstance(part, str) and part not in tree:
            return None
        tree = tree[part]
    return tree


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.strip().removesuffix("...").strip()


def _compare(there: set[str], noted: set[str], what: str) -> None:
    if there != noted:
        raise Orphan(
            f"{what} without a note: {sorted(there - noted)}; "
            f"note without a {what}: {sorted(noted - there)}"
        )


PAGES: Final = {"metrics.md": metrics_page, "configuration.md": configuration_page}
"""What is generated, by its name in docs/."""


def main() -> None:
    """Write every page."""
    DOCS.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
