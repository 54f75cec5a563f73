"""Runs over history: the cursor in SQL moves once per chunk, whoever delivers it."""

import pytest

from app.errors import NotFound
from app.store import evaluators, runs, scores
from app.store.evaluators import Definition
from app.store.runs import NEWEST, RunRow
from app.store.scores import ScoreRow
from tests.helpers import accept, item, sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def create() -> RunRow:
    evaluator = evaluators.create(1, Definition(name="greets", type="contains", config="{}"))
    return runs.create(1, evaluator.id, 1, query="is:ok", since=1, until=None, total=3)


def test_a_run_begins_at_the_newest() -> None:
    run = create()

    assert (run.state, run.cursor, run.total, run.scored, run.query, run.since) == ("running", NEWEST, 3, 0, "is:ok", 1)
    assert runs.running(run.id) == run == runs.get(1, run.evaluator_id, run.id)


def test_a_chunk_is_kept_once_however_often_it_is_delivered() -> None:
    run, (exchange_id,) = create(), accept(item())
    rows = [ScoreRow(exchange_id, run.evaluator_id, 1, 1.0, True, "", None)]

    first, again = runs.advance(run, rows, cursor=7), runs.advance(run, rows, cursor=7)

    assert (first, again) == (True, False)
    now = runs.get(1, run.evaluator_id, run.id)
    assert (now.cursor, now.scored, now.failed, now.state) == (7, 1, 0, "running")


def test_a_run_ends_without_a_cursor() -> None:
    run, (exchange_id,) = create(), accept(item())

    assert runs.advance(run, [ScoreRow.unscored(exchange_id, run.evaluator_id, 1, "no")], cursor=None)

    now = runs.get(1, run.evaluator_id, run.id)
    assert (now.state, now.failed, now.finished_at is not None) == ("done", 1, True)
    assert runs.running(run.id) is None
    assert not runs.advance(now, [], cursor=None)
    assert [view.error for view in scores.of_exchange(exchange_id)] == ["no"]


def test_a_run_that_stands_still_is_taken_once() -> None:
    run = create()
    assert not runs.any_due()
    assert runs.take_due(10) == []
    sql("UPDATE eval_run SET due_at = 0")

    assert runs.any_due()
    assert (runs.take_due(10), runs.take_due(10)) == ([run.id], [])


def test_a_finished_run_never_stands_still() -> None:
    runs.advance(create(), [], cursor=None)
    sql("UPDATE eval_run SET due_at = 0")

    assert not runs.any_due()
    assert runs.take_due(10) == []


def test_another_projects_or_evaluators_run_is_not_found() -> None:
    run = create()

    for project, evaluator in ((2, run.evaluator_id), (1, run.evaluator_id + 1)):
        with pytest.raises(NotFound):
            runs.get(project, evaluator, run.id)


def test_runs_are_listed_newest_first_page_by_page() -> None:
    first = create()
    made = [
        first.id,
        *[runs.create(1, first.evaluator_id, 1, query="", since=None, until=None, total=0).id for _ in range(2)],
    ]

    page, cursor = runs.listed(1, first.evaluator_id, limit=2)
    rest, end = runs.listed(1, first.evaluator_id, limit=2, cursor=cursor)

    assert [run.id for run in page + rest] == made[::-1]
    assert end is None
