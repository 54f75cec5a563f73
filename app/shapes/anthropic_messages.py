"""Anthropic Messages: `POST …/v1/messages`, Bedrock's InvokeModel and Vertex's rawPredict."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from app.exchange import Tokens as Count
from app.shapes.conversation import (
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
    Thinking,
    media,
    other,
    texts,
)
from app.shapes.lenient import Form, Reader, Source
from app.shapes.plain import object_of, objects_of, text_of, text_or_none
from app.shapes.reading import Answered, Asked, Folded, ToolCall
from app.shapes.usage import NO_TOKENS, NO_USAGE, Tokens, Usage

name = "anthropic_messages"

#: `/messages` alone is left out: an assistant's thread of OpenAI ends so.
_PATH = re.compile(
    r"(?:^|/)v\d+\w*/messages$"
    r"|/anthropic/messages$|^/?messages$"
    r"|/publishers/anthropic/models/[^/]+:(?:raw|streamRaw)Predict$"
)
#: Bedrock serves many makers here, each in its own shape; an ARN does not tell which.
_BEDROCK = re.compile(r"/model/(?P<model>.+)/invoke(?:-with-response-stream)?$")
_BEDROCK_NAMES = ("anthropic", "claude", "arn:", "arn%3a")
_STREAM_TYPES = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "ping",
    }
)
#: What a request of this API has and one of Chat Completions has not.
_REQUEST_KEYS = frozenset({"anthropic_version", "system", "stop_sequences", "thinking", "top_k"})
_CHAT_KEYS = frozenset({"response_format", "stream_options", "max_completion_tokens", "n", "stop", "logprobs"})
_BLOCK_TYPES = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking", "document"})


def owns_path(path: str) -> bool:
    """Whether a path (without host, query and trailing slash) belongs to this API."""
    invoked = _BEDROCK.search(path)
    if invoked is not None:
        return any(name in invoked["model"].lower() for name in _BEDROCK_NAMES)
    return _PATH.search(path) is not None


def owns_request(request: dict[str, Any]) -> bool:
    """Whether a request body has this API's form, and not that of Chat Completions, which resembles it."""
    messages = request.get("messages")
    if not isinstance(messages, list) or request.keys() & _CHAT_KEYS:
        return False
    named = "claude" in text_of(request.get("model")) and "max_tokens" in request
    roles = {text_of(object_of(message).get("role")) for message in messages}
    if roles - {"user", "assistant"}:
        return False
    return named or bool(request.keys() & _REQUEST_KEYS) or any(map(_has_own_block, messages))


def _has_own_block(message: Any) -> bool:
    content = object_of(message).get("content")
    blocks = content if isinstance(content, list) else []
    return any(text_of(object_of(block).get("type")) in _BLOCK_TYPES for block in blocks)


def owns_response(response: dict[str, Any]) -> bool:
    """Whether a response body, or an event of a stream, has this API's form."""
    kind = text_of(response.get("type"))
    own = (kind == "message" and "content" in response) or (kind == "error" and "error" in response)
    return own or kind in _STREAM_TYPES


class _Block(Form):
    type: str | None = None
    text: str | None = None


_Content = str | list[str | _Block] | None


class _RequestMessage(Form):
    role: str | None = None
    content: _Content = None


class _Request(Form):
    model: str | None = None
    system: _Content = None
    messages: list[_RequestMessage] | None = None


class _AnswerBlock(Form):
    type: str | None = None
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class _CacheCreation(Form):
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(Form):
    thinking_tokens: Count | None = None


class _Usage(Form):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: str | None = None
    speed: str | None = None
    server_tool_use: dict[str, Any] | None = None


class _Response(Form):
    id: str | None = None
    model: str | None = None
    content: str | list[str | _AnswerBlock] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: _Usage | None = None
    turns: int | None = None


_REQUESTS = Reader(_Request)
_RESPONSES = Reader(_Response)
_NO_CREATION = _CacheCreation()
_NO_DETAILS = _OutputDetails()


def read_request(body: Source) -> Asked:
    """Read the model, the last user text and the system text. A tool result is no user text."""
    request = _REQUESTS.read(body)
    prompt, system = None, [_text(request.system)]
    for message in request.messages or ():
        if message.role == "user":
            prompt = _text(message.content) or prompt
        elif message.role == "system":
            system.append(_text(message.content))
    return Asked(model=request.model or None, prompt=prompt, system="\n".join(filter(None, system)) or None)


def _text(content: _Content) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    found = (b if isinstance(b, str) else b.text for b in content if isinstance(b, str) or b.type == "text")
    return "\n".join(text for text in found if text)


def read_response(body: Source) -> Answered:
    """Read the text blocks, the client-side calls, the stop reason and the usage."""
    response = _RESPONSES.read(body)
    blocks = [_AnswerBlock(type="text", text=b) if isinstance(b, str) else b for b in response.content or ()]
    tokens, usage = _usage(response.usage)
    return Answered(
        model=response.model or None,
        completion="".join(b.text for b in blocks if b.type == "text" and b.text) or None,
        tokens=tokens,
        usage=usage,
        finish_reason=response.stop_reason or None,
        stop_reason=response.stop_reason or None,
        response_id=response.id or None,
        refusal=_refusal(response),
        tool_calls=tuple(ToolCall(id=b.id, name=b.name, arguments=b.input) for b in blocks if b.type == "tool_use"),
        details=_details(response),
    )


def _refusal(response: _Response) -> str | None:
    if response.stop_reason != "refusal":
        return None
    return text_or_none(object_of(response.stop_details).get("explanation"))


def _usage(usage: _Usage | None) -> tuple[Tokens, Usage]:
    if usage is None:
        return NO_TOKENS, NO_USAGE
    read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    whole = None if usage.input_tokens is None else usage.input_tokens + (read or 0) + (written or 0)
    return (
        Tokens(prompt=usage.input_tokens, completion=usage.output_tokens),
        Usage(
            input_tokens_total=whole,
            cached_tokens=read,
            cache_creation_tokens=written,
            cache_creation_1h_tokens=(usage.cache_creation or _NO_CREATION).ephemeral_1h_input_tokens,
            reasoning_tokens=(usage.output_tokens_details or _NO_DETAILS).thinking_tokens,
        ),
    )


def _details(response: _Response) -> dict[str, Any]:
    usage = response.usage or _Usage()
    found = {
        "stop_sequence": response.stop_sequence,
        "stop_details": response.stop_details,
        "service_tier": usage.service_tier,
        "speed": usage.speed,
        "server_tool_use": usage.server_tool_use,
        "turns": response.turns,
    }
    return {key: value for key, value in found.items() if value}


def fold(chunks: Iterable[dict[str, Any]]) -> Folded:
    """Put the events of a stream together to the body of a plain call.

    Several messages in one stream are several turns of one answer: their blocks follow each other, the last
    one's stop reason and usage stand.
    """
    turns = [_StreamedTurn()]
    for chunk in chunks:
        started = object_of(chunk.get("message")) if chunk.get("type") == "message_start" else None
        if started is not None and turns[-1].begun and not turns[-1].is_again(started):
            turns.append(_StreamedTurn())
        turns[-1].add(chunk)
    document = turns[-1].document
    document["content"] = [block for turn in turns for block in turn.blocks()]
    if len(turns) > 1:
        document["turns"] = len(turns)
    return Folded(document, turns[-1].ended)


class _StreamedTurn:
    """One message as its events add up."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.begun = False
        self.ended = False
        self._usage: dict[str, Any] = {}
        self._blocks: dict[Any, _StreamedBlock] = {}

    def is_again(self, message: dict[str, Any]) -> bool:
        """Whether a message that starts is this one, sent once more."""
        return message.get("id") == self.document.get("id")

    def add(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self.begun = True
                self._update(object_of(event.get("message")))
            case "message_delta":
                self._update(object_of(event.get("delta")))
                # Cumulative: the last value stands, it is never added.
                self._update({"usage": event.get("usage")})
                self.ended = self.document.get("stop_reason") is not None
            case "message_stop":
                self.ended = True
            case "content_block_start":
                block = object_of(event.get("content_block"))
                self._blocks[_index(event)] = _StreamedBlock(block)
                # A fallback block names the model that takes over.
                self._update({"model": text_or_none(object_of(block.get("to")).get("model"))})
            case "content_block_delta":
                growing = self._blocks.setdefault(_index(event), _StreamedBlock({}))
                growing.add(object_of(event.get("delta")))

    def blocks(self) -> list[dict[str, Any]]:
        first = self.document.get("content")
        given = [block for block in first if isinstance(block, dict)] if isinstance(first, list) else []
        return given + [block.folded() for block in self._blocks.values()]

    def _update(self, members: dict[str, Any]) -> None:
        usage = object_of(members.get("usage"))
        self._usage.update({key: value for key, value in usage.items() if value is not None})
        self.document.update({key: value for key, value in members.items() if value is not None})
        self.document["usage"] = self._usage


def _index(event: dict[str, Any]) -> Any:
    index = event.get("index")
    return index if isinstance(index, int) else 0


#: The deltas that continue a text of their block: the delta's key, the block's type and key.
_GROWING = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("thinking", "thinking", "thinking"),
    "signature_delta": ("signature", "thinking", "signature"),
    "compaction_delta": ("content", "compaction", "content"),
    "input_json_delta": ("partial_json", "tool_use", "input"),
}


class _StreamedBlock:
    """One content block as its deltas add up. The start may hold text already, or the whole block."""

    def __init__(self, start: dict[str, Any]) -> None:
        self._block = dict(start)
        self._texts: dict[str, list[str]] = {}
        self._citations: list[Any] = []

    def add(self, delta: dict[str, Any]) -> None:
        kind = text_of(delta.get("type"))
        if kind in _GROWING:
            source, block_type, key = _GROWING[kind]
            self._block.setdefault("type", block_type)
            self._texts.setdefault(key, [text_of(self._block.get(key))]).append(text_of(delta.get(source)))
        elif kind == "citations_delta":
            self._citations.append(delta.get("citation"))

    def folded(self) -> dict[str, Any]:
        texts: dict[str, Any] = {key: "".join(pieces) for key, pieces in self._texts.items()}
        if "input" in texts:
            texts["input"] = _arguments(texts["input"])
        if self._citations:
            texts["citations"] = self._citations
        return {**self._block, **texts}


def _arguments(text: str) -> Any:
    """Return the tool's input; the text itself where the stream was cut inside it."""
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text


def request_messages(request: dict[str, Any], place: Place) -> list[Message]:
    """Derive the conversation so far. A user message that holds only tool results has the role `tool`."""
    system = _parts(request.get("system"), place.at("system"))
    found = [Message(role="system", parts=tuple(system), source="request")] if system else []
    messages = request.get("messages")
    for i, value in enumerate(messages if isinstance(messages, list) else []):
        message = object_of(value) or {"content": [value]}
        parts = _parts(message.get("content"), place.at("messages", i, "content"))
        only_results = bool(parts) and all(isinstance(part, Result) for part in parts)
        role = "tool" if only_results else text_of(message.get("role")) or "user"
        found.append(Message(role=role, parts=tuple(parts), source="request"))
    return found


def response_messages(response: dict[str, Any], place: Place) -> list[Message]:
    """Derive the answer."""
    parts = _parts(response.get("content"), place.at("content"))
    reason = text_or_none(response.get("stop_reason"))
    if reason == "refusal":
        parts.append(Refusal(text=text_of(object_of(response.get("stop_details")).get("explanation"))))
    if not (parts or reason):
        return []
    role = text_of(response.get("role")) or "assistant"
    return [Message(role=role, parts=tuple(parts), source="response", finish_reason=reason)]


def _parts(content: Any, place: Place) -> list[Part]:
    if isinstance(content, str):
        return texts(content)
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    return [found for i, block in enumerate(blocks) for found in _part(block, place.at(i))]


def _part(value: Any, place: Place) -> list[Part]:
    block = object_of(value)
    kind = text_of(block.get("type"))
    if isinstance(value, str):
        return texts(value)
    if kind in _PARTS:
        return _PARTS[kind](block, place)
    return [_server_result(block, place)] if kind.endswith("_tool_result") else [other(value)]


def _text_part(block: dict[str, Any], _: Place) -> list[Part]:
    return [*texts(block.get("text")), *map(_citation, objects_of(block.get("citations")))]


def _citation(cited: dict[str, Any]) -> Part:
    return Citation(
        title=text_or_none(cited.get("title") or cited.get("document_title")),
        url=text_or_none(cited.get("url") or cited.get("source")),
        text=text_or_none(cited.get("cited_text")),
    )


def _thinking_part(block: dict[str, Any], _: Place) -> list[Part]:
    return [Thinking(text=text_of(block.get("thinking")))]


def _redacted_part(_: dict[str, Any], __: Place) -> list[Part]:
    return [Thinking(redacted=True)]


def _call_part(block: dict[str, Any], _: Place) -> list[Part]:
    return [
        Call(
            id=text_or_none(block.get("id")),
            name=text_or_none(block.get("name")),
            arguments=block.get("input"),
        )
    ]


def _server_call_part(block: dict[str, Any], _: Place) -> list[Part]:
    return [
        ServerCall(
            id=text_or_none(block.get("id")),
            name=text_or_none(block.get("name")),
            arguments=block.get("input"),
        )
    ]


def _result_part(block: dict[str, Any], place: Place) -> list[Part]:
    return [
        Result(
            call_id=text_or_none(block.get("tool_use_id")),
            parts=tuple(_parts(block.get("content"), place.at("content"))),
            is_error=block.get("is_error") is True,
        )
    ]


def _media_part(block: dict[str, Any], place: Place) -> list[Part]:
    """An image or a document: base64, a URL, an uploaded file, or plain text."""
    source = object_of(block.get("source"))
    kind = Image if block.get("type") == "image" else File
    if source.get("type") in {"text", "content"}:
        key = "data" if source["type"] == "text" else "content"
        inner = _parts(source.get(key), place.at("source", key))
        return [File(media_type="text/plain", name=text_or_none(block.get("title"))), *inner]
    key = "url" if source.get("url") else "data"
    name = block.get("title") or source.get("file_id")
    return [media(kind, source.get(key), place.at("source", key), media_type=source.get("media_type"), name=name)]


def _upload_part(block: dict[str, Any], _: Place) -> list[Part]:
    return [File(name=text_or_none(block.get("file_id")))]


def _search_result_part(block: dict[str, Any], place: Place) -> list[Part]:
    return [_citation(block), *_parts(block.get("content"), place.at("content"))]


_PARTS: dict[str, Callable[[dict[str, Any], Place], list[Part]]] = {
    "text": _text_part,
    "thinking": _thinking_part,
    "redacted_thinking": _redacted_part,
    "tool_use": _call_part,
    "server_tool_use": _server_call_part,
    "mcp_tool_use": _server_call_part,
    "tool_result": _result_part,
    "image": _media_part,
    "document": _media_part,
    "container_upload": _upload_part,
    "search_result": _search_result_part,
    "web_search_result": _search_result_part,
    "web_fetch_result": _search_result_part,
}


def _server_result(block: dict[str, Any], place: Place) -> Part:
    content = block.get("content")
    return ServerResult(
        call_id=text_or_none(block.get("tool_use_id")),
        parts=tuple(_parts(content, place.at("content"))),
        is_error=text_of(object_of(content).get("type")).endswith("_error") or block.get("is_error") is True,
    )
