"""The sweep: what stands still is sent again, once, and never into a long queue."""

from collections.abc import Iterator

import pytest

from actors import sweep as sweep_module
from actors.broker import broker, length
from actors.queues import RUNS, WORKER_QUEUES
from actors.sweep import sweep
from app.store import evaluators, pending, runs
from app.store.evaluators import Definition
from app.store.models import Step
from tests.helpers import accept, item, let_leases_end, sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def _empty_queue() -> Iterator[None]:
    broker.client.flushdb()
    yield
    broker.client.flushdb()


def messages(queue: str) -> list[list[int]]:
    """The ids of every message that waits, in order."""
    from dramatiq import Message

    ids = broker.client.lrange(f"{broker.namespace}:{queue}", 0, -1)
    found = [Message.decode(broker.client.hget(f"{broker.namespace}:{queue}.msgs", one)) for one in ids]
    return [list(message.args[0]) if queue != RUNS else list(message.args) for message in found]


def test_nothing_is_sent_while_nothing_stands_still() -> None:
    accept(item())

    assert sweep(broker) == 0
    assert length(broker, *WORKER_QUEUES) == 0


def test_what_stands_still_is_sent_to_its_step_and_put_off() -> None:
    ids = accept(*[item() for _ in range(3)])
    let_leases_end()
    for step in (Step.LOG, Step.EVALUATE):
        sql("UPDATE pending SET step = ? WHERE exchange_id = ?", step, ids[step])

    assert (sweep(broker), sweep(broker)) == (3, 0)

    assert [messages(queue) for queue in WORKER_QUEUES] == [[ids[:1]], [ids[1:2]], [ids[2:]]]


def test_what_was_tried_before_goes_alone() -> None:
    ids = accept(*[item() for _ in range(5)])
    let_leases_end()
    sql("UPDATE pending SET attempts = 1 WHERE exchange_id > ?", ids[2])

    sweep(broker)

    assert messages("extract") == [ids[:3], [ids[3]], [ids[4]]]


def test_what_was_tried_most_goes_last() -> None:
    ids = accept(*[item() for _ in range(4)])
    let_leases_end()
    for exchange_id, attempts in zip(ids, (3, 1, 2, 1), strict=True):
        sql("UPDATE pending SET attempts = ? WHERE exchange_id = ?", attempts, exchange_id)

    sweep(broker)

    assert messages("extract") == [[ids[1]], [ids[3]], [ids[2]], [ids[0]]]


def test_one_sweep_sends_a_backlog_of_any_size_while_the_queue_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "LIMIT", 2)
    accept(*[item() for _ in range(7)])
    let_leases_end()

    assert sweep(broker) == 7

    let_leases_end()
    broker.client.flushdb()
    monkeypatch.setattr(sweep_module, "WINDOW", 2)
    assert sweep(broker) == 4


def test_a_message_that_got_lost_is_sent_again() -> None:
    ids = accept(item())
    let_leases_end()
    sweep(broker)
    broker.client.flushdb()

    let_leases_end()
    sweep(broker)

    assert messages("extract") == [ids]


def test_nothing_is_sent_while_the_queue_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "WINDOW", 2)
    accept(*[item() for _ in range(3)])
    sql("UPDATE pending SET attempts = 1")
    let_leases_end()
    assert sweep(broker) == 3

    let_leases_end()

    assert sweep(broker) == 0
    assert length(broker, *WORKER_QUEUES) == 3
    assert pending.oldest_due() is not None


def test_a_large_backlog_is_sent_in_large_messages() -> None:
    accept(*[item() for _ in range(450)])
    let_leases_end()

    sweep(broker)

    assert [len(ids) for ids in messages("extract")] == [200, 200, 50]


def test_a_run_that_stands_still_is_sent_again() -> None:
    evaluator = evaluators.create(1, Definition(name="e", type="contains", config="{}"))
    run = runs.create(1, evaluator.id, 1, query="", since=None, until=None, total=0)
    sql("UPDATE eval_run SET due_at = 0")

    sweep(broker)
    sweep(broker)

    assert messages(RUNS) == [[run.id]]
