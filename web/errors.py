"""One shape for every error (RFC 9457), a page of the same for people, and the one table from our errors to HTTP."""

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from app import errors
from app.errors import IngateError
from web.answers import NO_HEADERS, Answer, response
from web.render import render
from web.sessions import Viewer, viewer

log = structlog.get_logger()

PROBLEM = "application/problem+json"
#: Nothing of a caller's input is echoed beyond this.
MAX_ECHO_CHARS = 400
RETRY_AFTER_S = 1

STATUS: dict[type[IngateError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.InvalidItem: 422,
    errors.RateLimited: 429,
    errors.Unreadable: 500,
    errors.Overloaded: 503,
    errors.StoreUnavailable: 503,
}
#: Paths that programs call; all others are people's.
MACHINE_PATHS = ("/api/", "/healthz", "/readyz", "/openapi.json", "/metrics")
TITLES = {
    400: "The request cannot be read",
    401: "A valid API key is needed",
    403: "The key's role does not reach",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "In conflict with what is stored",
    413: "Too large",
    415: "Not a supported media type or encoding",
    422: "Not what is taken",
    429: "Too often",
    500: "Internal error",
    503: "Temporarily unavailable",
}


def problem(
    status: int,
    code: str,
    detail: str,
    path: str,
    *,
    retryable: bool = False,
    headers: Mapping[str, str] = NO_HEADERS,
    **more: Any,
) -> Answer:
    """Return an error answer; `path` was asked for, `more` are further members of the problem object."""
    if retryable:
        headers = {"Retry-After": str(RETRY_AFTER_S), **headers}
    return Answer(status, problem_body(status, code, detail, path, retryable=retryable, **more), PROBLEM, headers)


def problem_body(status: int, code: str, detail: str, instance: str, *, retryable: bool = False, **more: Any) -> bytes:
    """Return the problem object; `instance` is the path that was asked for."""
    detail = detail if len(detail) <= MAX_ECHO_CHARS else detail[: MAX_ECHO_CHARS - 1] + "…"
    members = {
        "type": f"urn:ingate:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "instance": instance,
        "error": detail,
        "error_code": code,
        "retryable": retryable,
        **more,
    }
    return msgspec.json.encode(members)


def told(error: Exception, path: str) -> Answer:
    """Return the answer to any error, which is logged when it is ours."""
    if isinstance(error, IngateError):
        if isinstance(error, errors.StoreUnavailable):
            log.warning("request_failed", error_code=error.code, path=path, cause=repr(error.__cause__))
        return _of_ours(error, path)
    if isinstance(error, HTTPException):
        return _of_http(error, path)
    log.error("request_crashed", path=path, exc_info=error)
    return problem(500, "internal_error", "something went wrong on our side; it has been logged", path)


def _of_ours(error: IngateError, path: str) -> Answer:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="ingate"'
    if status == 415:
        headers["Accept-Encoding"] = "gzip, zstd"
    if isinstance(error, errors.RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
        headers["RateLimit-Limit"] = str(error.limit)
        headers["RateLimit-Remaining"] = "0"
        headers["RateLimit-Reset"] = str(error.retry_after_s)
    more: dict[str, Any] = {}
    if error.pointer is not None and status in (400, 409, 413, 422):
        more["errors"] = [entry(error)]
    return problem(status, error.code, error.detail, path, retryable=error.retryable, headers=headers, **more)


def _of_http(error: HTTPException, path: str) -> Answer:
    status = error.code or 500
    code = (error.name or "error").lower().replace(" ", "_")
    headers = {"Allow": ", ".join(sorted(error.valid_methods or ()))} if status == 405 else {}  # type: ignore[attr-defined]  # MethodNotAllowed has it
    return problem(status, code, TITLES.get(status, error.name or ""), path, headers=headers)


def entry(error: IngateError, index: int = 0) -> dict[str, Any]:
    """Return one member of `errors`: which item, where in it, and why."""
    return {"index": index, "pointer": error.pointer or "", "error_code": error.code, "detail": error.detail}


async def _for_reader(answer: Answer) -> Response:
    """Return an error as a page when a person asked, with its status and headers."""
    if request.path.startswith(MACHINE_PATHS):
        return response(answer)
    page = await render(
        "error.html",
        block="message",
        status=answer.status,
        viewer=await _viewer(answer.status),
        problem=msgspec.json.decode(answer.body),
    )
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in answer.headers:
            page.headers[name] = answer.headers[name]
    return page


async def _viewer(status: int) -> Viewer | None:
    """Who looks at an error page; not asked when the error is ours, since asking may be what fails."""
    if status >= 500:
        return None
    try:
        return await viewer()
    except IngateError:
        return None


def register(app: Quart) -> None:
    """Answer every error of the app in the one shape."""

    @app.errorhandler(Exception)
    async def answered(error: Exception) -> Response:
        return await _for_reader(told(error, request.path))
