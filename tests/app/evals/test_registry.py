"""The contract of every evaluator: configs are checked, scores are within 0 and 1, nothing is raised."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import evals
from app.errors import InvalidItem
from app.evals import TYPES, Evidence

#: A config of each type that runs; a new type adds one here.
CONFIGS: dict[str, dict[str, Any]] = {
    "contains": {"values": ["a", "b"], "match": "all"},
    "not_contains": {"values": ["a"]},
    "regex_match": {"pattern": "^a+.b?"},
    "is_json": {},
    "max_length": {"characters": 10},
    "min_length": {"characters": 10},
    "latency_max": {"milliseconds": 100},
    "token_max": {"tokens": 10},
    "status_code": {"expected": ["2xx", 404]},
}

TEXTS = st.none() | st.text() | st.from_regex(r"[\[\]{}\",:a0-9]{0,20}", fullmatch=True)
COUNTS = st.none() | st.integers(0, 2**63 - 1)
EVIDENCE = st.builds(
    Evidence,
    prompt=TEXTS,
    completion=TEXTS,
    system=TEXTS,
    status_code=st.none() | st.integers(100, 599),
    latency_ms=st.none() | st.floats(0, 86_400_000),
    prompt_tokens=COUNTS,
    completion_tokens=COUNTS,
    total_tokens=COUNTS,
)


def test_every_type_has_a_config_here() -> None:
    assert set(CONFIGS) == set(TYPES)


def test_the_nine_static_types_are_there() -> None:
    assert set(TYPES) >= set(CONFIGS)


@pytest.mark.parametrize("name", TYPES)
def test_a_type_has_its_name_and_a_sentence(name: str) -> None:
    assert TYPES[name].name == name
    assert TYPES[name].about.endswith(".")


@pytest.mark.parametrize("name", TYPES)
@given(evidence=EVIDENCE)
def test_any_evidence_gives_a_score_within_0_and_1_or_a_reason(name: str, evidence: Evidence) -> None:
    verdict = evals.scorer(name, evals.check_config(name, CONFIGS[name]))(evidence)

    if verdict.score is None:
        assert verdict.error
    else:
        assert 0.0 <= verdict.score <= 1.0
        assert verdict.explanation
        assert verdict.error is None


@pytest.mark.parametrize("name", TYPES)
def test_an_unknown_field_of_a_config_is_refused(name: str) -> None:
    with pytest.raises(InvalidItem) as error:
        evals.check_config(name, {**CONFIGS[name], "valeus": 1})

    assert (error.value.code, error.value.pointer) == ("wrong_type", "/config")
    assert "valeus" in error.value.detail


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name in TYPES for field in TYPES[name].config.__struct_fields__]
)
def test_a_wrong_field_of_a_config_is_refused_with_its_place(name: str, field: str) -> None:
    for wrong in ({"a": 1}, None, [[]]):
        with pytest.raises(InvalidItem) as error:
            evals.check_config(name, {**CONFIGS[name], field: wrong})

        assert (error.value.pointer or "").startswith(f"/config/{field}")


@pytest.mark.parametrize("name", TYPES)
@given(
    config=st.dictionaries(
        st.sampled_from(["values", "pattern", "field", "characters", "tokens", "expected", "x"]),
        st.none() | st.integers() | st.text() | st.lists(st.text() | st.integers()),
    )
)
def test_any_config_is_taken_or_refused_by_name(name: str, config: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidItem):
        evals.scorer(name, evals.check_config(name, config))(Evidence())


@pytest.mark.parametrize("name", ["", "Contains", "llm_judge_9", "contains\x00"])
def test_an_unknown_type_is_refused_with_the_types_there_are(name: str) -> None:
    with pytest.raises(InvalidItem, match="expected one of contains, not_contains") as error:
        evals.check_config(name, {})

    assert (error.value.code, error.value.pointer) == ("unknown_type", "/type")


@pytest.mark.parametrize("name", TYPES)
def test_a_kept_config_is_kept_again_as_the_same_text(name: str) -> None:
    kept = evals.check_config(name, CONFIGS[name])

    assert evals.check_config(name, json.loads(kept)) == kept
