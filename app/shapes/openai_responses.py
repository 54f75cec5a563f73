"""OpenAI Responses: `POST …/responses`, its items, and its typed stream events."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from app.exchange import Tokens as Count
from app.shapes.conversation import (
    Audio,
    Call,
    Citation,
    File,
    Image,
    Message,
    Part,
    Place,
    Refusal,
    Result,
    ServerCall,
    ServerResult,
    media,
    other,
    texts,
    thinking,
)
from app.shapes.lenient import Form, Reader, Source
from app.shapes.plain import object_of, objects_of, text_of, text_or_none
from app.shapes.provider_errors import error_of
from app.shapes.reading import Answered, Asked, Folded, ToolCall
from app.shapes.usage import NO_TOKENS, NO_USAGE, Tokens, Usage

name = "openai_responses"

#: Creating a response, reading a background one, cancelling it.
_PATH = re.compile(r"(?:^|/)responses(?:/resp_[^/]+(?:/cancel)?)?$")
_OWN_KEYS = frozenset({"input", "previous_response_id", "conversation"})
#: Chat has messages; embeddings and speech have an input too.
_OTHER_KEYS = frozenset({"messages", "encoding_format", "dimensions", "voice"})
_SYSTEM_ROLES = frozenset({"system", "developer"})
_TEXT_TYPES = frozenset({"input_text", "output_text", "text", None})
_CALL_TYPES = frozenset({"function_call", "custom_tool_call"})


def owns_path(path: str) -> bool:
    """Whether a path (without host, query and trailing slash) belongs to this API."""
    return _PATH.search(path) is not None


def owns_request(request: dict[str, Any]) -> bool:
    """Whether a request body has this API's form."""
    return bool(request.keys() & {"input", "previous_response_id", "conversation"}) and "messages" not in request


def owns_response(response: dict[str, Any]) -> bool:
    """Whether a response body, or an event of a stream, has this API's form."""
    return response.get("object") == "response" or str(response.get("type")).startswith("response.")


class _Part(Form):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None


_Content = str | list[str | _Part] | None


class _InputItem(Form):
    type: str | None = None
    role: str | None = None
    content: _Content = None


class _Request(Form):
    model: str | None = None
    input: str | list[str | _InputItem] | None = None
    instructions: str | list[str | _InputItem] | None = None


class _OutputItem(Form):
    type: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    input: Any = None
    content: _Content = None


class _InputDetails(Form):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None


class _OutputDetails(Form):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Usage(Form):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(Form):
    reason: str | None = None


class _Response(Form):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None
    output: list[_OutputItem] | None = None
    usage: _Usage | None = None
    service_tier: str | None = None
    previous_response_id: str | None = None
    error: Any = None


_REQUESTS = Reader(_Request)
_RESPONSES = Reader(_Response)
_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()


def read_request(body: Source) -> Asked:
    """Read the model, the last user text and the system text."""
    request = _REQUESTS.read(body)
    told, said = request.instructions, request.input
    prompt: str | None = None
    system = [told] if isinstance(told, str) else [_text(content, "\n") for _, content in _said(told)]
    for role, content in [("user", said)] if isinstance(said, str) else _said(said):
        if role == "user":
            prompt = _text(content, "\n") or prompt
        elif role in _SYSTEM_ROLES:
            system.append(_text(content, "\n"))
    return Asked(model=request.model or None, prompt=prompt, system="\n".join(filter(None, system)) or None)


def _said(items: list[str | _InputItem] | None) -> Iterator[tuple[str | None, _Content]]:
    """Yield role and content of the messages among the input items."""
    for item in items or ():
        if isinstance(item, str):
            yield "user", item
        elif item.type in {"message", None}:
            yield item.role, item.content


def _text(content: _Content, joiner: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    found = (part if isinstance(part, str) else _part_text(part) for part in content)
    return joiner.join(text for text in found if text)


def _part_text(part: _Part) -> str | None:
    return part.text if part.type in _TEXT_TYPES else None


def read_response(body: Source) -> Answered:
    """Read the output text, the client-side calls, the status and the usage."""
    response = _RESPONSES.read(body)
    output = response.output or ()
    messages = [item for item in output if item.type in {"message", None}]
    tokens, usage = _usage(response.usage)
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return Answered(
        model=response.model or None,
        completion="".join(_text(item.content, "") for item in messages) or None,
        tokens=tokens,
        usage=usage,
        finish_reason=reason or response.status or None,
        response_id=response.id or None,
        refusal="".join(filter(None, map(_refusal, messages))) or None,
        tool_calls=tuple(_call(item) for item in output if item.type in _CALL_TYPES),
        error=error_of(response.error),
        details=_details(response),
    )


def _refusal(message: _OutputItem) -> str | None:
    if not isinstance(message.content, list):
        return None
    return "".join(p.refusal for p in message.content if isinstance(p, _Part) and p.refusal)


def _call(item: _OutputItem) -> ToolCall:
    arguments = item.input if item.arguments is None else item.arguments
    return ToolCall(id=item.call_id or item.id, name=item.name, arguments=arguments)


def _usage(usage: _Usage | None) -> tuple[Tokens, Usage]:
    if usage is None:
        return NO_TOKENS, NO_USAGE
    asked = usage.input_tokens_details or _NO_INPUT_DETAILS
    answered = usage.output_tokens_details or _NO_OUTPUT_DETAILS
    return (
        Tokens(prompt=usage.input_tokens, completion=usage.output_tokens, total=usage.total_tokens),
        Usage(
            input_tokens_total=usage.input_tokens,
            cached_tokens=asked.cached_tokens,
            cache_creation_tokens=asked.cache_write_tokens,
            reasoning_tokens=answered.reasoning_tokens,
            audio_input_tokens=asked.audio_tokens,
            audio_output_tokens=answered.audio_tokens,
        ),
    )


def _details(response: _Response) -> dict[str, Any]:
    found = {
        "status": response.status,
        "service_tier": response.service_tier,
        "previous_response_id": response.previous_response_id,
    }
    return {key: value for key, value in found.items() if value}


#: The response is over, one way or another.
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class _Grows(NamedTuple):
    """What the deltas of an event add to."""

    item: str
    member: str
    #: Where the member is a list of parts: the event's key for the part, the part's type, its text's key.
    place: str = ""
    part: str = ""
    text: str = ""


_GROWING = {
    "response.output_text": _Grows("message", "content", "content_index", "output_text", "text"),
    "response.refusal": _Grows("message", "content", "content_index", "refusal", "refusal"),
    "response.reasoning_text": _Grows("reasoning", "content", "content_index", "reasoning_text", "text"),
    "response.reasoning_summary_text": _Grows("reasoning", "summary", "summary_index", "summary_text", "text"),
    "response.function_call_arguments": _Grows("function_call", "arguments"),
    "response.custom_tool_call_input": _Grows("custom_tool_call", "input"),
    "response.mcp_call_arguments": _Grows("mcp_call", "arguments"),
    "response.code_interpreter_call_code": _Grows("code_interpreter_call", "code"),
}


def fold(chunks: Iterable[dict[str, Any]]) -> Folded:
    """Return the last response that a lifecycle event carries, its output from items and deltas if it has none.

    Events of unknown types are skipped.
    """
    document: dict[str, Any] = {}
    items: dict[Any, _StreamedItem] = {}
    ended = False
    for chunk in chunks:
        kind = text_of(chunk.get("type"))
        response = object_of(chunk.get("response"))
        document.update({key: value for key, value in response.items() if value is not None})
        ended = ended or kind in _TERMINAL
        if not response:
            items.setdefault(_place(chunk), _StreamedItem()).add(kind, chunk)
    if not document.get("output"):
        document["output"] = [item for item in (found.folded() for found in items.values()) if item]
    return Folded(document, ended)


def _place(event: dict[str, Any]) -> Any:
    """Tell the items apart by output index; by id where a vendor leaves the index out."""
    index = event.get("output_index")
    return index if isinstance(index, int) else text_of(event.get("item_id"))


class _StreamedItem:
    """One output item as its events add up."""

    def __init__(self) -> None:
        self._item: dict[str, Any] = {}
        self._done = False
        self._texts: dict[tuple[_Grows, int], list[str]] = {}

    def add(self, kind: str, event: dict[str, Any]) -> None:
        stem, _, step = kind.rpartition(".")
        if stem == "response.output_item":
            self._item = object_of(event.get("item"))
            self._done = step == "done"
        elif stem in _GROWING:
            self._grow(_GROWING[stem], step, event)

    def folded(self) -> dict[str, Any]:
        if self._done or not self._texts:
            return self._item
        item = {"type": next(iter(self._texts))[0].item, **self._item}
        parts: dict[str, list[dict[str, Any]]] = {}
        for (grows, _), pieces in self._texts.items():
            text = "".join(pieces)
            if grows.part:
                parts.setdefault(grows.member, []).append({"type": grows.part, grows.text: text})
            else:
                item[grows.member] = text
        return {**item, **parts}

    def _grow(self, grows: _Grows, step: str, event: dict[str, Any]) -> None:
        index = event.get(grows.place)
        pieces = self._texts.setdefault((grows, index if isinstance(index, int) else 0), [])
        if step == "delta":
            pieces.append(text_of(event.get("delta")))
        elif step == "done":
            pieces[:] = [text_of(event.get(grows.text or grows.member)) or "".join(pieces)]


def request_messages(request: dict[str, Any], place: Place) -> list[Message]:
    """Derive the conversation so far; the assistant's items that follow each other are one message."""
    told, said = request.get("instructions"), request.get("input")
    if isinstance(said, str):
        said = [{"role": "user", "content": said}]
    told = [{"role": "system", "content": told}] if isinstance(told, str) and told else told
    turns = _turns(told, place.at("instructions"))
    turns += _turns(said, place.at("input"))
    return [Message(role=role, parts=tuple(parts), source="request") for role, parts in _grouped(turns)]


def response_messages(response: dict[str, Any], place: Place) -> list[Message]:
    """Derive the answer: all output items are one message of the assistant, empty while it is queued."""
    turns = _turns(response.get("output"), place.at("output"))
    if not turns and response.get("status"):
        turns = [("assistant", [])]
    reason = object_of(response.get("incomplete_details")).get("reason") or response.get("status")
    return [
        Message(role=role, parts=tuple(parts), source="response", finish_reason=text_or_none(reason))
        for role, parts in _grouped(turns)
    ]


_Turn = tuple[str, list[Part]]


def _grouped(turns: list[_Turn]) -> Iterable[_Turn]:
    """Join neighbours of the assistant: reasoning, calls and text are items of one turn."""
    for role, run in itertools.groupby(turns, key=lambda turn: turn[0]):
        if role == "assistant":
            yield role, [part for _, parts in run for part in parts]
        else:
            yield from run


def _turns(items: Any, place: Place) -> list[_Turn]:
    members = items if isinstance(items, list) else []
    return [_turn(item, place.at(i)) for i, item in enumerate(members)]


def _turn(value: Any, place: Place) -> _Turn:
    item = object_of(value)
    kind = text_of(item.get("type")) or ("message" if "role" in item else "")
    if isinstance(value, str):
        return "user", texts(value)
    if kind == "message":
        return text_of(item.get("role")) or "assistant", _content(item.get("content"), place.at("content"))
    if kind in _ITEMS:
        return "assistant", _ITEMS[kind](item, place)
    if kind in _CLIENT_OUTPUTS:
        return "tool", [_result(item, place)]
    if kind.endswith("_call"):
        return "assistant", _server_call(item)
    return text_of(item.get("role")) or "assistant", [other(value)]


def _content(content: Any, place: Place) -> list[Part]:
    if isinstance(content, str):
        return texts(content)
    members = content if isinstance(content, list) else [] if content is None else [content]
    return [found for i, part in enumerate(members) for found in _part(part, place.at(i))]


def _part(value: Any, place: Place) -> list[Part]:
    part = object_of(value)
    kind = text_of(part.get("type"))
    if isinstance(value, str):
        return texts(value)
    if kind in _TEXT_TYPES:
        return [*texts(part.get("text")), *_citations(part.get("annotations"))]
    return _PARTS[kind](part, place) if kind in _PARTS else [other(value)]


def _refusal_part(part: dict[str, Any], _: Place) -> list[Part]:
    return [Refusal(text=text_of(part.get("refusal")))]


def _image_part(part: dict[str, Any], place: Place) -> list[Part]:
    url = part.get("image_url")
    return [media(Image, url, place.at("image_url"), name=part.get("file_id"))]


def _file_part(part: dict[str, Any], place: Place) -> list[Part]:
    key = "file_url" if part.get("file_url") else "file_data"
    name = part.get("filename") or part.get("file_id")
    return [media(File, part.get(key), place.at(key), name=name)]


def _audio_part(part: dict[str, Any], place: Place) -> list[Part]:
    audio = object_of(part.get("input_audio")) or part
    inner = place.at("input_audio") if "input_audio" in part else place
    media_type = f"audio/{text_of(audio.get('format'))}" if audio.get("format") else None
    return [media(Audio, audio.get("data"), inner.at("data"), media_type=media_type)]


_PARTS: dict[str, Callable[[dict[str, Any], Place], list[Part]]] = {
    "refusal": _refusal_part,
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}


def _citations(annotations: Any) -> list[Part]:
    return [
        Citation(
            title=text_or_none(a.get("title") or a.get("filename") or a.get("file_id")), url=text_or_none(a.get("url"))
        )
        for a in objects_of(annotations)
    ]


def _reasoning(item: dict[str, Any], _: Place) -> list[Part]:
    pieces = [p.get("text") for p in objects_of(item.get("summary")) + objects_of(item.get("content"))]
    return thinking(pieces, sealed=bool(item.get("encrypted_content")))


def _client_call(item: dict[str, Any], _: Place) -> list[Part]:
    return [
        Call(
            id=text_or_none(item.get("call_id") or item.get("id")),
            name=text_or_none(item.get("name")),
            arguments=item.get("arguments", item.get("input")),
        )
    ]


def _image_call(item: dict[str, Any], place: Place) -> list[Part]:
    """A generated image is base64 in `result`."""
    media_type = f"image/{text_of(item.get('output_format')) or 'png'}"
    return [
        *_server_call({key: value for key, value in item.items() if key != "result"}),
        media(Image, item.get("result"), place.at("result"), media_type=media_type),
    ]


_ITEMS: dict[str, Callable[[dict[str, Any], Place], list[Part]]] = {
    "reasoning": _reasoning,
    "function_call": _client_call,
    "custom_tool_call": _client_call,
    "image_generation_call": _image_call,
}
_CLIENT_OUTPUTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
        "computer_call_output",
    }
)
#: What a server-side call gives back, kept in the call's own item.
_OUTPUTS = frozenset({"output", "outputs", "results", "result", "error"})
_FRAME = frozenset({"type", "id", "call_id", "status", "name", "arguments"})


def _result(item: dict[str, Any], place: Place) -> Part:
    return Result(
        call_id=text_or_none(item.get("call_id") or item.get("id")),
        parts=tuple(_content(item.get("output"), place.at("output"))),
        is_error=item.get("status") == "failed",
    )


def _server_call(item: dict[str, Any]) -> list[Part]:
    identity = text_or_none(item.get("call_id") or item.get("id"))
    name = text_of(item.get("name")) or text_of(item.get("type")).removesuffix("_call")
    asked = {key: value for key, value in item.items() if key not in _OUTPUTS | _FRAME}
    given = {key: value for key, value in item.items() if key in _OUTPUTS and value}
    call = ServerCall(id=identity, name=name, arguments=item.get("arguments") or asked or None)
    if not given:
        return [call]
    parts = tuple(found for key, value in given.items() for found in (texts(value) or [_named_other(key, value)]))
    return [call, ServerResult(call_id=identity, name=name, parts=parts, is_error="error" in given)]


def _named_other(key: str, value: Any) -> Part:
    """Show a value as JSON, under its own type or the name of its member."""
    part = other(value)
    return part if part.type else msgspec.structs.replace(part, type=key)
