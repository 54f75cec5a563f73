"""Token usage: what the provider reports, and the disjoint buckets that a price is asked for."""

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the provider reports them, null where it reports none; only the input total is computed."""

    #: All input, cache included: OpenAI's prompt tokens; Anthropic's input + cache read + cache creation.
    input_tokens_total: int | None = None
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    #: The share of cache_creation_tokens that is kept for an hour.
    cache_creation_1h_tokens: int | None = None
    #: A share of the completion tokens, except at vendors that count it apart.
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The three counts, as reported. Anthropic reports no total, and its prompt count excludes the cache."""

    prompt: int | None = None
    completion: int | None = None
    total: int | None = None


NO_USAGE = Usage()
NO_TOKENS = Tokens()


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """Disjoint counts: every token is in one of them."""

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    output_text: int = 0
    reasoning: int = 0
    audio_output: int = 0
    #: The buckets do not sum to the provider's own totals; what it reports is kept as it is.
    odd: bool = False


def buckets(tokens: Tokens, usage: Usage) -> Buckets | None:
    """Part reported usage into disjoint buckets; None when the provider reports neither input nor output.

    A share that is larger than its whole (a vendor that counts reasoning or cache apart) is kept beside the
    whole, and the result is marked `odd`.
    """
    entire_input, entire_output = usage.input_tokens_total, tokens.completion
    if entire_input is None and entire_output is None:
        return None
    read, written = usage.cached_tokens or 0, usage.cache_creation_tokens or 0
    hour = min(usage.cache_creation_1h_tokens or 0, written)
    audio_in, audio_out = usage.audio_input_tokens or 0, usage.audio_output_tokens or 0
    reasoning = usage.reasoning_tokens or 0
    apart = _counted_apart(tokens, entire_input or 0, reasoning)
    rest_input = (entire_input or 0) - read - written - audio_in
    rest_output = (entire_output or 0) - audio_out - (0 if apart else reasoning)
    total = tokens.total
    return Buckets(
        uncached_input=max(rest_input, 0),
        cache_read=read,
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        audio_input=audio_in,
        output_text=max(rest_output, 0),
        reasoning=reasoning,
        audio_output=audio_out,
        odd=apart
        or rest_input < 0
        or rest_output < 0
        or (total is not None and total != (entire_input or 0) + (entire_output or 0)),
    )


def _counted_apart(tokens: Tokens, entire_input: int, reasoning: int) -> bool:
    """Whether the provider's own total shows that reasoning is not part of the completion tokens."""
    completion = tokens.completion or 0
    return reasoning > 0 and tokens.total == entire_input + completion + reasoning
