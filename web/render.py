"""Pages: one template renders the whole page or, for htmx, the block that changes; and the headers of every page."""

import functools
import hashlib
from pathlib import Path
from typing import Any

from jinja2_fragments.quart import render_block
from quart import Quart, Response, request
from quart import render_template as render_whole

STATIC = Path(__file__).resolve().parents[1] / "static"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "HX-Request, HX-Request-Type, Cookie",
}
THEMES = ("auto", "light", "dark")
_YEAR_S = 365 * 24 * 3600


async def render(template: str, *, block: str | None = None, status: int = 200, **context: Any) -> Response:
    """Render a page; when htmx asks for a part of it, only the named block."""
    context["theme"] = theme()
    if block is not None and wants_part():
        html = await render_block(template, block, **context)
    else:
        html = await render_whole(template, **context)
    # A lone surrogate in a stranger's text must not break the page.
    return Response(html.encode("utf-8", "replace"), status, headers=HEADERS, content_type="text/html; charset=utf-8")


def wants_part() -> bool:
    """Whether htmx asks for a part; going back in history asks for the whole page again."""
    headers = request.headers
    return headers.get("HX-Request-Type") == "partial" and "HX-History-Restore-Request" not in headers


def theme() -> str:
    """The colour theme that this browser chose."""
    chosen = request.cookies.get("theme", "auto")
    return chosen if chosen in THEMES else "auto"


def static_url(name: str) -> str:
    """URL of a static file, which changes when the file does, so that browsers may keep it for good."""
    return f"/static/{name}?v={_fingerprint(name)}"


def register(app: Quart) -> None:
    """Give templates what they all need."""
    app.jinja_env.globals["static_url"] = static_url
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _YEAR_S


@functools.cache
def _fingerprint(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
