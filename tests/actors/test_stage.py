"""The steps: one bad exchange is alone with its fate, and nothing happens twice."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from actors import reading, stage
from actors.evaluate import evaluate
from actors.extract import extract
from actors.log import log
from app import extraction
from app.errors import StoreUnavailable
from app.store import bulk, database, evaluators, exchanges, failures, pending, scores
from app.store.evaluators import Definition
from app.store.models import Log, Step
from app.store.pending import MAX_ATTEMPTS
from tests.helpers import accept, item, let_leases_end, sql, step, work
from tests.secrets import planted

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def states(ids: Sequence[int]) -> list[str]:
    found = []
    for exchange_id in ids:
        ((request_id, project),) = sql("SELECT request_id, project_id FROM exchange WHERE id = ?", exchange_id)
        found.append(exchanges.get(project, request_id).state)
    return found


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes extraction of every item that holds "poison" break, or not any more."""
    real = extraction.extract

    def extract_or_break(raw: bytes) -> Any:
        if poisoned and b"poison" in raw:
            raise RecursionError("too much of it")
        return real(raw)

    poisoned = [True]
    monkeypatch.setattr(reading, "extract", extract_or_break)

    def switch(on: bool) -> None:
        poisoned[:] = [True] if on else []

    return switch


def test_a_new_exchange_goes_through_all_steps_in_one_pass() -> None:
    ids = accept(item())

    extract.fn(ids)

    assert states(ids) == ["evaluated"]
    progress = exchanges.progress(ids[0])
    assert progress.extract == progress.log == progress.eval
    assert (progress.eval.state, progress.eval.attempts) == ("done", 1)


def test_an_exchange_that_was_tried_before_takes_one_step_at_a_time() -> None:
    ids = accept(item())
    assert pending.claim(ids, Step.EXTRACT)  # and then the worker is gone
    let_leases_end()

    extract.fn(ids)
    assert states(ids) == ["extracted"]
    log.fn(ids)
    assert states(ids) == ["logged"]
    evaluate.fn(ids)
    assert states(ids) == ["evaluated"]
    assert sql("SELECT extract_attempts, log_attempts, evaluate_attempts FROM finished") == [(2, 1, 1)]


def test_both_ways_write_the_same() -> None:
    evaluators.create(1, Definition(name="e", type="contains", config='{"values":["hi"]}'))
    evaluators.create(1, Definition(name="f", type="min_length", config='{"characters":3}', filter="model:gpt*"))
    tables = ("log", "score", "search") if not database.is_sqlite() else ("log", "score")

    def written(exchange_id: int) -> list[Any]:
        columns = {"log": "*", "score": "*", "search": "exchange_id, words"}
        rows = [sql(f"SELECT {columns[t]} FROM {t} WHERE exchange_id = ?", exchange_id) for t in tables]
        return [[tuple(value for value in row[1:] if value not in times) for row in found] for found in rows]

    (passed,) = accept(item(prompt="one"))
    extract.fn([passed])
    (stepped,) = accept(item(prompt="one"))
    for actor in (extract, log, evaluate):
        step(actor, [stepped])
    times = {row[0] for row in sql("SELECT at FROM score")}

    assert written(passed) == written(stepped)
    assert len(written(passed)[1]) == 2


def test_the_next_step_is_sent_what_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(item(), item())
    sent: list[list[int]] = []
    step = extract.fn.__globals__["_STAGE"]._replace(pass_on=sent.append, whole=None)

    stage.run(step, [*ids, 10**9])
    stage.run(step, ids)

    assert sent == [ids]


def test_a_bad_exchange_is_put_off_and_its_neighbours_go_on(poison: Any) -> None:
    ids = accept(*[item(request_id=f"r{n}", prompt="poison" if n == 2 else "fine") for n in range(5)])

    work()

    assert states(ids) == ["evaluated", "evaluated", "accepted", "evaluated", "evaluated"]
    ((attempts, error, wait),) = sql(f"SELECT attempts, last_error, due_at - {pending._now()} FROM pending")
    assert (attempts, error) == (1, "RecursionError: too much of it")
    assert -5000 < wait <= 1000


def test_a_bad_exchange_is_failed_after_five_tries_with_its_traceback(poison: Any) -> None:
    ids = accept(item(prompt="poison"))

    for attempts in range(1, MAX_ATTEMPTS + 1):
        assert states(ids) == ["accepted"]
        extract.fn(ids)
        let_leases_end()
        assert sql("SELECT count(*) FROM pending") == [(1 if attempts < MAX_ATTEMPTS else 0,)]

    progress = exchanges.progress(ids[0])
    assert states(ids) == ["failed"]
    assert (progress.extract.state, progress.extract.attempts) == ("failed", MAX_ATTEMPTS)
    assert progress.extract.error == "too much of it"
    assert "RecursionError: too much of it" in (progress.traceback or "")
    assert "extract_or_break" in (progress.traceback or "")


def test_a_retry_brings_a_failed_exchange_to_its_end(poison: Any) -> None:
    ids = accept(item(prompt="poison"))
    for _ in range(MAX_ATTEMPTS):
        extract.fn(ids)
        let_leases_end()

    poison(False)
    failures.retry(ids[0], actor="tests")
    work()

    assert states(ids) == ["evaluated"]


def test_an_exchange_whose_worker_died_five_times_is_failed_and_not_tried_again() -> None:
    ids = accept(item(), item())
    for _ in range(MAX_ATTEMPTS):
        assert pending.claim(ids[:1], Step.EXTRACT)  # and then the worker is gone
        let_leases_end()

    for exchange_id in ids:
        extract.fn([exchange_id])

    assert states(ids) == ["failed", "evaluated"]
    progress = exchanges.progress(ids[0])
    assert progress.extract.error == (
        "this step was begun 5 times and never ended: its worker was killed or could not write"
    )
    assert progress.extract.attempts == MAX_ATTEMPTS


def test_a_row_that_the_database_refuses_stays_behind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(*[item(request_id=f"r{n}") for n in range(5)])
    real = bulk.insert

    def insert(model: Any, columns: Any, rows: Any, **options: Any) -> None:
        refused = [object() if model is Log and row[0] == ids[3] else row[0] for row in rows]
        real(model, columns, [(first, *row[1:]) for first, row in zip(refused, rows, strict=True)], **options)

    monkeypatch.setattr(bulk, "insert", insert)

    extract.fn(ids)

    assert states(ids) == ["evaluated", "evaluated", "evaluated", "accepted", "evaluated"]
    assert sql("SELECT count(*) FROM log") == [(4,)]
    assert sql("SELECT attempts FROM pending WHERE exchange_id = ?", ids[3]) == [(1,)]


def test_work_that_breaks_as_a_whole_is_done_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(*[item(request_id=f"r{n}") for n in range(4)])
    for actor in (extract, log):
        step(actor, ids)
    module = evaluate.fn.__globals__
    real = module["scored"]

    def scored(reads: dict[int, Any], *rest: Any) -> Any:
        if ids[1] in reads:
            raise ValueError("one of them")
        return real(reads, *rest)

    monkeypatch.setitem(module, "scored", scored)

    evaluate.fn(ids)

    assert states(ids) == ["evaluated", "logged", "evaluated", "evaluated"]
    assert sql("SELECT last_error FROM pending") == [("ValueError: one of them",)]


def test_a_database_that_is_gone_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(item())

    def gone(*_: Any) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(exchanges, "subjects", gone)
        with pytest.raises(StoreUnavailable):
            extract.fn(ids)
    let_leases_end()
    work()

    assert states(ids) == ["evaluated"]


def test_messages_that_come_three_times_and_out_of_order_do_nothing_more() -> None:
    evaluator = evaluators.create(1, Definition(name="e", type="contains", config='{"values":["hi"]}'))
    ids = accept(*[item(request_id=f"r{n}") for n in range(60)])
    sql("UPDATE exchange SET project_id = 1")
    order = random.Random(7)
    chunks = [ids[n : n + 7] for n in range(0, 60, 7)]

    for _ in range(3):
        messages = [(actor, chunk) for actor in (evaluate, log, extract) for chunk in chunks * 3]
        order.shuffle(messages)
        for actor, chunk in [(evaluate, ids), (log, ids), *messages]:
            actor.fn(chunk)

    assert set(states(ids)) == {"evaluated"}
    assert sql("SELECT count(*) FROM log") == [(60,)]
    assert sql("SELECT count(*), min(version) FROM score") == [(60, evaluator.version)]
    assert sql("SELECT DISTINCT evaluate_attempts FROM finished") == [(1,)]


def test_a_duplicate_in_one_message_is_one_exchange() -> None:
    ids = accept(item())

    extract.fn(ids * 3)

    assert sql("SELECT evaluate_attempts FROM finished") == [(1,)]


def test_every_enabled_evaluator_of_the_project_scores_once() -> None:
    ids = accept(item(request_id="a"), item(request_id="b", status_code=500))
    project = sql("SELECT project_id FROM exchange")[0][0]
    base = Definition(name="all", type="contains", config='{"values":["hi"]}')
    evaluators.create(project, base)
    evaluators.create(project, base._replace(name="filtered", filter="status:500"))
    evaluators.create(project, base._replace(name="off", enabled=False))
    evaluators.create(project, base._replace(name="none", sample_rate=0.0))
    evaluators.create(project + 1, base)

    work()

    found = [(v.request_id, v.evaluator, v.score, v.passed) for i in ids for v in scores.of_exchange(i)]
    assert found == [("a", "all", 1.0, True), ("b", "all", 0.0, False), ("b", "filtered", 0.0, False)]


def test_large_messages_are_worked_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(*[item() for _ in range(250)])
    seen: list[int] = []
    module = extract.fn.__globals__
    real = module["_STAGE"]

    def counted(chunk: Sequence[int]) -> stage.Outcome:
        seen.append(len(chunk))
        return real.whole(chunk)  # type: ignore[no-any-return]

    monkeypatch.setitem(module, "_STAGE", real._replace(whole=counted))

    extract.fn(ids)

    assert seen == [100, 100, 50]


def test_ids_that_nobody_knows_do_nothing() -> None:
    for actor in (extract, log, evaluate):
        actor.fn([10**12, -5, 0])
        actor.fn([])


def test_no_key_is_in_why_an_exchange_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    key = planted()["groq_key"][0]

    def break_with_key(raw: bytes) -> Any:
        raise ValueError("x" * 980 + f" cannot use {key}")

    ids = accept(item())
    monkeypatch.setattr(reading, "extract", break_with_key)
    for _ in range(MAX_ATTEMPTS):
        extract.fn(ids)
        kept = sql("SELECT last_error FROM pending") + sql("SELECT reason FROM failure")
        assert "gsk_" not in repr(kept)
        let_leases_end()

    ((reason, trace),) = sql("SELECT reason, traceback FROM failure")
    assert reason.endswith("x cannot use <masked:")
    assert "cannot use <masked:groq_key>" in trace
