"""The accounting identity: every exchange that was accepted is somewhere, and the numbers prove it.

accepted = evaluated + failed + pending + discarded + expired, always and exactly. Accepted, evaluated and expired are
kept by triggers (`tally`), pending and failed are counted where they are, so that the sides are independent.
"""

from typing import NamedTuple

from app.store import database
from app.store.database import execute, now_sql

#: A CROSS JOIN is what SQLite never turns round: it would begin with all exchanges of a project.
_PENDING = "pending p CROSS JOIN exchange e WHERE e.id = p.exchange_id"


class Account(NamedTuple):
    """Where a project's exchanges are, at one moment."""

    accepted: int
    evaluated: int
    failed: int
    pending: int
    discarded: int
    expired: int

    @property
    def drift(self) -> int:
        """Exchanges that are nowhere; anything but 0 is a defect of Ingate."""
        return self.accepted - self.evaluated - self.failed - self.pending - self.discarded - self.expired


def of_project(project_id: int) -> Account:
    """Count a project's exchanges, in one statement: what moves meanwhile is seen in one place."""
    failed = "SELECT count(*) FROM failure WHERE project_id = ? AND discarded_at IS"
    with database.session():
        rows = execute(
            f"""SELECT coalesce(sum(accepted), 0), coalesce(sum(evaluated), 0),
                       ({failed} NULL),
                       (SELECT count(*) FROM {_PENDING} AND e.project_id = ?),
                       ({failed} NOT NULL),
                       coalesce(sum(expired), 0)
                  FROM tally WHERE project_id = ?""",
            [project_id] * 4,
        )
    return Account(*map(int, rows[0]))


def oldest_unfinished_ms(project_id: int | None = None) -> int | None:
    """How long ago the oldest exchange of a project, or of all, arrived that is still pending; None when none is."""
    of_project = "" if project_id is None else "AND e.project_id = ?"
    with database.session():
        rows = execute(
            f"""SELECT {now_sql().sql} - e.received_at FROM {_PENDING} {of_project} ORDER BY p.exchange_id LIMIT 1""",
            [] if project_id is None else [project_id],
        )
    return max(0, int(rows[0][0])) if rows else None
