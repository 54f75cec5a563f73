"""Tells the workers about new exchanges, without ever making an accept wait.

While the workers have something to do, ids wait here and grow into full messages: alone an exchange costs them five
times what it does in a chunk of a hundred. What cannot be sent, because the queue is down or
too many ids wait already, is dropped: the rows are committed, and the sweep sends them.
"""

import queue
import threading
import time

import structlog

from actors.broker import broker, length
from actors.extract import extract
from actors.queues import WORKER_QUEUES
from actors.stage import MESSAGE_IDS
from actors.sweep import WINDOW

log = structlog.get_logger()

#: After an error nothing is tried for this long, doubling up to the maximum.
PAUSE_S, MAX_PAUSE_S = 0.5, 15.0
#: Calls of `announce`, and ids, that may wait here.
MAX_WAITING = 10_000
#: With so many messages in the queue the workers have something to do, and only full ones are sent.
BUSY = 4
#: After a message that was not full, ids are gathered for this long; one that comes alone is sent at once.
GATHER_S = 0.02
#: How long the sender waits before it looks again whether the queue has room.
LOOK_S = 0.005


class Sender:
    """A thread that turns ids into messages; what waits together travels together."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[list[int] | None] = queue.Queue()
        self._closed_until = 0.0
        self._pause_s = PAUSE_S
        self._gathering_until = 0.0
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
        held: list[int] = []
        ended = False
        while not ended:
            more, ended = self._take(wait_s=LOOK_S if held else None)
            held = (held + more)[:MAX_WAITING]
            held = self._send(held, last=ended) if time.monotonic() >= self._closed_until else []

    def _take(self, wait_s: float | None) -> tuple[list[int], bool]:
        """Return the ids that wait, after at most `wait_s` (None: once there are some), and whether this is the end."""
        ids: list[int] = []
        try:
            first = self._waiting.get(timeout=wait_s)
            while first is not None:
                ids += first
                first = self._waiting.get_nowait()
        except queue.Empty:
            return ids, False
        return ids, True

    def _send(self, ids: list[int], *, last: bool) -> list[int]:
        """Send ids while there is room; return what has to wait for it. When the queue is down, nothing waits."""
        if len(ids) < MESSAGE_IDS and time.monotonic() < self._gathering_until and not last:
            return ids
        try:
            waiting = length(broker, *WORKER_QUEUES)
            while ids and waiting < (WINDOW if last or len(ids) >= MESSAGE_IDS else BUSY):
                extract.send(ids[:MESSAGE_IDS])
                ids = ids[MESSAGE_IDS:]
                waiting += 1
                self._gathering_until = time.monotonic() + GATHER_S
            self._pause_s = PAUSE_S
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever the queue does
            log.warning("queue_unreachable", error=repr(error), pause_s=self._pause_s)
            self._closed_until = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
            return []
        return ids
