"""The queue as workers see it, on the real server: a lone message does not wait, and waiting costs nothing."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.errors import ConnectionClosed

import actors.worker  # noqa: F401 - adds the sweep to the broker
from actors.broker import _Broker, _PeekingConsumer, broker, length, make_broker
from app.settings import Settings
from tests.conftest import wait_until

QUEUE = "tests"


@pytest.fixture
def own() -> Iterator[Any]:
    """A broker of this test's own namespace on the bundled server."""
    made = _Broker(url=Settings.from_environ().redis_url, namespace=f"ingate-{time.monotonic_ns()}", middleware=[])
    made.declare_queue(QUEUE)
    yield made
    made.flush_all()
    made.client.close()


def commands(client: Any) -> int:
    return int(client.info("stats")["total_commands_processed"])


def test_a_message_is_handed_over_within_a_tenth_of_a_second_of_an_idle_wait(own: Any) -> None:
    arrived: list[float] = []

    @dramatiq.actor(queue_name=QUEUE, broker=own)
    def note() -> None:
        arrived.append(time.monotonic())

    worker = dramatiq.Worker(own, worker_threads=1)
    worker.start()
    delays = []
    for n in range(5):
        threading.Event().wait(0.3)  # the consumer is idle, in the middle of its wait
        sent = time.monotonic()
        note.send()
        wait_until(lambda n=n: len(arrived) == n + 1)  # type: ignore[misc]
        delays.append(arrived[-1] - sent)
    worker.stop()

    assert sorted(delays)[2] < 0.1


def test_an_idle_consumer_asks_about_once_a_second(own: Any) -> None:
    consumer = own.consume(QUEUE, prefetch=2, timeout=1000)
    next(consumer)
    before = commands(own.client)

    started = time.monotonic()
    while time.monotonic() - started < 2:
        assert next(consumer) is None

    assert commands(own.client) - before < 15
    consumer.close()


def test_peeking_neither_loses_nor_reorders_messages(own: Any) -> None:
    sent = [own.enqueue(dramatiq.Message(QUEUE, "a", (n,), {}, {})).args[0] for n in range(20)]
    consumer = own.consume(QUEUE, prefetch=100, timeout=1000)

    found = []
    while len(found) < 20:
        message = next(consumer)
        if message is not None:
            found.append(message.args[0])
            consumer.ack(message)

    assert found == sent
    assert length(own, QUEUE) == 0
    consumer.close()


def test_a_consumer_that_holds_enough_takes_no_more(own: Any) -> None:
    for n in range(5):
        own.enqueue(dramatiq.Message(QUEUE, "a", (n,), {}, {}))
    consumer = own.consume(QUEUE, prefetch=2, timeout=1000)

    held = [message for message in (next(consumer) for _ in range(10)) if message is not None]

    assert len(held) == 2
    assert length(own, QUEUE) == 3
    consumer.close()


@pytest.mark.parametrize("error", [redis.TimeoutError("slow"), redis.ConnectionError("gone")])
def test_a_lost_connection_is_one_that_dramatiq_mends(
    own: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    consumer = own.consume(QUEUE, prefetch=2, timeout=1000)

    def lost(*_: Any) -> None:
        raise error

    monkeypatch.setattr(own.client, "blmove", lost)

    with pytest.raises(ConnectionClosed):
        next(consumer)
    consumer.close()


def test_delayed_queues_poll_as_ever(own: Any) -> None:
    kinds = [type(own.consume(name, timeout=100)) for name in (QUEUE, f"{QUEUE}.DQ")]

    assert kinds[0] is _PeekingConsumer
    assert kinds[1] is not _PeekingConsumer


def test_a_broker_connects_to_nothing_before_the_first_message() -> None:
    made = make_broker(Settings.from_environ({"REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}))

    with pytest.raises(redis.RedisError):
        length(made, QUEUE)


def test_no_actor_retries_by_itself() -> None:
    kinds = {type(middleware).__name__ for middleware in broker.middleware}

    assert "Retries" not in kinds
    assert {"_Store", "TimeLimit", "Sweep"} <= kinds
