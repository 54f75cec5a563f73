"""Failed exchanges: parked once, retried once, with all they went through."""

import pytest

from app.errors import Conflict
from app.store import database, exchanges, failures, pending
from app.store.models import Step
from tests.helpers import accept, item, sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def parked(step: Step = Step.EXTRACT) -> int:
    (exchange_id,) = accept(item())
    for passed in range(step):
        pending.claim([exchange_id], Step(passed))
        with database.transaction():
            pending.advance([exchange_id], Step(passed))
    pending.claim([exchange_id], step)
    assert failures.park(exchange_id, step, error="ValueError", reason="no such thing", traceback="Traceback …")
    return exchange_id


def test_a_parked_exchange_is_failed_with_step_reason_and_traceback() -> None:
    progress = exchanges.progress(parked(Step.LOG))

    assert (progress.extract.state, progress.log.state, progress.eval.state) == ("done", "failed", "pending")
    assert (progress.log.attempts, progress.log.error, progress.traceback) == (1, "no such thing", "Traceback …")
    assert progress.final


def test_an_exchange_that_moved_on_is_not_parked() -> None:
    (exchange_id,) = accept(item())

    assert not failures.park(exchange_id, Step.LOG, error="E", reason="r", traceback=None)
    assert sql("SELECT count(*) FROM failure") == [(0,)]
    assert sql("SELECT count(*) FROM pending") == [(1,)]


@pytest.mark.parametrize("step", list(Step))
def test_a_retry_goes_on_from_the_step_that_failed(step: Step) -> None:
    exchange_id = parked(step)

    assert failures.retry(exchange_id) is step
    assert [c.attempts for c in pending.claim([exchange_id], step)] == [1]
    assert sql("SELECT count(*) FROM failure") == [(0,)]


def test_a_second_retry_is_a_conflict() -> None:
    exchange_id = parked()
    failures.retry(exchange_id)

    with pytest.raises(Conflict) as error:
        failures.retry(exchange_id)

    assert error.value.code == "not_failed"


def test_failures_are_listed_newest_first_page_by_page() -> None:
    ids = [parked() for _ in range(5)]
    project = sql("SELECT project_id FROM failure")[0][0]
    found, cursor = [], None

    for _ in range(3):
        rows, cursor = failures.page(project, limit=2, cursor=cursor)
        found += [row.exchange_id for row in rows]

    assert found == ids[::-1]
    assert cursor is None
    assert failures.page(project + 1) == ([], None)
    assert (failures.count(project, at_most=3), failures.count(project, at_most=10)) == (3, 5)


def test_all_of_a_project_are_retried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_CHUNK", 2)
    extracts, logs = [parked() for _ in range(3)], [parked(Step.LOG) for _ in range(2)]
    project = sql("SELECT project_id FROM failure")[0][0]

    retried = failures.retry_all(project)

    assert {step: sorted(ids) for step, ids in retried.items()} == {Step.EXTRACT: extracts, Step.LOG: logs}
    assert failures.count(project, at_most=10) == 0
    assert sql("SELECT attempts, extract_attempts FROM pending WHERE step = ?", Step.LOG) == [(0, 1)] * 2
    assert failures.retry_all(project) == {}
