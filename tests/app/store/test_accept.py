"""Accepting: one transaction for what waits together, one row for each request id, and nobody else's fate shared."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.store import accept, database, payloads
from app.store.accept import Receipt, Submission, Writer, store
from tests.conftest import wait_until
from tests.helpers import encoded, item, sql, submission

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


@pytest.fixture
def committed() -> list[list[int]]:
    """What the writer announced, group by group."""
    return []


@pytest.fixture
def writer(store: str, committed: list[list[int]]) -> Iterator[Writer]:
    """A writer that is closed in the end."""
    running = Writer(committed.append)
    yield running
    running.close()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets no group be stored until it is set, so that submissions wait together."""
    go, real = threading.Event(), accept.store

    def store_when_set(submissions: Any) -> Any:
        assert go.wait(20)
        return real(submissions)

    monkeypatch.setattr(accept, "store", store_when_set)
    yield go
    go.set()


async def results(futures: list[asyncio.Future[Receipt]]) -> list[Receipt]:
    return await asyncio.wait_for(asyncio.gather(*futures), 20)


async def result(future: asyncio.Future[Receipt]) -> Receipt:
    return await asyncio.wait_for(future, 20)


async def failures(futures: list[asyncio.Future[Receipt]]) -> list[BaseException | None]:
    await asyncio.wait(futures, timeout=20)
    return [future.exception() for future in futures]


def count(table: str) -> int:
    return int(sql(f"SELECT count(*) FROM {table}")[0][0])


def test_an_exchange_is_stored_with_its_very_bytes_and_waits_for_extraction() -> None:
    raw = b'{ "request_id":"a", "prompt":"x" , "n": 1.10 }'

    receipts, ids = store([submission(raw)])

    assert [(o.position, o.request_id, o.duplicate, o.error) for o in receipts[0].outcomes] == [(0, "a", False, None)]
    assert payloads.read(ids[0]) == raw
    assert sql("SELECT exchange_id, step, attempts, leased_until FROM pending") == [(ids[0], 0, 0, 0)]


async def test_what_waits_together_is_committed_together(
    writer: Writer, held: threading.Event, committed: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions: list[int] = []
    real = database.transaction
    monkeypatch.setattr(database, "transaction", lambda: (transactions.append(1), real())[1])
    futures = [writer.submit(submission(item(request_id=f"first-{n}"))) for n in range(1)]
    while writer._waiting.qsize():  # the first is taken and held, the others wait
        pass
    waiting = [submission(item(request_id=f"r{n}")) for n in range(50)]
    transactions.clear()

    futures += [writer.submit(one) for one in waiting]
    held.set()

    assert all(receipt.outcomes[0].error is None for receipt in await results(futures))
    writer.close()
    assert len(transactions) == 2
    assert [len(ids) for ids in committed] == [1, 50]


async def test_a_group_is_bounded(writer: Writer, held: threading.Event, committed: list[list[int]]) -> None:
    futures = [
        writer.submit(submission(*[item(request_id=f"{s}-{n}") for n in range(400)], batch=True)) for s in range(7)
    ]

    held.set()
    await results(futures)
    writer.close()

    assert sum(len(ids) for ids in committed) == 2800
    assert max(len(ids) for ids in committed) <= 1400


async def test_a_hundred_racing_replays_are_one_row_and_a_hundred_accepts(writer: Writer) -> None:
    futures = [writer.submit(submission(item(request_id="same"))) for _ in range(100)]

    outcomes = [receipt.outcomes[0] for receipt in await results(futures)]
    assert len(outcomes) == 100
    assert sum(outcome.duplicate for outcome in outcomes) == 99
    assert {outcome.error for outcome in outcomes} == {None}
    assert (count("exchange"), count("pending"), count("payload")) == (1, 1, 1)


async def test_two_processes_that_race_keep_one_row() -> None:
    # Two writers are what two web processes are to the database.
    writers = [Writer(lambda ids: None) for _ in range(2)]

    futures = [writers[n % 2].submit(submission(item(request_id=f"r{n // 2}"))) for n in range(100)]

    outcomes = [receipt.outcomes[0] for receipt in await results(futures)]
    for writer in writers:
        writer.close()
    assert sum(outcome.duplicate for outcome in outcomes) == 50
    assert {outcome.error for outcome in outcomes} == {None}
    assert count("exchange") == 50


def test_the_same_item_twice_in_a_batch_is_one_row_and_a_duplicate() -> None:
    receipts, ids = store([submission(item(request_id="a"), item(request_id="a"), batch=True)])

    assert [outcome.duplicate for outcome in receipts[0].outcomes] == [False, True]
    assert len(ids) == 1


def test_another_item_of_the_same_id_in_a_batch_is_a_conflict() -> None:
    (receipt,), ids = store([submission(item(request_id="a"), item(request_id="a", status_code=500), batch=True)])

    first, second = receipt.outcomes
    assert (first.error, len(ids)) == (None, 1)
    assert second.error is not None
    assert (second.error.code, second.error.pointer) == ("request_id_conflict", "/request_id")


def test_the_same_item_in_two_submissions_of_a_group_is_one_row() -> None:
    receipts, ids = store([submission(item(request_id="a")) for _ in range(2)])

    assert [receipt.outcomes[0].duplicate for receipt in receipts] == [False, True]
    assert len(ids) == 1


def test_a_replay_is_a_duplicate_and_starts_nothing() -> None:
    _, first = store([submission(item(request_id="a"))])
    sql("DELETE FROM pending")

    (receipt,), again = store([submission(item(request_id="a"))])

    assert (receipt.outcomes[0].duplicate, again, len(first)) == (True, [], 1)
    assert count("pending") == 0


def test_a_replay_with_other_bytes_is_a_conflict_and_changes_nothing() -> None:
    _, ids = store([submission(encoded(request_id="a"))])

    (receipt,), new = store([submission(encoded(request_id="a", status_code=500))])

    assert receipt.outcomes[0].error is not None
    assert receipt.outcomes[0].error.code == "request_id_conflict"
    assert new == []
    assert payloads.read(ids[0]) == encoded(request_id="a")


def test_a_request_id_belongs_to_its_project() -> None:
    (one, two), ids = store([submission(item(request_id="a"), project_id=project) for project in (1, 2)])

    assert not one.outcomes[0].duplicate
    assert not two.outcomes[0].duplicate
    assert len(ids) == 2


def test_a_batch_of_refused_items_is_kept_with_the_reasons() -> None:
    (receipt,), ids = store([submission(item(request_id="bad", status_code=1), b"7", batch=True)])

    assert ids == []
    assert receipt.batch_id is not None
    assert sql("SELECT position, request_id, error_code, pointer FROM rejection ORDER BY position") == [
        (0, "bad", "out_of_range", "/status_code"),
        (1, None, "wrong_type", ""),
    ]


def test_a_single_makes_no_batch() -> None:
    (receipt,), _ = store([submission(item())])

    assert (receipt.batch_id, count("batch")) == (None, 0)


def test_many_duplicates_are_found_again() -> None:
    items = [item(request_id=f"r{n}") for n in range(1000)]
    store([submission(*items)])

    (receipt,), ids = store([submission(*items, *items)])

    assert ids == []
    assert all(outcome.duplicate for outcome in receipt.outcomes)


def test_more_items_than_one_statement_takes_can_be_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "MAX_GROUP_ITEMS", 10)
    items = [item(request_id=f"r{n}") for n in range(25)]
    _, ids = store([submission(*items)])

    (receipt,), again = store([submission(*items)])

    assert (len(ids), len(again)) == (25, 0)
    assert all(outcome.duplicate for outcome in receipt.outcomes)


async def test_a_submission_that_the_database_refuses_fails_alone(writer: Writer, held: threading.Event) -> None:
    good = [submission(item(request_id=f"r{n}")) for n in range(4)]
    poisoned: Submission = submission(item(request_id="poison"))
    entry = poisoned.entries[0]._replace(tags=object())
    poisoned = poisoned._replace(entries=[entry])
    futures = [writer.submit(one) for one in (good[0], good[1], poisoned, good[2], good[3])]

    held.set()

    assert [error is None for error in await failures(futures)] == [True, True, False, True, True]
    assert sql("SELECT request_id FROM exchange ORDER BY request_id") == [("r0",), ("r1",), ("r2",), ("r3",)]


async def test_what_cannot_be_stored_now_fails_as_unavailable_and_the_next_is_stored(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(submissions: Any) -> Any:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(accept, "store", gone)
        (refused,) = await failures([writer.submit(submission(item(request_id="a")))])

    assert isinstance(refused, StoreUnavailable)
    assert (await result(writer.submit(submission(item(request_id="a"))))).outcomes[0].error is None


async def test_whoever_came_while_the_database_did_not_answer_is_told_with_the_first(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, tries = threading.Event(), []

    def gone(submissions: Any) -> Any:
        tries.append(len(submissions))
        stuck.wait(20)
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(accept, "store", gone)
        futures = [writer.submit(submission(item(request_id="first")))]
        wait_until(lambda: tries == [1])
        futures += [writer.submit(submission(item(request_id=f"r{n}"))) for n in range(5)]
        stuck.set()
        errors = await failures(futures)

    assert {type(error) for error in errors} == {StoreUnavailable}
    assert tries == [1]
    assert (await result(writer.submit(submission(item(request_id="first"))))).outcomes[0].error is None


async def test_more_than_memory_holds_is_refused_until_the_database_answers(
    writer: Writer, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "MAX_WAITING_BYTES", 500)
    waiting = [writer.submit(submission(item(request_id="taken-0")))]
    # The writer has taken it and is held, so that what comes next waits.
    wait_until(lambda: writer._waiting_bytes == 0)
    while writer._waiting_bytes <= 500:
        waiting.append(writer.submit(submission(item(request_id=f"taken-{len(waiting)}"))))

    with pytest.raises(StoreUnavailable):
        writer.submit(submission(item(request_id="refused")))
    held.set()

    await results(waiting)
    assert (await result(writer.submit(submission(item(request_id="after"))))).outcomes[0].error is None


async def test_a_caller_that_gave_up_is_left_out_and_does_not_end_the_writer(
    writer: Writer, held: threading.Event
) -> None:
    first = writer.submit(submission(item(request_id="first")))
    wait_until(lambda: writer._waiting_bytes == 0)  # it is taken and held: too late to give it up
    gone = writer.submit(submission(item(request_id="gone")))

    first.cancel()
    gone.cancel()
    held.set()

    assert (await result(writer.submit(submission(item(request_id="next"))))).outcomes[0].error is None
    assert sql("SELECT request_id FROM exchange ORDER BY id") == [("first",), ("next",)]


async def test_a_group_is_handed_back_in_one_turn_of_the_loop(
    writer: Writer, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, woken = asyncio.get_running_loop(), []
    real = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: (woken.append(call), real(*call))[1])
    first = writer.submit(submission(item(request_id="first")))
    wait_until(lambda: writer._waiting_bytes == 0)
    futures = [first, *(writer.submit(submission(item(request_id=f"r{n}"))) for n in range(50))]

    held.set()

    await results(futures)
    assert len(woken) == 2


async def test_an_announcement_that_fails_does_not_end_the_writer(store: str) -> None:
    def broken(ids: list[int]) -> None:
        raise RuntimeError("no queue")

    writer = Writer(broken)

    receipts = [await result(writer.submit(submission(item(request_id=f"r{n}")))) for n in range(2)]
    writer.close()

    assert [receipt.outcomes[0].error for receipt in receipts] == [None, None]


async def test_closing_commits_what_waits(store: str) -> None:
    writer = Writer(lambda ids: None)
    futures = [writer.submit(submission(item(request_id=f"r{n}"))) for n in range(300)]

    writer.close()

    assert count("exchange") == 300
    assert len(await results(futures)) == 300


async def test_ids_are_announced_after_the_commit(store: str) -> None:
    seen: list[bool] = []
    writer = Writer(lambda ids: seen.append(sql("SELECT id FROM exchange") == [(ids[0],)]))

    await result(writer.submit(submission(item())))
    writer.close()

    assert seen == [True]
