"""Retention: what is old and finished goes with all of it, and nothing else; at every step the numbers add up."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import retention as actor
from actors.queues import RUNS, WORKER_QUEUES
from actors.retention import Retention, steps
from app import filters
from app.errors import NotFound, StoreUnavailable
from app.extraction import Extraction
from app.store import accept as accept_module
from app.store import accounting, batches, database, evaluators, exchanges, failures, retention, runs, scores, search
from app.store.accounting import Account
from app.store.evaluators import Definition
from app.store.models import Step
from app.store.retention import DAY_MS
from tests.conftest import ROOT, SERVER_DATABASE_URL
from tests.helpers import accept, item, let_leases_end, sql, submission, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]

DAYS = 30
#: Every table that holds something of an exchange.
PARTS = ("finished", "failure", "pending", "payload", "log", "score")


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def account() -> Account:
    return accounting.of_project(project())


def batch(*items: dict[str, Any] | bytes) -> int:
    """Store items as a batch; return its number."""
    accept_module.store([submission(*items, batch=True)])
    return int(sql("SELECT max(id) FROM batch")[0][0])


def age(days: float, *ids: int) -> None:
    """Let exchanges, and the batches they came in, be received earlier."""
    for exchange_id in ids:
        sql("UPDATE exchange SET received_at = received_at - ? WHERE id = ?", int(days * DAY_MS), exchange_id)
    sql(
        """UPDATE batch SET received_at = (SELECT min(received_at) FROM exchange e WHERE e.batch = batch.id)
            WHERE id IN (SELECT batch FROM exchange)"""
    )


def everything() -> list[int]:
    return [row[0] for row in sql("SELECT id FROM exchange ORDER BY id")]


def expire(days: int = DAYS) -> None:
    """Let every run that is due take all of its steps."""
    for _ in steps(days):
        assert account().drift == 0


def due_again() -> None:
    """Let the time to the next run pass."""
    sql("UPDATE retention SET finished_at = 0, leased_until = 0")


def evaluator() -> int:
    return evaluators.create(project(), Definition(name="short", type="max_length", config='{"characters":5}')).id


def found(query: str) -> list[int]:
    return [row.id for row in exchanges.page(project(), terms=filters.parse(query)).rows]


def test_what_is_old_goes_with_all_that_belongs_to_it_and_what_is_younger_stays() -> None:
    accept(item())
    evaluator()
    old, young, newest = accept(item(), item(), item())
    work()
    age(DAYS + 0.01, old)
    age(DAYS - 0.01, young)

    expire()

    assert old not in everything()
    assert {young, newest} < set(everything())
    for table in PARTS:
        assert sql(f"SELECT 1 FROM {table} WHERE exchange_id = ?", old) == []
    for table in ("finished", "payload", "log", "score"):
        assert sql(f"SELECT 1 FROM {table} WHERE exchange_id = ?", young) != []
    assert (account().evaluated, account().expired, account().drift) == (3, 1, 0)


def test_what_is_not_finished_is_not_expired_until_it_is() -> None:
    waiting, failed, discarded, _ = accept(item(), item(), item(), item())
    for exchange_id, step in ((failed, Step.EXTRACT), (discarded, Step.EXTRACT)):
        failures.park(exchange_id, step, error="E", reason="r", traceback=None)
    failures.discard(discarded, actor="tests")
    age(DAYS + 1, waiting, failed, discarded)

    expire()

    assert everything()[0] == waiting
    assert account() == Account(accepted=4, evaluated=0, failed=0, pending=2, discarded=0, expired=2)

    work()
    due_again()
    expire()

    assert waiting not in everything()
    assert account() == Account(accepted=4, evaluated=1, failed=0, pending=0, discarded=0, expired=3)


def test_a_failure_that_was_retried_meanwhile_stays() -> None:
    (failed, _) = accept(item(), item())
    failures.park(failed, Step.EXTRACT, error="E", reason="r", traceback=None)
    age(DAYS + 1, failed)
    run = retention.begin(project(), DAYS)
    assert run is not None
    assert [one.exchange_id for one in retention.expired(run, since=0, limit=9)] == [failed]

    failures.retry(failed, actor="tests")

    assert retention.remove(run, [failed], {}) == 0
    assert failed in everything()
    assert account().drift == 0


def test_the_identity_holds_at_every_step_and_a_killed_run_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "CHUNK", 3)
    ids = accept(*[item() for _ in range(11)])
    work()
    age(DAYS + 1, *ids[:10])

    killed = steps(DAYS)
    for gone in (3, 6):
        next(killed)
        assert (account().expired, account().drift) == (gone, 0)
    killed.close()
    state = retention.last(project())
    assert state is not None
    assert (state.exchanges, state.finished_at) == (6, None)
    expire()
    assert account().expired == 6, "its lease has not ended"

    sql("UPDATE retention SET leased_until = 0")
    expire()

    state = retention.last(project())
    assert state is not None
    assert (state.exchanges, account().expired, everything()) == (10, 10, ids[10:])
    assert state.finished_at is not None
    assert state.finished_at >= state.started_at
    assert [(row[0], row[1]) for row in sql("SELECT actor, action FROM audit_entry WHERE actor = 'retention'")] == [
        ("retention", "exchanges.expired")
    ]
    assert sql("SELECT subject FROM audit_entry WHERE actor = 'retention'")[0][0].startswith("10 exchanges and 0 ")


def test_what_cannot_be_removed_does_not_hold_up_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "CHUNK", 1)
    lost, old, newest = accept(item(), item(), item())
    work()
    sql("DELETE FROM finished WHERE exchange_id = ?", lost)
    age(DAYS + 2, lost)
    age(DAYS + 1, old)

    for _ in steps(DAYS):
        pass

    assert everything() == [lost, newest]


def test_a_run_begins_an_hour_after_the_end_of_the_one_before() -> None:
    accept(item())

    assert retention.begin(project(), DAYS) is not None
    assert retention.begin(project(), DAYS) is None
    expire()
    sql("UPDATE retention SET leased_until = 0")
    expire()
    assert retention.begin(project(), DAYS) is None
    due_again()
    assert retention.begin(project(), DAYS) is not None


def test_a_run_that_removes_nothing_is_in_no_audit_trail() -> None:
    accept(item())

    expire()

    assert retention.last(project()) is not None
    assert sql("SELECT 1 FROM audit_entry WHERE actor = 'retention'") == []


def test_batches_go_once_they_are_empty() -> None:
    gone, kept = batch(item(request_id="a"), item(status_code=1)), batch(item(request_id="b"), item(request_id="c"))
    refused = batch(item(status_code=1))
    young = batch(item(request_id="a"), item(request_id="d"))
    ids = everything()
    waiting = ids[1]
    work()
    # One of the second batch is logged again and waits for it.
    sql("DELETE FROM finished WHERE exchange_id = ?", waiting)
    sql("INSERT INTO pending (exchange_id, step, attempts, due_at, leased_until) VALUES (?, 0, 0, 0, 0)", waiting)
    age(DAYS + 1, *ids[:3])
    sql("UPDATE batch SET received_at = 0 WHERE id = ?", refused)

    expire()

    assert [row[0] for row in sql("SELECT id FROM batch ORDER BY id")] == [kept, young]
    assert sql("SELECT DISTINCT batch FROM rejection") == []
    assert gone not in [row[0] for row in sql("SELECT batch FROM exchange")]
    items = batches.items(young).rows
    assert [(one.request_id, one.state) for one in items] == [(None, "duplicate"), ("d", "evaluated")]


def test_expired_words_are_found_no_more_and_leave_the_index() -> None:
    words = {"messages": [{"role": "user", "content": "zanzibar mosquito"}]}
    old, again, young = accept(*[item(request_body=words)] * 3)
    work()
    with database.transaction():
        search.replace([(again, ["zanzibar", "mosquito", "hi", "there"])])
    age(DAYS + 1, old, again)

    expire()

    assert found("mosquito") == [young]
    # SQLite cannot forget the words of before they were replaced, but those after it.
    assert indexed("mosquito") == (1 if SERVER_DATABASE_URL else 2)


def indexed(word: str) -> int:
    """How many rows of the search index itself have a word."""
    if SERVER_DATABASE_URL:
        return int(sql("SELECT count(*) FROM search WHERE words @@ ?::tsquery", word)[0][0])
    return int(sql("SELECT count(*) FROM search WHERE search MATCH ?", word)[0][0])


@pytest.mark.skipif(
    bool(SERVER_DATABASE_URL), reason="PostgreSQL forgets by id; only SQLite must be given the old words"
)
def test_words_that_are_read_otherwise_by_now_are_left_and_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"messages": [{"role": "user", "content": "zanzibar"}]}
    old, newest = accept(item(request_body=words), item())
    work()
    age(DAYS + 1, old)
    monkeypatch.setattr(actor, "extract", lambda raw: Extraction(status="extracted", prompt="other"))

    expire()

    assert (found("zanzibar"), found("other"), indexed("zanzibar")) == ([], [], 1)
    # What comes next has an id of its own, not that of the one whose words are left.
    accept(item())
    assert min(everything()) == newest


def test_the_newest_exchange_stays_until_another_has_come() -> None:
    (only,) = accept(item())
    work()
    age(DAYS + 1, only)

    expire()
    assert everything() == [only]

    (second,) = accept(item())
    due_again()
    expire()
    assert everything() == [second]
    assert second > only


def test_a_request_id_can_be_used_again_once_its_exchange_has_expired() -> None:
    (old, _) = accept(item(request_id="a", prompt="one"), item())
    work()
    age(DAYS + 1, old)
    expire()

    (again,) = accept(item(request_id="a", prompt="two"))
    work()

    assert exchanges.get(project(), "a").id == again
    assert account().drift == 0


def test_a_replay_that_loses_its_exchange_on_the_way_is_to_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    (old, _) = accept(item(request_id="a"), item())
    insert = accept_module._insert_exchanges

    def expiring(*args: Any) -> Any:
        inserted = insert(*args)
        database.execute("DELETE FROM exchange WHERE id = ?", [old])
        return inserted

    monkeypatch.setattr(accept_module, "_insert_exchanges", expiring)

    with pytest.raises(StoreUnavailable):
        accept(item(request_id="a"))


def test_a_run_over_history_keeps_no_score_of_what_has_expired() -> None:
    old, young = accept(item(), item())
    work()
    number = evaluator()
    run = runs.create(project(), number, 1, query="", since=None, until=None, total=2)
    age(DAYS + 1, old)
    expire()

    rows = [scores.ScoreRow.unscored(exchange_id, number, 1, "e") for exchange_id in (old, young)]
    assert runs.advance(run, rows, cursor=None)

    assert sql("SELECT exchange_id FROM score") == [(young,)]


def test_two_processes_at_once_remove_each_exchange_once(store: str, tmp_path: Path) -> None:
    ids = accept(*[item() for _ in range(300)])
    work()
    age(DAYS + 1, *ids[:-1])
    code = """if True:
        import sys
        from app.store import database, retention
        from actors import retention as actor
        database.connect(sys.argv[1])
        run = retention.Run(int(sys.argv[2]), database.now() - 30 * retention.DAY_MS)
        actor.CHUNK = 20
        for _ in actor._exchanges(run): pass
    """
    retention.begin(project(), DAYS)
    command = [sys.executable, "-c", code, store, str(project())]

    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]

    assert [process.wait(60) for process in started] == [0, 0]
    assert everything() == ids[-1:]
    state = retention.last(project())
    assert state is not None
    assert (state.exchanges, account().expired, account().drift) == (299, 299, 0)


@pytest.mark.skipif(
    bool(SERVER_DATABASE_URL), reason="only SQLite's file is made smaller by us; PostgreSQL has autovacuum"
)
def test_free_pages_go_back_to_the_system_until_a_tenth_is_left() -> None:
    ids = accept(*[item(prompt="x" * 3000 + str(n)) for n in range(300)])
    work()
    age(DAYS + 1, *ids[:-1])
    before = sql("PRAGMA page_count")[0][0]

    expire()

    (pages,), (free,) = sql("PRAGMA page_count")[0], sql("PRAGMA freelist_count")[0]
    assert pages < before
    assert free <= pages // 10


@pytest.mark.parametrize(
    ("days", "queues", "runs"),
    [(30, {RUNS}, True), (30, set(WORKER_QUEUES), False), (30, None, True), (0, {RUNS}, False)],
)
def test_it_runs_on_the_evals_process_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch, days: int, queues: set[str] | None, runs: bool
) -> None:
    asked: list[int] = []
    middleware = Retention(days)
    monkeypatch.setattr(actor, "steps", lambda given: asked.append(given) or middleware._stopping.set() or iter(()))

    middleware.after_worker_boot(None, SimpleNamespace(consumer_whitelist=queues))  # type: ignore[arg-type]
    if runs:
        assert middleware._stopping.wait(10)

    assert asked == [days] * runs


def test_what_has_expired_is_not_found_by_its_id() -> None:
    old, _ = accept(item(request_id="a"), item())
    work()
    age(DAYS + 1, old)
    expire()
    let_leases_end()

    with pytest.raises(NotFound):
        exchanges.get(project(), "a")
    with pytest.raises(NotFound):
        exchanges.progress(old)
