"""Reprocess runs: stored exchanges read and priced again, newest first, in chunks. The cursor in SQL is the truth."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from app.errors import NotFound
from app.store import audit, database, exchanges, logs
from app.store.database import execute, now_sql
from app.store.logs import Entry
from app.store.models import ReprocessRun
from app.store.runs import NEWEST, RESEND_MS


class RunRow(NamedTuple):
    """A run, how far it is, and what it changes. state: running, done, failed or discarded."""

    id: int
    project_id: int
    query: str
    since: int | None
    until: int | None
    dry_run: bool
    state: str
    total: int
    processed: int
    failed: int
    changed: int
    #: JSON object: how many rows change, by field.
    fields: str
    cost_before: float
    cost_after: float
    cursor: int
    created_at: int
    finished_at: int | None
    #: Why a failed one stopped.
    error: str | None
    reason: str | None


_COLUMNS = ", ".join(RunRow._fields)


def create(
    project_id: int, *, query: str, since: int | None, until: int | None, dry_run: bool, total: int, actor: str
) -> RunRow:
    """Start a run over the exchanges that are there now."""
    with database.transaction():
        now = database.now()
        row = ReprocessRun.create(
            project_id=project_id, query=query, since=since, until=until, dry_run=dry_run, state="running",
            total=total, processed=0, failed=0, changed=0, fields="{}", cost_before=0.0, cost_after=0.0,
            cursor=NEWEST, created_at=now, due_at=now + RESEND_MS, attempts=0,
        )  # fmt: skip
        if not dry_run:
            audit.note(project_id, actor, "reprocess.started", f"reprocess_run:{row.id}", now)
    return get(project_id, row.id)


def get(project_id: int, run_id: int) -> RunRow:
    """Return one run. Raises NotFound."""
    with database.session():
        rows = execute(f"SELECT {_COLUMNS} FROM reprocess_run WHERE id = ? AND project_id = ?", [run_id, project_id])
    if not rows:
        raise NotFound(f"no reprocess run {run_id}")
    return _run(rows[0])


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> tuple[list[RunRow], int | None]:
    """Return a project's runs, newest first, and the cursor of the next page."""
    with database.session():
        rows = execute(
            f"SELECT {_COLUMNS} FROM reprocess_run WHERE project_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
            [project_id, NEWEST if cursor is None else cursor, limit + 1],
        )
    found = [_run(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


def running(run_id: int) -> RunRow | None:
    """Return a run that is not finished; None otherwise."""
    with database.session():
        rows = execute(f"SELECT {_COLUMNS} FROM reprocess_run WHERE id = ? AND state = 'running'", [run_id])
    return _run(rows[0]) if rows else None


def advance(run: RunRow, chunk: Sequence[Entry], *, failed: int, cursor: int | None) -> bool:
    """Rewrite a chunk's rows (unless it is a dry run) and move the run on, in one transaction; cursor None ends it.

    False when another delivery of the same message was quicker: then nothing is done.
    """
    now = now_sql().sql
    with database.transaction():
        moved = execute(
            f"""UPDATE reprocess_run SET cursor = ?, attempts = 0, error = NULL, reason = NULL,
                       due_at = {now} + {RESEND_MS}, state = ?,
                       finished_at = CASE WHEN ? THEN {now} END, processed = processed + ?, failed = failed + ?
                 WHERE id = ? AND cursor = ? AND state = 'running' RETURNING id""",
            [
                run.cursor if cursor is None else cursor,
                "done" if cursor is None else "running",
                cursor is None,
                len(chunk) + failed,
                failed,
                run.id,
                run.cursor,
            ],
        )
        if moved and chunk:
            exchanges.hold([entry.exchange_id for entry in chunk])
            _add(run, logs.rewrite(sorted(chunk, key=lambda entry: entry.exchange_id), dry_run=run.dry_run))
    return bool(moved)


def _add(run: RunRow, changes: logs.Changes) -> None:
    """Add a chunk's changes to the run's report. The run is as it was read, for its cursor was."""
    fields = Counter(msgspec.json.decode(run.fields, type=dict[str, int])) + Counter(changes.fields)
    execute(
        """UPDATE reprocess_run SET changed = changed + ?, fields = ?, cost_before = cost_before + ?,
                  cost_after = cost_after + ? WHERE id = ?""",
        [
            changes.changed,
            msgspec.json.encode(dict(fields)).decode(),
            changes.cost_before,
            changes.cost_after,
            run.id,
        ],
    )


def take_due(limit: int) -> list[int]:
    """Take runs that stand still, and put off their next turn."""
    lock = "" if database.is_sqlite() else "FOR UPDATE SKIP LOCKED"
    now = now_sql().sql
    with database.transaction():
        rows = execute(
            f"""UPDATE reprocess_run SET due_at = {now} + {RESEND_MS}
                 WHERE id IN (SELECT id FROM reprocess_run WHERE state = 'running' AND due_at <= {now} LIMIT ? {lock})
             RETURNING id""",
            [limit],
        )
    return sorted(row[0] for row in rows)


def any_due() -> bool:
    """Whether a run stands still."""
    sql = f"SELECT 1 FROM reprocess_run WHERE state = 'running' AND due_at <= {now_sql().sql} LIMIT 1"
    with database.session():
        return bool(execute(sql))


def _run(row: tuple[object, ...]) -> RunRow:
    run = RunRow(*row)  # type: ignore[arg-type]  # the columns of _COLUMNS, in order
    return run._replace(dry_run=bool(run.dry_run))
