"""The sweep: every second, whatever stands still is sent again. It is why Redis may be emptied and workers killed.

A thread of every worker process. It reads before it writes, takes rows that no other sweep takes (SKIP LOCKED,
BEGIN IMMEDIATE), and stops while the queue is long, so that a backlog is never sent twice.
"""

import threading

import dramatiq
import structlog
from dramatiq.middleware import Middleware

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

log = structlog.get_logger()

INTERVAL_S = 1.0
#: Exchanges taken at a time.
LIMIT = 2_000
#: Messages that may wait: with more, the workers have enough to do, and re-sending would only grow the queue.
WINDOW = 500

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
            except StoreUnavailable as error:
                log.warning("sweep_skipped", error=error.detail)
            except Exception:
                log.exception("sweep_failed")


def sweep(broker: dramatiq.Broker) -> int:
    """Send once more what stands still; return how many exchanges were sent."""
    if pending.oldest_due() is None and not runs.any_due() and not reprocess_runs.any_due():
        return 0
    if length(broker, *WORKER_QUEUES) >= WINDOW:
        return 0
    due = pending.take_due(LIMIT)
    for step, send in SEND.items():
        fresh = [d.exchange_id for d in due if d.step == step and d.attempts == 0]
        stage.send(send, fresh)
        # What was tried before goes alone: if it kills its worker again, it kills nobody else's work.
        for one in due:
            if one.step == step and one.attempts > 0:
                stage.send(send, [one.exchange_id])
    for run_id in runs.take_due(LIMIT):
        stage.send(lambda ids: run.send(ids[0]), [run_id])
    for run_id in reprocess_runs.take_due(LIMIT):
        stage.send(lambda ids: reprocess.send(ids[0]), [run_id])
    if due:
        log.info("swept", exchanges=len(due))
    return len(due)
