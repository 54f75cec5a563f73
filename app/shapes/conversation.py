"""The normalised conversation: one form for all shapes, derived from the raw item whenever it is read.

Media never appear as text: a part holds their type and size, and `ref`, which is an http(s) URL or a JSON Pointer
into the raw item. What no shape knows is shown as an `other` part, never dropped.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from app.shapes.plain import object_of, text_of, text_or_none
from app.shapes.reading import ProviderError

#: So many characters of what no shape knows are shown; the raw item has the rest.
MAX_JSON: Final = 16_000
_MAX_STRING: Final = 2000
_MAX_DEPTH: Final = 8
_MAX_MEMBERS: Final = 50

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}")
_DATA_URL: Final = re.compile(r"data:(?P<media_type>[^;,]*)(?:;(?!base64,)[^;,]*)*(?P<base64>;base64)?,")
#: Signatures and ciphers mean nothing to a reader.
_SEALED: Final = frozenset({"signature", "encrypted_content", "thought_signature", "encrypted_index"})


class Part(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One part of a message; `kind` says which."""

    @property
    def kind(self) -> str:
        """The part's kind, as in the API."""
        return str(self.__struct_config__.tag)


class Text(Part, frozen=True, kw_only=True, tag="text"):
    """Words that were said."""

    text: str


class Thinking(Part, frozen=True, kw_only=True, tag="thinking"):
    """Reasoning. `redacted`: the provider keeps its text to itself."""

    text: str = ""
    redacted: bool = False


class Call(Part, frozen=True, kw_only=True, tag="tool_call"):
    """The model asks the client to run a tool."""

    id: str | None = None
    name: str | None = None
    arguments: Any = None


class Result(Part, frozen=True, kw_only=True, tag="tool_result"):
    """What the client's tool gave back; the name is that of the call with the same id."""

    call_id: str | None = None
    name: str | None = None
    parts: tuple[Part, ...] = ()
    is_error: bool = False


class ServerCall(Part, frozen=True, kw_only=True, tag="server_tool_call"):
    """The model uses a tool that the provider runs."""

    id: str | None = None
    name: str | None = None
    arguments: Any = None


class ServerResult(Part, frozen=True, kw_only=True, tag="server_tool_result"):
    """What the provider's tool gave back."""

    call_id: str | None = None
    name: str | None = None
    parts: tuple[Part, ...] = ()
    is_error: bool = False


class Media(Part, frozen=True, kw_only=True):
    """Something that is not text, by reference."""

    media_type: str | None = None
    #: Size of the decoded bytes, where they are in the item.
    size: int | None = None
    #: An http(s) URL, or a JSON Pointer into the raw item.
    ref: str | None = None
    #: File name, or the provider's file id.
    name: str | None = None


class Image(Media, frozen=True, kw_only=True, tag="image"):
    """A picture."""


class Audio(Media, frozen=True, kw_only=True, tag="audio"):
    """A recording; its transcript is a text part beside it."""


class File(Media, frozen=True, kw_only=True, tag="file"):
    """A document, a video, or any other file."""


class Citation(Part, frozen=True, kw_only=True, tag="citation"):
    """A source that the answer names."""

    title: str | None = None
    url: str | None = None
    text: str | None = None


class Refusal(Part, frozen=True, kw_only=True, tag="refusal"):
    """The model declines, in its own words where it gives any."""

    text: str = ""


class Failure(Part, frozen=True, kw_only=True, tag="error"):
    """The provider's error."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


class Other(Part, frozen=True, kw_only=True, tag="other"):
    """A part of a type that no shape knows, as JSON: shortened, without base64."""

    type: str | None = None
    json: str = ""
    #: Length of the whole, as JSON.
    size: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: str
    name: str | None = None
    parts: tuple[Part, ...] = ()
    #: Which body it is from; "client" where only the client's own fields tell.
    source: Literal["request", "response", "client"]
    #: Which of several answers it is.
    index: int | None = None
    finish_reason: str | None = None


class Place(NamedTuple):
    """Where something is in the raw item."""

    pointer: str
    #: False inside a stream or a string: a pointer cannot reach in.
    exact: bool = True

    def at(self, *keys: str | int) -> "Place":
        """Return the place of a member."""
        if not self.exact:
            return self
        escaped = (str(key).replace("~", "~0").replace("/", "~1") for key in keys)
        return Place("/".join((self.pointer, *escaped)))


def media(kind: type[Media], data: Any, place: Place, *, media_type: Any = None, name: Any = None) -> Media:
    """Make a media part of a URL, a data URL or base64 text."""
    text, media_type, name = text_of(data), text_or_none(media_type), text_or_none(name)
    if re.match(r"https?://", text, re.IGNORECASE):
        return kind(media_type=media_type, ref=text, name=name)
    if _URL.match(text):  # gs:// and the like: a name, nothing that a browser should follow
        return kind(media_type=media_type, name=text)
    inline = _DATA_URL.match(text)
    payload = text[inline.end() :] if inline else text
    encoded = inline is None or inline["base64"] is not None
    if inline:
        media_type = inline["media_type"] or media_type
    if not payload:
        return kind(media_type=media_type, name=name)
    return kind(media_type=media_type, size=_size(payload, encoded=encoded), ref=place.pointer, name=name)


def _size(payload: str, *, encoded: bool) -> int:
    if not encoded:
        return len(unquote_to_bytes(payload))
    return len(payload.rstrip("=")) * 3 // 4


def thinking(texts: Iterable[Any], *, sealed: bool = False) -> list[Part]:
    """Make one part of the reasoning's pieces; a sealed one without text is redacted."""
    text = "\n\n".join(filter(None, map(text_of, texts)))
    return [Thinking(text=text, redacted=sealed and not text)] if text or sealed else []


def texts(value: Any) -> list[Part]:
    """Make a text part of what is text, none where there is none."""
    return [Text(text=value)] if isinstance(value, str) and value else []


def failure(error: ProviderError) -> Failure:
    """Make an error part of a provider's error."""
    return Failure(type=error.type, code=error.code, message=error.message)


def other(value: Any) -> Other:
    """Show what no shape knows; a text as it is."""
    if isinstance(value, str):
        return Other(json=value[:MAX_JSON], size=len(value))
    size = len(msgspec.json.encode(value))
    pretty = msgspec.json.format(msgspec.json.encode(_shortened(value, _MAX_DEPTH)), indent=2).decode()
    if len(pretty) > MAX_JSON:
        pretty = f"{pretty[:MAX_JSON]}…"
    return Other(type=text_or_none(object_of(value).get("type")), json=pretty, size=size)


def _shortened(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _shortened_text(value)
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        return "…"
    if isinstance(value, dict):
        members = list(value.items())[:_MAX_MEMBERS]
        return {key: "…" if key in _SEALED else _shortened(member, depth - 1) for key, member in members}
    return [_shortened(member, depth - 1) for member in value[:_MAX_MEMBERS]]


def _shortened_text(text: str) -> str:
    if text.startswith("data:") or _BASE64.fullmatch(text):
        return f"({len(text)} characters of data)"
    return text if len(text) <= _MAX_STRING else f"{text[:_MAX_STRING]}… ({len(text)} characters)"


def named_results(messages: Iterable[Message]) -> list[Message]:
    """Give every tool result the name of the call that it answers: the last one before it with its id."""
    names: dict[str, str | None] = {}
    return [
        msgspec.structs.replace(message, parts=tuple(_named(part, names) for part in message.parts))
        for message in messages
    ]


def _named(part: Part, names: dict[str, str | None]) -> Part:
    """Name a result; a call is remembered for the results after it."""
    if isinstance(part, (Call, ServerCall)) and part.id:
        names[part.id] = part.name
    if isinstance(part, (Result, ServerResult)) and part.name is None and part.call_id in names:
        return msgspec.structs.replace(part, name=names[part.call_id])
    return part
