"""Extraction as a whole: what is there, where it came from, and that it fits the columns."""

import base64
from typing import Any

import msgspec
import pytest

from app.exchange import TokenCount
from app.extraction import conversation, extract
from tests.helpers import encoded

CLIENTS: dict[str, Any] = {"model": "mine", "prompt": "my prompt", "completion": "my answer", "token_count": 7}


def test_seed_example_is_extracted() -> None:
    extraction = extract(encoded())

    assert extraction.status == "extracted"
    assert extraction.prompt == "Hello"
    assert extraction.completion == "Hi there!"
    assert extraction.token_count == TokenCount(prompt=10, completion=5)
    assert extraction.metadata()["finish_reason"] == "stop"


def test_server_side_overwrites_the_clients_fields() -> None:
    extraction = extract(encoded(**CLIENTS))

    assert extraction.status == "extracted"
    assert (extraction.model, extraction.prompt, extraction.completion) == ("gpt-4o-mini", "Hello", "Hi there!")
    assert set(extraction.sources.values()) == {"request", "response"}


def test_clients_fields_stand_in_one_by_one() -> None:
    extraction = extract(encoded(**CLIENTS, response_body=None))

    assert extraction.status == "mixed"
    assert extraction.sources == {
        "model": "request",
        "prompt": "request",
        "completion": "client",
        "token_count": "client",
    }
    assert extraction.token_count == TokenCount(total=7)


def test_clients_fields_alone_are_a_fallback() -> None:
    extraction = extract(msgspec.json.encode(CLIENTS))

    assert extraction.status == "fallback"
    assert extraction.shape is None
    assert extraction.reason is not None
    assert [(m.role, m.source) for m in conversation(msgspec.json.encode(CLIENTS))] == [
        ("user", "client"),
        ("assistant", "client"),
    ]


def test_empty_client_fields_are_nothing() -> None:
    extraction = extract(encoded(request_body={}, response_body={}, model="", prompt="", completion=""))

    assert extraction.status == "none"
    assert extraction.sources == {}
    assert extraction.model is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"\xff", b'{"request_body": {}, "path": 5}', b"[" * 5000])
def test_unreadable_item_says_so(raw: bytes) -> None:
    extraction = extract(raw)

    assert extraction.item is None
    assert extraction.status == "none"
    assert extraction.reason is not None
    assert conversation(raw) == []


def test_clients_provider_is_kept() -> None:
    assert extract(encoded(provider="gateway")).provider == "gateway"


def test_provider_is_inferred_where_the_client_names_none() -> None:
    assert extract(encoded(provider=None)).provider == "openai"


def test_path_model_comes_before_the_response_model() -> None:
    extraction = extract(
        encoded(
            path="/openai/deployments/mine/chat/completions",
            request_body={"messages": []},
            response_body={"model": "gpt-4o-2024-11-20", "choices": []},
        )
    )

    assert extraction.model == "mine"
    assert extraction.sources["model"] == "path"
    assert extraction.response_model == "gpt-4o-2024-11-20"


def test_lone_surrogates_and_nul_are_replaced() -> None:
    raw = encoded(request_body={"messages": [{"role": "user", "content": "a\ud800b\x00c"}]}, provider="p\x00")

    extraction = extract(raw)

    assert extraction.prompt == "a\ufffdb\ufffdc"
    assert extraction.provider == "p\ufffd"


def test_nul_is_replaced_anywhere_in_the_metadata() -> None:
    raw = encoded(metadata={"a\x00": [{"b": "\x00"}], "kept": "\\u0000", "both": "\\\\\x00"})

    assert extract(raw).metadata()["client"] == {
        "a\ufffd": [{"b": "\ufffd"}],
        "kept": "\\u0000",
        "both": "\\\\\ufffd",
    }


def test_nul_inside_an_envelope_is_replaced() -> None:
    chunk = base64.b64encode(b'{"type": "message_delta", "delta": {"stop_reason": "a\\u0000"}}').decode()
    raw = encoded(path="/model/anthropic.claude-v2/invoke-with-response-stream", response_body=[{"bytes": chunk}])

    assert extract(raw).answered.finish_reason == "a\ufffd"


def test_counts_that_no_column_holds_are_lost_alone() -> None:
    raw = encoded(
        response_body={"choices": [], "usage": {"prompt_tokens": 2**70, "completion_tokens": -1, "total_tokens": 3}}
    )

    assert extract(raw).token_count == TokenCount(total=3)


def test_extraction_is_the_same_when_repeated() -> None:
    assert extract(encoded(**CLIENTS)) == extract(encoded(**CLIENTS))
