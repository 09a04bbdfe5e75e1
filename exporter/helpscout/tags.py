"""The list of tags of either generation: asked where no report names an account's tags."""

from typing import Any, Final, NamedTuple

from pydantic import AliasChoices, Field

from exporter.helpscout.account import Api
from exporter.helpscout.errors import BadResponse
from exporter.helpscout.pages import Listed, Page, parse_page
from exporter.helpscout.wire import Id, Odd, Wire, judged

TAGS: Final = Listed("tags", "tag")


class Tag(NamedTuple):
    """A tag that conversations may have."""

    id: int
    name: str


class _Tag(Wire):
    """1.0 calls the name `tag` in places."""

    id: Id
    name: Any = Field(None, validation_alias=AliasChoices("name", "tag"))


def parse_tags(api: Api, body: bytes, odd: Odd) -> Page[Tag]:
    """Return a page of the list of tags. Raises BadResponse naming the field."""
    return parse_page(api, body, TAGS, _tag, odd)


def _tag(where: str, item: Any) -> Tag:
    wire = judged(_Tag, where, item)
    if not isinstance(wire.name, str):
        raise BadResponse(f"{where}.name: is not text")
    return Tag(wire.id, wire.name)
