"""What tests of several folders need: an item to send, and the pipeline run in this process without a worker."""

import json
from collections.abc import Sequence
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


def step(actor: Any, exchange_ids: Sequence[int]) -> None:
    """Take exchanges through one step only, as those that were tried before."""
    from actors import stage

    stage.run(actor.fn.__globals__["_STAGE"]._replace(whole=None), exchange_ids)


def submission(*items: dict[str, Any] | bytes, batch: bool = False, project_id: int | None = None) -> Any:
    """Return items as one ingest request that was read; bytes are taken as they are."""
    from app.intake import Defaults, Limits, read_batch
    from app.store import database, keys
    from app.store.accept import Submission
    from app.store.models import Kind

    raws = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in items]
    limits = Limits(item_bytes=1 << 22, batch_items=100_000)
    entries = read_batch(b'{"exchanges": [' + b",".join(raws) + b"]}", limits, Defaults())
    with database.session():
        project_id = project_id or keys.default_project()
    return Submission(project_id, None, Kind.LIVE, entries, batch)


def accept(*items: dict[str, Any] | bytes) -> list[int]:
    """Store items as one committed request; return the ids of the new exchanges."""
    from app.store.accept import store

    return store([submission(*items)])[1]


def sql(statement: str, *params: Any) -> list[tuple[Any, ...]]:
    """Run one statement on the test's store, to look at what the API does not show or to let time pass."""
    from app.store import database

    with database.transaction():
        return database.execute(statement, params)


def let_leases_end() -> None:
    """Let the time of every lease and backoff pass."""
    sql("UPDATE pending SET leased_until = 0, due_at = 0")
