"""An answer in plain values: what a door sends as it is, and Quart's routes as Quart's response."""

from collections.abc import Mapping
from typing import NamedTuple

from quart import Response

NO_HEADERS: Mapping[str, str] = {}


class Answer(NamedTuple):
    """Status, body and media type; `headers` are further ones."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = NO_HEADERS


def response(answer: Answer) -> Response:
    """Return the answer as Quart sends it."""
    return Response(answer.body, answer.status, headers=dict(answer.headers), mimetype=answer.media_type)
