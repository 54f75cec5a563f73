"""The page of failed exchanges: at which step, why, and what brings them back."""

import contextlib

from quart import Blueprint, Response, redirect, request

from actors.stage import send
from actors.sweep import SEND
from app.errors import Conflict
from app.store import failures
from app.store.failures import FailureRow
from web.exchanges import retry
from web.query import cursor
from web.render import render, wants_part
from web.routing import page
from web.sessions import Viewer, own_path
from web.threads import in_thread

routes = Blueprint("failure_pages", __name__)

PAGE_ROWS = 50
#: The number of failures is counted no further.
COUNTED = 1000


@page(routes, "/failures", role="viewer")
async def failure_list(who: Viewer) -> Response:
    """Show the failed exchanges, newest first."""
    at = cursor()
    rows, following, total = await in_thread(_listed, who.project_id, at)
    return await render(
        "failures/list.html",
        block="results" if at is None else "rows",
        viewer=who,
        cursor=at,
        rows=rows,
        next_cursor=following,
        total=total,
        counted=COUNTED,
    )


@page(routes, "/failures/<request_id>/retries", role="member", method="POST")
async def retry_failure(who: Viewer, request_id: str) -> Response:
    """Retry one failed exchange and go back; htmx shows the list as it is then."""
    with contextlib.suppress(Conflict):  # someone else was quicker: the list shows it
        await in_thread(retry, who.project_id, request_id)
    back = own_path((await request.form).get("next", "/failures"))
    return await _back(who, back)


@page(routes, "/failures/retries", role="member", method="POST")
async def retry_all_failures(who: Viewer) -> Response:
    """Retry every failed exchange of the project."""
    await in_thread(_retry_all, who.project_id)
    return await _back(who, "/failures")


async def _back(who: Viewer, path: str) -> Response:
    if not wants_part():
        return redirect(path, 303)  # type: ignore[return-value]  # Quart's own Response
    rows, following, total = await in_thread(_listed, who.project_id, None)
    return await render(
        "failures/list.html",
        block="results",
        viewer=who,
        cursor=None,
        rows=rows,
        next_cursor=following,
        total=total,
        counted=COUNTED,
    )


def _listed(project_id: int, at: int | None) -> tuple[list[FailureRow], int | None, int]:
    rows, following = failures.page(project_id, limit=PAGE_ROWS, cursor=at)
    return rows, following, failures.count(project_id, at_most=COUNTED)


def _retry_all(project_id: int) -> None:
    for step, ids in failures.retry_all(project_id).items():
        send(SEND[step], ids)
