"""The page of the project's settings: what is masked before it is stored. Everybody sees it, admins change it."""

from quart import Blueprint, Response, current_app, redirect, request

from app.masking import Mask
from app.store import projects
from web.projects import replace
from web.render import render
from web.routing import page
from web.sessions import Viewer
from web.threads import in_thread

routes = Blueprint("project_pages", __name__)


@page(routes, "/settings", role="viewer")
async def settings(who: Viewer) -> Response:
    """Show the settings of the project."""
    row = await in_thread(projects.get, who.project_id)
    days = current_app.config["SETTINGS"].retention_days
    return await render(
        "projects/settings.html", viewer=who, project=row, saved="saved" in request.args, retention_days=days
    )


@page(routes, "/settings", role="admin", method="POST")
async def save_settings(who: Viewer) -> Response:
    """Keep what the form says."""
    form = await request.form
    await in_thread(_save, who, Mask.of(mask.name for mask in Mask if mask.name and mask.name.lower() in form))
    return redirect("/settings?saved", 303)  # type: ignore[return-value]  # Quart's own Response


def _save(who: Viewer, masking: Mask) -> None:
    replace(who.identity, projects.get(who.project_id).name, masking)
