"""Server-sent events: one fold of a stream's text into its events, for every shape.

It takes what recorders really keep: CR, CRLF or LF, a BOM, comments, data over several lines, and a last event
that was cut.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_FIELD = re.compile(r"(?:^|[\r\n])(?:data|event|id|retry)?:")


class Event(NamedTuple):
    """One event; `data` holds its data lines joined with a line feed."""

    name: str | None
    data: str


def is_stream(text: str) -> bool:
    """Whether a text that is not JSON can be an event stream: some line is a field or a comment."""
    return _FIELD.search(text.removeprefix("\ufeff")) is not None


def events(text: str) -> Iterator[Event]:
    """Yield the events that carry data, in order; the last one even if the stream ends inside it."""
    # Not splitlines(): it also splits at U+2028, which is allowed inside JSON strings.
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    for block in text.removeprefix("\ufeff").split("\n\n"):
        name, lines = _fields(block)
        if lines:
            yield Event(name, "\n".join(lines))


def _fields(block: str) -> tuple[str | None, list[str]]:
    if block.startswith("data: ") and "\n" not in block:  # most blocks of most streams
        return None, [block[6:]]
    name, lines = None, []
    for line in block.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            lines.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ") or None
    return name, lines
