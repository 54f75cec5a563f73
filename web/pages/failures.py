"""The failure inbox for people: causes, what failed for each, and the buttons that bring it back or give it up."""

import contextlib

from quart import Blueprint, Response, redirect, request

from app.errors import Conflict, NotFound
from app.store import failures
from app.store.failures import FailureRow, Group
from web.failures import discard, retry, retry_all
from web.query import cursor
from web.render import render, wants_part
from web.routing import page
from web.sessions import Viewer, own_path
from web.threads import in_thread

routes = Blueprint("failure_pages", __name__)

PAGE_ROWS = 50


@page(routes, "/failures", role="viewer")
async def failure_list(who: Viewer) -> Response:
    """Show the causes, the latest first."""
    return await _shown(who)


@page(routes, "/failures/<fingerprint>", role="viewer")
async def failure_group(who: Viewer, fingerprint: str) -> Response:
    """Show one cause and its exchanges, newest first."""
    at = cursor()
    group, rows, following = await in_thread(_opened, who.project_id, fingerprint, at)
    return await render(
        "failures/group.html",
        block="results" if at is None else "rows",
        viewer=who,
        group=group,
        cursor=at,
        rows=rows,
        next_cursor=following,
    )


@page(routes, "/failures/retries", role="member", method="POST")
async def retry_all_failures(who: Viewer) -> Response:
    """Retry everything that failed in the project."""
    await in_thread(retry_all, who.identity)
    return await _inbox(who)


@page(routes, "/failures/<fingerprint>/retries", role="member", method="POST")
async def retry_group(who: Viewer, fingerprint: str) -> Response:
    """Retry all that failed for one cause."""
    with contextlib.suppress(NotFound):  # someone else was quicker: the inbox shows it
        await in_thread(retry_all, who.identity, fingerprint)
    return await _inbox(who)


@page(routes, "/failures/<fingerprint>/discards", role="member", method="POST")
async def discard_group(who: Viewer, fingerprint: str) -> Response:
    """Give up all that failed for one cause."""
    with contextlib.suppress(NotFound):  # see retry_group
        await in_thread(failures.discard_all, who.project_id, fingerprint, actor=who.identity.actor)
    return await _inbox(who)


@page(routes, "/exchanges/<request_id>/retries", role="member", method="POST")
async def retry_exchange(who: Viewer, request_id: str) -> Response:
    """Retry one failed exchange and go back."""
    with contextlib.suppress(Conflict):  # see retry_group
        await in_thread(retry, who.identity, request_id)
    return await _back()


@page(routes, "/exchanges/<request_id>/discards", role="member", method="POST")
async def discard_exchange(who: Viewer, request_id: str) -> Response:
    """Give up one failed exchange and go back."""
    with contextlib.suppress(Conflict):  # see retry_group
        await in_thread(discard, who.identity, request_id)
    return await _back()


async def _inbox(who: Viewer) -> Response:
    """Show the inbox as it is now: htmx in place, others by going there."""
    if not wants_part():
        return redirect("/failures", 303)  # type: ignore[return-value]  # Quart's own Response
    return await _shown(who)


async def _shown(who: Viewer) -> Response:
    found = await in_thread(failures.groups, who.project_id)
    return await render(
        "failures/list.html",
        block="results",
        viewer=who,
        groups=found[: failures.MAX_GROUPS],
        more=len(found) > failures.MAX_GROUPS,
    )


async def _back() -> Response:
    path = own_path((await request.form).get("next", "/failures"))
    return redirect(path, 303)  # type: ignore[return-value]  # Quart's own Response


def _opened(project_id: int, fingerprint: str, at: int | None) -> tuple[Group, list[FailureRow], int | None]:
    group = failures.group(project_id, fingerprint)
    return group, *failures.page(project_id, fingerprint, limit=PAGE_ROWS, cursor=at)
