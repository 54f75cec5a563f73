"""The audit trail: who changed what, written in the transaction of the change."""

from app.store.models import AuditEntry


def note(project_id: int, actor: str, action: str, subject: str, now: int) -> None:
    """Add an entry, inside the caller's transaction."""
    AuditEntry.create(project_id=project_id, at=now, actor=actor, action=action, subject=subject)
