"""The failure inbox: parked once, grouped by cause, retried or discarded once, with all it went through."""

from functools import partial
from typing import Any

import pytest

from app.errors import Conflict, NotFound
from app.store import audit, database, exchanges, failures, payloads, pending, runs
from app.store.models import Step
from app.store.pending import MAX_ATTEMPTS
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def parked(
    error: str = "ValueError", *, step: Step = Step.EXTRACT, reason: str = "no such thing", **changes: Any
) -> int:
    (exchange_id,) = accept(item(**changes))
    for passed in range(step):
        pending.claim([exchange_id], Step(passed))
        with database.transaction():
            pending.advance([exchange_id], Step(passed))
    pending.claim([exchange_id], step)
    assert failures.park(exchange_id, step, error=error, reason=reason, traceback="Traceback …")
    return exchange_id


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def test_a_parked_exchange_is_failed_with_step_reason_and_traceback() -> None:
    progress = exchanges.progress(parked(step=Step.LOG))

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
    exchange_id = parked(step=step)

    assert failures.retry(exchange_id, actor="tests") is step
    assert [c.attempts for c in pending.claim([exchange_id], step)] == [1]
    assert sql("SELECT count(*) FROM failure") == [(0,)]


def test_a_second_retry_is_a_conflict() -> None:
    exchange_id = parked()
    failures.retry(exchange_id, actor="tests")

    with pytest.raises(Conflict) as error:
        failures.retry(exchange_id, actor="tests")

    assert error.value.code == "not_failed"


def test_a_retry_is_audited_with_who_did_it() -> None:
    exchange_id = parked()

    failures.retry(exchange_id, actor="key:7")

    entries, _ = audit.page(project())
    assert [(e.actor, e.action, e.subject) for e in entries] == [
        ("key:7", "failure.retried", f"exchange:{exchange_id}")
    ]


def test_what_failed_for_one_cause_is_one_group_with_its_newest_as_sample() -> None:
    first, last = parked(reason="one"), parked(reason="two")
    parked(error="KeyError")
    parked(step=Step.LOG)
    sql("UPDATE failure SET failed_at = ? WHERE exchange_id = ?", 1000, first)
    sql("UPDATE failure SET failed_at = ? WHERE exchange_id = ?", 9_000_000_000_000, last)

    groups = failures.groups(project())

    newest = groups[0]
    assert (newest.step, newest.error, newest.stopped) == ("extract", "ValueError", 2)
    assert sorted((g.step, g.error, g.stopped) for g in groups[1:]) == [
        ("extract", "KeyError", 1),
        ("log", "ValueError", 1),
    ]
    assert (newest.first_seen, newest.last_seen, newest.reason) == (1000, 9_000_000_000_000, "two")
    assert sql("SELECT request_id FROM exchange WHERE id = ?", last) == [(newest.sample_request_id,)]
    assert (newest.provider, newest.sample_run_id) == ("openai", None)


def test_the_provider_of_a_cause_is_told_from_the_path_when_the_client_did_not_say() -> None:
    parked(provider=None, path="https://api.anthropic.com/v1/messages")

    assert [group.provider for group in failures.groups(project())] == ["anthropic"]


def test_the_shape_of_a_cause_is_known_once_the_exchange_was_logged() -> None:
    (exchange_id,) = accept(item())
    work()
    sql("DELETE FROM finished")
    sql("INSERT INTO pending (exchange_id, step, attempts, due_at, leased_until) VALUES (?, 2, 1, 0, 0)", exchange_id)

    failures.park(exchange_id, Step.EVALUATE, error="E", reason="r", traceback=None)

    assert [(g.step, g.shape) for g in failures.groups(project())] == [("eval", "openai_chat")]


def test_another_project_sees_and_moves_nothing() -> None:
    parked()
    cause = failures.groups(project())[0].fingerprint
    other = project() + 1

    assert failures.groups(other) == []
    assert failures.page(other, cause) == ([], None)
    assert failures.retry_all(other, actor="tests").total == 0
    for act in (failures.group, partial(failures.discard_all, actor="tests")):
        with pytest.raises(NotFound):
            act(other, cause)
    assert failures.groups(project())[0].stopped == 1


def test_the_exchanges_of_a_cause_are_listed_newest_first_page_by_page() -> None:
    ids = [parked() for _ in range(5)]
    parked(error="KeyError")
    cause = failures.fingerprint("extract", "ValueError", None, "openai")
    found, cursor = [], None

    for _ in range(3):
        rows, cursor = failures.page(project(), cause, limit=2, cursor=cursor)
        found += [row.exchange_id for row in rows]

    assert found == ids[::-1]
    assert cursor is None


@pytest.mark.parametrize("one_cause", [True, False])
def test_all_or_one_cause_are_retried_at_once(monkeypatch: pytest.MonkeyPatch, one_cause: bool) -> None:
    monkeypatch.setattr(failures, "_CHUNK", 2)
    extracts, logs = [parked() for _ in range(3)], [parked(step=Step.LOG) for _ in range(2)]
    cause = failures.fingerprint("extract", "ValueError", None, "openai") if one_cause else None

    retried = failures.retry_all(project(), actor="tests", cause=cause)

    expected = {Step.EXTRACT: extracts} if one_cause else {Step.EXTRACT: extracts, Step.LOG: logs}
    assert {step: sorted(ids) for step, ids in retried.exchanges.items()} == expected
    assert sum(group.stopped for group in failures.groups(project())) == (2 if one_cause else 0)
    assert sql("SELECT count(*) FROM pending WHERE attempts = 0") == [(retried.total,)]
    assert {e.action for e in audit.page(project())[0]} == {"failure.retried"}


def test_a_discarded_exchange_leaves_the_inbox_keeps_its_bytes_and_can_come_back() -> None:
    exchange_id = parked()
    (request_id,) = sql("SELECT request_id FROM exchange")[0]

    failures.discard(exchange_id, actor="tests")

    assert failures.groups(project()) == []
    assert exchanges.get(project(), request_id).state == "discarded"
    assert payloads.read(exchange_id)
    with pytest.raises(Conflict):
        failures.discard(exchange_id, actor="tests")
    assert failures.retry_all(project(), actor="tests").total == 0
    assert failures.retry(exchange_id, actor="tests") is Step.EXTRACT
    work()
    assert exchanges.get(project(), request_id).state == "evaluated"


def test_all_of_a_cause_are_discarded_and_audited() -> None:
    for _ in range(3):
        parked()
    cause = failures.groups(project())[0].fingerprint

    assert failures.discard_all(project(), cause, actor="tests") == 3

    assert failures.groups(project()) == []
    assert [(e.action, e.subject) for e in audit.page(project())[0]] == [
        ("failure.discarded", f"fingerprint:{cause} (3)")
    ]


def test_a_run_that_failed_is_in_the_inbox_and_goes_on_by_a_retry() -> None:
    accept(item())
    run = runs.create(project(), 1, 1, query="", since=None, until=None, total=0)
    for _ in range(MAX_ATTEMPTS):
        assert runs.begin("eval_run", run.id)
        runs.put_off("eval_run", run.id, error="ValueError", reason="no", traceback="Traceback …")

    (group,) = failures.groups(project())
    retried = failures.retry_all(project(), actor="tests", cause=group.fingerprint)

    assert (group.step, group.error, group.reason, group.sample_run_id) == ("run", "ValueError", "no", run.id)
    assert (retried.runs, retried.exchanges) == ([run.id], {})
    assert failures.groups(project()) == []
    assert runs.running(run.id) is not None


def test_a_discarded_run_leaves_the_inbox_and_stays_ended() -> None:
    accept(item())
    run = runs.create(project(), 1, 1, query="", since=None, until=None, total=0)
    sql("UPDATE eval_run SET state = 'failed', fingerprint = 'f', error = 'E', reason = 'r', finished_at = 1")

    assert failures.discard_all(project(), "f", actor="tests") == 1

    assert failures.groups(project()) == []
    assert runs.get(project(), 1, run.id).state == "discarded"
    assert not runs.begin("eval_run", run.id)
