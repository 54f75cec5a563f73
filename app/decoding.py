"""JSON as it really arrives, read without loss of what can be read. Used by intake and by the shapes.

msgspec reads first: it is strict and quick. What it refuses is parsed once more by the standard library, which
takes the lone surrogates that truncating clients produce; only what neither can read is malformed.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import msgspec

T = TypeVar("T")

#: Nesting beyond this refuses a request: deeper documents exhaust the stack of one reader or another.
MAX_DEPTH = 512

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(b for b in range(256) if b not in b"[]{}")
_SPACE = re.compile(r"[ \t\n\r]*")
#: Every escape of a JSON text; the groups take surrogates: a whole pair, or one that is alone.
_ESCAPES = re.compile(rb"\\(?:(u[dD][89abAB]..\\u[dD][c-fC-F]..)|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


class Malformed(ValueError):
    """The bytes are not JSON; `offset` is the byte where reading stopped, when known."""

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason)
        self.offset = offset


class TooDeep(ValueError):
    """The document is nested deeper than MAX_DEPTH."""


def decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode with a typed decoder; lone surrogates become U+FFFD.

    Raises msgspec.ValidationError when the document is JSON of another type, Malformed or TooDeep when it is not
    readable at all.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decoder.decode(repaired(bytes(raw)))


def repaired(raw: bytes) -> bytes:
    """Return a document that only a lenient parser reads with U+FFFD for its lone surrogates, else unchanged.

    Raises Malformed or TooDeep.
    """
    try:
        strict_decoder().decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed("invalid UTF-8", error.start) from None
    except json.JSONDecodeError as error:
        offset = len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
        raise Malformed(error.msg, offset) from None
    except RecursionError:
        raise TooDeep(f"nested deeper than {MAX_DEPTH}") from None
    return _ESCAPES.sub(lambda escape: rb"\ufffd" if escape.group(2) else escape.group(), raw)


def strict_decoder() -> json.JSONDecoder:
    """The standard library's decoder without its extensions: NaN and Infinity raise Malformed."""
    return json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_keep_int)


def members(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each member's name and where its value begins and ends, of a valid JSON object; equal names too."""
    decoder = strict_decoder()
    at = skip_space(text, skip_space(text, 0) + 1)
    while text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        start = skip_space(text, skip_space(text, at) + 1)
        _, end = decoder.raw_decode(text, start)
        yield name, start, end
        at = skip_space(text, end)
        if text[at] == ",":
            at = skip_space(text, at + 1)


def skip_space(text: str, at: int) -> int:
    """Return where the white space that begins at `at` ends."""
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which no text column or encoder takes, by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def column_text(text: str) -> str:
    """Return the text as both databases can hold it: no NUL (PostgreSQL refuses it, SQLite stops at it)."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def check_depth(raw: bytes, outer: int = 0) -> None:
    """Raise TooDeep when the document is nested deeper than MAX_DEPTH; costs two counts for the usual one.

    outer: levels that it is nested in already.
    """
    if raw.count(b"[") + raw.count(b"{") + outer <= MAX_DEPTH:
        return
    depth = outer
    for bracket in _STRINGS.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise TooDeep(f"nested deeper than {MAX_DEPTH}")


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


def _keep_int(digits: str) -> Any:
    # int() refuses more than 4,300 digits; no field of ours is that large, so the exact digits do not matter here.
    return int(digits) if len(digits) < 4000 else float(digits)
