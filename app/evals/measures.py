"""Evaluators of measures: latency, tokens, status code. A measure that is not known gives no score, and says so."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from app.errors import InvalidItem
from app.evals.base import EvaluatorType, Evidence, Scorer, Verdict, failed, passed, unscored

_CLASSES = {f"{digit}xx": range(digit * 100, digit * 100 + 100) for digit in range(1, 6)}


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slowest that passes."""

    milliseconds: Annotated[float, msgspec.Meta(gt=0, le=86_400_000)]


class TokenLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most tokens that pass."""

    tokens: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    #: Which count, as the provider reports it.
    bucket: Literal["prompt", "completion", "total"] = "total"


class Statuses(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Status codes that pass: exact (200), a class ("2xx") or a range ("200-299")."""

    expected: Annotated[list[int | str], msgspec.Meta(min_length=1, max_length=100)]


def _latency_max(config: Latency) -> Scorer:
    def score(evidence: Evidence) -> Verdict:
        if evidence.latency_ms is None:
            return unscored("latency_ms was not sent")
        verdict = passed if evidence.latency_ms <= config.milliseconds else failed
        return verdict(f"{evidence.latency_ms:g} ms, at most {config.milliseconds:g} ms allowed")

    return score


def _token_max(config: TokenLimit) -> Scorer:
    def score(evidence: Evidence) -> Verdict:
        tokens: int | None = getattr(evidence, f"{config.bucket}_tokens")
        if (
            tokens is None
            and config.bucket == "total"
            and None not in (evidence.prompt_tokens, evidence.completion_tokens)
        ):
            tokens = (evidence.prompt_tokens or 0) + (evidence.completion_tokens or 0)
        if tokens is None:
            return unscored(f"the {config.bucket} tokens are not known")
        verdict = passed if tokens <= config.tokens else failed
        return verdict(f"{tokens} {config.bucket} tokens, at most {config.tokens} allowed")

    return score


def _status_code(config: Statuses) -> Scorer:
    expected = [_codes(index, value) for index, value in enumerate(config.expected)]

    def score(evidence: Evidence) -> Verdict:
        status = evidence.status_code
        if status is None:
            return unscored("status_code was not sent")
        verdict: Callable[[str], Verdict] = passed if any(status in codes for codes in expected) else failed
        return verdict(f"status {status}, expected {', '.join(map(str, config.expected))}")

    return score


def _codes(index: int, value: int | str) -> range:
    text = str(value).strip().lower()
    if text in _CLASSES:
        return _CLASSES[text]
    low, dash, high = text.partition("-")
    high = high if dash else low
    if low.isdecimal() and high.isdecimal() and 100 <= int(low) <= int(high) <= 599:
        return range(int(low), int(high) + 1)
    raise InvalidItem(
        f"expected: {text[:40]!r} is none of 200, 2xx, 200-299",
        error_code="out_of_range",
        pointer=f"/config/expected/{index}",
    )


LATENCY_MAX = EvaluatorType("latency_max", "The call took at most so many milliseconds.", Latency, _latency_max)
TOKEN_MAX = EvaluatorType("token_max", "The call used at most so many tokens.", TokenLimit, _token_max)
STATUS_CODE = EvaluatorType("status_code", "The provider answered with an expected status.", Statuses, _status_code)
