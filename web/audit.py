"""The audit trail over the API: who changed what."""

import msgspec
from quart import Blueprint, Response

from app.store import audit
from app.store.audit import Entry
from app.store.keys import Identity
from web.query import LIST, cursor, following, limit, shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("audit", __name__)


class AuditAnswer(msgspec.Struct, kw_only=True):
    """One change: who did it (`key:<id>`, `sign-in link`, `cli`), what was done, and to what."""

    at: str
    actor: str
    action: str
    subject: str


class AuditList(msgspec.Struct, kw_only=True):
    data: list[AuditAnswer]
    next_cursor: str | None


@operation(
    routes, "GET", "/api/v1/audit", role="admin", summary="Who changed what, newest first", gives=AuditList, query=LIST
)
async def list_audit(identity: Identity) -> Response:
    """Answer a page of the project's audit trail."""
    rows, after = await in_thread(audit.page, identity.project_id, limit=limit(), cursor=cursor())
    return json_answer(AuditList(data=[_entry(row) for row in rows], next_cursor=following(after)))


def _entry(row: Entry) -> AuditAnswer:
    return AuditAnswer(at=shown(row.at) or "", actor=row.actor, action=row.action, subject=row.subject)
