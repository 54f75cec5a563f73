"""Exchanges to send: every one unique, about 2.4 KB, of the three API shapes in turn."""

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
    return [{"role": role, "content": _text(rng, 45)} for role in ("user", "assistant", "user", "assistant", "user")]


def _chat(rng: random.Random) -> dict[str, Any]:
    tokens = {"prompt_tokens": rng.randint(100, 900), "completion_tokens": rng.randint(10, 300)}
    message = {"role": "assistant", "content": _text(rng, 40)}
    return {
        "provider": "openai",
        "path": "/v1/chat/completions",
        "request_body": {"model": "gpt-4o-mini", "messages": _history(rng)},
        "response_body": {
            "id": f"chatcmpl-{rng.getrandbits(60):x}",
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {**tokens, "total_tokens": sum(tokens.values())},
        },
    }


def _responses(rng: random.Random) -> dict[str, Any]:
    tokens = {"input_tokens": rng.randint(100, 900), "output_tokens": rng.randint(10, 300)}
    content = [{"type": "output_text", "text": _text(rng, 40), "annotations": []}]
    return {
        "provider": "openai",
        "path": "/v1/responses",
        "request_body": {"model": "gpt-4.1-mini", "instructions": _text(rng, 30), "input": _history(rng)},
        "response_body": {
            "id": f"resp_{rng.getrandbits(60):x}",
            "object": "response",
            "status": "completed",
            "model": "gpt-4.1-mini-2025-04-14",
            "output": [{"type": "message", "role": "assistant", "status": "completed", "content": content}],
            "usage": {**tokens, "total_tokens": sum(tokens.values())},
        },
    }


def _messages(rng: random.Random) -> dict[str, Any]:
    return {
        "provider": "anthropic",
        "path": "/v1/messages",
        "request_body": {"model": "claude-sonnet-4-5", "system": _text(rng, 30), "messages": _history(rng)},
        "response_body": {
            "id": f"msg_{rng.getrandbits(60):x}",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": _text(rng, 40)}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": rng.randint(100, 900), "output_tokens": rng.randint(10, 300)},
        },
    }
