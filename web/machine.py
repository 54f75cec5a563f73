"""For machines: is it alive, can it accept, how far behind is the work, and what does the API look like."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from quart import Blueprint, Response
from redis import RedisError

from actors.broker import broker, lengths
from actors.queues import EVALS_QUEUES, WORKER_QUEUES
from app.errors import StoreUnavailable
from app.store import accounting, canaries, database, pending
from app.store.accounting import Account
from app.store.canaries import Canary
from app.store.keys import Identity
from web import openapi
from web.routing import json_answer, operation, public
from web.threads import in_thread

routes = Blueprint("machine", __name__)

#: Work that is overdue for longer than this means that no worker keeps up.
LATE_MS = 60_000
#: A canary takes milliseconds; one that takes this long stands somewhere.
CANARY_LATE_MS = 30_000
#: A queue server that has not answered by then does not answer.
QUEUE_PATIENCE_S = 1.0


class Health(NamedTuple):
    """How the part behind the accept is doing; accepting goes on without it."""

    #: What is wrong, in sentences.
    degraded: list[str]
    #: Messages that wait, by queue; None when the queue server does not answer.
    queues: dict[str, int] | None
    #: How long the longest waiting exchange has been overdue, in milliseconds.
    overdue_ms: int
    #: Age of the oldest exchange that is not finished, of any project, in milliseconds; None when all are.
    oldest_unfinished_ms: int | None
    canary: Canary | None


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
            found = await health()
    except StoreUnavailable as error:
        return json_answer({"status": "unavailable", "database": error.detail}, 503)
    if missing:
        return json_answer({"status": "unavailable", "migrations": missing}, 503)
    return json_answer(
        {
            "status": "degraded" if found.degraded else "ok",
            "degraded": found.degraded,
            "queue": None if found.queues is None else sum(found.queues.values()),
            "overdue_ms": found.overdue_ms,
            "oldest_unfinished_ms": found.oldest_unfinished_ms,
            "canary": None if found.canary is None else found.canary._asdict(),
        }
    )


@operation(
    routes,
    "GET",
    "/metrics",
    role="viewer",
    summary="Prometheus metrics: the accounting of the key's project, and the health of the work",
)
async def metrics(identity: Identity) -> Response:
    """Answer the metrics as text."""
    account = await in_thread(accounting.of_project, identity.project_id)
    oldest_ms = await in_thread(accounting.oldest_unfinished_ms, identity.project_id)
    registry = CollectorRegistry()
    registry.register(_Metrics(account, oldest_ms, await health()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@public(routes, "/openapi.json")
async def openapi_json() -> Response:
    """The API's description."""
    return json_answer(openapi.document())


async def health() -> Health:
    """Look at the queue and the work. Raises StoreUnavailable."""
    overdue_ms, oldest_ms, canary = await in_thread(_from_store)
    try:
        queues = await asyncio.wait_for(in_thread(lengths, broker, *WORKER_QUEUES, *EVALS_QUEUES), QUEUE_PATIENCE_S)
    except (RedisError, TimeoutError):
        queues = None
    return Health(list(_complaints(queues, overdue_ms, canary)), queues, overdue_ms, oldest_ms, canary)


def _from_store() -> tuple[int, int | None, Canary | None]:
    return pending.oldest_due() or 0, accounting.oldest_unfinished_ms(), canaries.last()


def _complaints(queues: dict[str, int] | None, overdue_ms: int, canary: Canary | None) -> Iterator[str]:
    if queues is None:
        yield "the queue server does not answer; exchanges are accepted and wait in the database"
    if overdue_ms > LATE_MS:
        yield f"exchanges wait {overdue_ms // 1000} s longer than they should: are the workers running?"
    if canary is not None and canary.took_ms is None and canary.age_ms > CANARY_LATE_MS:
        yield f"the canary exchange has been on its way for {canary.age_ms // 1000} s: are the workers running?"


class _Metrics(Collector):
    """What was found, as Prometheus wants it."""

    def __init__(self, account: Account, oldest_ms: int | None, found: Health) -> None:
        self._account, self._oldest_ms, self._health = account, oldest_ms, found

    def collect(self) -> Iterable[Metric]:
        states = GaugeMetricFamily("ingate_exchanges", "Exchanges of the project, by where they are.", labels=["state"])
        for state, count in self._account._asdict().items():
            if state != "accepted":
                states.add_metric([state], count)
        yield CounterMetricFamily("ingate_exchanges_accepted", "Accepted exchanges.", self._account.accepted)
        yield states
        yield _gauge("ingate_accounting_drift", "Accepted less all states: 0, or a defect.", self._account.drift)
        yield _gauge("ingate_oldest_unfinished_seconds", "Age of the oldest pending one.", (self._oldest_ms or 0) / 1e3)
        yield _gauge(
            "ingate_overdue_seconds", "How much longer than it should work waits.", self._health.overdue_ms / 1e3
        )
        yield _gauge("ingate_queue_up", "Whether the queue server answers.", self._health.queues is not None)
        messages = GaugeMetricFamily("ingate_queue_messages", "Messages that wait, by queue.", labels=["queue"])
        for name, count in (self._health.queues or {}).items():
            messages.add_metric([name], count)
        yield messages
        canary = self._health.canary
        if canary is not None:
            yield _gauge("ingate_canary_age_seconds", "Since the last canary was accepted.", canary.age_ms / 1e3)
            if canary.took_ms is not None:
                yield _gauge("ingate_canary_seconds", "From accepted to evaluated.", canary.took_ms / 1e3)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value)
