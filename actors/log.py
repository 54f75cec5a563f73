"""Step 2: extraction to the log row that lists, filters and evaluators read."""

from collections.abc import Sequence

import dramatiq

from actors import memo, stage
from actors.broker import broker
from actors.evaluate import evaluate
from actors.queues import LOG
from app.store import logs
from app.store.models import Step


@dramatiq.actor(queue_name=LOG, broker=broker)
def log(exchange_ids: list[int]) -> None:
    """Log exchanges that wait for it."""
    stage.run(_STAGE, exchange_ids)


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = memo.read(ids)

    def keep(kept: Sequence[int]) -> list[int]:
        return logs.keep([(i, reads[i].subject.project_id, reads[i].extraction) for i in kept])

    return stage.Outcome(list(reads), keep, broken)


_STAGE = stage.Stage(Step.LOG, _work, evaluate.send)
