"""A body as it was sent, told apart before any shape reads it: a JSON object, a stream, or other text."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from app import decoding
from app.shapes import sse
from app.shapes.lenient import UNREADABLE, document_of
from app.shapes.plain import object_of

Chunk = dict[str, Any]


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """One body; at most one of object, chunks and text is there."""

    #: The bytes of a JSON object, not decoded yet.
    object: bytes | msgspec.Raw | None = None
    #: The chunks of a stream: SSE text or a list of chunk objects.
    chunks: list[Chunk] | None = None
    #: The stream said itself that it is over: `[DONE]`.
    done: bool = False
    #: A text that is neither: an HTML page, a cut JSON document.
    text: str | None = None
    #: Places inside the body can be pointed at: it was sent as JSON, not as text.
    addressable: bool = True

    @property
    def present(self) -> bool:
        """Whether there is anything to read."""
        return self.object is not None or self.chunks is not None or self.text is not None


ABSENT = Body()
_TEXT = msgspec.json.Decoder(str)
_CHUNKS = msgspec.json.Decoder(list[Chunk])


def body_of(raw: msgspec.Raw | bytes) -> Body:
    """Tell what a body is. Never raises."""
    if not raw:
        return ABSENT
    match memoryview(raw)[0]:
        case 0x7B:  # {
            return Body(object=raw)
        case 0x22:  # "
            return _of_text(_text(raw))
        case 0x5B:  # [
            return _of_list(document_of(raw))
        case 0x6E:  # null
            return ABSENT
        case _:
            return Body(text=bytes(raw).decode("utf-8", "replace"))


def chunk_of(data: str) -> Chunk | None:
    """Read the JSON object of one event. Halves of a surrogate pair are kept, to meet in the joined text."""
    try:
        _check_depth(data)
        return _object(_decoded(data))
    except UNREADABLE:
        return None


def _check_depth(data: str) -> None:
    # Shorter texts cannot be nested deeper.
    if len(data) > decoding.MAX_DEPTH:
        decoding.check_depth(data.encode("utf-8", "surrogatepass"))


def _decoded(data: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return json.loads(data)


def whole(document: Chunk) -> Chunk:
    """Return a folded document that any encoder takes: surrogate pairs joined, lone surrogates replaced."""
    try:
        msgspec.json.encode(document)
    except UNREADABLE:
        text = decoding.without_surrogates(json.dumps(document, ensure_ascii=False))
        return object_of(json.loads(text))
    return document


def _text(raw: msgspec.Raw | bytes) -> str:
    try:
        return decoding.decode(raw, _TEXT)
    except UNREADABLE:
        return ""


def _of_text(text: str) -> Body:
    stripped = text.removeprefix("\ufeff").strip()
    if not stripped:
        return ABSENT
    if stripped[0] in "{[":
        document = document_of(stripped.encode())
        if isinstance(document, dict):
            return Body(object=stripped.encode(), addressable=False)
        if isinstance(document, list):
            return msgspec.structs.replace(_of_list(document), addressable=False)
    return _of_stream(text) if sse.is_stream(text) else Body(text=stripped, addressable=False)


def _of_stream(text: str) -> Body:
    events = list(sse.events(text))
    whole_chunks = _at_once(events)
    chunks = [chunk for event in events for chunk in _chunks_of(event)] if whole_chunks is None else whole_chunks
    done = any("[DONE]" in map(str.strip, event.data.split("\n")) for event in events if "[DONE]" in event.data)
    if not chunks and not done:
        return Body(text=text.strip(), addressable=False)
    return Body(chunks=chunks, done=done, addressable=False)


def _at_once(events: list[sse.Event]) -> list[Chunk] | None:
    """Read the chunks of a stream as one list, in half the time; None where not every event is an object."""
    named = [event for event in events if event.data != "[DONE]"]
    try:
        for event in named:
            _check_depth(event.data)
        chunks = _CHUNKS.decode(f"[{','.join([event.data for event in named])}]")
    except UNREADABLE:
        return None
    if len(chunks) != len(named):
        return None
    for event, chunk in zip(named, chunks, strict=True):
        if event.name:
            chunk.setdefault("type", event.name)
    return chunks


def _chunks_of(event: sse.Event) -> Iterable[Chunk]:
    chunk = chunk_of(event.data)
    # Recorders that drop blank lines leave several events in one: each data line is then a document.
    found = [chunk] if chunk or "\n" not in event.data else map(chunk_of, event.data.split("\n"))
    for member in found:
        if member is not None:
            if event.name:
                member.setdefault("type", event.name)
            yield member


def _of_list(members: Any) -> Body:
    if not isinstance(members, list):
        return ABSENT
    if members and all(isinstance(member, str) for member in members):
        return _of_pieces(members)
    chunks = [_unwrapped(member) for member in members if isinstance(member, dict)]
    if len(chunks) == 1 and set(chunks[0]) == {"error"}:  # Gemini wraps an error body in a list
        return Body(object=msgspec.json.encode(chunks[0]), addressable=False)
    return Body(chunks=chunks, done="[DONE]" in members)


def _of_pieces(pieces: list[str]) -> Body:
    """Read a list of texts: chunks as JSON text, the lines of an event stream, or pieces of its text."""
    if chunk_of(pieces[0]) is not None:
        chunks = [chunk for chunk in map(chunk_of, pieces) if chunk is not None]
        return Body(chunks=chunks, done="[DONE]" in pieces, addressable=False)
    cut_at_lines = not any("\n" in piece for piece in pieces)
    return _of_text(("\n" if cut_at_lines else "").join(pieces))


def _unwrapped(chunk: Chunk) -> Chunk:
    """Open the envelope of Bedrock's event stream: the provider's chunk is base64 in `bytes`."""
    envelope = chunk.get("chunk", chunk)
    data = envelope.get("bytes") if isinstance(envelope, dict) else None
    if not isinstance(data, str):
        return chunk
    try:
        return chunk_of(base64.b64decode(data, validate=True).decode()) or chunk
    except ValueError:
        return chunk


def _object(document: Any) -> Chunk | None:
    return document if isinstance(document, dict) else None
