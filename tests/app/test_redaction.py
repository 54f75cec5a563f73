"""Credentials are dropped before anything is stored."""

import json
from typing import Any

import pytest

from app.errors import IngateError
from app.exchange import parse_item
from app.redaction import is_credential, without_credentials


def stored(raw: bytes) -> bytes:
    item = parse_item(raw)
    return without_credentials(raw, item.request_headers, item.response_headers)


def test_credential_headers_are_dropped_and_the_rest_is_kept() -> None:
    raw = b'{"prompt": "x", "request_headers": {"Authorization": "Bearer s3cret", "Accept": "*/*"}, "n": 1.10}'

    kept = stored(raw)

    assert b"s3cret" not in kept
    assert json.loads(kept) == {"prompt": "x", "request_headers": {"Accept": "*/*"}, "n": 1.1}
    assert b"1.10" in kept


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Proxy-Authorization", "Cookie", "SET-COOKIE", "x-api-key", "X-Goog-Api-Key", "api_key",
        "apikey", "Ocp-Apim-Subscription-Key", "X-Auth-Token", "x-amz-security-token", "x-client-secret",
        "X-Hub-Signature-256", "password", "key", "X-Ingate-Key",
    ],
)  # fmt: skip
def test_a_header_that_names_a_credential_is_one(name: str) -> None:
    assert is_credential(name)


@pytest.mark.parametrize(
    "name",
    [
        "content-type", "x-request-id", "openai-organization", "x-ratelimit-remaining-tokens", "max-tokens", "keyword",
        "keep-alive", "user-agent",
    ],
)  # fmt: skip
def test_a_usual_header_is_none(name: str) -> None:
    assert not is_credential(name)


def test_an_item_without_credentials_stays_the_very_same_bytes() -> None:
    raw = b'{ "prompt" : "x",\n"request_headers":{"Accept":"*/*"} }'

    assert stored(raw) is raw


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"prompt": "\ud800", "request_headers": {"Authorization": "s3cret", "a": "\udc00"}}',
        rb'{"\ud800": 1, "prompt": "x", "request_headers": {"Authorization": "s3cret"}}',
        b'{"prompt": "x", "request_headers": null, "response_headers": {"Set-Cookie": "s3cret"}}',
        b'{"prompt": "x", "request_headers": {"Authorization": "s3cret"}, "request_headers": {}}',
        b'{"prompt": "x", "request_headers": {"Authorization": "s3cret"}, "request_headers": {"Cookie": "s3cret"}}',
        b'{"prompt": "x", "request_headers": {"Authorization": "s3cret"}, "request_headers": null}',
        b'{"prompt": "x", "request_headers": {"a": 1, "Cookie": "s3cret", "Cookie": {"deep": ["s3cret"]}}}',
        rb'{"prompt": "x", "request_h\u0065aders": {"Authoriz\u0061tion": "s3cret"}}',
    ],
)
def test_credentials_are_dropped_from_items_of_any_form(raw: bytes) -> None:
    kept = stored(raw)

    assert b"s3cret" not in kept
    parse_item(kept)


def test_a_body_beside_dropped_headers_stays_byte_for_byte() -> None:
    body = rb'{"a" : 1.10, "big": 123456789012345678901234567890, "t": "\ud83d\u0000"}'

    kept = stored(b'{"request_body": ' + body + b', "request_headers": {"Cookie": "c"}}')

    assert kept == b'{"request_body": ' + body + b', "request_headers": {}}'


@pytest.mark.parametrize("headers", [{"Authorization": {"a": 1}}, {"": "x", "Cookie": None}])
def test_header_values_of_any_type_are_taken(headers: dict[str, Any]) -> None:
    try:
        kept = stored(json.dumps({"prompt": "x", "request_headers": headers}).encode())
    except IngateError:
        pytest.fail("an item with odd headers was refused")

    assert set(json.loads(kept)["request_headers"]) <= {""}
