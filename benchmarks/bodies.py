"""Exchanges to send, every one unique: its ids, its user and session, and a word in each of its texts.

small: about 2.4 KB, of the three API shapes in turn, with the fields of real ones. large: the same with a history of
30 KB. texts: about 1.2 KB of prompt and completion, which is what the search index reads. recordings: real items.
"""

import functools
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

KINDS = ("small", "large", "texts", "recordings")
_BODIES = ("request_body", "response_body")
#: Of the recordings, those whose two bodies have between so many bytes.
RECORDED_BYTES = (1_000, 6_000)
#: What stands in a recording's template for what is unique of each exchange.
_MARK = "@unique@"
#: A recording tells no latency.
_RECORDED_LATENCY_MS = 812


class _Words(NamedTuple):
    """How many words the texts of an exchange have."""

    prompt: int
    completion: int
    system: int
    #: Of each of the two turns before the prompt.
    earlier: int


_SYNTHETIC = {
    "small": _Words(prompt=22, completion=22, system=16, earlier=22),
    "large": _Words(prompt=22, completion=22, system=16, earlier=2_050),
    "texts": _Words(prompt=86, completion=86, system=0, earlier=0),
}
_REAL_WORDS = [
    "order", "book", "shelf", "rain", "garden", "letter", "window", "harbour", "market", "lantern", "river", "bridge",
    "winter", "copper", "engine", "paper", "signal", "quiet", "answer", "question", "kitchen", "mountain", "orchard",
    "silver", "station", "thread", "velvet", "whistle", "yellow", "zebra",
]  # fmt: skip
_VOCABULARY = 6_000


def item(number: int, run: str, kind: str = "small") -> dict[str, Any]:
    """Return synthetic exchange `number` of a run."""
    rng = random.Random(f"{run}:{number}")
    shape = (_chat, _responses, _messages)[number % 3]
    return {
        "request_id": f"{run}-{number}",
        "status_code": 200,
        "latency_ms": rng.randint(200, 4000),
        "tags": {"user_id": f"user-{run}-{number}", "session_id": f"session-{run}-{number}"},
        **shape(rng, _SYNTHETIC[kind]),
    }


def encoded(number: int, run: str, kind: str = "small") -> bytes:
    """Return exchange `number` of a run as JSON, of any kind."""
    if kind == "recordings":
        templates = _templates()
        return templates[number % len(templates)].replace(_MARK.encode(), f"{run}-{number}".encode())
    return json.dumps(item(number, run, kind)).encode()


def recordings() -> Path | None:
    """Return the folder of recorded exchanges: INGATE_RECORDINGS, else ../shared/exchanges if it is there."""
    named = os.environ.get("INGATE_RECORDINGS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "exchanges"
    return folder if named or folder.is_dir() else None


@functools.cache
def _templates() -> list[bytes]:
    folder = recordings()
    files = sorted(folder.glob("*.jsonl")) if folder else []
    lines = itertools.chain.from_iterable(file.read_text().splitlines() for file in files)
    found = list(_recorded(map(json.loads, lines)))
    if not found:
        raise FileNotFoundError(f"no recorded exchanges of {RECORDED_BYTES} bytes in {folder}: set INGATE_RECORDINGS")
    return found


def _recorded(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    low, high = RECORDED_BYTES
    for row in rows:
        if "request_body" not in row or not low <= sum(len(json.dumps(row[name])) for name in _BODIES) <= high:
            continue
        _add_to_last_text(row["request_body"])
        kept = {name: row[name] for name in ("provider", "path", "status_code", *_BODIES)}
        tags = {"user_id": f"user-{_MARK}", "session_id": f"session-{_MARK}"}
        yield json.dumps({"request_id": _MARK, "latency_ms": _RECORDED_LATENCY_MS, "tags": tags, **kept}).encode()


def _add_to_last_text(request_body: Any) -> None:
    """Add the mark to what the user said last, where that is text."""
    asked = request_body or {}
    name = "input" if "input" in asked else "messages"
    if isinstance(asked.get(name), str):
        asked[name] += f" {_MARK}"
        return
    turns = [turn for turn in asked.get(name) or [] if isinstance(turn, dict) and turn.get("role") == "user"]
    if turns and isinstance(turns[-1]["content"], str):
        turns[-1]["content"] += f" {_MARK}"
    elif turns and isinstance(turns[-1]["content"][-1].get("text"), str):
        turns[-1]["content"][-1]["text"] += f" {_MARK}"


@functools.cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Words, the frequent ones first, and their cumulated frequencies after Zipf's law."""
    rng = random.Random(0)
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvwz" for vowel in "aeiou"]
    made = ("".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in itertools.count())
    words = list(dict.fromkeys(itertools.chain(_REAL_WORDS, itertools.islice(made, 2 * _VOCABULARY))))[:_VOCABULARY]
    return words, list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))


def _text(rng: random.Random, words: int) -> str:
    vocabulary, frequencies = _vocabulary()
    unique = f"{rng.getrandbits(40):010x}"
    return " ".join([*rng.choices(vocabulary, cum_weights=frequencies, k=words - 1), unique]) if words else ""


def _history(rng: random.Random, words: _Words) -> list[dict[str, str]]:
    turns = [("user", words.earlier), ("assistant", words.earlier), ("user", words.prompt)]
    return [{"role": role, "content": _text(rng, count)} for role, count in turns if count]


def _schema(rng: random.Random) -> dict[str, Any]:
    """The parameters of a tool."""
    properties = {
        "id": {"type": "integer", "description": _text(rng, 5)},
        "city": {"type": "string", "description": _text(rng, 5)},
        "unit": {"type": "string", "enum": ["metric", "imperial"]},
    }
    return {"type": "object", "properties": properties, "required": ["id"], "additionalProperties": False}


def _chat(rng: random.Random, words: _Words) -> dict[str, Any]:
    tokens = {"prompt_tokens": rng.randint(100, 900), "completion_tokens": rng.randint(10, 300)}
    details = {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 0,
        "reasoning_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    message = {"role": "assistant", "content": _text(rng, words.completion), "refusal": None, "annotations": []}
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "parameters": _schema(rng)}} for n in range(2)]
    return {
        "provider": "openai",
        "path": "/v1/chat/completions",
        "request_body": {
            "model": "gpt-4o-mini",
            "messages": _history(rng, words),
            "temperature": 0.2,
            "n": 1,
            "tools": tools,
        },
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


def _responses(rng: random.Random, words: _Words) -> dict[str, Any]:
    tokens = {"input_tokens": rng.randint(100, 900), "output_tokens": rng.randint(10, 300)}
    content = [{"type": "output_text", "text": _text(rng, words.completion), "annotations": [], "logprobs": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    tools = [{"type": "function", "name": "tool_0", "parameters": _schema(rng), "strict": True}]
    return {
        "provider": "openai",
        "path": "/v1/responses",
        "request_body": {
            "model": "gpt-4.1-mini",
            "instructions": _text(rng, words.system),
            "input": _history(rng, words),
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


def _messages(rng: random.Random, words: _Words) -> dict[str, Any]:
    return {
        "provider": "anthropic",
        "path": "/v1/messages",
        "request_body": {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1024,
            "system": [{"type": "text", "text": _text(rng, words.system), "cache_control": {"type": "ephemeral"}}],
            "messages": _history(rng, words),
            "tools": [{"name": f"tool_{n}", "input_schema": _schema(rng)} for n in range(2)],
        },
        "response_body": {
            "id": f"msg_{rng.getrandbits(60):x}",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": _text(rng, words.completion)}],
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
