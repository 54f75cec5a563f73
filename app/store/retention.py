"""Retention: finished exchanges that were received long enough ago go, with all that belongs to them, in small chunks.

An exchange goes with the row that says it is finished, failed or discarded: who deletes that row deletes the rest, in
the same transaction. So nothing pending goes, two processes never remove the same one, and accepted = evaluated +
failed + pending + discarded + expired holds at every moment. The `retention` row says how far a run is.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.store import audit, database, search
from app.store.database import execute, id_list, in_list, is_sqlite, now_sql
from app.store.models import db

DAY_MS = 86_400_000
#: A run begins this long after the end of the one before.
INTERVAL_MS = 3_600_000
#: How long a run belongs to its process after each chunk.
LEASE_MS = 60_000
#: Who it is in the audit trail.
ACTOR = "retention"

#: What belongs to an exchange, beside the state and the words of the search index.
_PARTS = ("payload", "log", "score")


class Run(NamedTuple):
    """A project's run, mine until its lease ends."""

    project_id: int
    #: Exchanges received before it go.
    cut: int


class Expired(NamedTuple):
    exchange_id: int
    received_at: int


class State(NamedTuple):
    """A project's last run, or the one that is on."""

    cut: int
    started_at: int
    #: None while it is on.
    finished_at: int | None
    exchanges: int
    batches: int


def begin(project_id: int, days: int) -> Run | None:
    """Begin a run, or go on with one whose process is gone; None when another has it, or none is due."""
    now = now_sql().sql
    with database.transaction():
        rows = execute(
            f"""INSERT INTO retention (project_id, cut, started_at, leased_until, exchanges, batches)
                VALUES (?, {now} - ?, {now}, {now} + {LEASE_MS}, 0, 0)
                ON CONFLICT (project_id) DO UPDATE SET cut = excluded.cut, leased_until = excluded.leased_until,
                    started_at = CASE WHEN retention.finished_at IS NULL THEN retention.started_at
                                      ELSE excluded.started_at END,
                    exchanges = CASE WHEN retention.finished_at IS NULL THEN retention.exchanges ELSE 0 END,
                    batches = CASE WHEN retention.finished_at IS NULL THEN retention.batches ELSE 0 END,
                    finished_at = NULL
                  WHERE retention.leased_until <= {now}
                    AND coalesce(retention.finished_at, 0) <= {now} - {INTERVAL_MS}
                RETURNING cut""",
            [project_id, days * DAY_MS],
        )
    return Run(project_id, int(rows[0][0])) if rows else None


def expired(run: Run, *, since: int, limit: int) -> list[Expired]:
    """Return what is finished, or was given up, of the exchanges received from `since` up to the cut, oldest first.

    The newest exchange of all stays until another has come: SQLite gives the id of a last row that was deleted to the
    next one, and words that could not be taken out of the search index would be found as its own.
    """
    with database.session():
        rows = execute(
            """SELECT e.id, e.received_at FROM exchange e
                WHERE e.project_id = ? AND e.received_at >= ? AND e.received_at < ?
                  AND e.id < (SELECT max(id) FROM exchange)
                  AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.exchange_id = e.id)
                ORDER BY e.received_at LIMIT ?""",
            [run.project_id, since, run.cut, limit],
        )
    return [Expired(*row) for row in rows]


def remove(run: Run, ids: Sequence[int], words: Mapping[int, list[str]]) -> int:
    """Remove exchanges that are finished or given up, in one transaction; return how many those were.

    words: what the search index has of them, as far as it could be found out; SQLite's forgets nothing else.
    """
    with database.transaction():
        mine = [
            row[0]
            for table in ("finished", "failure")
            for row in execute(
                f"DELETE FROM {table} WHERE {in_list('exchange_id')} RETURNING exchange_id", [id_list(ids)]
            )
        ]
        gone = id_list(mine)
        # Before its parts: whoever adds some holds it (exchanges.hold), and has added them when it can be deleted.
        execute(f"DELETE FROM exchange WHERE {in_list('id')}", [gone])
        search.forget(mine, _forgettable(mine, words))
        for table in _PARTS:
            execute(f"DELETE FROM {table} WHERE {in_list('exchange_id')}", [gone])
        _count(run, "exchanges", len(mine))
    return len(mine)


def remove_batches(run: Run, *, after: int, limit: int) -> int | None:
    """Look at the batches after an id, and remove the old ones that hold no exchange; return the last one's id.

    None when no old one is left.
    """
    with database.transaction():
        rows = execute(
            """SELECT b.id, b.received_at < ?, EXISTS (SELECT 1 FROM exchange e WHERE e.batch = b.id)
                 FROM batch b WHERE b.project_id = ? AND b.id > ? ORDER BY b.id LIMIT ?""",
            [run.cut, run.project_id, after, limit],
        )
        empty = id_list([batch for batch, old, held in rows if old and not held])
        execute(f"DELETE FROM rejection WHERE {in_list('batch')}", [empty])
        execute(f"DELETE FROM duplicate WHERE {in_list('batch')}", [empty])
        _count(run, "batches", len(execute(f"DELETE FROM batch WHERE {in_list('id')} RETURNING id", [empty])))
    return rows[-1][0] if rows and rows[-1][1] else None


def finish(run: Run) -> State:
    """End a run, note in the audit trail what it removed, and return it."""
    with database.transaction():
        execute(
            f"UPDATE retention SET finished_at = {now_sql().sql}, leased_until = 0 WHERE project_id = ?",
            [run.project_id],
        )
        done = last(run.project_id)
        assert done is not None
        if done.exchanges or done.batches:
            what = f"{done.exchanges} exchanges and {done.batches} batches received before {done.cut}"
            audit.note(run.project_id, ACTOR, "exchanges.expired", what, database.now())
    return done


def last(project_id: int) -> State | None:
    """Return a project's last run, or the one that is on; None before the first."""
    with database.session():
        rows = execute(f"SELECT {', '.join(State._fields)} FROM retention WHERE project_id = ?", [project_id])
    return State(*rows[0]) if rows else None


def projects() -> list[int]:
    """Return the ids of all projects."""
    with database.session():
        return [row[0] for row in execute("SELECT id FROM project ORDER BY id")]


def give_back(pages: int) -> bool:
    """Give free pages of a SQLite file back to the system, while more than a tenth of the file is free.

    False when there is nothing to do: then new exchanges fill what is free. Files of before auto_vacuum only do that.
    """
    if not is_sqlite():
        return False
    with database.session():
        (mode,), (free,), (size,) = (
            execute(f"PRAGMA {name}")[0] for name in ("auto_vacuum", "freelist_count", "page_count")
        )
        if mode == 0 or free * 10 <= size:
            return False
        # Each step of the statement frees one page, though it has no columns.
        db.execute_sql(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return True


def _forgettable(ids: Sequence[int], words: Mapping[int, list[str]]) -> dict[int, list[str]]:
    """Those words that are still the ones which were indexed: the texts may be read in another way by now."""
    if not words:
        return {}
    rows = execute(f"SELECT exchange_id, words_digest FROM log WHERE {in_list('exchange_id')}", [id_list(ids)])
    return {i: words[i] for i, digest in rows if i in words and search.digest(words[i]) == digest}


def _count(run: Run, column: str, number: int) -> None:
    execute(
        f"""UPDATE retention SET {column} = {column} + ?, leased_until = {now_sql().sql} + {LEASE_MS}
             WHERE project_id = ?""",
        [number, run.project_id],
    )
