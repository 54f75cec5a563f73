"""The page of the work behind the accept: do the workers keep up, and where is every exchange."""

from quart import Blueprint, Response, current_app

from app.store import accounting, retention
from web.machine import health
from web.render import render
from web.routing import page
from web.sessions import Viewer
from web.threads import in_thread

routes = Blueprint("job_pages", __name__)


@page(routes, "/jobs", role="viewer")
async def jobs(who: Viewer) -> Response:
    """Show the accounting of the project, what is kept, and the health of the work."""
    return await render(
        "jobs/jobs.html",
        block="results",
        viewer=who,
        account=await in_thread(accounting.of_project, who.project_id),
        oldest_ms=await in_thread(accounting.oldest_unfinished_ms, who.project_id),
        health=await health(),
        retention_days=current_app.config["SETTINGS"].retention_days,
        retention=await in_thread(retention.last, who.project_id),
    )
