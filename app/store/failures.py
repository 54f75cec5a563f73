"""Exchanges whose step could not run: kept with the step, the reason and the traceback until a person retries them."""

from typing import NamedTuple

from app.errors import Conflict
from app.store import bulk, database
from app.store.database import execute, now_sql
from app.store.models import Pending, Step
from app.store.pending import MAX_ATTEMPTS

_CARRIED = "extracted_at, extract_attempts, logged_at, log_attempts"
#: Failures that one transaction of `retry_all` turns back.
_CHUNK = 500


class FailureRow(NamedTuple):
    """A failed exchange as the list shows it."""

    exchange_id: int
    request_id: str
    received_at: int
    step: Step
    attempts: int
    failed_at: int
    #: Class of the exception, and its message in a sentence.
    error: str
    reason: str


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> tuple[list[FailureRow], int | None]:
    """Return a project's failed exchanges, newest exchange first, and the cursor of the next page."""
    below = "" if cursor is None else "AND f.exchange_id < ?"
    with database.session():
        rows = execute(
            f"""SELECT f.exchange_id, e.request_id, e.received_at, f.step, f.attempts, f.failed_at, f.error, f.reason
                  FROM failure f JOIN exchange e ON e.id = f.exchange_id
                 WHERE f.project_id = ? {below} ORDER BY f.exchange_id DESC LIMIT ?""",
            [project_id, *([] if cursor is None else [cursor]), limit + 1],
        )
    found = [FailureRow(*row)._replace(step=Step(row[3])) for row in rows[:limit]]
    return found, found[-1].exchange_id if len(rows) > limit else None


def count(project_id: int, *, at_most: int) -> int:
    """Count a project's failed exchanges, no further than `at_most`."""
    with database.session():
        rows = execute(
            "SELECT count(*) FROM (SELECT 1 FROM failure WHERE project_id = ? LIMIT ?) AS few", [project_id, at_most]
        )
    return int(rows[0][0])


def park(exchange_id: int, step: Step, *, error: str, reason: str, traceback: str | None) -> bool:
    """Turn a pending exchange into a failed one; False when it is no longer at that step."""
    with database.transaction():
        rows = execute(
            f"DELETE FROM pending WHERE exchange_id = ? AND step = ? RETURNING attempts, {_CARRIED}",
            [exchange_id, step],
        )
        if not rows:
            return False
        # A claim beyond the last try only found out that the worker had died each time.
        attempts, *carried = min(rows[0][0], MAX_ATTEMPTS), *rows[0][1:]
        execute(
            f"""INSERT INTO failure (exchange_id, project_id, step, attempts, failed_at, error, reason, traceback,
                                     {_CARRIED})
                SELECT id, project_id, ?, ?, {now_sql().sql}, ?, ?, ?, ?, ?, ?, ? FROM exchange WHERE id = ?""",
            [step, attempts, error, reason, traceback, *carried, exchange_id],
        )
    return True


def retry(exchange_id: int) -> Step:
    """Make a failed exchange pending again, at the step that failed, and return that step.

    Raises Conflict when it is not failed.
    """
    with database.transaction():
        rows = execute(f"DELETE FROM failure WHERE exchange_id = ? RETURNING step, reason, {_CARRIED}", [exchange_id])
        if not rows:
            raise Conflict("this exchange has not failed", error_code="not_failed")
        step, reason, *carried = rows[0]
        execute(
            f"""INSERT INTO pending (exchange_id, step, attempts, leased_until, due_at, last_error, {_CARRIED})
                VALUES (?, ?, 0, 0, {now_sql().sql} + ?, ?, ?, ?, ?, ?)""",
            [exchange_id, step, RETRY_SWEEP_MS, reason, *carried],
        )
    return Step(step)


def retry_all(project_id: int) -> dict[Step, list[int]]:
    """Make a project's failed exchanges pending again; return their ids by the step that failed."""
    retried: dict[Step, list[int]] = {}
    last = 2**62
    while True:
        with database.transaction():
            rows = execute(
                f"""DELETE FROM failure WHERE exchange_id IN
                           (SELECT exchange_id FROM failure WHERE project_id = ? AND exchange_id < ?
                             ORDER BY exchange_id DESC LIMIT {_CHUNK})
                 RETURNING exchange_id, step, reason, {_CARRIED}""",
                [project_id, last],
            )
            due_at = database.now() + RETRY_SWEEP_MS
            bulk.insert(
                Pending,
                ("exchange_id", "step", "last_error", *_CARRIED.split(", "), "attempts", "leased_until", "due_at"),
                [(*row, 0, 0, due_at) for row in rows],
            )
        for exchange_id, step, *_ in rows:
            retried.setdefault(Step(step), []).append(exchange_id)
        if len(rows) < _CHUNK:
            return retried
        # What fails again meanwhile is not retried twice.
        last = min(row[0] for row in rows)


#: The retry sends its own message; should that get lost, the sweep finds the row after this long.
RETRY_SWEEP_MS = 5_000
