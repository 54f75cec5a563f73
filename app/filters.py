"""The filter language of lists, evaluators and runs: text in, typed terms out. store/filtering.py turns terms into SQL.

    query := term*                       terms are ANDed
    term  := '-'? (key ':' value | word | '"' words '"')      '-' negates; bare words search the texts
    value := alternative (',' alternative)*      a comma is OR
    alternative := cmp number | number '..' number | word, with '*' as wildcard | '"' any text '"'

An unknown key is an error with a suggestion, never ignored and never taken as text.
"""

import difflib
import re
from enum import Enum
from typing import NamedTuple

from app.errors import InvalidItem
from app.search import wanted


class Sort(Enum):
    """What a key's values are."""

    WORDS = "words"

    TEXT = "text"
    NUMBER = "number"
    STATUS = "status"
    FLAG = "flag"


#: Every key and the sort of its values.
KEYS = {
    "text": Sort.WORDS,
    "model": Sort.TEXT,
    "provider": Sort.TEXT,
    "shape": Sort.TEXT,
    "finish": Sort.TEXT,
    "path": Sort.TEXT,
    "user": Sort.TEXT,
    "session": Sort.TEXT,
    "batch": Sort.TEXT,
    "id": Sort.TEXT,
    "status": Sort.STATUS,
    "latency": Sort.NUMBER,
    "tokens": Sort.NUMBER,
    "in_tokens": Sort.NUMBER,
    "out_tokens": Sort.NUMBER,
    "cost": Sort.NUMBER,
    "is": Sort.FLAG,
}
FLAGS = (
    "error", "ok", "streamed", "truncated", "refusal", "tools", "odd", "unpriced", "pending", "failed", "discarded",
    "evaluated",
)  # fmt: skip

_UNITS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "k": 1000}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|k)?")
_TERM = re.compile(r'\s*(-?)([A-Za-z_]+):((?:"(?:[^"\\]|\\.)*"|[^\s",]*)(?:,(?:"(?:[^"\\]|\\.)*"|[^\s",]*))*)(?=\s|$)')
_WORDS = re.compile(r'\s*(-?)("(?:[^"\\]|\\.)*"|[^\s":-][^\s":]*)(?=\s|$)')
_VALUE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",]*)(?:,(?:"(?:[^"\\]|\\.)*"|[^",]*))*')
_ALTERNATIVE = re.compile(r'("(?:[^"\\]|\\.)*"|[^",]*)(?:,|$)')


class Test(NamedTuple):
    """One alternative of a term: `low <= value <= high` for numbers (strict where said), or a text to match."""

    text: str = ""
    #: Whether `text` may hold wildcards.
    glob: bool = False
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False


class Term(NamedTuple):
    """A condition; it holds when any of its tests does, or none where negated."""

    key: str
    negated: bool
    tests: tuple[Test, ...]


def parse(query: str) -> tuple[Term, ...]:
    """Read a query.

    Raises InvalidItem saying which part is wrong and, for an unknown key, which was probably meant.
    """
    terms, at = [], 0
    query = query.rstrip()
    while at < len(query):
        match = _TERM.match(query, at)
        if match is not None:
            terms.append(term(match.group(2).lower(), match.group(3), negated=match.group(1) == "-"))
        elif (match := _WORDS.match(query, at)) is not None:
            terms.append(term("text", match.group(2), negated=match.group(1) == "-"))
        else:
            raise _invalid(f"{query[at:].split()[0][:80]!r} is neither key:value nor a word nor a quoted text")
        at = match.end()
    return tuple(terms)


def term(key: str, value: str, *, negated: bool = False) -> Term:
    """Read one key's value. Raises InvalidItem."""
    if "\0" in value:
        raise _invalid(f"{key[:80]}: no text holds NUL")
    if key == "text":
        return Term(key, negated, (_words(value),))
    if key not in KEYS:
        close = difflib.get_close_matches(key, KEYS, 1)
        raise _invalid(
            f"unknown key {key!r}" + (f": did you mean {close[0]!r}?" if close else f"; keys: {', '.join(KEYS)}")
        )
    if not _VALUE.fullmatch(value):
        raise _invalid(f"{key}: a quotation mark of {value[:80]!r} is out of place")
    alternatives = [match.group(1) for match in _ALTERNATIVE.finditer(value)]
    if len(alternatives) > 1 and not alternatives[-1]:
        alternatives.pop()
    return Term(key, negated, tuple(_test(key, alternative) for alternative in alternatives))


def _words(text: str) -> Test:
    bare = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
    wanted(bare)
    return Test(text=bare)


def _test(key: str, text: str) -> Test:
    if not text:
        raise _invalid(f"{key}: a value is missing")
    sort = KEYS[key]
    if sort is Sort.TEXT:
        if text.startswith('"'):
            return Test(text=re.sub(r"\\(.)", r"\1", text[1:-1]))
        return Test(text=text, glob="*" in text)
    if sort is Sort.FLAG:
        if text not in FLAGS:
            raise _invalid(f"is:{text[:80]} is unknown; one of {', '.join(FLAGS)}")
        return Test(text=text)
    if sort is Sort.STATUS and re.fullmatch(r"[1-5]xx", text):
        return Test(low=int(text[0]) * 100, high=int(text[0]) * 100 + 99)
    return _range(key, text)


def _range(key: str, text: str) -> Test:
    comparison = re.match(r"[<>]=?|=", text)
    if comparison is not None:
        number = _number(key, text[comparison.end() :])
        match comparison.group():
            case ">" | ">=":
                return Test(low=number, low_open=comparison.group() == ">")
            case "<" | "<=":
                return Test(high=number, high_open=comparison.group() == "<")
            case _:
                return Test(low=number, high=number)
    low, dots, high = text.partition("..")
    return Test(low=_number(key, low), high=_number(key, high if dots else low))


def _number(key: str, text: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise _invalid(f"{key}: {text[:80]!r} is not a number")
    return float(match.group(1)) * _UNITS[match.group(2) or ""]


def _invalid(detail: str) -> InvalidItem:
    return InvalidItem(detail, error_code="invalid_query", pointer="/q")
