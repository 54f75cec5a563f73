"""Pages of batches: the list, and one batch with every item's result, refused ones too."""

from quart import Blueprint, Response, request

from app.errors import InvalidItem
from app.store import batches
from app.store.batches import STATES, BatchRow, ItemPage
from web.query import cursor
from web.render import render, wants_part
from web.routing import page
from web.sessions import Viewer
from web.threads import in_thread

routes = Blueprint("batch_pages", __name__)

PAGE_ROWS = 50


@page(routes, "/batches", role="viewer")
async def batch_list(who: Viewer) -> Response:
    """Show the project's batches, newest first."""
    at = cursor()
    found = await in_thread(batches.page, who.project_id, limit=PAGE_ROWS, cursor=at)
    return await render(
        "batches/list.html",
        block="rows",
        viewer=who,
        cursor=at,
        rows=found.rows,
        next_cursor=found.next_cursor,
    )


@page(routes, "/batches/<batch_id>", role="viewer")
async def batch(who: Viewer, batch_id: str) -> Response:
    """Show one batch: how far it is, and a page of its items."""
    state, at = request.args.get("state") or None, cursor()
    if state is not None and state not in STATES:
        raise InvalidItem(f"state: one of {', '.join(STATES)}", error_code="wrong_type", pointer="/state")
    row, found = await in_thread(_opened, who.project_id, batch_id, state, at)
    return await render(
        "batches/batch.html",
        block="batch" if at is None else "rows",
        viewer=who,
        part=wants_part(),
        batch=row,
        state_filter=state,
        cursor=at,
        items=found.rows,
        next_cursor=found.next_cursor,
    )


def _opened(project_id: int, batch_id: str, state: str | None, at: int | None) -> tuple[BatchRow, ItemPage]:
    row = batches.get(project_id, batch_id)
    return row, batches.items(row.id, state=state, limit=PAGE_ROWS, cursor=at)
