"""What tests of several folders need: an item to send, and the pipeline run in this process without a worker."""

import json
from typing import Any

CHAT: dict[str, Any] = {
    "provider": "openai",
    "path": "/v1/chat/completions",
    "method": "POST",
    "status_code": 200,
    "latency_ms": 432,
    "request_body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
    "response_body": {
        "choices": [{"message": {"content": "Hi there!"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
}


def item(**changes: Any) -> dict[str, Any]:
    """Return an exchange as a client sends it."""
    return {**CHAT, **changes}


def encoded(**changes: Any) -> bytes:
    """Return an exchange as the bytes of a request."""
    return json.dumps(item(**changes)).encode()


def work() -> None:
    """Take every pending exchange through its steps, as workers would; messages are not needed for it."""
    from actors.evaluate import evaluate
    from actors.extract import extract
    from actors.log import log
    from app.store import database

    for actor in (extract, log, evaluate):
        with database.session():
            ids = [row[0] for row in database.execute("SELECT exchange_id FROM pending ORDER BY exchange_id")]
        actor.fn(ids)
