"""The canary: an exchange of our own, once a minute, that proves the way from the accept to the last step.

It belongs to a project of its own, which no key speaks for, so it is in no list and in no count. Its id is the minute
of the database's clock: several web processes send the same one, and it is stored once.
"""

import json
from typing import NamedTuple

from app.intake import Accepted, Defaults, Limits, read_single
from app.store import bulk, database
from app.store.accept import Submission
from app.store.database import execute, id_list, in_list, now_sql
from app.store.models import CANARY_PROJECT, Kind, Project

INTERVAL_MS = 60_000
#: Canaries older than this are removed.
KEEP_MS = 3_600_000
#: A real exchange in every step, without words for the search index.
_ITEM = {
    "provider": "ingate",
    "path": "/v1/chat/completions",
    "status_code": 200,
    "request_body": {"model": "canary", "messages": []},
    "response_body": {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
}


class Canary(NamedTuple):
    """The last one that was sent."""

    #: Milliseconds since it was accepted.
    age_ms: int
    #: Milliseconds from accepted to evaluated; None while it is on its way.
    took_ms: int | None


def submission() -> Submission:
    """Return this minute's canary, to be stored like any client's exchange."""
    with database.transaction():
        bulk.insert(Project, ("name", "created_at"), [(CANARY_PROJECT, database.now())], ignore=True)
        project_id = _project()
        minute = database.now() // INTERVAL_MS
    assert project_id is not None
    raw = json.dumps({"request_id": f"canary:{minute}", **_ITEM}).encode()
    entry: Accepted = read_single(raw, Limits(item_bytes=len(raw), batch_items=1), Defaults())
    return Submission(project_id, None, Kind.CANARY, [entry], batch=False)


def last() -> Canary | None:
    """Return the last canary; None before the first."""
    with database.session():
        rows = execute(
            f"""SELECT {now_sql().sql} - e.received_at, f.evaluated_at - e.received_at
                  FROM exchange e LEFT JOIN finished f ON f.exchange_id = e.id
                 WHERE e.project_id = ? ORDER BY e.received_at DESC LIMIT 1""",
            [_project()],
        )
    return Canary(int(rows[0][0]), None if rows[0][1] is None else int(rows[0][1])) if rows else None


def prune() -> int:
    """Remove the canaries that are older than KEEP_MS; return how many."""
    with database.transaction():
        rows = execute(
            f"SELECT id FROM exchange WHERE project_id = ? AND received_at < {now_sql().sql} - {KEEP_MS}", [_project()]
        )
        ids = id_list([row[0] for row in rows])
        for table in ("pending", "failure", "finished", "log", "payload"):
            execute(f"DELETE FROM {table} WHERE {in_list('exchange_id')}", [ids])
        execute(f"DELETE FROM exchange WHERE {in_list('id')}", [ids])
    return len(rows)


def _project() -> int | None:
    with database.session():
        rows = execute("SELECT id FROM project WHERE name = ?", [CANARY_PROJECT])
    return int(rows[0][0]) if rows else None
