"""For machines: is it alive, can it accept, and what does the API look like."""

from typing import Any

from quart import Blueprint, Response
from redis import RedisError

from actors.broker import broker, length
from actors.queues import WORKER_QUEUES
from app.errors import StoreUnavailable
from app.store import database, pending
from web import openapi
from web.routing import json_answer, public
from web.threads import in_thread

routes = Blueprint("machine", __name__)

#: Work that is overdue for longer than this means that no worker keeps up.
LATE_MS = 60_000


@public(routes, "/healthz")
async def healthz() -> Response:
    """The process lives."""
    return json_answer({"status": "ok"})


@public(routes, "/readyz")
async def readyz() -> Response:
    """503 only when exchanges cannot be accepted; what else is wrong is listed as degraded."""
    try:
        missing = await in_thread(database.missing_migrations)
        if not missing:
            await in_thread(database.check_writable)
    except StoreUnavailable as error:
        return json_answer({"status": "unavailable", "database": error.detail}, 503)
    if missing:
        return json_answer({"status": "unavailable", "migrations": missing}, 503)
    return json_answer(await in_thread(_degraded))


@public(routes, "/openapi.json")
async def openapi_json() -> Response:
    """The API's description."""
    return json_answer(openapi.document())


def _degraded() -> dict[str, Any]:
    degraded = []
    try:
        waiting = length(broker, *WORKER_QUEUES)
    except RedisError:
        degraded.append("the queue server does not answer; exchanges are accepted and wait in the database")
        waiting = None
    overdue_ms = pending.oldest_due() or 0
    if overdue_ms > LATE_MS:
        degraded.append(f"exchanges wait {overdue_ms // 1000} s longer than they should: are the workers running?")
    return {
        "status": "degraded" if degraded else "ok",
        "degraded": degraded,
        "queue": waiting,
        "overdue_ms": overdue_ms,
    }
