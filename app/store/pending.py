"""The state of unfinished exchanges: claim, move on, try later, give up, find what stands still.

Every function is one conditional statement (or one transaction of them) and believes the rows that it returns, so
that a message delivered twice, late or out of order does nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from app.store import bulk, database
from app.store.database import execute, id_list, in_list, now_sql
from app.store.models import Finished, Step

#: How long a claimed exchange belongs to its worker; also how soon the sweep finds one whose message got lost.
LEASE_MS = 25_000
MAX_ATTEMPTS = 5
#: Each try before makes a lease longer by this: when what kills its workers is sent again, those that it took with it
#: the last time were sent before, and are through all steps.
HEAD_START_MS = 2_000
#: Wait before the next try, by attempts so far.
BACKOFF_MS = (1_000, 5_000, 15_000, 30_000)


def never_ended(what: str) -> str:
    """Say why something is given up that was begun MAX_ATTEMPTS times."""
    return f"{what} was begun {MAX_ATTEMPTS} times and never ended: its worker was killed or could not write"


_FINISHED = (
    "exchange_id", "extracted_at", "extract_attempts", "logged_at", "log_attempts", "evaluate_attempts", "evaluated_at",
)  # fmt: skip


class Claimed(NamedTuple):
    exchange_id: int
    attempts: int


class Due(NamedTuple):
    exchange_id: int
    step: Step
    attempts: int


def claim(ids: Sequence[int], step: Step) -> list[Claimed]:
    """Make unfinished exchanges mine for LEASE_MS; committed before the work, so that a killed worker is counted.

    What was tried before is claimed only by itself: the queue gives a dead worker's message, with all that is in it,
    to the next one, and one exchange that kills would take the others with it each time.
    """
    lease = f"{LEASE_MS} + {HEAD_START_MS} * attempts"
    alone = "" if len(ids) == 1 else "AND attempts = 0"
    with database.transaction():
        rows = execute(
            f"""UPDATE pending SET attempts = attempts + 1, leased_until = {_now()} + {lease},
                       due_at = {_now()} + {lease}
                 WHERE {in_list("exchange_id")} AND step = ? AND leased_until <= {_now()} {alone}
             RETURNING exchange_id, attempts""",
            [id_list(ids), step],
        )
    return sorted(Claimed(*row) for row in rows)


def advance(ids: Sequence[int], step: Step) -> list[int]:
    """Move claimed exchanges past `step`, inside the caller's transaction; return those that really moved."""
    done = step.name.lower()
    at = {Step.EXTRACT: "extracted_at", Step.LOG: "logged_at"}[step]
    rows = execute(
        f"""UPDATE pending SET step = ?, attempts = 0, leased_until = 0, due_at = {_now()} + {LEASE_MS},
                   last_error = NULL, {at} = {_now()}, {done}_attempts = attempts
             WHERE {in_list("exchange_id")} AND step = ?
         RETURNING exchange_id""",
        [step + 1, id_list(ids), step],
    )
    return sorted(row[0] for row in rows)


def finish(ids: Sequence[int], step: Step) -> tuple[list[int], int]:
    """End claimed exchanges, inside the caller's transaction; return those that really ended, and when.

    step: the one that they are at. The ones after it have been done with it, at the same attempt.
    """
    rows = execute(
        f"""DELETE FROM pending WHERE {in_list("exchange_id")} AND step = ?
         RETURNING exchange_id, extracted_at, extract_attempts, logged_at, log_attempts, attempts, {_now()}""",
        [id_list(ids), step],
    )
    bulk.insert(Finished, _FINISHED, rows)
    return sorted(row[0] for row in rows), rows[0][-1] if rows else 0


def try_later(exchange_id: int, step: Step, attempts: int, error: str) -> None:
    """Give a claimed exchange back, to be sent again after a backoff."""
    wait = BACKOFF_MS[min(attempts, len(BACKOFF_MS)) - 1]
    with database.transaction():
        execute(
            f"""UPDATE pending SET leased_until = {_now()} + {wait}, due_at = {_now()} + {wait}, last_error = ?
                 WHERE exchange_id = ? AND step = ?""",
            [error, exchange_id, step],
        )


def take_due(limit: int) -> list[Due]:
    """Take what stands still, oldest first, and put off its next turn by LEASE_MS; two sweeps never take the same."""
    lock = "" if database.is_sqlite() else "FOR UPDATE SKIP LOCKED"
    with database.transaction():
        rows = execute(
            f"""UPDATE pending SET due_at = {_now()} + {LEASE_MS}
                 WHERE exchange_id IN (SELECT exchange_id FROM pending WHERE due_at <= {_now()}
                                        ORDER BY due_at LIMIT ? {lock})
             RETURNING exchange_id, step, attempts""",
            [limit],
        )
    return sorted(Due(row[0], Step(row[1]), row[2]) for row in rows)


def oldest_due() -> int | None:
    """How long the longest waiting exchange has been overdue, in milliseconds; None when nothing is."""
    with database.session():
        row = execute(f"SELECT {_now()} - min(due_at) FROM pending WHERE due_at <= {_now()}")[0]
    return None if row[0] is None else int(row[0])


def _now() -> str:
    return str(now_sql().sql)
