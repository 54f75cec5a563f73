"""Items masked as JSON: before they are stored, where the project wants it, and before they enter a page. Pure.

Only the JSON strings that hold a match change; every other byte stays. A string may itself hold JSON or an event
stream, escaped once more, as deep as it goes. A number that is a card becomes a string. Names of members are masked
too, and stay different from each other. In a stream a secret comes in pieces: its mask takes the place of the first.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from app import decoding
from app.masking import Found, Mask, find, finds, mask_text

T = TypeVar("T")

#: Members that are no free text. The client's own request id is how a replay is known, so it is never masked.
_KEPT = frozenset(
    {"request_id", "started_at", "status_code", "latency_ms", "time_to_first_token_ms", "token_count"},
)
#: Strings, with the colon that makes one a member's name, and numbers. A string that is cut takes all the rest.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"(\s*:)?|\\?\Z)|-?[0-9][0-9.eE+-]*', re.DOTALL)
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"(\s*:)?', re.DOTALL)
#: Shorter tokens hold nothing that is masked.
_SHORTEST = 5
#: Escapes of ASCII characters, however deep: the quick look must see what they stand for.
_ASCII_ESCAPE = re.compile(rb"(?<!\\)\\++u00([0-7][0-9a-fA-F])")
#: Names that say what their value is.
_TELLING = re.compile(
    r"(?:(?:aws|secret)[a-z0-9_.-]{0,30}key|(?:security|session)_?token|(?:account|shared_?access)_?(?:key|signature))\Z",
    re.IGNORECASE,
)
#: What a stream of chunks has in its text; and what a document has of which a string is one.
_STREAM = re.compile(r'delta|"bytes"')
_STREAM_INSIDE = 'delta\\"'
_EVENT = re.compile(r"(?:\A|[\r\n])data: ?(\{[^\r\n]*)")
_SEALED = re.compile(r'"bytes"\s*:\s*"([A-Za-z0-9+/]+={0,2})"')
#: Members of a chunk that carry a piece of a longer text, and those that tell of which one.
_PIECES = frozenset(
    {"delta", "content", "text", "arguments", "partial_json", "thinking", "reasoning", "reasoning_content", "refusal"}
)
_PLACES = ("type", "item_id", "index", "output_index", "content_index", "summary_index")
_UNREADABLE = (ValueError, RecursionError)


def mask_item(raw: bytes, masks: Mask) -> bytes:
    """Return an item with what the masks match replaced; the very same bytes where there is nothing.

    The bytes must be a JSON object. What comes out is one too, and an exchange if it was.
    """
    if not _may_hold(raw, masks):
        return raw
    text = raw.decode("utf-8")
    masker = _Masker(masks)
    parts, kept_to = [], 0
    for name, start, end in decoding.members(text):
        value = text[start:end]
        parts += [masker.document(text[kept_to:start]), value if name in _KEPT else masker.document(value)]
        kept_to = end
    masked = "".join([*parts, text[kept_to:]])
    return raw if masked == text else masked.encode("utf-8")


def mask_json(raw: bytes, masks: Mask = Mask.SECRETS) -> bytes:
    """Return a JSON document with what the masks match replaced; the very same bytes where there is nothing."""
    if not _may_hold(raw, masks):
        return raw
    text = raw.decode("utf-8")
    masked = _Masker(masks).document(text)
    return raw if masked == text else masked.encode("utf-8")


def mask_pointer(pointer: str, masks: Mask = Mask.SECRETS) -> str:
    """Return a JSON Pointer (RFC 6901) with what the masks match in the names that it leads along replaced."""
    names = (name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/"))
    return "/".join(mask_text(name, masks).replace("~", "~0").replace("/", "~1") for name in names)


def mask_value(value: T, masks: Mask = Mask.SECRETS) -> T:
    """Return a value with what the masks match replaced in all of its texts; the very same where there is nothing."""
    masked: Any = value
    match value:
        case str():
            masked = _Masker(masks).text(value)
        case msgspec.Struct():
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            changed = {name: mask_value(field, masks) for name, field in fields.items()}
            masked = value if fields == changed else msgspec.structs.replace(value, **changed)
        case tuple():
            masked = tuple(mask_value(member, masks) for member in value)
        case list() if value and isinstance(value[0], msgspec.Struct):
            masked = [mask_value(member, masks) for member in value]
        case list() | dict():
            raw = msgspec.json.encode(value)
            kept = mask_json(raw, masks)
            masked = value if kept is raw else msgspec.json.decode(kept)
    return masked  # type: ignore[no-any-return]  # of the type that it had


def _may_hold(raw: bytes, masks: Mask) -> bool:
    """Whether there may be something to mask. Of a stream only the pieces, put together, can tell."""
    return bool(masks) and (b"delta" in raw or b'"bytes"' in raw or _looks(raw, masks))


def _looks(raw: bytes, masks: Mask) -> bool:
    """Whether something is to be masked in one piece, escaped or not."""
    return finds(raw, masks) or (b"\\u00" in raw and finds(_ASCII_ESCAPE.sub(_unescaped, raw), masks))


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape.group(1), 16)])


class _Masker:
    """Masks the documents of one item."""

    def __init__(self, masks: Mask) -> None:
        self._masks = masks
        #: Names of members that were masked, so that two which differ stay different.
        self._names: dict[str, str] = {}
        self._equal: Counter[str] = Counter()
        #: The last name, and where it ended.
        self._name = ("", 0)

    def document(self, text: str) -> str:
        """Mask a JSON document, or a part of one."""
        if _STREAM_INSIDE in text or self._looks(text):
            text = _TOKENS.sub(self._token, text)
        return _mask_stream(text, self._masks) if _STREAM.search(text) else text

    def text(self, text: str) -> str:
        """Mask what a string says."""
        nested = '"' in text and ("{" in text or "[" in text)
        if nested and (_STREAM_INSIDE in text or self._looks(text)):
            text = _TOKENS.sub(self._token, text)
        text = mask_text(text, self._masks)
        return _mask_stream(text, self._masks) if nested and _STREAM.search(text) else text

    def _looks(self, text: str) -> bool:
        return _looks(text.encode("utf-8", "surrogatepass"), self._masks)

    def _token(self, match: re.Match[str]) -> str:
        token, colon = match.group(), match.group(1)
        if not token.startswith('"'):
            masked = mask_text(token, self._masks & Mask.CARDS)
            return token if masked == token else f'"{masked}"'
        text = _said(token[: len(token) - len(colon or "")])
        if text is None:
            return token
        if colon is None:
            masked = self._value(text, match)
            return token if masked == text else json.dumps(masked)
        masked = self._member(text)
        self._name = text, match.end()
        return token if masked == text else json.dumps(masked) + colon

    def _value(self, text: str, match: re.Match[str]) -> str:
        if len(text) < _SHORTEST:
            return text
        name, end = self._name
        telling = _TELLING.search(name)
        if telling is not None and match.string[end : match.start()].strip() == "":
            said = f"{telling.group()}="
            text = mask_text(said + text, self._masks).removeprefix(said)
        return self.text(text)

    def _member(self, name: str) -> str:
        masked = self._names.get(name) or self.text(name)
        if masked != name and name not in self._names:
            self._equal[masked] += 1
            masked += f"#{self._equal[masked]}" * (self._equal[masked] > 1)
            self._names[name] = masked
        return masked


def _said(string: str) -> str | None:
    """What a JSON string says; None for what is none, between the strings of a text that is not quite JSON."""
    if "\\" not in string:
        return string[1:-1] if len(string) > 1 and string.endswith('"') else None
    try:
        return str(json.loads(string, strict=False))
    except ValueError:
        return None


class _Piece(NamedTuple):
    """A string of a chunk: where in the chunk's text it is, and what it says."""

    chunk: int
    start: int
    end: int
    said: bytes


class _Chunk(NamedTuple):
    """A chunk of a stream: where in the text it is, its JSON, and how that is written there."""

    start: int
    end: int
    json: str
    written: Callable[[str], str]


def _mask_stream(text: str, masks: Mask) -> str:
    """Mask what the chunks of a stream say together: the events of a text, or the members of a list."""
    chunks = list(_chunks(text))
    edits: dict[int, list[tuple[_Piece, bytes]]] = {}
    for pieces in _by_place(chunks).values():
        for piece, said in zip(pieces, _mask_pieces([piece.said for piece in pieces], masks), strict=True):
            if said != piece.said:
                edits.setdefault(piece.chunk, []).append((piece, said))
    parts, kept_to = [], 0
    for number in sorted(edits):
        chunk = chunks[number]
        parts += [text[kept_to : chunk.start], chunk.written(_edited(chunk.json, sorted(edits[number])))]
        kept_to = chunk.end
    return "".join([*parts, text[kept_to:]])


def _edited(document: str, edits: Sequence[tuple[_Piece, bytes]]) -> str:
    parts, kept_to = [], 0
    for piece, said in edits:
        parts += [document[kept_to : piece.start], json.dumps(said.decode("utf-8", "surrogatepass"))]
        kept_to = piece.end
    return "".join([*parts, document[kept_to:]])


def _chunks(text: str) -> Iterator[_Chunk]:
    if not text.startswith("["):
        for event in _EVENT.finditer(text):
            yield _Chunk(*event.span(1), event.group(1), str)
        return
    for start, end in _members(text):
        member = text[start:end]
        try:
            if member.startswith('"'):
                yield _Chunk(start, end, *_of_text(json.loads(member)))
            elif member.startswith("{"):
                yield _Chunk(start, end, *_of_envelope(member))
        except ValueError:
            yield _Chunk(start, end, member, str)


def _of_text(said: str) -> tuple[str, Callable[[str], str]]:
    """The JSON in a chunk that is a text: the whole, or what follows `data:`."""
    start, end = said.find("{"), said.rfind("}") + 1
    return said[start:end], lambda document: json.dumps(said[:start] + document + said[end:])


def _of_envelope(member: str) -> tuple[str, Callable[[str], str]]:
    """The JSON of a chunk; in Bedrock's event stream it is base64 in an envelope."""
    sealed = _SEALED.search(member)
    if sealed is None:
        return member, str
    opened, (start, end) = base64.b64decode(sealed.group(1), validate=True).decode(), sealed.span(1)
    return opened, lambda document: member[:start] + base64.b64encode(document.encode()).decode() + member[end:]


def _mask_pieces(pieces: Sequence[bytes], masks: Mask) -> list[bytes]:
    """Mask what pieces say together; the mask is in the piece where the match begins."""
    said = list(pieces)
    while found := list(find(b"".join(said), masks)):
        said = list(_replaced(said, found))
    return said


def _replaced(pieces: Sequence[bytes], found: Sequence[Found]) -> Iterator[bytes]:
    at, number = 0, 0
    for piece in pieces:
        kept, kept_to, end_at = [], 0, at + len(piece)
        while number < len(found) and found[number].start < end_at:
            start, end, label = found[number]
            if start >= at:
                kept += [piece[kept_to : start - at], label]
            kept_to = min(end, end_at) - at
            if end > end_at:
                break
            number += 1
        yield b"".join([*kept, piece[kept_to:]])
        at = end_at


def _by_place(chunks: Sequence[_Chunk]) -> dict[tuple[Any, ...], list[_Piece]]:
    """The pieces of each text that the chunks tell, by the place in them."""
    decoder = decoding.strict_decoder()
    places: dict[tuple[Any, ...], list[_Piece]] = {}
    for number, chunk in enumerate(chunks):
        try:
            document = decoder.decode(chunk.json)
            told = list(_strings(document, tuple(str(document.get(name)) for name in _PLACES)))
        except (*_UNREADABLE, AttributeError):
            continue
        tokens = [token.span() for token in _STRINGS.finditer(chunk.json) if token.lastindex is None]
        if len(tokens) != len(told):
            continue  # a name that is there twice
        for (place, text), (start, end) in zip(told, tokens, strict=True):
            if text and not _PIECES.isdisjoint(place):
                said = text.encode("utf-8", "surrogatepass")
                places.setdefault(place, []).append(_Piece(number, start, end, said))
    return places


def _strings(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield every string of a document in the order of its text, with the names and numbers that lead to it."""
    match value:
        case str():
            yield place, value
        case dict():
            for name, member in value.items():
                yield from _strings(member, (*place, name))
        case list():
            for number, member in enumerate(value):
                index = member.get("index", number) if isinstance(member, dict) else number
                yield from _strings(member, (*place, str(index)))


def _members(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each member of a list begins and ends; stop where the text is no JSON."""
    decoder, at = decoding.strict_decoder(), 1
    while True:
        start = decoding.skip_space(text, at)
        try:
            _, end = decoder.raw_decode(text, start)
        except _UNREADABLE:
            return
        yield start, end
        at = decoding.skip_space(text, end) + 1
