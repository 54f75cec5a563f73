"""The filter language: what it reads, and what it says about the rest."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import filters
from app.errors import InvalidItem
from app.filters import FLAGS, KEYS, Sort, Term, parse, term

EXAMPLE = {Sort.TEXT: "gpt-4o*", Sort.NUMBER: ">=1.5s", Sort.STATUS: "4xx", Sort.FLAG: "error", Sort.WORDS: "hello"}


def test_a_query_is_read_term_by_term() -> None:
    assert parse('model:gpt-4o*,o1  -status:>=400 user:"a \\"b\\", c"') == (
        Term("model", False, (filters.Test(text="gpt-4o*", glob=True), filters.Test(text="o1"))),
        Term("status", True, (filters.Test(low=400),)),
        Term("user", False, (filters.Test(text='a "b", c'),)),
    )


@pytest.mark.parametrize("key", KEYS)
def test_every_key_takes_a_value_of_its_sort_and_its_negation(key: str) -> None:
    value = EXAMPLE[KEYS[key]]

    (plain,) = parse(f"{key}:{value}")
    (negated,) = parse(f"-{key.upper()}:{value}")

    assert (plain.key, plain.negated) == (key, False)
    assert negated == plain._replace(negated=True)


def test_bare_words_search_the_texts() -> None:
    assert parse('refund -"late delivery" model:o1') == (
        Term("text", False, (filters.Test(text="refund"),)),
        Term("text", True, (filters.Test(text="late delivery"),)),
        Term("model", False, (filters.Test(text="o1"),)),
    )


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_an_empty_query_has_no_terms(query: str) -> None:
    assert parse(query) == ()


@pytest.mark.parametrize(
    ("value", "test"),
    [
        ("5", filters.Test(low=5, high=5)),
        ("=5", filters.Test(low=5, high=5)),
        (">5", filters.Test(low=5, low_open=True)),
        (">=5", filters.Test(low=5)),
        ("<5", filters.Test(high=5, high_open=True)),
        ("<=5", filters.Test(high=5)),
        ("5..10", filters.Test(low=5, high=10)),
        ("1.5s", filters.Test(low=1500, high=1500)),
        ("250ms..2s", filters.Test(low=250, high=2000)),
        (">2m", filters.Test(low=120_000, low_open=True)),
        ("3k", filters.Test(low=3000, high=3000)),
    ],
)
def test_numbers_are_compared_and_have_units(value: str, test: filters.Test) -> None:
    assert term("latency", value).tests == (test,)


def test_a_class_of_statuses_is_a_range() -> None:
    assert term("status", "4xx,200").tests == (filters.Test(low=400, high=499), filters.Test(low=200, high=200))


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_taken(flag: str) -> None:
    assert parse(f"is:{flag}")[0].tests == (filters.Test(text=flag),)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("modle:gpt", "did you mean 'model'"),
        ("statsu:200", "did you mean 'status'"),
        ("xyzzy:1", "keys: text, model, provider"),
        ("model:", "a value is missing"),
        ("model:,", "a value is missing"),
        ("model:a,,b", "a value is missing"),
        ('model:"unclosed', "is neither key:value nor a word"),
        ("model: gpt", "a value is missing"),
        ("is:red", "is:red is unknown; one of error, ok"),
        ("status:ok", "'ok' is not a number"),
        ("latency:fast", "'fast' is not a number"),
        ("latency:>", "'' is not a number"),
        ("latency:1..", "'' is not a number"),
        ("latency:-5", "'-5' is not a number"),
        ("tokens:٣x", "is not a number"),
        ("model:a\0b", "NUL"),
        ("-", "'-' is neither key:value nor a word"),
        (":", "':' is neither key:value nor a word"),
    ],
)
def test_a_wrong_query_says_what_is_wrong(query: str, says: str) -> None:
    with pytest.raises(InvalidItem) as error:
        parse(query)

    assert says in error.value.detail
    assert (error.value.code, error.value.pointer) == ("invalid_query", "/q")


@pytest.mark.parametrize("value", ['a"b', '"a', 'a"', '"a"b', '"', 'x,"y', '"a" b'])
def test_a_value_with_a_stray_quote_is_refused_rather_than_read_as_another(value: str) -> None:
    with pytest.raises(InvalidItem):
        term("model", value)


def test_a_value_given_by_itself_may_hold_spaces() -> None:
    assert term("model", "my model").tests == (filters.Test(text="my model"),)


@pytest.mark.parametrize(
    "query", ["model:" + '"' * 5001, "model:" + "a," * 5000, "a" * 20_000, 'model:"' + "\\" * 9999]
)
def test_a_long_query_is_answered_quickly(query: str) -> None:
    started = time.perf_counter()

    with contextlib.suppress(InvalidItem):
        parse(query)

    assert time.perf_counter() - started < 0.5


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*KEYS, ":", "-", '"', ",", "*", "..", ">=", "5", " ", "\\"])).map("".join)
)
def test_any_text_is_terms_or_an_invalid_query(query: str) -> None:
    with contextlib.suppress(InvalidItem):
        assert all(term.key in KEYS and term.tests for term in parse(query))


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text))
def test_any_text_can_be_searched_in_quotes(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert parse(f"user:{quoted}") == (Term("user", False, (filters.Test(text=text),)),)
