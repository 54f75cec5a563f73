"""One item: its fields, their limits, and the words that refuse it."""

import json
from typing import Any

import pytest

from app.errors import InvalidItem
from app.exchange import parse_item, present
from tests.helpers import encoded


def refusal(**fields: Any) -> InvalidItem:
    with pytest.raises(InvalidItem) as error:
        parse_item(encoded(**fields))
    return error.value


def test_an_item_is_read_and_its_bodies_stay_raw() -> None:
    item = parse_item(b'{"provider": "openai", "request_body": {"a" : 1.0}, "response_body": "data: x"}')

    assert item.provider == "openai"
    assert (bytes(item.request_body), bytes(item.response_body)) == (b'{"a" : 1.0}', b'"data: x"')


@pytest.mark.parametrize(
    ("field", "value", "code", "pointer"),
    [
        ("status_code", "200", "wrong_type", "/status_code"),
        ("status_code", True, "wrong_type", "/status_code"),
        ("status_code", 99, "out_of_range", "/status_code"),
        ("status_code", 600, "out_of_range", "/status_code"),
        ("status_code", 2**63, "out_of_range", "/status_code"),
        ("status_code", 10**400, "out_of_range", "/status_code"),
        ("latency_ms", "fast", "wrong_type", "/latency_ms"),
        ("latency_ms", -1, "out_of_range", "/latency_ms"),
        ("latency_ms", 1e12, "out_of_range", "/latency_ms"),
        ("time_to_first_token_ms", -0.1, "out_of_range", "/time_to_first_token_ms"),
        ("model", ["gpt"], "wrong_type", "/model"),
        ("model", "m" * 513, "out_of_range", "/model"),
        ("provider", "", "out_of_range", "/provider"),
        ("provider", "p" * 65, "out_of_range", "/provider"),
        ("token_count", -1, "out_of_range", "/token_count"),
        ("token_count", "many", "wrong_type", "/token_count"),
        ("token_count", {"prompt": -1}, "out_of_range", "/token_count/prompt"),
        ("token_count", {"total": "3"}, "wrong_type", "/token_count/total"),
        ("metadata", [], "wrong_type", "/metadata"),
        ("tags", {"team": 5}, "wrong_type", "/tags/team"),
        ("tags", {"ok": "yes", "a/b~c": "x" * 257}, "out_of_range", "/tags/a~1b~0c"),
        ("tags", "team", "wrong_type", "/tags"),
        ("request_id", "", "out_of_range", "/request_id"),
        ("request_id", "x" * 256, "out_of_range", "/request_id"),
        ("request_id", "a/b", "out_of_range", "/request_id"),
        ("request_id", "a\n", "out_of_range", "/request_id"),
        ("request_id", "smile😀", "out_of_range", "/request_id"),
        ("request_id", 7, "wrong_type", "/request_id"),
        ("started_at", "yesterday", "wrong_type", "/started_at"),
        ("started_at", "+300000-01-01T00:00:00Z", "wrong_type", "/started_at"),
        ("started_at", 1700000000, "wrong_type", "/started_at"),
        ("request_headers", [["a", "b"]], "wrong_type", "/request_headers"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(field: str, value: Any, code: str, pointer: str) -> None:
    error = refusal(**{field: value})

    assert (error.code, error.pointer) == (code, pointer)
    assert error.detail.startswith(f"{field}: ")
    assert len(error.detail) < 200


def test_an_infinite_number_is_out_of_range() -> None:
    with pytest.raises(InvalidItem) as error:
        parse_item(b'{"prompt": "x", "latency_ms": 1e999}')

    assert (error.value.code, error.value.pointer) == ("out_of_range", "/latency_ms")


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"7", b"null", b"true"])
def test_what_is_no_object_is_no_item(raw: bytes) -> None:
    with pytest.raises(InvalidItem, match="Expected `object`") as error:
        parse_item(raw)

    assert error.value.pointer == ""


@pytest.mark.parametrize("fields", [{}, {"provider": "openai"}, {"request_body": None, "response_body": None}])
def test_an_item_without_an_exchange_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidItem) as error:
        parse_item(json.dumps(fields).encode())

    assert error.value.code == "empty_item"


@pytest.mark.parametrize(
    "fields", [{"request_body": ""}, {"response_body": 0}, {"model": "m"}, {"prompt": "p"}, {"completion": "c"}]
)
def test_one_part_of_an_exchange_is_enough(fields: dict[str, Any]) -> None:
    parse_item(json.dumps(fields).encode())


@pytest.mark.parametrize("request_id", ["a", "A-Z_a.z:0@9+=~", "x" * 255, "..", "batch"])
def test_request_ids_may_hold_the_signs_of_the_contract(request_id: str) -> None:
    assert parse_item(encoded(request_id=request_id)).request_id == request_id


def test_unknown_fields_are_no_error() -> None:
    assert parse_item(encoded(colour="green")).provider == "openai"


def test_the_last_of_two_equal_keys_counts() -> None:
    assert parse_item(b'{"prompt": "x", "status_code": 200, "status_code": 201}').status_code == 201


def test_a_bare_token_count_is_the_total() -> None:
    tokens = parse_item(encoded(token_count=7)).client_tokens

    assert tokens is not None
    assert (tokens.prompt, tokens.completion, tokens.total) == (None, None, 7)


def test_a_body_that_is_null_is_not_there() -> None:
    item = parse_item(b'{"prompt": "x", "request_body": null, "response_body": ""}')

    assert (present(item.request_body), present(item.response_body)) == (False, True)
