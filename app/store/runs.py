"""Runs: one evaluator version over history, newest first, in chunks. The cursor in SQL is the truth.

`begin` and `put_off` are for both kinds of runs over history, this one and that of reprocess.py: a chunk's attempts are
counted before its work, and a run whose chunk breaks too often is failed, until a person retries it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from app.errors import NotFound
from app.store import database, exchanges, scores
from app.store.database import execute, now_sql
from app.store.failures import fingerprint
from app.store.models import EvalRun
from app.store.pending import BACKOFF_MS, MAX_ATTEMPTS, never_ended

#: How soon the sweep sends a run whose message got lost.
RESEND_MS = 30_000
NEWEST = 2**62


#: The tables of runs over history.
Table = Literal["eval_run", "reprocess_run"]


class RunRow(NamedTuple):
    """A run and how far it is. state: running, done, failed or discarded."""

    id: int
    project_id: int
    evaluator_id: int
    version: int
    query: str
    since: int | None
    until: int | None
    state: str
    total: int
    scored: int
    failed: int
    cursor: int
    created_at: int
    finished_at: int | None
    #: Why a failed one stopped.
    error: str | None
    reason: str | None


_COLUMNS = ", ".join(f'"{name}"' for name in RunRow._fields)


def create(
    project_id: int,
    evaluator_id: int,
    version: int,
    *,
    query: str,
    since: int | None,
    until: int | None,
    total: int,
) -> RunRow:
    """Start a run over the exchanges that are there now."""
    with database.transaction():
        now = database.now()
        row = EvalRun.create(
            project_id=project_id, evaluator_id=evaluator_id, version=version, query=query, since=since, until=until,
            state="running", total=total, scored=0, failed=0, cursor=NEWEST, created_at=now, due_at=now + RESEND_MS,
            attempts=0,
        )  # fmt: skip
    return get(project_id, evaluator_id, row.id)


def get(project_id: int, evaluator_id: int, run_id: int) -> RunRow:
    """Return one run. Raises NotFound."""
    with database.session():
        rows = execute(
            f"SELECT {_COLUMNS} FROM eval_run WHERE id = ? AND project_id = ? AND evaluator_id = ?",
            [run_id, project_id, evaluator_id],
        )
    if not rows:
        raise NotFound(f"no run {run_id}")
    return RunRow(*rows[0])


def listed(
    project_id: int, evaluator_id: int, *, limit: int = 50, cursor: int | None = None
) -> tuple[list[RunRow], int | None]:
    """Return an evaluator's runs, newest first, and the cursor of the next page."""
    with database.session():
        rows = execute(
            f"""SELECT {_COLUMNS} FROM eval_run WHERE project_id = ? AND evaluator_id = ? AND id < ?
                 ORDER BY id DESC LIMIT ?""",
            [project_id, evaluator_id, NEWEST if cursor is None else cursor, limit + 1],
        )
    found = [RunRow(*row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


def begin(table: Table, run_id: int) -> bool:
    """Count a try of the chunk at a run's cursor, committed before the work; False when the run is not running.

    A chunk that was begun too often without ever coming back killed its worker each time: then the run has failed.
    """
    with database.transaction():
        rows = execute(
            f"UPDATE {table} SET attempts = attempts + 1 WHERE id = ? AND state = 'running' RETURNING attempts",
            [run_id],
        )
    if rows and rows[0][0] > MAX_ATTEMPTS:
        _fail(table, run_id, "NeverEnded", never_ended("a chunk"), None)
        return False
    return bool(rows)


def put_off(table: Table, run_id: int, *, error: str, reason: str, traceback: str) -> bool:
    """Keep why a chunk broke, to be tried again after a backoff; after the last try the run has failed: then True."""
    with database.session():
        rows = execute(f"SELECT attempts FROM {table} WHERE id = ? AND state = 'running'", [run_id])
    if not rows:
        return False
    if rows[0][0] >= MAX_ATTEMPTS:
        _fail(table, run_id, error, reason, traceback)
        return True
    wait = BACKOFF_MS[min(max(rows[0][0], 1), len(BACKOFF_MS)) - 1]
    with database.transaction():
        execute(
            f"UPDATE {table} SET due_at = {now_sql().sql} + {wait}, error = ?, reason = ? WHERE id = ?",
            [error, reason, run_id],
        )
    return False


def _fail(table: Table, run_id: int, error: str, reason: str, traceback: str | None) -> None:
    cause = fingerprint("run" if table == "eval_run" else "reprocess", error)
    with database.transaction():
        execute(
            f"""UPDATE {table} SET state = 'failed', finished_at = {now_sql().sql}, due_at = NULL, error = ?,
                       reason = ?, traceback = ?, fingerprint = ? WHERE id = ? AND state = 'running'""",
            [error, reason, traceback, cause, run_id],
        )


def running(run_id: int) -> RunRow | None:
    """Return a run that is not finished; None otherwise."""
    with database.session():
        rows = execute(f"SELECT {_COLUMNS} FROM eval_run WHERE id = ? AND state = 'running'", [run_id])
    return RunRow(*rows[0]) if rows else None


def advance(run: RunRow, rows: Sequence[scores.ScoreRow], *, cursor: int | None) -> bool:
    """Keep a chunk's scores and move the run's cursor, in one transaction; cursor None ends the run.

    False when another delivery of the same message was quicker: then nothing is kept.
    """
    now = now_sql().sql
    with database.transaction():
        moved = execute(
            f"""UPDATE eval_run SET cursor = ?, attempts = 0, error = NULL, reason = NULL,
                       scored = scored + ?, failed = failed + ?, state = ?,
                       due_at = {now} + {RESEND_MS}, finished_at = CASE WHEN ? THEN {now} END
                 WHERE id = ? AND cursor = ? AND state = 'running' RETURNING id""",
            [
                run.cursor if cursor is None else cursor,
                sum(row.score is not None for row in rows),
                sum(row.score is None for row in rows),
                "done" if cursor is None else "running",
                cursor is None,
                run.id,
                run.cursor,
            ],
        )
        if moved:
            held = exchanges.hold([row.exchange_id for row in rows])
            scores.insert([row for row in rows if row.exchange_id in held], database.now())
    return bool(moved)


def take_due(limit: int) -> list[int]:
    """Take runs that stand still, and put off their next turn."""
    lock = "" if database.is_sqlite() else "FOR UPDATE SKIP LOCKED"
    now = now_sql().sql
    with database.transaction():
        rows = execute(
            f"""UPDATE eval_run SET due_at = {now} + {RESEND_MS}
                 WHERE id IN (SELECT id FROM eval_run WHERE state = 'running' AND due_at <= {now} LIMIT ? {lock})
             RETURNING id""",
            [limit],
        )
    return sorted(row[0] for row in rows)


def any_due() -> bool:
    """Whether a run stands still."""
    with database.session():
        return bool(execute(f"SELECT 1 FROM eval_run WHERE state = 'running' AND due_at <= {now_sql().sql} LIMIT 1"))
