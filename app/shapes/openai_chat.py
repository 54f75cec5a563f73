"""OpenAI Chat Completions, and everything that is compatible with it: `POST …/chat/completions`."""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

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

name = "openai_chat"

_PATH = re.compile(r"(?:^|/)chat/completions$")
_SYSTEM_ROLES = frozenset({"system", "developer"})


def owns_path(path: str) -> bool:
    """Whether a path (without host, query and trailing slash) belongs to this API."""
    return _PATH.search(path) is not None


def owns_request(request: dict[str, Any]) -> bool:
    """Whether a request body has this API's form; the more specific forms are asked first."""
    return isinstance(request.get("messages"), list)


def owns_response(response: dict[str, Any]) -> bool:
    """Whether a response body, or a chunk of a stream, has this API's form."""
    return "choices" in response or str(response.get("object")).startswith("chat.completion")


class _Part(Form):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None


#: Text; parts (Mistral also in answers); an object (Cloudflare in JSON mode).
_Content = str | list[str | _Part] | dict[str, Any] | None


class _RequestMessage(Form):
    role: str | None = None
    content: _Content = None


class _Request(Form):
    model: str | None = None
    messages: list[_RequestMessage] | None = None


class _Function(Form):
    name: str | None = None
    arguments: Any = None
    input: Any = None


class _Call(Form):
    id: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Message(Form):
    content: _Content = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(Form):
    index: int | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    #: OpenRouter puts an upstream's failure here.
    error: Any = None


class _InputDetails(Form):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None


class _OutputDetails(Form):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Usage(Form):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Response(Form):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    error: Any = None


_REQUESTS = Reader(_Request)
_RESPONSES = Reader(_Response)
_NO_CHOICE = _Choice()
_NO_MESSAGE = _Message()
_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()


def read_request(body: Source) -> Asked:
    """Read the model, the last user text and the system text."""
    request = _REQUESTS.read(body)
    prompt, system = None, []
    for message in request.messages or ():
        if message.role == "user":
            prompt = _text(message.content, "\n") or prompt
        elif message.role in _SYSTEM_ROLES:
            system.append(_text(message.content, "\n"))
    return Asked(model=request.model or None, prompt=prompt, system="\n".join(filter(None, system)) or None)


def read_response(body: Source) -> Answered:
    """Read choice 0, the usage and the identifiers."""
    response = _RESPONSES.read(body)
    choices = response.choices or ()
    choice = next((c for c in choices if not c.index), _NO_CHOICE)
    message = choice.message or _NO_MESSAGE
    tokens, usage = _usage(response.usage)
    return Answered(
        model=response.model or None,
        completion=_text(message.content, "") or None,
        tokens=tokens,
        usage=usage,
        finish_reason=choice.finish_reason or None,
        response_id=response.id or None,
        refusal=message.refusal or _refusal(message.content),
        tool_calls=_calls(message),
        error=error_of(response.error or choice.error),
        details=_details(response),
    )


def _text(content: _Content, joiner: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        return msgspec.json.encode(content).decode()
    found = (part if isinstance(part, str) else _part_text(part) for part in content)
    return joiner.join(text for text in found if text)


def _part_text(part: _Part) -> str | None:
    return part.text if part.type in {"text", None} else None


def _refusal(content: _Content) -> str | None:
    if not isinstance(content, list):
        return None
    return "".join(p.refusal for p in content if isinstance(p, _Part) and p.refusal) or None


def _calls(message: _Message) -> tuple[ToolCall, ...]:
    if message.tool_calls is None and message.function_call is None:
        return ()
    # Snowflake sends every member of the type, empty where nothing is meant: a call has a name.
    found = [_call(call.id, _named(call.function) or _named(call.custom)) for call in message.tool_calls or ()]
    if _named(message.function_call):
        found.append(_call(None, message.function_call))
    return tuple(found)


def _named(called: _Function | None) -> _Function | None:
    return called if called and called.name else None


def _call(identity: str | None, called: _Function | None) -> ToolCall:
    called = called or _Function()
    arguments = called.input if called.arguments is None else called.arguments
    return ToolCall(id=identity or None, name=called.name, arguments=arguments)


def _usage(usage: _Usage | None) -> tuple[Tokens, Usage]:
    if usage is None:
        return NO_TOKENS, NO_USAGE
    asked = usage.prompt_tokens_details or _NO_INPUT_DETAILS
    answered = usage.completion_tokens_details or _NO_OUTPUT_DETAILS
    return (
        Tokens(prompt=usage.prompt_tokens, completion=usage.completion_tokens, total=usage.total_tokens),
        Usage(
            input_tokens_total=usage.prompt_tokens,
            cached_tokens=asked.cached_tokens,
            cache_creation_tokens=asked.cache_write_tokens,
            reasoning_tokens=answered.reasoning_tokens,
            audio_input_tokens=asked.audio_tokens,
            audio_output_tokens=answered.audio_tokens,
        ),
    )


def _details(response: _Response) -> dict[str, Any]:
    found: dict[str, Any] = {
        "service_tier": response.service_tier,
        "system_fingerprint": response.system_fingerprint,
    }
    if response.choices and len(response.choices) > 1:
        found["finish_reasons"] = [choice.finish_reason for choice in response.choices]
    return {key: value for key, value in found.items() if value}


def fold(chunks: Iterable[dict[str, Any]]) -> Folded:
    """Put the chunks of a stream together to the body of a plain call."""
    document: dict[str, Any] = {}
    choices: dict[int, _StreamedChoice] = {}
    usage = None
    for chunk in chunks:
        document.update({key: value for key, value in chunk.items() if value})
        usage = chunk.get("usage") or object_of(chunk.get("x_groq")).get("usage") or usage
        for choice in objects_of(chunk.get("choices")):
            choices.setdefault(_index(choice) or 0, _StreamedChoice()).add(choice)
    document["choices"] = [choices[index].folded(index) for index in sorted(choices)]
    document["usage"] = usage
    return Folded(document, ended=bool(choices) and all(choice.finished for choice in choices.values()))


class _StreamedChoice:
    """One choice as its deltas add up."""

    def __init__(self) -> None:
        self._finish_reason: Any = None
        self._message = _Growing()
        self._calls: list[_StreamedCall] = []
        self._by_key: dict[int | str, _StreamedCall] = {}
        self._begun = False

    @property
    def finished(self) -> bool:
        return self._finish_reason is not None

    def add(self, choice: dict[str, Any]) -> None:
        """Add one chunk's part of this choice. A choice may come without a delta, or with a whole message."""
        delta = object_of(choice.get("delta")) or ({} if self._begun else object_of(choice.get("message")))
        for key, value in delta.items():
            if key == "tool_calls":
                for call in objects_of(value):
                    self._add_call(call)
            else:
                self._message.add(key, value)
        self._begun = self._begun or bool(delta)
        if choice.get("finish_reason") is not None:
            self._finish_reason = choice["finish_reason"]

    def folded(self, index: int) -> dict[str, Any]:
        message = self._message.folded()
        if self._calls:
            message["tool_calls"] = [call.folded() for call in self._calls]
        return {"index": index, "message": message, "finish_reason": self._finish_reason}

    def _add_call(self, delta: dict[str, Any]) -> None:
        call = self._continued(delta)
        if call is None:
            call = _StreamedCall(delta)
            self._calls.append(call)
        # The newest call with an index or id is the one that goes on.
        for key in (call.index, call.id):
            if key is not None:
                self._by_key[key] = call
        call.add_all(delta)

    def _continued(self, delta: dict[str, Any]) -> "_StreamedCall | None":
        """Return the call that a delta goes on with.

        Mistral sends calls without an index, Gemini all with index 0: a name with another id is a new call.
        """
        index, identity = _index(delta), text_or_none(delta.get("id"))
        named = bool(object_of(delta.get("function")).get("name"))
        if index is not None:
            call = self._by_key.get(index)
            is_new = call is not None and named and identity and call.id and identity != call.id
            return None if is_new else call
        if identity is not None:
            return self._by_key.get(identity)
        return None if named or not self._calls else self._calls[-1]


def _index(value: dict[str, Any]) -> int | None:
    index = value.get("index")
    return index if isinstance(index, int) else None


#: What continues what came before. Any other value replaces the one before.
_CONTINUED = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "transcript", "data", "arguments", "input"}
)
#: The members of a tool that Groq ran, which are not what it gave back.
_EXECUTED_FRAME = frozenset({"index", "type", "name", "arguments"})
#: Objects that arrive in pieces themselves.
_NESTED = frozenset({"function", "custom", "function_call", "audio"})


class _Growing:
    """An object that arrives in pieces."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Any]] = {}
        self._nested: dict[str, _Growing] = {}
        self._values: dict[str, Any] = {}

    def add_all(self, delta: dict[str, Any]) -> None:
        for key, value in delta.items():
            self.add(key, value)

    def add(self, key: str, value: Any) -> None:
        if isinstance(value, str) and key in _CONTINUED:
            self._pieces.setdefault(key, []).append(value)
        elif isinstance(value, list):
            self._pieces.setdefault(key, []).extend(value)
        elif isinstance(value, dict) and key in _NESTED:
            self._nested.setdefault(key, _Growing()).add_all(value)
        elif value:
            self._values[key] = value

    def folded(self) -> dict[str, Any]:
        nested = {key: value.folded() for key, value in self._nested.items()}
        return {**self._values, **nested, **{key: _joined(pieces) for key, pieces in self._pieces.items()}}


class _StreamedCall(_Growing):
    """A tool call as its deltas add up."""

    def __init__(self, first: dict[str, Any]) -> None:
        super().__init__()
        self.index = _index(first)
        self.id = text_or_none(first.get("id"))


def _joined(pieces: list[Any]) -> Any:
    """Join texts; where parts came in between (Mistral), return parts, each run of texts or thoughts as one."""
    if pieces and all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    parts: list[Any] = []
    for kind, run in itertools.groupby(pieces, key=_piece_kind):
        if kind == "text":
            parts.append({"type": "text", "text": "".join(_piece_text(piece) or "" for piece in run)})
        elif kind == "thinking":
            parts.append({"type": "thinking", "thinking": [thought for piece in run for thought in _thoughts(piece)]})
        else:
            parts.extend(run)
    return parts


def _piece_kind(piece: Any) -> str:
    if _piece_text(piece) is not None:
        return "text"
    return "thinking" if object_of(piece).get("type") == "thinking" else "other"


def _thoughts(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pieces of a thinking part: a list at Mistral, or one text."""
    inner = part.get("thinking")
    return [{"type": "text", "text": inner}] if isinstance(inner, str) else objects_of(inner)


def _piece_text(piece: Any) -> str | None:
    if isinstance(piece, dict) and piece.get("type") == "text":
        piece = piece.get("text")
    return piece if isinstance(piece, str) else None


def request_messages(request: dict[str, Any], place: Place) -> list[Message]:
    """Derive the conversation so far."""
    messages = request.get("messages")
    return [
        _message(message, place.at("messages", i), "request")
        for i, message in enumerate(messages if isinstance(messages, list) else [])
    ]


def response_messages(response: dict[str, Any], place: Place) -> list[Message]:
    """Derive the answer: one message a choice. Sources that the whole answer names go with the first."""
    found: list[Message] = []
    for i, choice in enumerate(objects_of(response.get("choices"))):
        message = _message(choice.get("message"), place.at("choices", i, "message"), "response")
        index = _index(choice)
        found.append(
            msgspec.structs.replace(
                message,
                parts=message.parts if found else (*message.parts, *_sources(response)),
                index=i if index is None else index,
                finish_reason=text_or_none(choice.get("finish_reason")),
            )
        )
    return found


def _message(value: Any, place: Place, source: Literal["request", "response"]) -> Message:
    message = object_of(value)
    role = text_of(message.get("role")) or ("assistant" if source == "response" else "user")
    name = text_or_none(message.get("name"))
    parts = _parts(message, place)
    if value is not None and not message:
        parts = [other(value)]
    if role in {"tool", "function"}:
        call_id = text_or_none(message.get("tool_call_id"))
        parts = [Result(call_id=call_id, name=name, parts=tuple(parts))]
    return Message(role=role, name=name, parts=tuple(parts), source=source)


def _parts(message: dict[str, Any], place: Place) -> list[Part]:
    refusal = text_of(message.get("refusal"))
    return [
        *_reasoning(message),
        *_executed(message.get("executed_tools")),
        *_content(message.get("content"), place.at("content")),
        *([Refusal(text=refusal)] if refusal else []),
        *_audio(message.get("audio"), place.at("audio")),
        *_content(message.get("images"), place.at("images")),
        *(_call_part(call) for call in objects_of(message.get("tool_calls"))),
        *(_call_part({"function": call}) for call in [object_of(message.get("function_call"))] if call.get("name")),
        *_citations(message.get("annotations")),
    ]


def _reasoning(message: dict[str, Any]) -> list[Part]:
    """Vendors name it `reasoning_content` or `reasoning`, some give it in details alone."""
    details = objects_of(message.get("reasoning_details"))
    pieces = "".join(text_of(detail.get("text") or detail.get("summary")) for detail in details)
    text = message.get("reasoning_content") or message.get("reasoning") or pieces
    return thinking([text], sealed=any(detail.get("data") for detail in details))


def _executed(tools: Any) -> list[Part]:
    """Groq's own tools. A stream sends each twice: when it starts, and with what it gave back."""
    whole: dict[int, dict[str, Any]] = {}
    for position, tool in enumerate(objects_of(tools)):
        index = _index(tool)
        key = position if index is None else index
        whole[key] = whole.get(key, {}) | tool
    return [part for tool in whole.values() for part in _executed_tool(tool)]


def _executed_tool(tool: dict[str, Any]) -> list[Part]:
    name = text_or_none(tool.get("name")) or text_or_none(tool.get("type"))
    call = ServerCall(name=name, arguments=tool.get("arguments"))
    # The output is the text of the other members, which are shown where there is none.
    rest = {key: value for key, value in tool.items() if key not in _EXECUTED_FRAME and value}
    given = texts(tool.get("output")) or ([other(rest)] if rest else [])
    return [call, ServerResult(name=name, parts=tuple(given))] if given else [call]


def _content(content: Any, place: Place) -> list[Part]:
    if content is None or isinstance(content, str):
        return texts(content)
    if not isinstance(content, list):
        return texts(msgspec.json.encode(content).decode())
    return [found for i, part in enumerate(content) for found in _part(part, place.at(i))]


def _part(part: Any, place: Place) -> list[Part]:
    if isinstance(part, str):
        return texts(part)
    kind = text_of(object_of(part).get("type"))
    return _PARTS.get(kind, _other)(object_of(part) or {"value": part}, place)


def _other(part: dict[str, Any], _: Place) -> list[Part]:
    return [other(part)]


def _text_part(part: dict[str, Any], _: Place) -> list[Part]:
    return texts(part.get("text"))


def _refusal_part(part: dict[str, Any], _: Place) -> list[Part]:
    return [Refusal(text=text_of(part.get("refusal")))]


def _thinking_part(part: dict[str, Any], _: Place) -> list[Part]:
    return thinking(["".join(text_of(thought.get("text")) for thought in _thoughts(part))])


def _reasoning_part(part: dict[str, Any], _: Place) -> list[Part]:
    return thinking(piece.get("text") for piece in objects_of(part.get("summary")))


def _url_part(part: dict[str, Any], place: Place) -> list[Part]:
    """An image, a video or a document: `{"url": …}`, at some vendors the URL alone."""
    key = text_of(part["type"])
    inner = part.get(key)
    kind = Image if key == "image_url" else File
    if isinstance(inner, str):
        return [media(kind, inner, place.at(key))]
    return [media(kind, object_of(inner).get("url"), place.at(key, "url"))]


def _audio_part(part: dict[str, Any], place: Place) -> list[Part]:
    inner = part.get("input_audio")
    if isinstance(inner, str):
        return [media(Audio, inner, place.at("input_audio"))]
    audio = object_of(inner)
    media_type = f"audio/{text_of(audio.get('format'))}" if audio.get("format") else None
    return [media(Audio, audio.get("data"), place.at("input_audio", "data"), media_type=media_type)]


def _file_part(part: dict[str, Any], place: Place) -> list[Part]:
    file = object_of(part.get("file"))
    name = file.get("filename") or file.get("file_id")
    return [media(File, file.get("file_data"), place.at("file", "file_data"), name=name)]


_PARTS: dict[str, Callable[[dict[str, Any], Place], list[Part]]] = {
    "text": _text_part,
    "refusal": _refusal_part,
    "thinking": _thinking_part,
    "reasoning": _reasoning_part,
    "image_url": _url_part,
    "video_url": _url_part,
    "document_url": _url_part,
    "input_audio": _audio_part,
    "file": _file_part,
}


def _audio(value: Any, place: Place) -> list[Part]:
    audio = object_of(value)
    if not (audio.get("data") or audio.get("id")):
        return []
    spoken = texts(audio.get("transcript"))
    return [media(Audio, audio.get("data"), place.at("data"), name=audio.get("id")), *spoken]


def _call_part(call: dict[str, Any]) -> Part:
    function, custom = object_of(call.get("function")), object_of(call.get("custom"))
    called = function if function.get("name") or not custom.get("name") else custom
    return Call(
        id=text_or_none(call.get("id")),
        name=text_or_none(called.get("name")),
        arguments=called.get("arguments", called.get("input")),
    )


def _citations(annotations: Any) -> list[Part]:
    return [_citation(object_of(a.get("url_citation")) or a) for a in objects_of(annotations)]


def _citation(cited: dict[str, Any]) -> Part:
    """OpenRouter quotes the source as `content`, Perplexity as `snippet`; a file that was read is no citation."""
    title, url = text_or_none(cited.get("title")), text_or_none(cited.get("url"))
    if not (title or url):
        return other(cited)
    return Citation(title=title, url=url, text=text_or_none(cited.get("content") or cited.get("snippet")))


def _sources(response: dict[str, Any]) -> list[Part]:
    """Perplexity names its sources beside the choices, the newer form with titles."""
    results = objects_of(response.get("search_results"))
    if results:
        return _citations(results)
    urls = response.get("citations")
    return [Citation(url=url) for url in urls if isinstance(url, str)] if isinstance(urls, list) else []
