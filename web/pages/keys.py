"""The page of API keys: list, make one (shown once), revoke."""

from quart import Blueprint, Response, redirect, request

from app.errors import Forbidden, InvalidItem
from app.store import keys
from app.store.keys import ROLES
from web.keys import make, revoke
from web.pages.curl import first_curl
from web.pages.exchanges import base_url
from web.query import cursor
from web.render import render
from web.routing import page
from web.sessions import Viewer
from web.threads import in_thread

routes = Blueprint("key_pages", __name__)

PAGE_ROWS = 50


@page(routes, "/keys", role="admin")
async def key_list(who: Viewer) -> Response:
    """Show the project's keys, and the form for another one."""
    return await _shown(who)


@page(routes, "/keys", role="admin", method="POST")
async def make_key(who: Viewer) -> Response:
    """Make a key and show it, this once."""
    form = await request.form
    name, role = form.get("name", "").strip(), form.get("role", "member")
    try:
        _, token = await in_thread(make, who.identity, name, role)
    except (InvalidItem, Forbidden) as error:
        return await _shown(who, status=422, problem=error.detail, name=name, role=role)
    return await _shown(who, token=token)


@page(routes, "/keys/<int:key_id>/revocations", role="admin", method="POST")
async def revoke_key(who: Viewer, key_id: int) -> Response:
    """Revoke a key."""
    await in_thread(revoke, who.identity, key_id)
    return redirect("/keys", 303)  # type: ignore[return-value]  # Quart's own Response


async def _shown(
    who: Viewer, *, status: int = 200, token: str = "", problem: str = "", name: str = "", role: str = "member"
) -> Response:
    rows, following = await in_thread(keys.page, who.project_id, limit=PAGE_ROWS, cursor=cursor())
    return await render(
        "keys/list.html",
        status=status,
        viewer=who,
        rows=rows,
        next_cursor=following,
        roles=[choice for choice in ROLES if who.may(choice)],
        token=token,
        problem=problem,
        name=name,
        role=role,
        first_curl=first_curl(base_url()),
    )
