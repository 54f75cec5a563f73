"""The doors: a small ASGI callable in front of Quart, which serves what every exchange comes through.

Quart costs a request more than it costs to read, to commit and to answer one exchange together. A door asks for the
key, the role, the limits, the body and the errors that Quart's routes ask for, by the same functions; whatever is no
request for a door goes on to Quart, which knows the doors' paths only to answer other methods.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from quart import Blueprint, Quart

from app.settings import Settings
from app.store.accept import Writer
from app.store.keys import Identity
from web import errors
from web.answers import Answer
from web.auth import identify
from web.body import Disconnected, arriving, json_body
from web.headers import Headers
from web.inflight import Held
from web.routing import OPERATIONS, Operation, refuse_unknown
from web.sessions import by_https, guards
from web.strict import App, Message, Receive, Send


class Incoming(NamedTuple):
    """A request at a door, of a caller whose key reaches."""

    identity: Identity
    path: str
    headers: Headers
    settings: Settings
    writer: Writer
    #: Returns the body, as `web.body.json_body` does.
    json_body: Callable[[], Awaitable[bytes]]


Handler = Callable[[Incoming], Awaitable[Answer]]


class _Door(NamedTuple):
    role: str
    handler: Handler


_DOORS: dict[str, _Door] = {}


def door(
    blueprint: Blueprint, path: str, *, role: str, summary: str, takes: Any, status: int, gives: Any
) -> Callable[[Handler], Handler]:
    """Declare a POST of the API that is served before Quart sees it."""
    OPERATIONS.append(Operation("POST", path, role, summary, takes, status, gives, (), None))

    def declare(handler: Handler) -> Handler:
        _DOORS[path] = _Door(role, handler)
        handler.role = role  # type: ignore[attr-defined]  # read by the test that holds every route to a role
        # Never called: for OPTIONS, and for the methods that Quart's 405 names.
        blueprint.add_url_rule(path, endpoint=handler.__name__, view_func=handler, methods=["POST"])  # type: ignore[arg-type]
        return handler

    return declare


def in_front(app: Quart) -> App:
    """Return the ASGI callable that serves the doors, and hands everything else to the app."""
    behind: App = app.asgi_app  # type: ignore[assignment]  # the same protocol, in Hypercorn's words

    async def served(scope: Message, receive: Receive, send: Send) -> None:
        one = _DOORS.get(scope["path"]) if scope["type"] == "http" else None
        if one is None or scope["method"].upper() != "POST":
            await behind(scope, receive, send)
            return
        headers, held = Headers(scope["headers"]), Held()
        most = app.config["SETTINGS"].max_request_bytes
        read = partial(arriving, headers, receive, most, app.config["BODY_TIMEOUT"], held.take)
        try:
            answer = await _answer(one, scope, headers, partial(json_body, headers, read, most, held.take), app)
        except Disconnected:
            return
        finally:
            held.release()
        https = by_https(scope["scheme"], headers, app.config["SETTINGS"].proxy_hops)
        lines = _lines(answer, guards(scope["path"], https=https))
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})

    return served


async def _answer(
    one: _Door, scope: Message, headers: Headers, body: Callable[[], Awaitable[bytes]], app: Quart
) -> Answer:
    settings: Settings = app.config["SETTINGS"]
    try:
        identity = await identify(headers, one.role, settings.key_requests_per_minute)
        refuse_unknown(scope["query_string"], set())
        return await one.handler(Incoming(identity, scope["path"], headers, settings, app.config["WRITER"], body))
    except Disconnected:
        raise
    except Exception as error:  # noqa: BLE001 - the one table knows what it is answered with
        return errors.told(error, scope["path"])


def _lines(answer: Answer, more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    named = {
        "content-type": answer.media_type,
        "content-length": str(len(answer.body)),
        **more,
        **answer.headers,
    }
    return [(name.lower().encode(), value.encode()) for name, value in named.items()]
