"""The colour theme of this browser: a cookie, so that the server draws the right one at once."""

from quart import Blueprint, Response, redirect, request

from web.render import THEMES
from web.sessions import check_form, is_https, own_path, viewer

routes = Blueprint("theme_pages", __name__)

_YEAR_S = 365 * 24 * 3600


@routes.post("/theme")
async def choose_theme() -> Response:
    """Keep the chosen theme and go back to the page."""
    await check_form(await viewer())
    form = await request.form
    chosen = form.get("theme", "")
    answer = redirect(own_path(form.get("next", "/")), 303)
    answer.set_cookie(
        "theme",
        chosen if chosen in THEMES else THEMES[0],
        max_age=_YEAR_S,
        path="/",
        secure=is_https(),
        httponly=True,
        samesite="Lax",
    )
    return answer  # type: ignore[return-value]  # Quart's own Response


choose_theme.role = "public"  # type: ignore[attr-defined]  # read by the test that holds every route to a role
