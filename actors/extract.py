"""Step 1: raw item to extraction. What is new goes through the other steps in the same pass, and is written once.

What was tried before takes one step at a time: then it is known which one it cannot take. Only the move is written
here; the log step reads the item again.
"""

from collections.abc import Sequence

import dramatiq

from actors import reading, stage
from actors.broker import broker
from actors.evaluate import Scorer
from actors.log import entries, log
from actors.queues import EXTRACT
from app.store import database, logs, pending, scores, usage
from app.store.models import Step


@dramatiq.actor(queue_name=EXTRACT, broker=broker)
def extract(exchange_ids: list[int]) -> None:
    """Take exchanges that wait for it from here to their end."""
    stage.run(_STAGE, exchange_ids)


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = reading.read(ids)
    return stage.Outcome(list(reads), _keep, broken)


def _keep(ids: Sequence[int]) -> list[int]:
    with database.transaction():
        return pending.advance(ids, Step.EXTRACT)


def _pass(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = reading.read(ids)
    ready, unpriceable = entries(reads)
    rows, scorer = logs.prepared(ready.values()), Scorer(reads)

    def keep(kept: Sequence[int]) -> list[int]:
        with database.transaction():
            moved, at = pending.finish(kept, Step.EXTRACT)
            logs.insert([rows[i] for i in moved], new=True)
            scores.insert(scorer.rows(moved), at, new=True)
            usage.add([rows[i].call for i in moved])
        return moved

    return stage.Outcome(list(rows), keep, broken | unpriceable)


_STAGE = stage.Stage(Step.EXTRACT, _work, log.send, whole=_pass)
