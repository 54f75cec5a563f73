"""The sweep: every second, whatever stands still is sent again. It is why Redis may be emptied and workers killed.

A thread of every worker process. It reads before it writes, takes rows that no other sweep takes (SKIP LOCKED,
BEGIN IMMEDIATE), and stops while the queue is long, so that a backlog is never sent twice.
"""

import threading
from collections.abc import Sequence

import dramatiq
import structlog
from dramatiq.middleware import Middleware
from redis import RedisError

from actors import stage
from actors.broker import length
from actors.evaluate import evaluate
from actors.extract import extract
from actors.log import log as log_actor
from actors.queues import WORKER_QUEUES
from actors.reprocess import reprocess
from actors.run import run
from app.errors import StoreUnavailable
from app.store import pending, runs
from app.store import reprocess as reprocess_runs
from app.store.models import Step
from app.store.pending import Due

log = structlog.get_logger()

INTERVAL_S = 1.0
#: Exchanges taken at a time.
LIMIT = 2_000
#: Messages that may wait: with more, the workers have enough to do, and re-sending would only grow the queue. As many
#: full ones take about a lease, so that little of what is in the queue is due again.
WINDOW = 150

#: The actor of each step.
SEND = {Step.EXTRACT: extract.send, Step.LOG: log_actor.send, Step.EVALUATE: evaluate.send}


class Sweep(Middleware):
    """Runs the sweep beside a worker."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        threading.Thread(target=self._run, args=(broker,), name="sweep", daemon=True).start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self._stopping.set()

    def _run(self, broker: dramatiq.Broker) -> None:
        while not self._stopping.wait(INTERVAL_S):
            try:
                sweep(broker)
            except (StoreUnavailable, RedisError) as error:
                log.warning("sweep_skipped", error=repr(error))
            except Exception:
                log.exception("sweep_failed")


def sweep(broker: dramatiq.Broker) -> int:
    """Send once more what stands still; return how many exchanges were sent."""
    sent = 0
    while pending.oldest_due() is not None and length(broker, *WORKER_QUEUES) < WINDOW:
        due = pending.take_due(LIMIT)
        _send(due)
        sent += len(due)
    for run_id in runs.take_due(LIMIT) if runs.any_due() else ():
        stage.send(lambda ids: run.send(ids[0]), [run_id])
    for run_id in reprocess_runs.take_due(LIMIT) if reprocess_runs.any_due() else ():
        stage.send(lambda ids: reprocess.send(ids[0]), [run_id])
    if sent:
        log.info("swept", exchanges=sent)
    return sent


def _send(due: Sequence[Due]) -> None:
    for step, send in SEND.items():
        stage.send(send, [one.exchange_id for one in due if one.step == step and one.attempts == 0])
    # What was tried before goes alone: if it kills its worker again, it kills nobody else's work. And what was tried
    # most goes last: its neighbours are done by then.
    for one in sorted(due, key=lambda one: one.attempts):
        if one.attempts > 0:
            stage.send(SEND[one.step], [one.exchange_id])
