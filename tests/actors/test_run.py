"""Runs: history is scored in chunks, once, by the version that the run began with."""

import pytest

from actors.run import run
from app.store import evaluators, runs, scores
from app.store.evaluators import Definition, EvaluatorRow
from app.store.runs import RunRow
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]

SHORT = Definition(name="short", type="max_length", config='{"characters":5}', enabled=False)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a run of a few exchanges take several messages."""
    monkeypatch.setitem(run.fn.__globals__, "CHUNK", 3)


def history(count: int) -> list[int]:
    ids = accept(*[item(request_id=f"r{n}") for n in range(count)])
    work()
    return ids


def start(query: str = "", definition: Definition = SHORT) -> tuple[EvaluatorRow, RunRow]:
    project = sql("SELECT min(id) FROM project")[0][0]
    evaluator = evaluators.create(project, definition)
    return evaluator, runs.create(project, evaluator.id, 1, query=query, since=None, until=None, total=0)


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_a_run_scores_all_of_history_once(count: int) -> None:
    ids = history(count) if count else []
    if not count:
        accept(item())
    evaluator, begun = start()

    for _ in range(6):
        run.fn(begun.id)

    ended = runs.get(begun.project_id, evaluator.id, begun.id)
    assert (ended.state, ended.scored, ended.failed) == ("done", count, 0)
    assert [view.exchange_id for view in scores.of_evaluator(evaluator.id)[0]] == ids[::-1]


def test_a_run_scores_what_its_query_holds_whatever_the_evaluator_would() -> None:
    history(4)
    evaluator, begun = start("id:r1,r2", SHORT._replace(filter="id:r3", sample_rate=0.0))

    run.fn(begun.id)

    assert [view.request_id for view in scores.of_evaluator(evaluator.id)[0]] == ["r2", "r1"]


def test_a_run_keeps_the_version_it_began_with() -> None:
    history(4)
    evaluator, begun = start()
    run.fn(begun.id)

    evaluators.replace(evaluator.project_id, evaluator.id, SHORT._replace(config='{"characters":50}'))
    run.fn(begun.id)

    assert {(view.version, view.score) for view in scores.of_evaluator(evaluator.id)[0]} == {(1, 0.0)}
    assert len(scores.of_evaluator(evaluator.id)[0]) == 4


def test_a_run_of_an_evaluator_that_was_deleted_ends() -> None:
    history(4)
    evaluator, begun = start()
    evaluators.delete(evaluator.project_id, evaluator.id)

    run.fn(begun.id)

    assert runs.get(begun.project_id, evaluator.id, begun.id).state == "done"


def test_an_exchange_that_cannot_be_read_counts_as_failed() -> None:
    ids = history(2)
    sql("DELETE FROM payload WHERE exchange_id = ?", ids[0])
    evaluator, begun = start()

    run.fn(begun.id)

    ended = runs.get(begun.project_id, evaluator.id, begun.id)
    assert (ended.state, ended.scored, ended.failed) == ("done", 1, 1)
