"""Batches: progress, and every item's result, refused ones too."""

from typing import Literal

import msgspec
from quart import Blueprint, Response, request

from app.errors import InvalidItem
from app.store import batches
from app.store.batches import STATES, BatchItem, BatchRow
from app.store.keys import Identity
from web.ingest import ItemError
from web.query import LIST, cursor, following, limit, shown
from web.routing import Parameter, json_answer, operation
from web.threads import in_thread

routes = Blueprint("batches", __name__)


class BatchSummary(msgspec.Struct, kw_only=True):
    """A batch and how far it is: size = rejected + duplicates + pending + failed + discarded + evaluated."""

    batch_id: str
    received_at: str
    size: int
    accepted: int
    rejected: int
    duplicates: int
    pending: int
    failed: int
    discarded: int
    evaluated: int


class BatchList(msgspec.Struct, kw_only=True):
    data: list[BatchSummary]
    next_cursor: str | None


class BatchItemAnswer(msgspec.Struct, kw_only=True):
    """One item's result."""

    index: int
    request_id: str | None
    state: Literal["accepted", "extracted", "logged", "evaluated", "failed", "discarded", "rejected", "duplicate"]
    error: ItemError | None


class BatchDetail(BatchSummary, kw_only=True):
    """A batch with a page of its items, in the order they were sent."""

    items: list[BatchItemAnswer]
    next_cursor: str | None


@operation(
    routes,
    "GET",
    "/api/v1/batches",
    role="viewer",
    summary="Batches, newest first",
    gives=BatchList,
    query=LIST,
)
async def list_batches(identity: Identity) -> Response:
    """Answer a page of the project's batches."""
    page = await in_thread(batches.page, identity.project_id, limit=limit(), cursor=cursor())
    return json_answer(BatchList(data=[_summary(row) for row in page.rows], next_cursor=following(page.next_cursor)))


@operation(
    routes,
    "GET",
    "/api/v1/batches/<batch_id>",
    role="viewer",
    summary="A batch's progress and every item's result",
    gives=BatchDetail,
    query=(Parameter("state", "only items of this state", {"type": "string", "enum": list(STATES)}), *LIST),
)
async def batch(identity: Identity, batch_id: str) -> Response:
    """Answer a batch and a page of its items."""
    state = request.args.get("state")
    if state is not None and state not in STATES:
        raise InvalidItem(f"state: one of {', '.join(STATES)}", error_code="wrong_type", pointer="/state")
    row = await in_thread(batches.get, identity.project_id, batch_id)
    page = await in_thread(batches.items, row.id, state=state, limit=limit(), cursor=cursor())
    detail = BatchDetail(
        **msgspec.structs.asdict(_summary(row)),
        items=[_item(item) for item in page.rows],
        next_cursor=following(page.next_cursor),
    )
    return json_answer(detail)


def _summary(row: BatchRow) -> BatchSummary:
    return BatchSummary(
        batch_id=row.batch_id,
        received_at=shown(row.received_at) or "",
        size=row.size,
        accepted=row.accepted,
        rejected=row.rejected,
        duplicates=row.duplicates,
        pending=row.pending,
        failed=row.failed,
        discarded=row.discarded,
        evaluated=row.evaluated,
    )


def _item(item: BatchItem) -> BatchItemAnswer:
    error = None
    if item.detail is not None:
        error = ItemError(error_code=item.error_code or "step_failed", detail=item.detail, pointer=item.pointer)
    return BatchItemAnswer(index=item.position, request_id=item.request_id, state=item.state, error=error)  # type: ignore[arg-type]  # the store's states are these
