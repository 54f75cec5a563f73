"""Evaluators: typed config in, a function from one exchange's evidence to a verdict out. Pure and quick.

A new evaluator is one `EvaluatorType` in a family's file and one entry in `TYPES`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from app.errors import InvalidItem
from app.evals.base import EvaluatorType, Evidence, Scorer, Verdict
from app.evals.measures import LATENCY_MAX, STATUS_CODE, TOKEN_MAX
from app.evals.texts import CONTAINS, IS_JSON, MAX_LENGTH, MIN_LENGTH, NOT_CONTAINS, REGEX_MATCH
from app.exchange import invalid_field

__all__ = ["TYPES", "EvaluatorType", "Evidence", "Scorer", "Verdict", "check_config", "scorer"]

#: Every type of evaluator, by its name in the API.
TYPES: dict[str, EvaluatorType[Any]] = {
    evaluator.name: evaluator
    for evaluator in (
        CONTAINS,
        NOT_CONTAINS,
        REGEX_MATCH,
        IS_JSON,
        MAX_LENGTH,
        MIN_LENGTH,
        LATENCY_MAX,
        TOKEN_MAX,
        STATUS_CODE,
    )
}


def check_config(type_name: str, config: Any) -> str:
    """Return a config as the JSON to keep, once it is known that the evaluator can run with it.

    Raises InvalidItem with the pointer and the reason.
    """
    if type_name not in TYPES:
        raise InvalidItem(f"type: expected one of {', '.join(TYPES)}", error_code="unknown_type", pointer="/type")
    evaluator = TYPES[type_name]
    try:
        checked = msgspec.convert(config, evaluator.config)
        evaluator.compile(checked)
    except msgspec.ValidationError as error:
        problem = invalid_field(error)
        raise InvalidItem(problem.detail, error_code=problem.code, pointer=f"/config{problem.pointer or ''}") from None
    return msgspec.json.encode(checked).decode()


@lru_cache(maxsize=4096)
def scorer(type_name: str, config: str) -> Callable[[Evidence], Verdict]:
    """Return the compiled evaluator of a kept config; compiled once per process and config."""
    evaluator = TYPES[type_name]
    score: Scorer = evaluator.compile(msgspec.json.decode(config, type=evaluator.config))
    return score
