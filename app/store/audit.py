"""The audit trail: who changed what, written in the transaction of the change."""

from typing import NamedTuple

from app.store import database
from app.store.models import AuditEntry


class Entry(NamedTuple):
    """One change."""

    id: int
    at: int
    actor: str
    action: str
    subject: str


def note(project_id: int, actor: str, action: str, subject: str, now: int) -> None:
    """Add an entry, inside the caller's transaction."""
    AuditEntry.create(project_id=project_id, at=now, actor=actor, action=action, subject=subject)


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> tuple[list[Entry], int | None]:
    """Return a project's entries, newest first, and the cursor of the next page."""
    query = AuditEntry.select().where(AuditEntry.project_id == project_id).order_by(AuditEntry.id.desc())
    if cursor is not None:
        query = query.where(AuditEntry.id < cursor)
    with database.session():
        found = [Entry(e.id, e.at, e.actor, e.action, e.subject) for e in query.limit(limit + 1)]
    return found[:limit], found[limit - 1].id if len(found) > limit else None
