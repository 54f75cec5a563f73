"""Step 2: extraction to the log row that lists, filters and evaluators read, with what the exchange cost."""

from collections.abc import Sequence

import dramatiq

from actors import memo, stage
from actors.broker import broker
from actors.evaluate import evaluate
from actors.queues import LOG
from app import pricing
from app.store import logs, prices
from app.store.logs import Entry
from app.store.models import Step


@dramatiq.actor(queue_name=LOG, broker=broker)
def log(exchange_ids: list[int]) -> None:
    """Log exchanges that wait for it."""
    stage.run(_STAGE, exchange_ids)


def entries(reads: dict[int, memo.Read]) -> tuple[dict[int, Entry], dict[int, Exception]]:
    """Price what was read, by the own prices of its project as they are now; return also what went wrong."""
    own = prices.of([one.subject.project_id for one in reads.values()])

    def work(exchange_id: int) -> Entry:
        subject, found, _ = reads[exchange_id]
        cost = pricing.cost(
            found,
            status_code=subject.status_code,
            at_ms=subject.called_at,
            own=own.get(subject.project_id, ()),
        )
        return Entry(subject, found, cost)

    return stage.each(list(reads), work)


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = memo.read(ids)
    ready, unpriceable = entries(reads)

    def keep(kept: Sequence[int]) -> list[int]:
        return logs.keep([ready[i] for i in kept])

    return stage.Outcome(list(ready), keep, broken | unpriceable)


_STAGE = stage.Stage(Step.LOG, _work, evaluate.send)
