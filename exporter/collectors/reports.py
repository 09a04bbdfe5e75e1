"""What the reports have in common: how one is asked for, and what to do where it is refused."""

from datetime import datetime
from typing import Final

from exporter.helpscout.errors import Foreign, HelpScoutError
from exporter.questions import ALL, Question, TimeRange
from exporter.reasons import REASONS

_FILTERS: Final = ("mailboxes", "tags", "folders")


def report_query(range_: TimeRange, question: Question) -> dict[str, str]:
    """Return what a report is asked for: range, ids and type.

    The first of the question's `spec` are the ids of mailboxes, tags and folders, as far as given.
    """
    query = {"start": instant(range_.start), "end": instant(range_.end)}
    for name, ids in zip(_FILTERS, question.spec, strict=False):
        if ids:
            query[name] = ",".join(map(str, ids))
    if question.key.type != ALL:
        query["types"] = question.key.type
    return query


def instant(moment: datetime) -> str:
    """Return a time as the API takes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def remedy(question: Question, error: HelpScoutError) -> str:
    """Return what to do about an error that is this question's own, empty where it is not."""
    key, reason = question.key, REASONS[error.reason]
    if isinstance(error, Foreign):
        return ""
    if error.status == 504:
        return (
            f"Help Scout ran out of time over {key.window}: it is tried again; if it lasts, use a"
            " shorter window, or leave out large mailboxes"
        )
    if not reason.refuses_question:
        return ""
    filtered = [kind for kind, ids in zip(_FILTERS[1:], question.spec[1:], strict=False) if ids]
    if filtered:
        belongs = "; a folder belongs to one mailbox" if "folders" in filtered else ""
        return f'check the {" and ".join(filtered)} of segment "{key.segment}"{belongs}'
    if key.type != ALL and reason.rests:
        return f"check that the account may see reports of type {key.type}"
    if key.mailbox_id == ALL or not reason.rests:
        return ""
    if reason.name == "not_found":
        return "was the mailbox deleted? May the user behind the credentials see it?"
    return (
        "may the user behind the credentials see this mailbox and its reports? Reports need the"
        " Plus or Pro plan"
    )
