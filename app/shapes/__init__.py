"""API shapes: how the bodies of one provider API are read. Pure: bytes in, facts out, never an exception.

A new shape is one new module that follows `Shape`, and one line in `SHAPES`.
"""

import functools
import re
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from app.shapes import anthropic_messages, openai_chat, openai_responses, provider_errors
from app.shapes.bodies import Body, Chunk, body_of, whole
from app.shapes.conversation import Message, Other, Place, failure, named_results, other
from app.shapes.lenient import Source, document_of
from app.shapes.paths import place_of
from app.shapes.plain import object_of
from app.shapes.providers import provider_of
from app.shapes.reading import (
    NOTHING_ANSWERED,
    NOTHING_ASKED,
    Answered,
    Asked,
    Folded,
    ProviderError,
    ToolCall,
)
from app.shapes.usage import Buckets, Tokens, Usage, buckets

__all__ = [
    "SHAPES",
    "Answered",
    "Asked",
    "Buckets",
    "ProviderError",
    "Reading",
    "Shape",
    "Tokens",
    "ToolCall",
    "Usage",
    "buckets",
    "read",
]


class Shape(Protocol):
    """One provider API, as a module. None of its functions raises, whatever it is given."""

    #: Its name in the database and the API.
    name: str

    def owns_path(self, path: str) -> bool:
        """Whether a path (without host, query and trailing slash) belongs to this API."""
        ...

    def owns_request(self, request: dict[str, Any], /) -> bool:
        """Whether a request body has this API's form."""
        ...

    def owns_response(self, response: dict[str, Any], /) -> bool:
        """Whether a response body, or a chunk of a stream, has this API's form."""
        ...

    def read_request(self, body: Source, /) -> Asked:
        """Read a request body."""
        ...

    def read_response(self, body: Source, /) -> Answered:
        """Read a response body."""
        ...

    def fold(self, chunks: Iterable[Chunk], /) -> Folded:
        """Put the chunks of a stream together to the body of a plain call."""
        ...

    def request_messages(self, request: dict[str, Any], place: Place, /) -> list[Message]:
        """Derive the conversation that a request body holds."""
        ...

    def response_messages(self, response: dict[str, Any], place: Place, /) -> list[Message]:
        """Derive the messages of a response body, or of a folded stream."""
        ...


#: The more specific form of a request comes first.
SHAPES: Final[tuple[Shape, ...]] = (openai_responses, anthropic_messages, openai_chat)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read from one exchange's path and bodies."""

    shape: Shape | None = None
    #: Inferred from host or path.
    provider: str | None = None
    #: The model that the path names: Azure deployment, Bedrock, Vertex.
    path_model: str | None = None
    asked: Asked = NOTHING_ASKED
    answered: Answered = NOTHING_ANSWERED
    #: Why nothing, or not all, could be read.
    reason: str | None = None


class _Route(NamedTuple):
    """What the path alone tells."""

    shape: Shape | None
    provider: str | None
    model: str | None
    #: It is the path of an API that no shape reads: the bodies are not asked.
    foreign: bool


#: Paths of other APIs whose bodies resemble the ones read here.
_FOREIGN = re.compile(
    r"/(?:embeddings|completions|moderations|rerank|speech|transcriptions|translations|count_tokens|input_tokens"
    r"|batches|files|models|images/\w+|threads/[^/]+/\w+)$"
)
#: So many events at the start of a stream tell its shape.
_TELLING = 8
_NO_SHAPE = "neither the path nor the bodies have the form of a known API"
_NO_TEXT = "the response body is neither JSON nor an event stream"
_NO_ANSWER = "the response body holds no answer of this API"
_NO_REQUEST = "the request body is not a JSON object"
_CUT = "the stream ends before the provider's own end"


def read(path: str | None, status_code: int | None, request_body: msgspec.Raw, response_body: msgspec.Raw) -> Reading:
    """Read one exchange: recognise its API, then read both bodies. Never raises."""
    route = _route(path or "")
    request, response = body_of(request_body), body_of(response_body)
    shape = route.shape or (None if route.foreign else _shape_by_form(request, response))
    refused = status_code is not None and status_code >= 400
    if shape is None:
        error = provider_errors.refused(_document(response)) if refused else None
        return Reading(
            provider=route.provider,
            path_model=route.model,
            answered=Answered(error=error) if error else NOTHING_ANSWERED,
            reason=_NO_SHAPE,
        )
    asked = NOTHING_ASKED if request.object is None else shape.read_request(request.object)
    answered, reason = _answered(shape, response, refused=refused)
    if request.present and request.object is None:
        reason = reason or _NO_REQUEST
    return Reading(
        shape=shape,
        provider=route.provider,
        path_model=route.model,
        asked=asked,
        answered=answered,
        reason=reason,
    )


@functools.lru_cache(maxsize=1024)
def _route(path: str) -> _Route:
    place = place_of(path)
    shape = next((shape for shape in SHAPES if shape.owns_path(place.path)), None)
    foreign = shape is None and _FOREIGN.search(place.path) is not None
    return _Route(shape, provider_of(place), place.model, foreign)


def _shape_by_form(request: Body, response: Body) -> Shape | None:
    answers = response.chunks[:_TELLING] if response.chunks else [_object(response)]
    asked = _object(request)
    for shape in SHAPES:
        if any(map(shape.owns_response, answers)):
            return shape
    return next((shape for shape in SHAPES if shape.owns_request(asked)), None)


def _object(body: Body) -> Chunk:
    found = None if body.object is None else document_of(body.object)
    return found if isinstance(found, dict) else {}


def _document(body: Body) -> Any:
    return body.text or [whole(chunk) for chunk in body.chunks or ()] or _object(body)


def _answered(shape: Shape, body: Body, *, refused: bool) -> tuple[Answered, str | None]:
    """Read a response body, and say why nothing could be read where that is not the provider's own word."""
    if body.chunks is not None:
        answered = _streamed(shape, body.chunks, done=body.done, refused=refused)
        return answered, _CUT if answered.truncated else None
    if refused:
        return Answered(error=provider_errors.refused(_document(body))), None
    if body.object is None:
        return NOTHING_ANSWERED, None if body.text is None else _NO_TEXT
    answered = shape.read_response(body.object)
    if not answered.empty or answered.error:
        return answered, None
    error = provider_errors.error_in(_object(body))
    return msgspec.structs.replace(answered, error=error), None if error else _NO_ANSWER


def _streamed(shape: Shape, chunks: list[Chunk], *, done: bool, refused: bool) -> Answered:
    failed = next(filter(provider_errors.declared, chunks), None)
    error = failed and provider_errors.error_in(whole(failed))
    if refused:
        return Answered(error=error or provider_errors.refused([*map(whole, chunks)]), streamed=True)
    folded = shape.fold(chunks)
    answered = shape.read_response(whole(folded.document))
    error = error or answered.error
    return msgspec.structs.replace(answered, error=error, streamed=True, truncated=not (folded.ended or done or error))


def conversation(
    shape_name: str | None, error: ProviderError | None, request_body: msgspec.Raw, response_body: msgspec.Raw
) -> list[Message]:
    """Derive the normalised conversation of an exchange that was read before. Never raises.

    What no shape reads is shown as it is.
    """
    shape = next((shape for shape in SHAPES if shape.name == shape_name), None)
    request, response = body_of(request_body), body_of(response_body)
    if shape is None or request.object is None:
        messages = _unread(request, "request")
    else:
        messages = shape.request_messages(_object(request), Place("/request_body", exact=request.addressable))
    messages += _answers(shape, response, refused=error is not None)
    if error is not None:
        parts = (failure(error), *_error_details(response))
        messages.append(Message(role="assistant", parts=parts, source="response"))
    return named_results(messages)


def _answers(shape: Shape | None, body: Body, *, refused: bool) -> list[Message]:
    """Derive the response's messages; what a stream held before its error is kept."""
    if shape is not None and body.chunks is not None:
        document = whole(shape.fold(body.chunks).document)
        return shape.response_messages(document, Place("/response_body", exact=False))
    if shape is not None and body.object is not None:
        messages = shape.response_messages(_object(body), Place("/response_body", exact=body.addressable))
        if messages:
            return messages
    return [] if refused else _unread(body, "response")


def _error_details(body: Body) -> list[Other]:
    """Show what an error holds beside its type, code and message: param, failed_generation, an upstream's words."""
    failed = next(filter(provider_errors.declared, body.chunks or ()), None)
    error = object_of((_object(body) if failed is None else whole(failed)).get("error"))
    rest = {key: value for key, value in error.items() if value and key not in {"type", "code", "message"}}
    return [msgspec.structs.replace(other(rest), type="details")] if rest else []


def _unread(body: Body, source: Literal["request", "response"]) -> list[Message]:
    document = _document(body)
    if not document:
        return []
    role = "user" if source == "request" else "assistant"
    return [Message(role=role, parts=(other(document),), source=source)]
