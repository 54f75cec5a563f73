"""A conversation as its page shows it: cards with bounded texts, and every tool call together with its result."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from app.shapes.conversation import Message, Part
from web.format import pretty
from web.pages.bodies import SHOWN_BYTES, Shown, beginning, without_base64

#: Cards of a long conversation: its beginning, and its end, which is what people look for.
FIRST_CARDS, LAST_CARDS = 20, 130
#: Texts of one page; when it is used up, only beginnings are shown.
PAGE_BYTES = 1024 * 1024
_SHORT_BYTES = 1024
#: A system text up to here is shown open.
_OPEN_CHARS, _OPEN_LINES = 480, 6
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool"})
_CALLS = frozenset({"tool_call", "server_tool_call"})
_RESULTS = frozenset({"tool_result", "server_tool_result"})


class Piece(NamedTuple):
    """One part of a card; `kind` names the partial that shows it."""

    kind: str
    part: Part
    #: The part's text, where it has one.
    shown: Shown | None
    #: Of a tool call: what the tool gave back; of a result: its parts.
    inner: "tuple[Piece, ...]" = ()


class Card(NamedTuple):
    """One message."""

    message: Message
    #: The role, where it is one that has a colour and an icon.
    look: str
    pieces: tuple[Piece, ...]

    @property
    def long(self) -> bool:
        """Whether its text takes more than a glance."""
        texts = [piece.shown.text for piece in self.pieces if piece.shown]
        return sum(map(len, texts)) > _OPEN_CHARS or sum(text.count("\n") for text in texts) >= _OPEN_LINES

    @property
    def first_line(self) -> str:
        """The beginning of its text."""
        text = next((piece.shown.text for piece in self.pieces if piece.shown), "")
        return " ".join(text[:400].split())[:160]


class Conversation(NamedTuple):
    """The cards that are shown; `hidden` many are left out after the first `FIRST_CARDS`."""

    cards: list[Card]
    total: int
    hidden: int

    @property
    def split(self) -> int:
        """After how many cards some are left out."""
        return FIRST_CARDS


def conversation_of(messages: Sequence[Message], show_all: bool) -> Conversation:
    """Return the cards of a conversation."""
    joined = _Joined(messages)
    kept = [message for message in messages if joined.left(message) or not message.parts]
    hidden = 0 if show_all else max(0, len(kept) - FIRST_CARDS - LAST_CARDS)
    chosen = kept[:FIRST_CARDS] + kept[FIRST_CARDS + hidden :]
    builder = _Builder(joined)
    return Conversation([builder.card(message) for message in chosen], len(messages), hidden)


class _Joined:
    """Which result belongs to which call: the first one after it with its id."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._by_call: dict[int, Part] = {}
        self._taken: set[int] = set()
        waiting: dict[str, Part] = {}
        for part in (part for message in messages for part in message.parts):
            if part.kind in _CALLS and getattr(part, "id", None):
                waiting[part.id] = part  # type: ignore[attr-defined]  # calls have it
            elif part.kind in _RESULTS and getattr(part, "call_id", None) in waiting:
                call = waiting.pop(part.call_id)  # type: ignore[attr-defined]  # results have it
                self._by_call[id(call)] = part
                self._taken.add(id(part))

    def result_of(self, call: Part) -> Part | None:
        """Return the result of a call, if there is one."""
        return self._by_call.get(id(call))

    def left(self, message: Message) -> list[Part]:
        """Return the parts of a message that are not shown with their call."""
        return [part for part in message.parts if id(part) not in self._taken]


class _Builder:
    """Makes cards within the page's budget of text."""

    def __init__(self, joined: _Joined) -> None:
        self._joined = joined
        self._budget = PAGE_BYTES

    def card(self, message: Message) -> Card:
        look = message.role if message.role in _ROLES else "other"
        return Card(message, look, self._pieces(self._joined.left(message)))

    def _pieces(self, parts: Iterable[Part]) -> tuple[Piece, ...]:
        return tuple(self._piece(part) for part in parts)

    def _piece(self, part: Part) -> Piece:
        inner: Iterable[Part] = getattr(part, "parts", ())
        if part.kind in _CALLS:
            result = self._joined.result_of(part)
            inner = (result,) if result is not None else ()
        text = _text(part)
        shown = None if text is None else self._shown(text)
        kind = part.kind.removeprefix("server_")
        return Piece("media" if kind in ("image", "audio", "file") else kind, part, shown, self._pieces(inner))

    def _shown(self, text: str) -> Shown:
        shown = beginning(text, SHOWN_BYTES if self._budget > 0 else _SHORT_BYTES)
        self._budget -= shown.shown_bytes
        return shown


def _text(part: Part) -> str | None:
    if part.kind in _CALLS:
        return _arguments(getattr(part, "arguments", None))
    if part.kind == "other":
        return str(getattr(part, "json", ""))
    text = getattr(part, "text", None)
    return text if isinstance(text, str) else None


def _arguments(value: Any) -> str | None:
    """Return a call's arguments for reading: JSON in a string is taken as JSON."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return str(value)
    return without_base64(pretty(value))
