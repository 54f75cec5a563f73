"""Evaluators of measures."""

from typing import Any

import pytest

from app import evals
from app.errors import InvalidItem
from app.evals import Evidence, Verdict


def judge(type_name: str, config: dict[str, Any], **facts: Any) -> Verdict:
    return evals.scorer(type_name, evals.check_config(type_name, config))(Evidence(**facts))


@pytest.mark.parametrize(("latency_ms", "score"), [(0, 1.0), (500, 1.0), (500.1, 0.0), (9e6, 0.0)])
def test_latency_max(latency_ms: float, score: float) -> None:
    assert judge("latency_max", {"milliseconds": 500}, latency_ms=latency_ms).score == score


@pytest.mark.parametrize(
    ("config", "facts", "score"),
    [
        ({"tokens": 10}, {"total_tokens": 10}, 1.0),
        ({"tokens": 10}, {"total_tokens": 11}, 0.0),
        ({"tokens": 10}, {"prompt_tokens": 4, "completion_tokens": 6}, 1.0),
        ({"tokens": 10}, {"prompt_tokens": 4, "completion_tokens": 7}, 0.0),
        ({"tokens": 0}, {"prompt_tokens": 0, "completion_tokens": 0}, 1.0),
        ({"tokens": 10, "bucket": "prompt"}, {"prompt_tokens": 11, "total_tokens": 1}, 0.0),
        ({"tokens": 10, "bucket": "completion"}, {"completion_tokens": 9}, 1.0),
        ({"tokens": 10}, {"prompt_tokens": 4}, None),
        ({"tokens": 10, "bucket": "prompt"}, {"total_tokens": 4}, None),
    ],
)
def test_token_max(config: dict[str, Any], facts: dict[str, int], score: float | None) -> None:
    assert judge("token_max", config, **facts).score == score


@pytest.mark.parametrize(
    ("expected", "status", "score"),
    [
        ([200], 200, 1.0),
        ([200], 201, 0.0),
        (["200"], 200, 1.0),
        (["2xx"], 299, 1.0),
        (["2XX"], 300, 0.0),
        (["200-299"], 250, 1.0),
        (["200-299", 404], 404, 1.0),
        ([404, "5xx"], 200, 0.0),
    ],
)
def test_status_code(expected: list[Any], status: int, score: float) -> None:
    assert judge("status_code", {"expected": expected}, status_code=status).score == score


@pytest.mark.parametrize("value", ["6xx", "abc", "", "99", 600, 99, "300-200", "200-", "-200", "2x", -1])
def test_a_status_that_is_none_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(InvalidItem) as error:
        evals.check_config("status_code", {"expected": [200, value]})

    assert (error.value.code, error.value.pointer) == ("out_of_range", "/config/expected/1")


@pytest.mark.parametrize(
    ("type_name", "config", "says"),
    [
        ("latency_max", {"milliseconds": 5}, "latency_ms was not sent"),
        ("token_max", {"tokens": 5}, "the total tokens are not known"),
        ("status_code", {"expected": [200]}, "status_code was not sent"),
    ],
)
def test_a_measure_that_is_not_known_gives_no_score_and_says_so(
    type_name: str, config: dict[str, Any], says: str
) -> None:
    verdict = judge(type_name, config)

    assert (verdict.score, verdict.error) == (None, says)
