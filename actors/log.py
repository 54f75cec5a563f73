"""Step 2: extraction to the log row that lists, filters and evaluators read, with what the exchange cost."""

from collections.abc import Sequence

import dramatiq

from actors import reading, stage
from actors.broker import broker
from actors.evaluate import evaluate
from actors.queues import LOG
from actors.reading import Read
from app import pricing
from app.store import database, logs, pending, prices, usage
from app.store.logs import Entry
from app.store.models import Step


@dramatiq.actor(queue_name=LOG, broker=broker)
def log(exchange_ids: list[int]) -> None:
    """Log exchanges that wait for it."""
    stage.run(_STAGE, exchange_ids)


def entries(reads: dict[int, Read]) -> tuple[dict[int, Entry], dict[int, Exception]]:
    """Price what was read, by the own prices of its project as they are now; return also what went wrong."""
    own = prices.of([one.subject.project_id for one in reads.values()])

    def work(exchange_id: int) -> Entry:
        subject, found = reads[exchange_id]
        cost = pricing.cost(
            found,
            status_code=subject.status_code,
            at_ms=subject.called_at,
            own=own.get(subject.project_id, ()),
        )
        return Entry(subject, found, cost)

    return stage.each(list(reads), work)


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = reading.read(ids)
    ready, unpriceable = entries(reads)
    rows = logs.prepared(ready.values())

    def keep(kept: Sequence[int]) -> list[int]:
        with database.transaction():
            moved = pending.advance(kept, Step.LOG)
            logs.insert([rows[i] for i in moved])
            usage.add([rows[i].call for i in moved])
        return moved

    return stage.Outcome(list(rows), keep, broken | unpriceable)


_STAGE = stage.Stage(Step.LOG, _work, evaluate.send)
