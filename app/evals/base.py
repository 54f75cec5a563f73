"""What every evaluator takes and gives."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one exchange that evaluators look at; null where they are not known."""

    prompt: str | None = None
    completion: str | None = None
    system: str | None = None
    status_code: int | None = None
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A score from 0.0 to 1.0 with its explanation, or no score and the reason."""

    score: float | None
    explanation: str | None = None
    error: str | None = None


Scorer = Callable[[Evidence], Verdict]
Config = TypeVar("Config", bound=msgspec.Struct)


class EvaluatorType(NamedTuple, Generic[Config]):
    """One type of evaluator. `compile` raises InvalidItem for a config that is well-formed but cannot run."""

    name: str
    #: One sentence for people choosing.
    about: str
    config: type[Config]
    compile: Callable[[Config], Scorer]


def passed(explanation: str) -> Verdict:
    """The full score."""
    return Verdict(score=1.0, explanation=explanation)


def failed(explanation: str) -> Verdict:
    """The score zero."""
    return Verdict(score=0.0, explanation=explanation)


def unscored(reason: str) -> Verdict:
    """No score, because a fact that the evaluator needs is not known."""
    return Verdict(score=None, error=reason)
