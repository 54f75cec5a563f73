"""Evaluators of texts."""

import time
from typing import Any

import pytest

from app import evals
from app.errors import InvalidItem
from app.evals import Evidence, Verdict


def judge(type_name: str, config: dict[str, Any], completion: str | None, **facts: Any) -> Verdict:
    return evals.scorer(type_name, evals.check_config(type_name, config))(Evidence(completion=completion, **facts))


@pytest.mark.parametrize(
    ("config", "text", "score"),
    [
        ({"values": ["hello"]}, "well, HELLO", 1.0),
        ({"values": ["hello"], "case_sensitive": True}, "well, HELLO", 0.0),
        ({"values": ["a", "b"]}, "only b", 1.0),
        ({"values": ["a", "b"], "match": "all"}, "only b", 0.5),
        ({"values": ["a", "b"], "match": "all"}, "a and b", 1.0),
        ({"values": ["x", "y"]}, "nothing", 0.0),
        ({"values": ["STRASSE"]}, "die straße", 1.0),
        ({"values": ["\ufffd"]}, "a\ufffd", 1.0),
        ({"values": ["x"]}, "", 0.0),
    ],
)
def test_contains(config: dict[str, Any], text: str, score: float) -> None:
    verdict = judge("contains", config, text)

    assert (verdict.score, verdict.error) == (score, None)
    assert verdict.explanation


@pytest.mark.parametrize(
    ("config", "text", "score"),
    [
        ({"values": ["sorry"]}, "glad to help", 1.0),
        ({"values": ["sorry"]}, "Sorry, no", 0.0),
        ({"values": ["sorry"], "case_sensitive": True}, "Sorry, no", 1.0),
        ({"values": ["a", "b"]}, "a", 0.0),
        ({"values": ["a", "b"], "match": "all"}, "a", 1.0),
        ({"values": ["a", "b"], "match": "all"}, "ab", 0.0),
        ({"values": ["a"]}, "", 1.0),
    ],
)
def test_not_contains(config: dict[str, Any], text: str, score: float) -> None:
    assert judge("not_contains", config, text).score == score


@pytest.mark.parametrize(
    ("config", "text", "score"),
    [
        ({"pattern": r"^\d{4}-\d\d$"}, "2026-11", 1.0),
        ({"pattern": r"^\d{4}$"}, "2026-11", 0.0),
        ({"pattern": "HELLO"}, "hello", 0.0),
        ({"pattern": "HELLO", "case_sensitive": False}, "hello", 1.0),
        ({"pattern": r"\p{Greek}"}, "a λ", 1.0),
        ({"pattern": "(?s)a.b"}, "a\nb", 1.0),
        ({"pattern": "^$"}, "", 1.0),
    ],
)
def test_regex_match(config: dict[str, Any], text: str, score: float) -> None:
    assert judge("regex_match", config, text).score == score


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "((a{100}){100}){100}", "(", "[", "a**", "x{1001}"]
)
def test_a_pattern_that_re2_does_not_take_is_refused_when_it_is_saved(pattern: str) -> None:
    with pytest.raises(InvalidItem) as error:
        evals.check_config("regex_match", {"pattern": pattern})

    assert (error.value.code, error.value.pointer) == ("unsupported_pattern", "/config/pattern")
    assert "b'" not in error.value.detail


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    started = time.perf_counter()

    judge("regex_match", {"pattern": pattern}, "a" * 100_000 + "!")

    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"a": [1, 2.5, null]}', 1.0),
        (" \n7\n", 1.0),
        ('"text"', 1.0),
        ("{'a': 1}", 0.0),
        ("{} {}", 0.0),
        ("```json\n{}\n```", 0.0),
        ("NaN", 0.0),
        ("", 0.0),
        ("[" * 100_000, 0.0),
        ('"\\ud800"', 0.0),
    ],
)
def test_is_json(text: str, score: float) -> None:
    assert judge("is_json", {}, text).score == score


@pytest.mark.parametrize(
    ("type_name", "characters", "text", "score"),
    [
        ("max_length", 5, "12345", 1.0),
        ("max_length", 5, "123456", 0.0),
        ("max_length", 0, "", 1.0),
        ("max_length", 1, "😀", 1.0),
        ("min_length", 5, "12345", 1.0),
        ("min_length", 5, "1234", 0.0),
        ("min_length", 0, "", 1.0),
    ],
)
def test_lengths_are_counted_in_characters(type_name: str, characters: int, text: str, score: float) -> None:
    assert judge(type_name, {"characters": characters}, text).score == score


@pytest.mark.parametrize("field", ["prompt", "system"])
def test_another_field_can_be_looked_at(field: str) -> None:
    verdict = judge("contains", {"values": ["needle"], "field": field}, "hay", **{field: "a needle"})

    assert verdict.score == 1.0


def test_a_text_that_is_not_there_counts_as_empty_and_is_named() -> None:
    verdict = judge("contains", {"values": ["x"]}, None)

    assert verdict.score == 0.0
    assert "which is not there" in (verdict.explanation or "")
    assert judge("max_length", {"characters": 5}, None).score == 1.0


def test_an_explanation_of_many_texts_is_short() -> None:
    verdict = judge("contains", {"values": [f"{n}" * 200 for n in range(10, 60)]}, "nothing")

    assert len(verdict.explanation or "") < 700
    assert "and 45 more" in (verdict.explanation or "")


def test_a_pass_of_not_contains_says_that_none_is_there() -> None:
    verdict = evals.scorer("not_contains", '{"values":["a","b"]}')(Evidence(completion="xyz"))

    assert verdict.explanation == "the completion contains none of 2 texts"
