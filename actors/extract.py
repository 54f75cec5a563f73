"""Step 1: raw item to extraction. Only the move is written: the extraction waits in the memo for the log step."""

from collections.abc import Sequence

import dramatiq

from actors import memo, stage
from actors.broker import broker
from actors.log import log
from actors.queues import EXTRACT
from app.store import database, pending
from app.store.models import Step


@dramatiq.actor(queue_name=EXTRACT, broker=broker)
def extract(exchange_ids: list[int]) -> None:
    """Extract exchanges that wait for it."""
    stage.run(_STAGE, exchange_ids)


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = memo.read(ids)
    return stage.Outcome(list(reads), _keep, broken)


def _keep(ids: Sequence[int]) -> list[int]:
    with database.transaction():
        return pending.advance(ids, Step.EXTRACT)


_STAGE = stage.Stage(Step.EXTRACT, _work, log.send)
