"""How a route of the API is declared: method, path, role, and what it takes and gives, all in one place.

The declaration checks the key and the query string, calls the handler, and is what /openapi.json is made of.
"""

import difflib
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, NamedTuple, ParamSpec
from urllib.parse import parse_qsl, urlencode

import msgspec
from quart import Blueprint, Quart, Response, current_app, request
from werkzeug.exceptions import NotFound as UrlNotFound
from werkzeug.routing import IntegerConverter, Map, UnicodeConverter

from app.errors import Forbidden, InvalidItem
from app.store.keys import Identity
from web.auth import identify
from web.headers import Headers
from web.sessions import Viewer, check_form, viewer

P = ParamSpec("P")
Handler = Callable[Concatenate[Identity, P], Awaitable[Response]]
PageHandler = Callable[Concatenate[Viewer, P], Awaitable[Response]]


class Parameter(NamedTuple):
    """A parameter of the query string."""

    name: str
    about: str
    #: JSON schema of its value.
    schema: dict[str, Any] = {"type": "string"}  # noqa: RUF012 - a constant


class Operation(NamedTuple):
    """One route of the API, as declared."""

    method: str
    path: str
    role: str
    summary: str
    #: Type of the JSON body; None when there is none.
    takes: Any
    #: Status and type of the JSON answer.
    status: int
    gives: Any
    query: tuple[Parameter, ...]
    #: Status and type of another answer that is no error.
    also: tuple[int, Any] | None


OPERATIONS: list[Operation] = []

LIMIT = Parameter("limit", "rows of a page", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50})
CURSOR = Parameter(
    "cursor",
    "`next_cursor` of the page before, empty for the first; while there is one, a page may be shorter than `limit`",
    {"type": "string", "pattern": "^[0-9]{0,18}$"},
)


class _Number(IntegerConverter):
    """Numbers in paths: an id beyond these digits is not there, and no database could look for it."""

    regex = "[0-9]{1,9}"


class _Text(UnicodeConverter):
    """Texts in paths: no id holds NUL, and PostgreSQL would not look for it."""

    def __init__(self, url_map: Map, **limits: Any) -> None:
        super().__init__(url_map, **limits)
        self.regex = self.regex.replace("[^/]", r"[^/\0]")


def register(app: Quart) -> None:
    """Set how paths are read; comes before every route."""
    app.url_map.converters |= {"int": _Number, "string": _Text, "default": _Text}
    # A path is right or not found: no redirect from //api, and no /api for it, which Werkzeug makes of it.
    app.url_map.merge_slashes = False

    @app.before_request
    async def refuse_leading_slashes() -> None:
        if request.scope["path"].startswith("//"):
            raise UrlNotFound


def operation(
    blueprint: Blueprint,
    method: str,
    path: str,
    *,
    role: str,
    summary: str,
    gives: Any = None,
    takes: Any = None,
    status: int = 200,
    query: tuple[Parameter, ...] = (),
    also: tuple[int, Any] | None = None,
) -> Callable[[Handler[P]], Handler[P]]:
    """Declare a route of the API; its handler is given who calls."""
    OPERATIONS.append(Operation(method, path, role, summary, takes, status, gives, query, also))
    known = {parameter.name for parameter in query}

    def declare(handler: Handler[P]) -> Handler[P]:
        @functools.wraps(handler)
        async def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            per_minute = current_app.config["SETTINGS"].key_requests_per_minute
            identity = await identify(Headers(request.scope["headers"]), role, per_minute)
            refuse_unknown(request.query_string, known)
            return await handler(identity, *args, **kwargs)

        checked.role = role  # type: ignore[attr-defined]  # read by the test that holds every route to a role
        blueprint.add_url_rule(path, endpoint=handler.__name__, view_func=checked, methods=[method])
        return handler

    return declare


def public(
    blueprint: Blueprint, path: str
) -> Callable[[Callable[P, Awaitable[Response]]], Callable[P, Awaitable[Response]]]:
    """Declare a route that asks for no key, on purpose."""

    def declare(handler: Callable[P, Awaitable[Response]]) -> Callable[P, Awaitable[Response]]:
        handler.role = "public"  # type: ignore[attr-defined]  # read by the test that holds every route to a role
        blueprint.add_url_rule(path, endpoint=handler.__name__, view_func=handler, methods=["GET"])
        return handler

    return declare


def page(
    blueprint: Blueprint, path: str, *, role: str, method: str = "GET"
) -> Callable[[PageHandler[P]], PageHandler[P]]:
    """Declare a page for people; its handler is given the viewer. A POST must come from a form of ours."""

    def declare(handler: PageHandler[P]) -> PageHandler[P]:
        @functools.wraps(handler)
        async def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            who = await viewer()
            if who is None:
                return _to_sign_in()
            if method != "GET":
                await check_form(who)
            if not who.may(role):
                raise Forbidden(f"this needs the role {role}; you are signed in as {who.identity.role}")
            return await handler(who, *args, **kwargs)

        checked.role = role  # type: ignore[attr-defined]  # read by the test that holds every route to a role
        blueprint.add_url_rule(path, endpoint=handler.__name__, view_func=checked, methods=[method])
        return handler

    return declare


def json_answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an object as JSON."""
    return Response(msgspec.json.encode(body), status, headers=headers, mimetype="application/json")


def _to_sign_in() -> Response:
    """Send a browser to the sign-in page and back; htmx follows the header, a browser the redirect."""
    back = request.full_path.rstrip("?") if request.method == "GET" else "/"
    target = f"/sign-in?{urlencode({'next': back})}"
    if request.headers.get("HX-Request"):
        return Response("", 401, headers={"HX-Redirect": target})
    return Response("", 303, headers={"Location": target})


def refuse_unknown(query: bytes, known: set[str]) -> None:
    """Raise InvalidItem for a parameter that is not known: a misspelt filter would silently show everything."""
    if not query:
        return
    # As Werkzeug makes `request.args`.
    for name, _ in parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True, errors="werkzeug.url_quote"):
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f": did you mean {close[0]!r}?" if close else ""
            raise InvalidItem(
                f"unknown parameter {name[:80]!r}{hint}",
                error_code="unknown_parameter",
                pointer=f"/{name[:80]}",
            )
