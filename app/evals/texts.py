"""Evaluators of texts: what a completion (or prompt, or system text) contains, matches, or how long it is.

A text that is not there counts as empty, and the explanation says so.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
import re2

from app.errors import InvalidItem
from app.evals.base import EvaluatorType, Evidence, Scorer, Verdict, failed, passed

Field = Literal["completion", "prompt", "system"]
Phrase = Annotated[str, msgspec.Meta(min_length=1, max_length=10_000)]
Length = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]

#: Memory for one compiled pattern; RE2 refuses what does not fit.
_REGEX_BYTES = 8 << 20


class Phrases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts to look for."""

    values: Annotated[list[Phrase], msgspec.Meta(min_length=1, max_length=100)]
    #: Whether one of them is enough, or all are needed.
    match: Literal["any", "all"] = "any"
    case_sensitive: bool = False
    field: Field = "completion"


class Pattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A regular expression in RE2 syntax: linear time, so no look-around and no back-references."""

    pattern: Phrase
    case_sensitive: bool = True
    field: Field = "completion"


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which text is looked at."""

    field: Field = "completion"


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number of characters (Unicode code points)."""

    characters: Length
    field: Field = "completion"


def _contains(config: Phrases) -> Scorer:
    find = _finder(config)

    def score(evidence: Evidence) -> Verdict:
        missing = [value for value, found in find(evidence) if not found]
        count = len(config.values)
        if not missing:
            return passed(f"the {config.field} contains {_all(count)}")
        if config.match == "any" and len(missing) < count:
            return passed(f"the {config.field} contains {count - len(missing)} of {count} texts")
        share = (count - len(missing)) / count
        return Verdict(
            score=share, explanation=f"{_subject(config.field, evidence)} does not contain {_shown(missing)}"
        )

    return score


def _not_contains(config: Phrases) -> Scorer:
    find = _finder(config)

    def score(evidence: Evidence) -> Verdict:
        present = [value for value, found in find(evidence) if found]
        count = len(config.values)
        if not present:
            return passed(f"{_subject(config.field, evidence)} contains none of {count} texts")
        if config.match == "all" and len(present) < count:
            return passed(f"the {config.field} contains {len(present)} of {count} texts, not all of them")
        return failed(f"the {config.field} contains {_shown(present)}")

    return score


def _finder(config: Phrases) -> Callable[[Evidence], list[tuple[str, bool]]]:
    if config.case_sensitive:
        return lambda evidence: [(value, value in _text(config.field, evidence)) for value in config.values]
    folded = [(value, value.casefold()) for value in config.values]

    def find(evidence: Evidence) -> list[tuple[str, bool]]:
        text = _text(config.field, evidence).casefold()
        return [(value, needle in text) for value, needle in folded]

    return find


def _regex_match(config: Pattern) -> Scorer:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = config.case_sensitive
    options.max_mem = _REGEX_BYTES
    try:
        pattern = re2.compile(config.pattern, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise InvalidItem(
            f"pattern: RE2 does not take it: {reason}",
            error_code="unsupported_pattern",
            pointer="/config/pattern",
        ) from None

    def score(evidence: Evidence) -> Verdict:
        if pattern.search(_text(config.field, evidence)):
            return passed(f"the {config.field} matches {config.pattern[:200]!r}")
        return failed(f"{_subject(config.field, evidence)} does not match {config.pattern[:200]!r}")

    return score


def _is_json(config: Text) -> Scorer:
    def score(evidence: Evidence) -> Verdict:
        try:
            msgspec.json.decode(_text(config.field, evidence).strip())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return failed(f"{_subject(config.field, evidence)} is not JSON: {str(error)[:200]}")
        return passed(f"the {config.field} is JSON")

    return score


def _max_length(config: Limit) -> Scorer:
    def score(evidence: Evidence) -> Verdict:
        length = len(_text(config.field, evidence))
        verdict = passed if length <= config.characters else failed
        return verdict(
            f"{_subject(config.field, evidence)} has {length} characters, at most {config.characters} allowed"
        )

    return score


def _min_length(config: Limit) -> Scorer:
    def score(evidence: Evidence) -> Verdict:
        length = len(_text(config.field, evidence))
        verdict = passed if length >= config.characters else failed
        return verdict(
            f"{_subject(config.field, evidence)} has {length} characters, at least {config.characters} wanted"
        )

    return score


def _text(field: Field, evidence: Evidence) -> str:
    text: str | None = getattr(evidence, field)
    return text or ""


def _subject(field: Field, evidence: Evidence) -> str:
    return f"the {field}" if getattr(evidence, field) is not None else f"the {field}, which is not there,"


def _all(count: int) -> str:
    return "the text" if count == 1 else f"all {count} texts"


def _shown(values: list[str]) -> str:
    shown = ", ".join(repr(value[:80]) for value in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"


CONTAINS = EvaluatorType("contains", "The text contains one of the given texts, or all of them.", Phrases, _contains)
NOT_CONTAINS = EvaluatorType("not_contains", "The text contains none of the given texts.", Phrases, _not_contains)
REGEX_MATCH = EvaluatorType("regex_match", "The text matches a regular expression (RE2).", Pattern, _regex_match)
IS_JSON = EvaluatorType("is_json", "The text is a JSON document.", Text, _is_json)
MAX_LENGTH = EvaluatorType("max_length", "The text has at most so many characters.", Limit, _max_length)
MIN_LENGTH = EvaluatorType("min_length", "The text has at least so many characters.", Limit, _min_length)
