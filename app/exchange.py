"""An exchange item as a client sends it: the fields, their limits, and how one is read.

Bodies stay raw (`msgspec.Raw`): intake never looks inside them, the shapes decode them once, later.
"""

import datetime as dt
import re
from typing import Annotated, Any

import msgspec

from app import decoding
from app.errors import InvalidItem

MAX_LATENCY_MS = 86_400_000
MAX_TOKENS = 2**53

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_LATENCY_MS)]
Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
Tag = Annotated[str, msgspec.Meta(max_length=256)]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:@+=~-]{1,255}\Z")]


class TokenCount(msgspec.Struct, frozen=True, kw_only=True):
    """Pre-extracted token counts, as the client saw them."""

    prompt: Tokens | None = None
    completion: Tokens | None = None
    total: Tokens | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange as sent. Unknown fields are kept with the raw item, not here."""

    #: Who was called, e.g. "openai"; inferred from the path when absent.
    provider: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    #: Path of the provider's API as called, with or without host and query.
    path: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] | None = None
    #: The provider's answer.
    status_code: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    latency_ms: Milliseconds | None = None
    time_to_first_token_ms: Milliseconds | None = None
    #: Empty when absent; a JSON `null` is the same as absent.
    request_body: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    response_body: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    #: Pre-extracted fields: used where extraction yields nothing.
    model: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    prompt: str | None = None
    completion: str | None = None
    token_count: Tokens | TokenCount | None = None
    metadata: dict[str, Any] | None = None
    tags: dict[str, Tag] | None = None
    request_id: RequestId | None = None
    #: When the call happened; without a zone it is UTC.
    started_at: dt.datetime | None = None
    request_headers: dict[str, Any] | None = None
    response_headers: dict[str, Any] | None = None

    @property
    def client_tokens(self) -> TokenCount | None:
        """The pre-extracted counts in one form; a bare number is the total."""
        if isinstance(self.token_count, int):
            return TokenCount(total=self.token_count)
        return self.token_count


class _Tags(msgspec.Struct):
    tags: dict[str, msgspec.Raw]


_NULL = msgspec.Raw(b"null")
_TAGS = msgspec.json.Decoder(_Tags)
_ITEM = msgspec.json.Decoder(Item)
_TAG = msgspec.json.Decoder(Tag)
_PLACE = re.compile(r" - at `(?:key in )?\$([^`]*)`$")


def parse_item(raw: bytes) -> Item:
    """Read one item.

    Raises InvalidItem with the pointer and the reason when a field has a wrong type or range, or when nothing of
    the exchange is there. The bytes must be JSON already (intake checks the whole request first).
    """
    try:
        item = decoding.decode(raw, _ITEM)
    except msgspec.ValidationError as error:
        refused = invalid_field(error)
        if refused.pointer == "/tags":
            refused.pointer += _wrong_tag(raw)
        raise refused from None
    if not (present(item.request_body) or present(item.response_body) or item.model or item.prompt or item.completion):
        raise InvalidItem(
            "an exchange needs at least one of request_body, response_body, model, prompt, completion",
            error_code="empty_item",
            pointer="",
        )
    return item


def present(body: msgspec.Raw) -> bool:
    """Whether a body was sent: absent and null are the same."""
    return bool(body) and body != _NULL


def _wrong_tag(raw: bytes) -> str:
    """The pointer, below /tags, to the tag that is refused: msgspec does not say which key of a dict it was."""
    try:
        tags = decoding.decode(raw, _TAGS).tags
    except msgspec.ValidationError:
        return ""
    for name, value in tags.items():
        try:
            decoding.decode(value, _TAG)
        except msgspec.ValidationError:
            return "/" + name.replace("~", "~0").replace("/", "~1")
    return ""


def invalid_field(error: msgspec.ValidationError) -> InvalidItem:
    """Turn msgspec's message into the field's pointer and a sentence."""
    message = str(error)
    place = _PLACE.search(message)
    pointer = "" if place is None else re.sub(r"\.|\[|\]\.?", "/", place.group(1)).rstrip("/")
    reason = message if place is None else message[: place.start()]
    field = pointer.lstrip("/").split("/")[0]
    code = "out_of_range" if re.search(r"[<>]=|length|matching|out of range", reason) else "wrong_type"
    return InvalidItem(f"{field}: {reason}" if field else reason, error_code=code, pointer=pointer)
