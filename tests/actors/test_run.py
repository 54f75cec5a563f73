"""Runs: history is scored in chunks, once, by the version that the run began with."""

import pytest

from actors.run import run
from app.store import evaluators, failures, runs, scores
from app.store.evaluators import Definition, EvaluatorRow
from app.store.pending import MAX_ATTEMPTS
from app.store.runs import RunRow
from tests.helpers import accept, item, sql, work
from tests.secrets import planted

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


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setitem(run.fn.__globals__, "scored", scored)


def test_a_run_that_breaks_is_put_off_and_then_failed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    history(4)
    evaluator, begun = start()
    broken(monkeypatch)

    for tries in range(1, MAX_ATTEMPTS):
        run.fn(begun.id)
        assert sql("SELECT state, attempts, due_at > finished_at FROM eval_run") == [("running", tries, None)]
    run.fn(begun.id)

    ended = runs.get(begun.project_id, evaluator.id, begun.id)
    assert (ended.state, ended.error, ended.reason) == ("failed", "ValueError", "no such thing")
    assert "Traceback" in sql("SELECT traceback FROM eval_run")[0][0]


def test_no_key_is_in_why_a_run_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    history(1)
    _, begun = start()
    key = planted()["groq_key"][0]
    monkeypatch.setitem(run.fn.__globals__, "scored", lambda *_: int(key))

    for _ in range(MAX_ATTEMPTS):
        run.fn(begun.id)

    ((reason, trace),) = sql("SELECT reason, traceback FROM eval_run")
    assert "<masked:groq_key>" in reason
    assert "<masked:groq_key>" in trace
    assert key not in reason + trace


def test_a_run_that_kills_its_worker_each_time_is_failed() -> None:
    history(4)
    evaluator, begun = start()

    for _ in range(MAX_ATTEMPTS):
        assert runs.begin("eval_run", begun.id)
    run.fn(begun.id)

    ended = runs.get(begun.project_id, evaluator.id, begun.id)
    assert (ended.state, ended.error, ended.scored) == ("failed", "NeverEnded", 0)


def test_a_run_that_was_retried_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    history(7)
    evaluator, begun = start()
    run.fn(begun.id)
    with monkeypatch.context() as breaking:
        broken(breaking)
        for _ in range(MAX_ATTEMPTS):
            run.fn(begun.id)
    assert runs.get(begun.project_id, evaluator.id, begun.id).state == "failed"

    failures.retry_all(begun.project_id, actor="tests")
    for _ in range(3):
        run.fn(begun.id)

    ended = runs.get(begun.project_id, evaluator.id, begun.id)
    assert (ended.state, ended.scored, ended.error) == ("done", 7, None)


def test_tries_are_of_one_chunk_not_of_the_whole_run() -> None:
    history(7)
    _, begun = start()

    for _ in range(2):
        run.fn(begun.id)

    assert sql("SELECT attempts FROM eval_run") == [(0,)]
