"""Reading an ingest request: which items are exchanges, which are refused and why. Pure: bytes in, decisions out.

The request must be JSON as a whole; after that, one bad item never touches its neighbours. Bodies are not looked
into: an item is cut out of the request as the bytes that came.
"""

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from app import decoding, redaction
from app.errors import IngateError, InvalidItem, InvalidRequest, TooLarge
from app.exchange import Item, parse_item
from app.masked_items import mask_item, mask_pointer
from app.masking import Mask, mask_text

BOM = b"\xef\xbb\xbf"
MAX_TAG_CHARS = 256
NO_MASKING = Mask(0)
#: An item of a batch is in an object and a list.
_ITEM_DEPTH = 2
#: Namespace of the request ids that an Idempotency-Key makes (any fixed UUID will do).
_IDEMPOTENCY = uuid.UUID("5e0c1b7a-6a53-4f0e-9f3e-0d8f2f6a7b11")


class Limits(NamedTuple):
    """Sizes that a request must keep to; each is a setting and is named in the error."""

    item_bytes: int
    batch_items: int


class Defaults(NamedTuple):
    """What the request's headers say for items that do not say it themselves."""

    user_id: str | None = None
    session_id: str | None = None
    idempotency_key: str | None = None


class Accepted(NamedTuple):
    """An item that will be stored."""

    position: int
    request_id: str
    #: The bytes to store, without credential headers and masked, and the digest of the bytes received.
    raw: bytes
    digest: bytes
    #: What was masked in them, where there was something.
    masking: Mask
    item: Item
    user_id: str | None
    session_id: str | None
    #: JSON object of the other tags.
    tags: str | None
    #: Milliseconds since 1970 UTC.
    started_at: int | None


class Refused(NamedTuple):
    """An item that will not be stored, and why."""

    position: int
    request_id: str | None
    error: IngateError


class _Batch(msgspec.Struct):
    exchanges: list[msgspec.Raw]


_BATCH = msgspec.json.Decoder(_Batch)
_PEEK = msgspec.json.Decoder(dict[str, Any])
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def read_single(body: bytes, limits: Limits, defaults: Defaults, masking: Mask = NO_MASKING) -> Accepted:
    """Read a request that is one item; `masking` is replaced in what is stored of it.

    Raises InvalidRequest when it is not JSON, InvalidItem or TooLarge when it is not an exchange.
    """
    body = _checked(body)
    _check_depth(body)
    _refuse_malformed(body)
    return _accept(0, body, limits, defaults, masking)


def read_batch(body: bytes, limits: Limits, defaults: Defaults, masking: Mask = NO_MASKING) -> list[Accepted | Refused]:
    """Read a request of the form {"exchanges": [item, …]}; the answer has one entry per item, in order.

    `masking` is replaced in what is stored of an item, and in what is said of a refused one.

    Raises InvalidRequest when it is not JSON, InvalidItem when it is not such an object, TooLarge when it has too
    many items.
    """
    items = _split(_checked(body))
    for raw in items:
        _check_depth(raw, outer=_ITEM_DEPTH)
    if not items:
        raise InvalidItem("exchanges is empty: nothing to accept", error_code="empty_batch", pointer="/exchanges")
    if len(items) > limits.batch_items:
        raise TooLarge(
            f"{len(items)} items; a batch takes at most {limits.batch_items} (INGATE_MAX_BATCH_ITEMS)",
            error_code="batch_too_large",
        )
    return [_read_item(position, raw, limits, defaults, masking) for position, raw in enumerate(items)]


def _read_item(position: int, raw: bytes, limits: Limits, defaults: Defaults, masking: Mask) -> Accepted | Refused:
    try:
        return _accept(position, raw, limits, defaults, masking)
    except IngateError as error:
        # A pointer names the members that lead to what is wrong, and those are the client's.
        error.detail, error.pointer = (
            mask_text(error.detail, masking),
            error.pointer and mask_pointer(error.pointer, masking),
        )
        return Refused(position, _own_request_id(raw), error)


def _accept(position: int, raw: bytes, limits: Limits, defaults: Defaults, masking: Mask) -> Accepted:
    if len(raw) > limits.item_bytes:
        raise TooLarge(
            f"{len(raw)} bytes; an item takes at most {limits.item_bytes} (INGATE_MAX_ITEM_BYTES)",
            error_code="item_too_large",
            pointer="",
        )
    item = parse_item(raw)
    kept = redaction.without_credentials(raw, item.request_headers, item.response_headers)
    masked = mask_item(kept, masking)
    if masked is not kept:
        item = parse_item(masked)
    tags = {name: decoding.column_text(value) for name, value in (item.tags or {}).items()}
    user_id = tags.pop("user_id", None) or _masked(defaults.user_id, masking)
    session_id = tags.pop("session_id", None) or _masked(defaults.session_id, masking)
    return Accepted(
        position=position,
        request_id=item.request_id or _new_request_id(position, defaults),
        raw=masked,
        digest=hashlib.blake2b(raw, digest_size=16).digest(),
        masking=masking,
        item=item,
        user_id=user_id,
        session_id=session_id,
        tags=json.dumps(tags, ensure_ascii=False) if tags else None,
        started_at=None if item.started_at is None else _milliseconds(item.started_at),
    )


def _masked(text: str | None, masking: Mask) -> str | None:
    return text and mask_text(text, masking)


def _new_request_id(position: int, defaults: Defaults) -> str:
    if defaults.idempotency_key is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_IDEMPOTENCY, f"{position}:{defaults.idempotency_key}"))


def _own_request_id(raw: bytes) -> str | None:
    """The request id of a refused item, when it can be read and shown."""
    try:
        request_id = decoding.decode(raw, _PEEK).get("request_id")
    except (ValueError, RecursionError):
        return None
    return request_id[:255] if isinstance(request_id, str) else None


def _milliseconds(moment: dt.datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    try:
        return (moment.astimezone(dt.UTC) - _EPOCH) // dt.timedelta(milliseconds=1)
    except OverflowError:
        detail = "started_at: in UTC this is not within the years 1 to 9999"
        raise InvalidItem(detail, error_code="out_of_range", pointer="/started_at") from None


def _checked(body: bytes) -> bytes:
    """Return the body without BOM and outer white space, once it is known to be UTF-8."""
    body = body.removeprefix(BOM).strip(b" \t\r\n")
    if not body:
        raise InvalidRequest("the request has no body", error_code="empty_body")
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"not UTF-8 at byte {error.start}", error_code="invalid_utf8") from None
    return body


def _check_depth(document: bytes, outer: int = 0) -> None:
    """Refuse the request for it. Items are looked at one by one: counting ends there, as a batch has many brackets."""
    try:
        decoding.check_depth(document, outer)
    except decoding.TooDeep as error:
        raise _too_deep(error) from None


def _refuse_malformed(body: bytes) -> None:
    """Raise InvalidRequest unless the body is JSON."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        for _ in _strictly(body):
            pass


def _split(body: bytes) -> list[bytes]:
    try:
        return [bytes(raw) for raw in _BATCH.decode(body).exchanges]
    except msgspec.ValidationError:
        _check_depth(body)
        _refuse_malformed(body)
        raise _wrong_shape() from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        items = list(_strictly(body))
    try:
        decoding.decode(body, _BATCH)
    except msgspec.ValidationError:
        raise _wrong_shape() from None
    return items


def _strictly(body: bytes) -> Iterator[bytes]:
    """Yield the items of a request that only the standard library reads (lone surrogates), or say what is wrong."""
    text = body.decode("utf-8")
    try:
        yield from _items(text)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8"))
        raise InvalidRequest(f"not JSON: {error.msg} at byte {offset}", error_code="malformed_json") from None
    except decoding.Malformed as error:
        raise InvalidRequest(f"not JSON: {error}", error_code="malformed_json") from None
    except (decoding.TooDeep, RecursionError):
        raise _too_deep(decoding.TooDeep(f"nested deeper than {decoding.MAX_DEPTH}")) from None


def _items(text: str) -> Iterator[bytes]:
    decoder, skip = decoding.strict_decoder(), decoding.skip_space
    document, end = decoder.raw_decode(text)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    if not isinstance(document, dict) or not isinstance(document.get("exchanges"), list):
        return
    # Of equal names the last one counts, as it does for every reader.
    at = [start for name, start, _ in decoding.members(text) if name == "exchanges"][-1] + 1
    for position in range(len(document["exchanges"])):
        at = skip(text, at + (position > 0))
        _, end = decoder.raw_decode(text, at)
        yield text[at:end].encode("utf-8")
        at = skip(text, end)


def _wrong_shape() -> InvalidItem:
    return InvalidItem('expected {"exchanges": [item, …]}', error_code="wrong_shape", pointer="/exchanges")


def _too_deep(error: decoding.TooDeep) -> InvalidRequest:
    return InvalidRequest(str(error), error_code="too_deep")
