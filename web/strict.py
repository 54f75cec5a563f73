"""What HTTP forbids and the server lets through is refused here, before the app sees it (RFC 9112).

The server (granian, on hyper) ends what it cannot frame by itself; these are its gaps. Two readers of one connection,
a proxy and we, must never differ in where a request begins or whom it is for.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from web.errors import PROBLEM, problem_body

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?")


def strict(app: App) -> App:
    """Wrap an ASGI app: 400 and a closed connection for a request that is none, and for a body that breaks off."""

    async def checked(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        wrong = _wrong(scope)
        answered = False

        async def sending(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        if wrong is None:
            await app(scope, receive, sending)
        if not answered:
            # Without a complaint of ours the body broke off, or its chunks are none; the server would say 500.
            await _refuse(scope, send, wrong or "the body is not framed as HTTP")

    return checked


def _wrong(scope: Message) -> str | None:
    """Say what makes this no request that HTTP allows."""
    if not scope["path"].startswith("/"):
        return "the request target is no path"
    hosts = _values(scope, b"host")
    if hosts == [b""]:
        hosts = []  # The server adds an empty one where there is none.
    if len(hosts) > 1 or (scope["http_version"] >= "1.1" and not hosts):
        return "Host must be there once"
    if hosts and not _HOST.fullmatch(hosts[0]):
        return "Host is not a host"
    codings = _values(scope, b"transfer-encoding")
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        return "Transfer-Encoding: only chunked is taken"
    return None


def _values(scope: Message, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


async def _refuse(scope: Message, send: Send, detail: str) -> None:
    body = problem_body(400, "bad_request", detail, scope["path"])
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
