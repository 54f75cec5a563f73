"""Extraction: raw item bytes in, everything the row keeps out. Pure: no clock, no network, no database.

The extract stage calls `extract`; the read side and the exports call `conversation`. Neither ever raises.
"""

import re
from typing import Any, Final, Literal, TypeVar

import msgspec

from app import shapes
from app.decoding import column_text
from app.errors import IngateError
from app.exchange import Item, TokenCount, parse_item
from app.shapes import Answered, Asked, Tokens, Usage
from app.shapes.conversation import Message, Text
from app.shapes.lenient import UNREADABLE

T = TypeVar("T")
Status = Literal["extracted", "fallback", "mixed", "none"]
Field = Literal["model", "prompt", "completion", "token_count"]
Source = Literal["request", "path", "response", "client"]

#: Kept with each row. Raised by one with any change after which `extract`, a shape or app/search.py can give something
#: else for the same bytes; `ingate reprocess` then brings old rows up to date.
VERSION: Final = 1

_NUL: Final = rb"\u0000"
#: A NUL escape in JSON text has an odd number of backslashes before `u0000`.
_NUL_ESCAPE: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
#: Where neither is in the item, no text holds NUL: it comes as an escape, or in the base64 of Bedrock's envelope.
_SEALED: Final = b'"bytes"'


class Extraction(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one exchange. Every text in it fits into a text column."""

    #: The item as sent; None when its bytes cannot be read.
    item: Item | None = None
    #: The name of the API shape that read the bodies.
    shape: str | None = None
    status: Status = "none"
    #: Why nothing, or not all, could be read.
    reason: str | None = None
    #: Where each field that is there came from.
    sources: dict[Field, Source] = {}
    #: The client's, else inferred from host or path.
    provider: str | None = None
    #: The request body's, else the path's, else the response's, else the client's.
    model: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    prompt: str | None = None
    completion: str | None = None
    system: str | None = None
    #: As the provider reports it, else the client's as a whole.
    token_count: TokenCount | None = None
    usage: Usage = Usage()
    answered: Answered = Answered()

    def metadata(self) -> dict[str, Any]:
        """Build the `metadata` object of the API."""
        answered = self.answered
        found = {
            **answered.details,
            "finish_reason": answered.finish_reason,
            "stop_reason": answered.stop_reason,
            "response_id": answered.response_id,
            "streamed": answered.streamed,
            "truncated": answered.truncated,
            "refusal": answered.refusal,
            "tool_calls": msgspec.to_builtins(answered.tool_calls),
            "error": msgspec.to_builtins(answered.error),
        }
        if self.item is not None and self.item.metadata is not None:
            found["client"] = _without_nul(self.item.metadata, dict[str, Any])
        return found


def extract(raw: bytes) -> Extraction:
    """Read one item as it was received: per field what its bodies yield, else what the client sent."""
    try:
        item = parse_item(raw)
    except (IngateError, *UNREADABLE) as error:
        return Extraction(reason=column_text(f"the item cannot be read: {error}"))
    reading = shapes.read(item.path, item.status_code, item.request_body, item.response_body)
    asked, answered = reading.asked, reading.answered
    if _NUL in raw or _SEALED in raw:
        asked, answered = _without_nul(asked, Asked), _without_nul(answered, Answered)
    sources: dict[Field, Source] = {}
    model = _first(
        sources,
        "model",
        ("request", asked.model),
        ("path", reading.path_model),
        ("response", answered.model),
        ("client", item.model),
    )
    prompt = _first(sources, "prompt", ("request", asked.prompt), ("client", item.prompt))
    completion = _first(sources, "completion", ("response", answered.completion), ("client", item.completion))
    token_count, counted_by = _token_count(answered, item)
    if counted_by:
        sources["token_count"] = counted_by
    return Extraction(
        item=item,
        shape=reading.shape.name if reading.shape else None,
        status=_status(sources),
        reason=reading.reason,
        sources=sources,
        provider=column_text(item.provider or reading.provider or "") or None,
        model=model,
        request_model=asked.model,
        response_model=answered.model,
        prompt=prompt,
        completion=completion,
        system=asked.system,
        token_count=token_count,
        usage=answered.usage,
        answered=answered,
    )


def conversation(raw: bytes) -> list[Message]:
    """Derive the conversation of one item; the client's own fields stand in for what its bodies do not tell."""
    extraction = extract(raw)
    item = extraction.item
    if item is None:
        return []
    messages = shapes.conversation(extraction.shape, extraction.answered.error, item.request_body, item.response_body)
    if extraction.sources.get("prompt") == "client":
        messages.insert(0, _clients("user", item.prompt))
    if extraction.sources.get("completion") == "client":
        messages.append(_clients("assistant", item.completion))
    return messages


def _clients(role: str, text: str | None) -> Message:
    return Message(role=role, parts=(Text(text=text or ""),), source="client")


def _first(sources: dict[Field, Source], field: Field, *candidates: tuple[Source, str | None]) -> str | None:
    """Return the first text that is there, and note where it came from."""
    for source, text in candidates:
        if text:
            sources[field] = source
            return column_text(text)
    return None


def _token_count(answered: Answered, item: Item) -> tuple[TokenCount | None, Source | None]:
    tokens = answered.tokens
    if tokens != Tokens():
        return TokenCount(prompt=tokens.prompt, completion=tokens.completion, total=tokens.total), "response"
    return item.client_tokens, "client" if item.client_tokens else None


def _status(sources: dict[Field, Source]) -> Status:
    if not sources:
        return "none"
    if "client" not in sources.values():
        return "extracted"
    return "fallback" if set(sources.values()) == {"client"} else "mixed"


def _without_nul(value: T, kind: type[T]) -> T:
    """Replace NUL in every text and key, in the JSON text: no nesting is too deep there."""
    raw = msgspec.json.encode(value)
    return value if _NUL not in raw else msgspec.json.decode(_NUL_ESCAPE.sub(rb"\1\\ufffd", raw), type=kind)
