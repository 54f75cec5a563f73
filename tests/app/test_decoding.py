"""JSON as it really arrives."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decoding import (
    MAX_DEPTH,
    Malformed,
    TooDeep,
    check_depth,
    column_text,
    decode,
    repaired,
    strict_decoder,
    without_surrogates,
)

ANYTHING = msgspec.json.Decoder(Any)


def test_a_document_is_decoded() -> None:
    assert decode(b'{"a": [1, "two"]}', ANYTHING) == {"a": [1, "two"]}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\udc00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ude00\ud83d"', "😀\ufffd"),
        (rb'"\uD83D\uDE00\uDBFF"', "😀\ufffd"),
        (rb'"\\ud83d\ud83d"', "\\ud83d\ufffd"),
        (rb'"\ud83d\\ude00"', "\ufffd\\ude00"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
    ],
)
def test_a_lone_surrogate_becomes_the_replacement_character(raw: bytes, text: str) -> None:
    assert decode(raw, ANYTHING) == text


def test_repairing_changes_nothing_but_the_surrogates() -> None:
    raw = rb'{"a" : 1.10, "big": 1e999, "int": 123456789012345678901234567890, "text": "\ud83d", "a" : null}'

    assert repaired(raw) == raw.replace(rb"\ud83d", rb"\ufffd")


@pytest.mark.parametrize(
    ("raw", "offset"),
    [(b"{", 1), (b'{"a":1 2}', 7), (b"[1] x", 4), ('"é" x'.encode(), 5), (b'{"a": nul}', 6), (b'"\\q"', 1)],
)
def test_what_nobody_reads_is_malformed_at_a_byte(raw: bytes, offset: int) -> None:
    with pytest.raises(Malformed) as error:
        decode(raw, ANYTHING)

    assert error.value.offset == offset


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
def test_javascript_numbers_are_malformed(name: str) -> None:
    with pytest.raises(Malformed, match=f"{name} is not JSON"):
        decode(f"[{name}]".encode(), ANYTHING)


def test_invalid_utf8_is_malformed_at_its_byte() -> None:
    with pytest.raises(Malformed, match="invalid UTF-8") as error:
        decode(b'"ab\xff"', ANYTHING)

    assert error.value.offset == 3


def test_a_document_of_another_type_is_a_validation_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(b'"\\ud800"', msgspec.json.Decoder(int))


def test_integers_of_any_length_are_read() -> None:
    assert strict_decoder().decode("[" + "7" * 20_000 + "]") == [float("inf")]


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_limited(opening: bytes) -> None:
    check_depth(opening * MAX_DEPTH)

    with pytest.raises(TooDeep):
        check_depth(opening * (MAX_DEPTH + 1))


def test_brackets_within_strings_and_closed_ones_are_not_depth() -> None:
    check_depth(b'["' + b"[" * 5000 + rb"\"[[[" + b'"]')
    check_depth(b"[" + b"[]," * 5000 + b"[]]")


def test_a_depth_of_200_000_is_refused_quickly() -> None:
    with pytest.raises(TooDeep):
        check_depth(b"[" * 200_000)


def test_nul_becomes_the_replacement_character_in_columns() -> None:
    assert column_text("a\x00b") == "a\ufffdb"


@given(st.text(st.characters(categories=None)))
def test_any_text_can_be_encoded_once_its_surrogates_are_replaced(text: str) -> None:
    clean = without_surrogates(text)

    assert clean.encode("utf-8").decode("utf-8") == clean


ANY_TEXT = st.text(st.characters(categories=None))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
#: JSON documents as a careless client writes them: any text, surrogates included.
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=15,
)


@given(DOCUMENTS)
def test_any_document_is_decoded_to_what_was_written_but_for_its_surrogates(document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False)

    decoded = decode(json.dumps(document).encode(), ANYTHING)

    assert decoded == json.loads(without_surrogates(text))


@given(st.binary(max_size=60) | st.from_regex(rb'[\[\]{}",:\\ud89c0-9.eE+-]{0,40}', fullmatch=True))
def test_bytes_are_decoded_or_refused_by_name(raw: bytes) -> None:
    with contextlib.suppress(Malformed, TooDeep, msgspec.ValidationError):
        decode(raw, ANYTHING)
