"""Retention beside the worker of the evals process: what has expired is removed slowly, so that nobody waits for it.

A thread, and not an actor: it rests most of the time, so that SQLite's one writer is free for those who accept.
"""

import threading
import time
from collections.abc import Iterator, Sequence

import dramatiq
import structlog
from dramatiq.middleware import Middleware

from actors.queues import RUNS
from actors.stage import each
from app.errors import StoreUnavailable
from app.extraction import extract
from app.store import database, logs, payloads, retention
from app.store.retention import Run

log = structlog.get_logger()

#: How often it looks whether a run is due.
LOOK_S = 60.0
#: Exchanges, or batches, of one transaction.
CHUNK = 100
#: Pages of a SQLite file that are given back at a time.
PAGES = 100
#: After each chunk it rests this many times as long as the chunk took.
REST = 3


class Retention(Middleware):
    """Runs retention beside the worker of the evals process."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._stopping = threading.Event()

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        if self._days and RUNS in (worker.consumer_whitelist or (RUNS,)):
            threading.Thread(target=self._run, name="retention", daemon=True).start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._take_steps()
            except StoreUnavailable as error:
                log.warning("retention_put_off", error=repr(error))
            except Exception:
                log.exception("retention_failed")
            self._stopping.wait(LOOK_S)

    def _take_steps(self) -> None:
        began = time.monotonic()
        for _ in steps(self._days):
            if self._stopping.wait(REST * (time.monotonic() - began)):
                return
            began = time.monotonic()


def steps(days: int) -> Iterator[None]:
    """Remove what was received more than `days` days ago, a chunk a step: who takes the steps may rest, or stop."""
    for project_id in retention.projects():
        run = retention.begin(project_id, days)
        if run is not None:
            yield from _exchanges(run)
            yield from _batches(run)
            log.info("retention_done", project_id=project_id, **retention.finish(run)._asdict())
    while retention.give_back(PAGES):
        yield


def _exchanges(run: Run) -> Iterator[None]:
    since = 0
    while found := retention.expired(run, since=since, limit=CHUNK):
        ids = [one.exchange_id for one in found]
        removed = retention.remove(run, ids, _indexed_words(ids) if database.is_sqlite() else {})
        # What could not be removed is passed by, or it would be found for ever.
        since = found[-1].received_at + (not removed)
        yield


def _batches(run: Run) -> Iterator[None]:
    last: int | None = 0
    while last is not None:
        last = retention.remove_batches(run, after=last, limit=CHUNK)
        yield


def _indexed_words(ids: Sequence[int]) -> dict[int, list[str]]:
    """Read exchanges once more as they were read to be logged; what cannot be read is left out."""
    packed = payloads.packed(ids)
    words, _ = each(ids, lambda i: logs.indexed_words(extract(payloads.unpack(*packed[i]))))
    return words
