"""The accounting identity: whatever happens to exchanges, each is counted once."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store import accounting, database, failures, pending
from app.store.accounting import Account
from app.store.models import Step
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def account() -> Account:
    return accounting.of_project(project())


def failed(*ids: int) -> None:
    for exchange_id in ids:
        pending.claim([exchange_id], Step.EXTRACT)
        assert failures.park(exchange_id, Step.EXTRACT, error="E", reason="r", traceback=None)


def test_an_exchange_is_counted_where_it_is() -> None:
    ids = accept(*[item() for _ in range(6)])
    failed(*ids[:3])
    failures.discard(ids[0], actor="tests")
    work()
    accept(item(), item())

    assert account() == Account(accepted=8, evaluated=3, failed=2, pending=2, discarded=1, expired=0)
    assert account().drift == 0


def test_a_replay_and_a_refusal_are_not_counted() -> None:
    accept(item(request_id="a"))
    accept(item(request_id="a"), b'{"latency_ms": "fast", "prompt": "x"}')

    assert account().accepted == 1


def test_another_projects_exchanges_are_not_counted() -> None:
    accept(item())

    assert accounting.of_project(project() + 1) == Account(0, 0, 0, 0, 0, 0)


def test_a_deleted_exchange_has_expired() -> None:
    ids = accept(item(), item())
    work()

    for table in ("finished", "log", "payload"):
        sql(f"DELETE FROM {table} WHERE exchange_id = ?", ids[0])
    sql("DELETE FROM exchange WHERE id = ?", ids[0])

    assert account() == Account(accepted=2, evaluated=1, failed=0, pending=0, discarded=0, expired=1)


def test_what_a_transaction_takes_back_was_never_counted() -> None:
    def broken() -> None:
        with database.transaction():
            accept(item())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    accept(item())

    assert account().accepted == 1


def test_the_oldest_unfinished_is_the_one_that_came_first() -> None:
    assert accounting.oldest_unfinished_ms(1) is None
    ids = accept(item(), item())
    sql("UPDATE exchange SET received_at = received_at - 60000 WHERE id = ?", ids[0])

    assert 60_000 <= (accounting.oldest_unfinished_ms(project()) or 0) < 90_000
    work()
    assert accounting.oldest_unfinished_ms(project()) is None


MOVES = st.lists(st.sampled_from(["accept", "replay", "work", "fail", "discard", "retry", "retry_all"]), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
def test_nothing_drifts_whatever_happens(moves: list[str]) -> None:
    for number, move in enumerate(moves):
        ids = [row[0] for row in sql("SELECT exchange_id FROM pending WHERE step = 0 ORDER BY exchange_id")]
        parked = [row[0] for row in sql("SELECT exchange_id FROM failure ORDER BY discarded_at IS NOT NULL, 1")]
        if move == "accept":
            accept(*[item(request_id=f"{number}-{n}") for n in range(3)])
        elif move == "replay":
            accept(item(request_id="same"))
        elif move == "work":
            work()
        elif move == "fail":
            failed(*ids[:2])
        elif move == "retry_all" and parked:
            failures.retry_all(project(), actor="tests")
        elif parked and move == "retry":
            failures.retry(parked[-1], actor="tests")
        elif parked and move == "discard" and not sql("SELECT 1 FROM failure WHERE discarded_at IS NOT NULL"):
            failures.discard(parked[0], actor="tests")

        if sql("SELECT 1 FROM project"):
            assert account().drift == 0
            assert account().accepted == sql("SELECT count(*) FROM exchange")[0][0]
