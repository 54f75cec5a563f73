"""The sender: an accept never waits for the queue."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from actors import sender as sender_module
from actors.sender import Sender
from tests.conftest import wait_until


class Queue:
    """Stands for the queue: takes messages, says how long it is, can be down or slow."""

    def __init__(self) -> None:
        self.messages: list[list[int]] = []
        self.down = False
        self.waiting = 0
        self.open = threading.Event()
        self.open.set()
        self.asked = 0

    def length(self, *_: Any) -> int:
        self.asked += 1
        assert self.open.wait(20)
        if self.down:
            raise redis.ConnectionError("down")
        return self.waiting

    def send(self, ids: list[int]) -> None:
        self.messages.append(ids)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    made = Queue()
    monkeypatch.setattr(sender_module, "length", made.length)
    monkeypatch.setattr(sender_module.extract, "send", made.send)
    monkeypatch.setattr(sender_module, "PAUSE_S", 0.1)
    return made


@pytest.fixture
def sender(queue: Queue) -> Iterator[Sender]:
    running = Sender()
    yield running
    queue.open.set()
    running.close()


def test_ids_are_sent(sender: Sender, queue: Queue) -> None:
    sender.announce([1, 2])

    wait_until(lambda: queue.messages == [[1, 2]])


def test_what_waits_together_travels_together(sender: Sender, queue: Queue) -> None:
    queue.open.clear()
    sender.announce([0])
    wait_until(lambda: queue.asked == 1)
    for n in range(1, 451):
        sender.announce([n])
    queue.open.set()

    wait_until(lambda: len(queue.messages) == 4)
    assert [len(ids) for ids in queue.messages] == [1, 200, 200, 50]
    assert [i for ids in queue.messages for i in ids] == list(range(451))


def test_announcing_returns_at_once_while_the_queue_is_slow_or_down(sender: Sender, queue: Queue) -> None:
    queue.open.clear()
    queue.down = True
    started = time.perf_counter()

    for n in range(20_000):
        sender.announce([n])

    assert time.perf_counter() - started < 2
    assert sender._waiting.qsize() <= sender_module.MAX_WAITING


def test_ids_are_dropped_while_the_queue_is_down_and_sent_once_it_is_back(sender: Sender, queue: Queue) -> None:
    queue.down = True
    sender.announce([1])
    wait_until(lambda: sender._closed_until > 0)

    for n in range(2, 50):
        sender.announce([n])
    assert queue.asked == 1
    queue.down = False
    wait_until(lambda: time.monotonic() > sender._closed_until)
    sender.announce([99])

    wait_until(lambda: queue.messages == [[99]])


def test_the_pause_grows_while_the_queue_stays_down(sender: Sender, queue: Queue) -> None:
    queue.down = True
    pauses = []
    for n in range(3):
        wait_until(lambda: time.monotonic() > sender._closed_until)
        sender.announce([n])
        wait_until(lambda n=n: queue.asked == n + 1 and sender._closed_until > time.monotonic())  # type: ignore[misc]
        pauses.append(sender._pause_s)

    assert pauses[0] < pauses[1] < pauses[2] <= sender_module.MAX_PAUSE_S


def test_what_waits_for_a_long_queue_is_sent_in_one_message_once_there_is_room(sender: Sender, queue: Queue) -> None:
    queue.waiting = sender_module.WINDOW
    for n in range(5):
        sender.announce([n])
        wait_until(lambda n=n: queue.asked > n)  # type: ignore[misc]
    assert queue.messages == []

    queue.waiting = 0

    wait_until(lambda: queue.messages == [[0, 1, 2, 3, 4]])


def test_what_comes_soon_after_a_message_is_gathered(
    sender: Sender, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "GATHER_S", 0.5)
    sender.announce([0])
    wait_until(lambda: queue.messages == [[0]])

    for n in range(1, 6):
        sender.announce([n])
        time.sleep(0.01)

    wait_until(lambda: queue.messages[1:] == [[1, 2, 3, 4, 5]])


def test_a_message_that_is_not_full_waits_while_the_workers_have_something_to_do(sender: Sender, queue: Queue) -> None:
    queue.waiting = sender_module.BUSY
    for n in range(250):
        sender.announce([n])
    wait_until(lambda: queue.messages == [list(range(200))])
    asked = queue.asked
    wait_until(lambda: queue.asked > asked + 2)
    assert len(queue.messages) == 1

    queue.waiting = sender_module.BUSY - 1

    wait_until(lambda: queue.messages[1:] == [list(range(200, 250))])


def test_no_more_than_so_many_ids_wait_for_a_long_queue(
    sender: Sender, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "MAX_WAITING", 3)
    queue.waiting = sender_module.WINDOW
    sender.announce([1, 2])
    sender.announce([3, 4, 5])
    wait_until(lambda: queue.asked >= 2 and sender._waiting.empty())

    queue.waiting = 0

    wait_until(lambda: queue.messages == [[1, 2, 3]])


@pytest.mark.parametrize("waiting", [0, sender_module.BUSY])
def test_closing_sends_what_waits(queue: Queue, waiting: int) -> None:
    queue.waiting = waiting
    sender = Sender()
    for n in range(100):
        sender.announce([n])

    sender.close()

    assert sorted(i for ids in queue.messages for i in ids) == list(range(100))
    assert not sender._thread.is_alive()
