"""Signing in and out: a one-time link or an API key becomes a session cookie; and what guards forms against others."""

import hashlib
import hmac
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from quart import Blueprint, Quart, Response, current_app, redirect, request

from app.errors import Forbidden
from app.store import keys, sessions
from app.store.keys import Identity
from web import limits
from web.headers import Headers
from web.render import render
from web.threads import in_thread

routes = Blueprint("sessions", __name__)

#: How long a session is believed without asking the database; signing out elsewhere takes effect after it.
BELIEVED_S = 3.0
_MAX_REMEMBERED = 10_000
#: A browser that came over https stays there for a year; not its other hosts, which are not ours to decide for.
HSTS = f"max-age={365 * 24 * 3600}"

_believed: dict[str, tuple[float, Identity]] = {}


class Viewer(NamedTuple):
    """A person at a browser."""

    identity: Identity
    #: Goes into every form; another site cannot know it.
    csrf: str

    @property
    def project_id(self) -> int:
        """The project that the person looks at."""
        return self.identity.project_id

    def may(self, role: str) -> bool:
        """Whether the person's role includes `role`."""
        return self.identity.reaches(role)


def register(app: Quart) -> None:
    """Say on every answer what browsers and caches may not do with it."""

    @app.after_request
    async def guarded(answer: Response) -> Response:
        for name, value in guards(request.path, https=is_https()).items():
            answer.headers.setdefault(name, value)
        return answer


def guards(path: str, *, https: bool) -> dict[str, str]:
    """Return the headers by which browsers and caches are told."""
    told = {"X-Content-Type-Options": "nosniff"}
    if path.startswith("/api/"):
        # A shared cache does not know that a key of ours is a credential, as Authorization is.
        told["Cache-Control"] = "no-store"
    if https:
        told["Strict-Transport-Security"] = HSTS
    return told


async def viewer() -> Viewer | None:
    """Return who looks at the page; None when nobody is signed in."""
    token = request.cookies.get(_cookie())
    if not token:
        return None
    found = _believed.get(token)
    if found is not None and found[0] > time.monotonic():
        return Viewer(found[1], _csrf(token))
    identity = await in_thread(sessions.find, token)
    if identity is None:
        return None
    if len(_believed) >= _MAX_REMEMBERED:
        _believed.clear()
    _believed[token] = (time.monotonic() + BELIEVED_S, identity)
    return Viewer(identity, _csrf(token))


async def check_form(who: Viewer | None) -> None:
    """Raise Forbidden unless an unsafe request comes from our own page: same origin, and the viewer's token."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site not in (None, "same-origin", "none") or not (origin is None or _is_ours(origin)):
        raise Forbidden("the form was sent from another site", error_code="cross_site")
    if who is not None:
        sent = request.headers.get("X-CSRF-Token") or (await request.form).get("csrf", "")
        if not hmac.compare_digest(sent.encode(), who.csrf.encode()):
            raise Forbidden("the form is out of date: reload the page and send it again", error_code="csrf")


@routes.get("/sign-in")
async def sign_in() -> Response:
    """Show the form; with `token`, follow a one-time link.

    A link that another site leads to is only followed by a click here: that site may not sign its visitors in.
    """
    token = request.args.get("token", "")
    if not token or request.headers.get("Sec-Fetch-Site") == "cross-site":
        return await render("sessions/sign_in.html", problem="", next=_next(), token=token)
    return await _follow(token)


@routes.post("/sign-in")
async def sign_in_with_key() -> Response:
    """Exchange an API key, or the link that was shown with a button, for a session."""
    await check_form(None)
    form = await request.form
    if form.get("token"):
        return await _follow(form["token"])
    limits.check_sign_in(_address())
    key = form.get("key", "").strip()
    identity = await in_thread(keys.verify, key) if 0 < len(key) <= 256 else None
    if identity is None:
        limits.count_failed_sign_in(_address())
        problem = "That key is unknown, revoked or expired."
        return await render("sessions/sign_in.html", status=401, problem=problem, next=_next(), token="")
    return _signed_in(await in_thread(sessions.start, identity))


@routes.post("/sign-out")
async def sign_out() -> Response:
    """End the session of this browser."""
    await check_form(await viewer())
    token = request.cookies.get(_cookie(), "")
    _believed.pop(token, None)
    await in_thread(sessions.end, token)
    answer = redirect("/sign-in", 303)
    answer.delete_cookie(_cookie(), path="/", secure=is_https(), httponly=True, samesite="Lax")
    return answer  # type: ignore[return-value]  # Quart's own Response


for _handler in (sign_in, sign_in_with_key, sign_out):
    _handler.role = "public"  # type: ignore[attr-defined]  # read by the test that holds every route to a role


async def _follow(token: str) -> Response:
    limits.check_sign_in(_address())
    session = await in_thread(sessions.follow_link, token)
    if session is not None:
        return _signed_in(session)
    limits.count_failed_sign_in(_address())
    problem = "That link was used already or has expired: `ingate sign-in` prints a new one."
    return await render("sessions/sign_in.html", status=401, problem=problem, next=_next(), token="")


def _signed_in(session: sessions.Session) -> Response:
    answer = redirect(_next(), 303)
    answer.set_cookie(
        _cookie(),
        session.token,
        max_age=sessions.LIFETIME_MS // 1000,
        path="/",
        secure=is_https(),
        httponly=True,
        samesite="Lax",
    )
    return answer  # type: ignore[return-value]  # Quart's own Response


def own_path(path: str) -> str:
    """Return where to go next: a path of ours, never another site."""
    own = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if own and path.isprintable() else "/"


def _next() -> str:
    return own_path(request.args.get("next", "/"))


def _cookie() -> str:
    return "__Host-ingate" if is_https() else "ingate"


def is_https() -> bool:
    """Whether the browser speaks https, as far as we may believe it."""
    return by_https(request.scheme, Headers(request.scope["headers"]), current_app.config["SETTINGS"].proxy_hops)


def by_https(scheme: str, headers: Headers, proxy_hops: int) -> bool:
    """Whether a request of these plain values was sent over https."""
    believed = _forwarded(headers, "X-Forwarded-Proto") if proxy_hops else []
    return [scheme, *believed][-1] == "https"


def _is_ours(origin: str) -> bool:
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:
        return False


def _address() -> str:
    """The client's address: of the hop that the outermost proxy we believe saw."""
    hops: int = current_app.config["SETTINGS"].proxy_hops
    forwarded = _forwarded(Headers(request.scope["headers"]), "X-Forwarded-For")
    if hops and len(forwarded) >= hops:
        return forwarded[-hops]
    return request.remote_addr or ""


def _forwarded(headers: Headers, name: str) -> list[str]:
    """The values of a header, in the order of the hops: a proxy may add a line of its own below the client's."""
    return [value.strip() for value in ",".join(headers.all(name)).split(",") if value.strip()]


def _csrf(token: str) -> str:
    return hashlib.sha256(f"csrf:{token}".encode()).hexdigest()
