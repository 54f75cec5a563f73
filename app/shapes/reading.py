"""What every shape gives: the facts of one request and of one response, whatever the provider."""

from typing import Any

import msgspec

from app.shapes.usage import NO_TOKENS, NO_USAGE, Tokens, Usage


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a client-side tool that the model asked for."""

    id: str | None = None
    name: str | None = None
    #: As the provider gives it: a JSON string (OpenAI) or an object (Anthropic).
    arguments: Any = None


class ProviderError(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's own error, null where it gives none."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is read from a request body. null and "" mean that it is not there."""

    model: str | None = None
    #: Text of the last user message that has text, its text parts joined with a line feed.
    prompt: str | None = None
    #: System, developer and instructions text.
    system: str | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What is read from a response body. null, "" and () mean that it is not there."""

    model: str | None = None
    #: The assistant's text: choice 0 of chat; all output_text of Responses; all text blocks of Messages.
    completion: str | None = None
    tokens: Tokens = NO_TOKENS
    usage: Usage = NO_USAGE
    finish_reason: str | None = None
    stop_reason: str | None = None
    response_id: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    error: ProviderError | None = None
    #: The response came as a stream (SSE text or a list of chunks).
    streamed: bool = False
    #: The stream ended before the provider's own end.
    truncated: bool = False
    #: Further facts of the shape for `metadata`: service_tier, system_fingerprint, stop_sequence …
    details: dict[str, Any] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing of an answer was found."""
        return (
            self.completion is None
            and self.response_id is None
            and self.finish_reason is None
            and not self.tool_calls
            and self.usage.input_tokens_total is None
        )


NOTHING_ASKED = Asked()
NOTHING_ANSWERED = Answered()


class Folded(msgspec.Struct, frozen=True):
    """A stream put together: the body that the same call would have answered without streaming."""

    document: dict[str, Any]
    #: The provider's own end was seen.
    ended: bool
