"""The state of unfinished exchanges: every move happens once, however often it is asked for."""

import threading
from typing import Any

import pytest

from app.store import database, pending
from app.store.models import Step
from app.store.pending import BACKOFF_MS, HEAD_START_MS, LEASE_MS, Claimed
from tests.helpers import accept, item, let_leases_end, sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def advance(ids: list[int], step: Step) -> list[int]:
    with database.transaction():
        return pending.advance(ids, step)


def finish(ids: list[int], step: Step = Step.EVALUATE) -> list[int]:
    with database.transaction():
        return pending.finish(ids, step)[0]


def at_the_same_time(work: Any, times: int = 4) -> list[Any]:
    barrier, found = threading.Barrier(times), []

    def run() -> None:
        barrier.wait(10)
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == times
    return found


def test_a_claim_counts_the_attempt_and_takes_the_exchange_for_the_lease() -> None:
    ids = accept(item(), item())

    claimed = pending.claim(ids, Step.EXTRACT)

    assert claimed == [Claimed(i, 1) for i in ids]
    now = database.now()
    for attempts, leased_until, due_at in sql("SELECT attempts, leased_until, due_at FROM pending"):
        assert attempts == 1
        assert now + LEASE_MS - 5000 < leased_until == due_at <= now + LEASE_MS


def test_a_leased_exchange_cannot_be_claimed() -> None:
    ids = accept(item())
    pending.claim(ids, Step.EXTRACT)

    assert pending.claim(ids, Step.EXTRACT) == []
    assert sql("SELECT attempts FROM pending") == [(1,)]


def test_what_is_tried_again_is_due_after_what_is_tried_for_the_first_time() -> None:
    again, first = accept(item(), item())
    pending.claim([again], Step.EXTRACT)
    let_leases_end()

    pending.claim([again], Step.EXTRACT)
    pending.claim([first], Step.EXTRACT)

    due = dict(sql("SELECT exchange_id, due_at FROM pending WHERE due_at = leased_until"))
    assert due[again] > due[first] + HEAD_START_MS // 2


def test_a_claim_after_the_lease_counts_on() -> None:
    ids = accept(item())

    for attempts in (1, 2, 3):
        assert pending.claim(ids, Step.EXTRACT) == [Claimed(ids[0], attempts)]
        let_leases_end()


def test_what_was_tried_before_is_claimed_only_by_itself() -> None:
    tried, fresh = accept(item(), item())
    pending.claim([tried], Step.EXTRACT)
    let_leases_end()

    assert pending.claim([tried, fresh], Step.EXTRACT) == [Claimed(fresh, 1)]
    assert pending.claim([tried], Step.EXTRACT) == [Claimed(tried, 2)]


@pytest.mark.parametrize("step", [Step.LOG, Step.EVALUATE])
def test_an_exchange_at_another_step_cannot_be_claimed(step: Step) -> None:
    assert pending.claim(accept(item()), step) == []


@pytest.mark.parametrize("ids", [[], [10**12], [2**62, 5]])
def test_what_is_not_there_cannot_be_claimed(ids: list[int]) -> None:
    assert pending.claim(ids, Step.EXTRACT) == []


def test_of_claims_at_the_same_time_each_exchange_goes_to_one() -> None:
    ids = accept(*[item() for _ in range(60)])

    claims = at_the_same_time(lambda: pending.claim(ids, Step.EXTRACT))

    assert sorted(c.exchange_id for claim in claims for c in claim) == ids


def test_an_advance_moves_once_and_keeps_what_the_step_took() -> None:
    ids = accept(item())
    pending.claim(ids, Step.EXTRACT)

    assert (advance(ids, Step.EXTRACT), advance(ids, Step.EXTRACT)) == (ids, [])
    (row,) = sql("SELECT step, attempts, leased_until, extract_attempts, last_error FROM pending")
    assert row == (Step.LOG, 0, 0, 1, None)
    assert pending.claim(ids, Step.LOG) == [Claimed(ids[0], 1)]


def test_finishing_happens_once_and_remembers_every_step() -> None:
    ids = accept(item())
    for step in (Step.EXTRACT, Step.LOG):
        pending.claim(ids, step)
        advance(ids, step)
    pending.claim(ids, Step.EVALUATE)

    assert (finish(ids), finish(ids)) == (ids, [])
    assert sql("SELECT count(*) FROM pending") == [(0,)]
    (row,) = sql("SELECT extract_attempts, log_attempts, evaluate_attempts FROM finished")
    assert row == (1, 1, 1)


def test_an_exchange_that_is_not_at_that_step_cannot_finish() -> None:
    ids = accept(item())

    assert finish(ids) == []
    assert finish(ids, Step.EXTRACT) == ids


@pytest.mark.parametrize("attempts", [1, 2, 3, 4, 5])
def test_a_try_that_failed_waits_longer_each_time(attempts: int) -> None:
    ids = accept(item())
    pending.claim(ids, Step.EXTRACT)

    pending.try_later(ids[0], Step.EXTRACT, attempts, "ValueError: no")

    ((leased_until, due_at, error),) = sql("SELECT leased_until, due_at, last_error FROM pending")
    wait = BACKOFF_MS[min(attempts, 4) - 1]
    assert error == "ValueError: no"
    assert 0 <= due_at - leased_until < 1000
    assert wait - 5000 < due_at - database.now() <= wait
    assert pending.claim(ids, Step.EXTRACT) == []


def test_a_try_that_failed_at_a_step_already_passed_changes_nothing() -> None:
    ids = accept(item())
    pending.claim(ids, Step.EXTRACT)
    advance(ids, Step.EXTRACT)

    pending.try_later(ids[0], Step.EXTRACT, 1, "late")

    assert sql("SELECT last_error FROM pending") == [(None,)]


def test_nothing_is_due_right_after_the_accept() -> None:
    accept(item())

    assert pending.oldest_due() is None
    assert pending.take_due(10) == []


def test_what_is_due_is_taken_oldest_first_and_put_off() -> None:
    ids = accept(item(), item(), item())
    for age, exchange_id in enumerate(ids):
        sql("UPDATE pending SET due_at = ? WHERE exchange_id = ?", 1000 - age, exchange_id)

    taken = [[d.exchange_id for d in pending.take_due(2)] for _ in range(3)]

    assert taken == [ids[1:], ids[:1], []]
    assert pending.oldest_due() is None


def test_the_age_of_what_is_due_is_told_in_milliseconds() -> None:
    accept(item())
    sql("UPDATE pending SET due_at = ?", database.now() - 90_000)

    assert 89_000 < (pending.oldest_due() or 0) < 120_000


def test_two_sweeps_never_take_the_same() -> None:
    ids = accept(*[item() for _ in range(200)])
    let_leases_end()

    def take() -> list[int]:
        return [due.exchange_id for _ in range(20) for due in pending.take_due(10)]

    found = at_the_same_time(take)

    assert sorted(i for part in found for i in part) == ids
