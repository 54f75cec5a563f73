"""Exchanges whose step could not run: kept with the step, the reason and the traceback until a person retries them."""

from app.errors import Conflict
from app.store import database
from app.store.database import execute, now_sql
from app.store.models import Step

_CARRIED = "extracted_at, extract_attempts, logged_at, log_attempts"


def park(exchange_id: int, step: Step, *, error: str, reason: str, traceback: str | None) -> bool:
    """Turn a pending exchange into a failed one; False when it is no longer at that step."""
    with database.transaction():
        rows = execute(
            f"DELETE FROM pending WHERE exchange_id = ? AND step = ? RETURNING attempts, {_CARRIED}",
            [exchange_id, step],
        )
        if not rows:
            return False
        attempts, *carried = rows[0]
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


#: The retry sends its own message; should that get lost, the sweep finds the row after this long.
RETRY_SWEEP_MS = 5_000
