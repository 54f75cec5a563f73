"""Exchanges to send: every one unique, about 2.4 KB, of the three API shapes in turn, with the fields of real ones."""

import json
import random
from typing import Any

_WORDS = [
    "order", "book", "shelf", "rain", "garden", "letter", "window", "harbour", "market", "lantern", "river", "bridge",
    "winter", "copper", "engine", "paper", "signal", "quiet", "answer", "question", "kitchen", "mountain", "orchard",
    "silver", "station", "thread", "velvet", "whistle", "yellow", "zebra",
]  # fmt: skip


def item(number: int, run: str) -> dict[str, Any]:
    """Return exchange `number` of a run."""
    rng = random.Random(f"{run}:{number}")
    shape = (_chat, _responses, _messages)[number % 3]
    return {"request_id": f"{run}-{number}", "status_code": 200, "latency_ms": rng.randint(200, 4000), **shape(rng)}


def encoded(number: int, run: str) -> bytes:
    """Return exchange `number` of a run as JSON."""
    return json.dumps(item(number, run)).encode()


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(_WORDS, k=words))


def _history(rng: random.Random) -> list[dict[str, str]]:
    return [{"role": role, "content": _text(rng, 25)} for role in ("user", "assistant", "user")]


def _schema(rng: random.Random) -> dict[str, Any]:
    """The parameters of a tool."""
    properties = {
        "id": {"type": "integer", "description": _text(rng, 5)},
        "city": {"type": "string", "description": _text(rng, 5)},
        "unit": {"type": "string", "enum": ["metric", "imperial"]},
    }
    return {"type": "object", "properties": properties, "required": ["id"], "additionalProperties": False}


def _chat(rng: random.Random) -> dict[str, Any]:
    tokens = {"prompt_tokens": rng.randint(100, 900), "completion_tokens": rng.randint(10, 300)}
    details = {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 0,
        "reasoning_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    message = {"role": "assistant", "content": _text(rng, 25), "refusal": None, "annotations": []}
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "parameters": _schema(rng)}} for n in range(2)]
    return {
        "provider": "openai",
        "path": "/v1/chat/completions",
        "request_body": {"model": "gpt-4o-mini", "messages": _history(rng), "temperature": 0.2, "n": 1, "tools": tools},
        "response_body": {
            "id": f"chatcmpl-{rng.getrandbits(60):x}",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {
                **tokens,
                "total_tokens": sum(tokens.values()),
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": details,
            },
            "service_tier": "default",
            "system_fingerprint": "fp_44709d6fcb",
        },
    }


def _responses(rng: random.Random) -> dict[str, Any]:
    tokens = {"input_tokens": rng.randint(100, 900), "output_tokens": rng.randint(10, 300)}
    content = [{"type": "output_text", "text": _text(rng, 25), "annotations": [], "logprobs": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    tools = [{"type": "function", "name": "tool_0", "parameters": _schema(rng), "strict": True}]
    return {
        "provider": "openai",
        "path": "/v1/responses",
        "request_body": {
            "model": "gpt-4.1-mini",
            "instructions": _text(rng, 20),
            "input": _history(rng),
            "tools": tools,
        },
        "response_body": {
            "id": f"resp_{rng.getrandbits(60):x}",
            "object": "response",
            "created_at": 1_760_000_000,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "max_output_tokens": None,
            "model": "gpt-4.1-mini-2025-04-14",
            "output": [message],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": True,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": tools,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": {
                **tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": sum(tokens.values()),
            },
            "user": None,
            "metadata": {},
        },
    }


def _messages(rng: random.Random) -> dict[str, Any]:
    return {
        "provider": "anthropic",
        "path": "/v1/messages",
        "request_body": {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1024,
            "system": [{"type": "text", "text": _text(rng, 20), "cache_control": {"type": "ephemeral"}}],
            "messages": _history(rng),
            "tools": [{"name": f"tool_{n}", "input_schema": _schema(rng)} for n in range(2)],
        },
        "response_body": {
            "id": f"msg_{rng.getrandbits(60):x}",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": _text(rng, 25)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": rng.randint(100, 900),
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": rng.randint(10, 300),
                "service_tier": "standard",
            },
        },
    }
