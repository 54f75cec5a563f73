"""Request and response bodies for reading: indented, bounded, a stream as text, long base64 values shortened."""

import contextlib
import json
import re
from typing import NamedTuple

import msgspec

from app.exchange import present
from web.format import number, visible

#: So much of a body is shown; the raw item has the rest.
SHOWN_BYTES = 64 * 1024
_TALL_CHARS, _TALL_LINES = 6000, 50

_BASE64 = re.compile("[A-Za-z0-9+/_-]{2000,}={0,2}")

#: Escapes of a JSON text after an even number of backslashes.
_ESCAPES = re.compile(r"(?<!\\)((?:\\\\)*)((?:\\u[0-9a-fA-F]{4})+)")
_LAST_PLAIN = 0xFFFF
#: They shape letters and emoji, and are no more hidden than those.
_JOINERS = "\u200c\u200d"


class Shown(NamedTuple):
    """The beginning of a text."""

    text: str
    #: Of the text as it is shown and as it is, in bytes.
    shown_bytes: int
    total_bytes: int

    @property
    def cut(self) -> bool:
        """Whether there is more than is shown."""
        return self.shown_bytes < self.total_bytes

    @property
    def tall(self) -> bool:
        """Whether it would push everything after it out of sight."""
        return len(self.text) > _TALL_CHARS or self.text.count("\n") > _TALL_LINES


class Body(NamedTuple):
    """A body as its tab shows it."""

    shown: Shown
    #: json or text.
    kind: str
    #: Long base64 values that are only named.
    shortened: int


def beginning(text: str, limit: int = SHOWN_BYTES) -> Shown:
    """Return the beginning of a text, cut between characters."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return Shown(visible(text), len(encoded), len(encoded))
    head = encoded[:limit].decode("utf-8", "ignore")
    return Shown(visible(head), limit, len(encoded))


def body_of(raw: msgspec.Raw) -> Body | None:
    """Return a body for reading; None when there is none."""
    if not present(raw):
        return None
    try:
        kind, text = "text", msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind, text = "json", _indented(bytes(raw))
    text, shortened = _BASE64.subn(_named, text)
    return Body(_sized(text, len(raw)), kind, shortened)


def without_base64(text: str) -> str:
    """Return the text with long base64 values only named."""
    return _BASE64.sub(_named, text)


def _sized(text: str, total: int) -> Shown:
    shown = beginning(text)
    # Compared with the body as it was sent: indentation makes it look longer than it is.
    return shown._replace(total_bytes=max(total, shown.shown_bytes + 1)) if shown.cut else shown


def _indented(raw: bytes) -> str:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        raw = msgspec.json.format(raw, indent=2)
    text = raw.decode("utf-8", "replace")
    # Only what can be shown is worth the work.
    head, rest = text[: SHOWN_BYTES * 8], text[SHOWN_BYTES * 8 :]
    return _ESCAPES.sub(_unescaped, head) + rest


def _unescaped(match: re.Match[str]) -> str:
    r"""Write \u escapes as the letters they stand for, except what JSON has to escape and halves of pairs."""
    backslashes, escapes = match.groups()
    letters: str = json.loads(f'"{escapes}"')
    return backslashes + "".join(_letter(letter) for letter in letters)


def _letter(letter: str) -> str:
    kept = letter in '"\\' or not (letter.isprintable() or letter in _JOINERS)
    return f"\\u{ord(letter):04x}" if kept and ord(letter) <= _LAST_PLAIN else letter


def _named(match: re.Match[str]) -> str:
    return f"({number(len(match.group()))} characters of base64)"
