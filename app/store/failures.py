"""The failure inbox: what could not run, kept with step, reason and traceback until a person retries or discards it.

Exchanges whose step failed are in `failure`; runs over history that failed keep theirs in their own row. What failed
for the same cause has the same fingerprint, and is shown, retried and discarded together.
"""

import hashlib
from typing import Literal, NamedTuple, get_args

from app.errors import Conflict, NotFound
from app.shapes.paths import place_of
from app.shapes.providers import provider_of
from app.store import audit, bulk, database
from app.store.database import execute, now_sql
from app.store.models import Pending, Step
from app.store.pending import MAX_ATTEMPTS

#: What can fail, as the API names it: the three steps, and the two kinds of runs over history.
Stopped = Literal["extract", "log", "eval", "run", "reprocess"]
STEPS: tuple[Stopped, ...] = get_args(Stopped)[:3]

_CARRIED = "extracted_at, extract_attempts, logged_at, log_attempts"
#: Failures that one transaction turns back or gives up.
_CHUNK = 500
#: A retry sends its own message; should that get lost, the sweep finds the row after this long.
RETRY_SWEEP_MS = 5_000
#: Groups that the inbox shows: more causes than a person reads. One more than that says that there are more.
MAX_GROUPS = 200


class FailureRow(NamedTuple):
    """A failed exchange as lists show it."""

    exchange_id: int
    request_id: str
    received_at: int
    step: Stopped
    attempts: int
    failed_at: int
    #: Class of the exception, and its message in a sentence.
    error: str
    reason: str


class Group(NamedTuple):
    """What failed for one cause."""

    fingerprint: str
    step: Stopped
    error: str
    shape: str | None
    provider: str | None
    stopped: int
    first_seen: int
    last_seen: int
    #: The newest of them: its reason, and what it is; a run has no request id.
    reason: str
    sample_request_id: str | None
    sample_run_id: int | None


class Retried(NamedTuple):
    """What is on its way again and needs a message."""

    #: Exchange ids by the step that they go on from.
    exchanges: dict[Step, list[int]]
    runs: list[int]
    reprocess_runs: list[int]

    @property
    def total(self) -> int:
        """How many things that are."""
        return sum(map(len, self.exchanges.values())) + len(self.runs) + len(self.reprocess_runs)


def fingerprint(step: Stopped, error: str, shape: str | None = None, provider: str | None = None) -> str:
    """Return 12 hex digits that are the same for failures of one cause."""
    text = "\n".join((step, error, shape or "", provider or ""))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


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
        project_id, provider, path, shape = execute(
            """SELECT e.project_id, coalesce(l.provider, e.provider), e.path, l.shape
                 FROM exchange e LEFT JOIN log l ON l.exchange_id = e.id WHERE e.id = ?""",
            [exchange_id],
        )[0]
        provider = provider or provider_of(place_of(path or ""))
        cause = fingerprint(STEPS[step], error, shape, provider)
        execute(
            f"""INSERT INTO failure (exchange_id, project_id, step, attempts, failed_at, error, reason, traceback,
                                     fingerprint, shape, provider, {_CARRIED})
                VALUES (?, ?, ?, ?, {now_sql().sql}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            [exchange_id, project_id, step, attempts, error, reason, traceback, cause, shape, provider, *carried],
        )
    return True


def groups(project_id: int, *, cause: str | None = None) -> list[Group]:
    """Return what waits in the inbox, by cause, the latest first: MAX_GROUPS and one at most; or the one of `cause`."""
    of_cause = "" if cause is None else "AND fingerprint = ?"
    exchange_groups = f"""SELECT f.fingerprint, f.step, f.error, f.shape, f.provider, g.number, g.first, g.last,
                                 f.reason, e.request_id, NULL AS run_id
          FROM (SELECT count(*) AS number, min(failed_at) AS first, max(failed_at) AS last, max(exchange_id) AS newest
                  FROM failure WHERE project_id = ? AND discarded_at IS NULL {of_cause} GROUP BY fingerprint) AS g
          JOIN failure f ON f.exchange_id = g.newest JOIN exchange e ON e.id = g.newest"""
    run_groups = [
        f"""SELECT r.fingerprint, {_PLACES[kind]}, r.error, NULL, NULL, g.number, g.first, g.last, r.reason, NULL, r.id
          FROM (SELECT count(*) AS number, min(finished_at) AS first, max(finished_at) AS last, max(id) AS newest
                  FROM {table} WHERE project_id = ? AND state = 'failed' {of_cause} GROUP BY fingerprint) AS g
          JOIN {table} r ON r.id = g.newest"""
        for kind, table in _RUN_TABLES.items()
    ]
    with database.session():
        rows = execute(
            f"{' UNION ALL '.join([exchange_groups, *run_groups])} ORDER BY 8 DESC LIMIT {MAX_GROUPS + 1}",
            [project_id, *([] if cause is None else [cause])] * 3,
        )
    return [Group(*row)._replace(step=get_args(Stopped)[row[1]]) for row in rows]


def group(project_id: int, cause: str) -> Group:
    """Return one group of the inbox. Raises NotFound."""
    found = groups(project_id, cause=cause)
    if not found:
        raise NotFound(f"no failures of the fingerprint {cause[:40]}")
    return found[0]


def page(
    project_id: int, cause: str, *, limit: int = 50, cursor: int | None = None
) -> tuple[list[FailureRow], int | None]:
    """Return the failed exchanges of one cause, newest first, and the cursor of the next page."""
    below = "" if cursor is None else "AND f.exchange_id < ?"
    with database.session():
        rows = execute(
            f"""SELECT f.exchange_id, e.request_id, e.received_at, f.step, f.attempts, f.failed_at, f.error, f.reason
                  FROM failure f JOIN exchange e ON e.id = f.exchange_id
                 WHERE f.project_id = ? AND f.fingerprint = ? AND f.discarded_at IS NULL {below}
                 ORDER BY f.exchange_id DESC LIMIT ?""",
            [project_id, cause, *([] if cursor is None else [cursor]), limit + 1],
        )
    found = [FailureRow(*row)._replace(step=STEPS[row[3]]) for row in rows[:limit]]
    return found, found[-1].exchange_id if len(rows) > limit else None


def retry(exchange_id: int, *, actor: str) -> Step:
    """Make a failed (or discarded) exchange pending again, at the step that failed, and return that step.

    Raises Conflict when it is not failed.
    """
    with database.transaction():
        rows = execute(
            f"DELETE FROM failure WHERE exchange_id = ? RETURNING project_id, step, reason, {_CARRIED}", [exchange_id]
        )
        if not rows:
            raise Conflict("this exchange has not failed", error_code="not_failed")
        project_id, *rest = rows[0]
        now = database.now()
        _make_pending([(exchange_id, *rest)], now)
        audit.note(project_id, actor, "failure.retried", f"exchange:{exchange_id}", now)
    return Step(rows[0][1])


def discard(exchange_id: int, *, actor: str) -> None:
    """Give up a failed exchange: it leaves the inbox, and keeps its bytes. Raises Conflict when it is not failed."""
    with database.transaction():
        rows = execute(
            f"""UPDATE failure SET discarded_at = {now_sql().sql} WHERE exchange_id = ? AND discarded_at IS NULL
             RETURNING project_id""",
            [exchange_id],
        )
        if not rows:
            raise Conflict("this exchange has not failed", error_code="not_failed")
        audit.note(rows[0][0], actor, "failure.discarded", f"exchange:{exchange_id}", database.now())


def retry_all(project_id: int, *, actor: str, cause: str | None = None) -> Retried:
    """Make all that waits in the inbox, or all of one cause, go on from where it stopped.

    Returns what needs a message. Raises NotFound when there is nothing of that cause.
    """
    if cause is not None:
        group(project_id, cause)
    exchanges: dict[Step, list[int]] = {}
    # What fails again meanwhile is not retried twice.
    last = 2**62
    while rows := _retry_some(project_id, cause, last, actor):
        for exchange_id, step, *_ in rows:
            exchanges.setdefault(Step(step), []).append(exchange_id)
        last = min(row[0] for row in rows)
    runs = {kind: _retry_runs(project_id, kind, cause, actor) for kind in _RUN_TABLES}
    return Retried(exchanges, runs["run"], runs["reprocess"])


def discard_all(project_id: int, cause: str, *, actor: str) -> int:
    """Give up all of one cause; return how many there were. Raises NotFound."""
    found = group(project_id, cause)
    if found.sample_run_id is None:
        statement = f"""UPDATE failure SET discarded_at = {now_sql().sql}
                         WHERE project_id = ? AND fingerprint = ? AND discarded_at IS NULL RETURNING exchange_id"""
    else:
        statement = f"""UPDATE {_RUN_TABLES[found.step]} SET state = 'discarded'
                         WHERE project_id = ? AND fingerprint = ? AND state = 'failed' RETURNING id"""
    with database.transaction():
        count = len(execute(statement, [project_id, cause]))
        _note_all(project_id, actor, "failure.discarded", cause, count)
    return count


#: Where each of `Stopped` stands, and the tables of those that are runs.
_PLACES = {name: place for place, name in enumerate(get_args(Stopped))}
_RUN_TABLES: dict[Stopped, str] = {"run": "eval_run", "reprocess": "reprocess_run"}


def _retry_some(project_id: int, cause: str | None, below: int, actor: str) -> list[bulk.Row]:
    of_cause = "" if cause is None else "AND fingerprint = ?"
    with database.transaction():
        rows = execute(
            f"""DELETE FROM failure WHERE exchange_id IN
                       (SELECT exchange_id FROM failure
                         WHERE project_id = ? AND discarded_at IS NULL AND exchange_id < ? {of_cause}
                         ORDER BY exchange_id DESC LIMIT {_CHUNK})
             RETURNING exchange_id, step, reason, {_CARRIED}""",
            [project_id, below, *([] if cause is None else [cause])],
        )
        if rows:
            _make_pending(rows, database.now())
            _note_all(project_id, actor, "failure.retried", cause, len(rows))
    return rows


def _make_pending(rows: list[bulk.Row], now: int) -> None:
    bulk.insert(
        Pending,
        ("exchange_id", "step", "last_error", *_CARRIED.split(", "), "attempts", "leased_until", "due_at"),
        [(*row, 0, 0, now + RETRY_SWEEP_MS) for row in rows],
    )


def _retry_runs(project_id: int, kind: Stopped, cause: str | None, actor: str) -> list[int]:
    of_cause = "" if cause is None else "AND fingerprint = ?"
    with database.transaction():
        rows = execute(
            f"""UPDATE {_RUN_TABLES[kind]} SET state = 'running', attempts = 0, finished_at = NULL,
                       fingerprint = NULL, error = NULL, reason = NULL, traceback = NULL,
                       due_at = {now_sql().sql} + {RETRY_SWEEP_MS}
                 WHERE project_id = ? AND state = 'failed' {of_cause} RETURNING id""",
            [project_id, *([] if cause is None else [cause])],
        )
        if rows:
            _note_all(project_id, actor, "failure.retried", cause, len(rows))
    return sorted(row[0] for row in rows)


def _note_all(project_id: int, actor: str, action: str, cause: str | None, count: int) -> None:
    subject = "all" if cause is None else f"fingerprint:{cause}"
    audit.note(project_id, actor, action, f"{subject} ({count})", database.now())
