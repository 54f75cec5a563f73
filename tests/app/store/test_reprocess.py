"""Reprocess runs: the cursor in SQL moves once per chunk, and the report counts each chunk once."""

import msgspec
import pytest

from app.errors import NotFound
from app.pricing import Cost
from app.store import exchanges, reprocess
from app.store.logs import Entry
from app.store.reprocess import RunRow
from app.store.runs import NEWEST
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def create(*, dry_run: bool = False) -> RunRow:
    return reprocess.create(1, query="is:ok", since=1, until=None, dry_run=dry_run, total=3, actor="tests")


def entry(usd: float | None) -> Entry:
    """A logged exchange, as it would be logged again at another price."""
    from actors import reading

    (exchange_id,) = accept(item())
    work()
    found = reading.read([exchange_id])[0][exchange_id].extraction
    return Entry(exchanges.subjects([exchange_id])[0], found, Cost(usd=usd))


def test_a_run_begins_at_the_newest() -> None:
    run = create()

    assert (run.state, run.cursor, run.total, run.processed, run.query) == ("running", NEWEST, 3, 0, "is:ok")
    assert run.dry_run is False
    assert reprocess.running(run.id) == run == reprocess.get(1, run.id)


def test_a_chunk_is_rewritten_and_counted_once_however_often_it_is_delivered() -> None:
    run, chunk = create(), [entry(2.0), entry(3.0)]

    first, again = reprocess.advance(run, chunk, failed=1, cursor=7), reprocess.advance(run, chunk, failed=1, cursor=7)

    assert (first, again) == (True, False)
    now = reprocess.get(1, run.id)
    assert (now.cursor, now.processed, now.failed, now.changed, now.state) == (7, 3, 1, 2, "running")
    assert (now.cost_before, now.cost_after) == (pytest.approx(2 * 4.5e-6), 5.0)
    assert msgspec.json.decode(now.fields)["cost_usd"] == 2
    assert sql("SELECT cost_usd FROM log ORDER BY exchange_id") == [(2.0,), (3.0,)]


def test_the_report_adds_up_over_chunks() -> None:
    run = create()
    reprocess.advance(run, [entry(1.0)], failed=0, cursor=9)

    reprocess.advance(reprocess.get(1, run.id), [entry(2.0)], failed=0, cursor=None)

    now = reprocess.get(1, run.id)
    assert (now.processed, now.changed, now.cost_after, now.state) == (2, 2, 3.0, "done")
    assert msgspec.json.decode(now.fields)["cost_usd"] == 2
    assert now.finished_at is not None


def test_a_dry_run_changes_nothing_and_reports_the_same() -> None:
    chunk = [entry(2.0)]
    before = sql("SELECT * FROM log")
    dry, real = create(dry_run=True), create()

    reprocess.advance(dry, chunk, failed=0, cursor=None)
    assert sql("SELECT * FROM log") == before
    reprocess.advance(real, chunk, failed=0, cursor=None)

    def report(run: RunRow) -> tuple[object, ...]:
        now = reprocess.get(1, run.id)
        return now.processed, now.changed, now.fields, now.cost_before, now.cost_after

    assert report(dry)[:2] == report(real)[:2] == (1, 1)
    assert report(dry)[3:] == report(real)[3:]
    assert sql("SELECT cost_usd FROM log") == [(2.0,)]


def test_an_exchange_that_is_gone_is_passed_over() -> None:
    run, chunk = create(), [entry(2.0)]
    sql("DELETE FROM log")

    assert reprocess.advance(run, chunk, failed=0, cursor=None)

    now = reprocess.get(1, run.id)
    assert (now.processed, now.changed, now.cost_after) == (1, 0, 0.0)


def test_a_run_that_stands_still_is_taken_once() -> None:
    run = create()
    assert not reprocess.any_due()
    sql("UPDATE reprocess_run SET due_at = 0")

    assert reprocess.any_due()
    assert (reprocess.take_due(10), reprocess.take_due(10)) == ([run.id], [])


def test_a_finished_run_never_stands_still() -> None:
    run = create()
    reprocess.advance(run, [], failed=0, cursor=None)
    sql("UPDATE reprocess_run SET due_at = 0")

    assert not reprocess.any_due()
    assert (reprocess.take_due(10), reprocess.running(run.id)) == ([], None)


def test_runs_are_listed_newest_first_and_each_project_has_its_own() -> None:
    ids = [create().id for _ in range(3)]

    first, cursor = reprocess.page(1, limit=2)
    second, end = reprocess.page(1, limit=2, cursor=cursor)

    assert ([run.id for run in first + second], end) == (ids[::-1], None)
    assert reprocess.page(2) == ([], None)
    with pytest.raises(NotFound):
        reprocess.get(2, ids[0])


def test_only_what_changes_something_is_audited() -> None:
    create(dry_run=True)
    run = create()

    assert sql("SELECT actor, action, subject FROM audit_entry WHERE action = 'reprocess.started'") == [
        ("tests", "reprocess.started", f"reprocess_run:{run.id}")
    ]
