"""Tells the workers about new exchanges, without ever making an accept wait.

Ids that could not be sent, because the queue is down, slow or long enough already, are dropped here: the rows are
committed, and the sweep sends them.
"""

import queue
import threading
import time

import structlog

from actors.broker import broker, length
from actors.extract import extract
from actors.queues import WORKER_QUEUES
from actors.stage import MESSAGE_IDS, chunks
from actors.sweep import WINDOW

log = structlog.get_logger()

#: After an error nothing is tried for this long, doubling up to the maximum.
PAUSE_S, MAX_PAUSE_S = 0.5, 15.0
#: Ids that may wait here while a send is under way.
MAX_WAITING = 10_000


class Sender:
    """A thread that turns ids into messages; what waits together travels together."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[list[int] | None] = queue.Queue()
        self._closed_until = 0.0
        self._pause_s = PAUSE_S
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def announce(self, ids: list[int]) -> None:
        """Queue the ids of committed exchanges; returns at once."""
        if time.monotonic() >= self._closed_until and self._waiting.qsize() < MAX_WAITING:
            self._waiting.put(ids)

    def close(self) -> None:
        """Send what waits and end the thread."""
        self._waiting.put(None)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while (ids := self._waiting.get()) is not None:
            ids, ended = self._with_waiting(ids)
            if time.monotonic() >= self._closed_until:
                self._send(ids)
            if ended:
                return

    def _with_waiting(self, ids: list[int]) -> tuple[list[int], bool]:
        ids = list(ids)
        while True:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                return ids, False
            if more is None:
                return ids, True
            ids += more

    def _send(self, ids: list[int]) -> None:
        try:
            if length(broker, *WORKER_QUEUES) < WINDOW:
                for chunk in chunks(ids, MESSAGE_IDS):
                    extract.send(chunk)
            self._pause_s = PAUSE_S
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever the queue does
            log.warning("queue_unreachable", error=repr(error), pause_s=self._pause_s)
            self._closed_until = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
