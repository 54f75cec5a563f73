"""Cost: by hand from the price list, never 0 for what is not known, and its lines add up."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import pricing
from app.extraction import extract
from app.pricing import CUT, INCOMPLETE, NO_MODEL, NO_USAGE, ODD, Cost, OwnPrice, OwnRates, fits


def ms(text: str) -> int:
    """Milliseconds since 1970 of a time in UTC."""
    return round(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


def chat(
    model: str, prompt: int, completion: int, *, cached: int = 0, written: int = 0, reasoning: int = 0,
    audio: tuple[int, int] = (0, 0), total: int | None = None, provider: str = "openai", **more: Any,
) -> dict[str, Any]:  # fmt: skip
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio[0]},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": audio[1]},
    }
    if total is not None:
        usage["total_tokens"] = total
    choices = [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]
    body = {"id": "c", "model": model, "choices": choices, "usage": usage, **more}
    return {"provider": provider, "path": "/v1/chat/completions", "response_body": body}


def messages(
    model: str, uncached: int, output: int, *, read: int = 0, write_5m: int = 0, write_1h: int = 0,
    provider: str = "anthropic", path: str = "/v1/messages", **usage: Any,
) -> dict[str, Any]:  # fmt: skip
    counts = {
        "input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write_5m + write_1h,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
        "output_tokens": output,
        **usage,
    }
    content = [{"type": "text", "text": "x"}]
    body = {"type": "message", "id": "m", "model": model, "content": content, "stop_reason": "end_turn"}
    return {"provider": provider, "path": path, "response_body": body | {"usage": counts}}


def responses(model: str, asked: int, answered: int, *, cached: int = 0, reasoning: int = 0, **more: Any) -> Any:
    usage = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": asked + answered,
    }
    body = {"object": "response", "id": "r", "model": model, "status": "completed", "output": [], "usage": usage}
    return {"provider": "openai", "path": "/v1/responses", "response_body": body | more}


def cost_of(item: dict[str, Any], at: str = "2026-11-01T12:00:00", own: tuple[OwnPrice, ...] = ()) -> Cost:
    status = item.get("status_code")
    return pricing.cost(extract(json.dumps(item).encode()), status_code=status, at_ms=ms(at), own=own)


OWN = OwnPrice(
    id=7,
    provider=None,
    model="gpt-4o*",
    valid_from=ms("2026-06-01"),
    rates=OwnRates(uncached_input=2.0, output_text=8.0, cache_read=0.5),
)

#: What, when, and the arithmetic: tokens * USD per million tokens, from the price list of genai-prices 0.2.3.
BY_HAND: dict[str, tuple[dict[str, Any], str, float]] = {
    "plain": (chat("gpt-4o-mini", 1000, 200), "2026-11-01", 1000 * 0.15e-6 + 200 * 0.6e-6),
    "dated model": (chat("gpt-4o-mini-2024-07-18", 1000, 200), "2026-11-01", 1000 * 0.15e-6 + 200 * 0.6e-6),
    # cached tokens are part of OpenAI's prompt tokens
    "cached": (
        chat("gpt-4o-mini", 2000, 100, cached=1500),
        "2026-11-01",
        500 * 0.15e-6 + 1500 * 0.075e-6 + 100 * 0.6e-6,
    ),
    # reasoning is part of the completion tokens, and costs the same
    "reasoning": (responses("gpt-5", 800, 900, reasoning=640), "2026-11-01", 800 * 1.25e-6 + (260 + 640) * 10e-6),
    "reasoning and cached": (
        responses("gpt-5", 10_000, 700, cached=8000, reasoning=512),
        "2026-11-01",
        2000 * 1.25e-6 + 8000 * 0.125e-6 + 700 * 10e-6,
    ),
    "flex": (responses("gpt-5", 1000, 100, service_tier="flex"), "2026-11-01", 1000 * 0.625e-6 + 100 * 5e-6),
    "priority": (
        responses("gpt-5", 1000, 100, cached=400, service_tier="priority"),
        "2026-11-01",
        600 * 2.5e-6 + 400 * 0.25e-6 + 100 * 20e-6,
    ),
    # the list has no price of its own for a tier before 12 October 2026: the standard price stands
    "flex, before the list knows it": (
        responses("gpt-5", 1000, 100, service_tier="flex"),
        "2026-09-01",
        1000 * 1.25e-6 + 100 * 10e-6,
    ),
    "batch, said by the client": (
        {**chat("gpt-4o", 1000, 100, service_tier="default"), "metadata": {"service_tier": "batch"}},
        "2026-11-01",
        1000 * 1.25e-6 + 100 * 5e-6,
    ),
    "price before a change": (chat("o3", 1000, 100, reasoning=60), "2025-06-09", 1000 * 10e-6 + 100 * 40e-6),
    "price after a change": (chat("o3", 1000, 100, reasoning=60), "2025-06-10", 1000 * 2e-6 + 100 * 8e-6),
    "cache write, price after a change": (
        chat("gpt-5.6-sol", 5000, 100, cached=1000, written=3000),
        "2026-11-01",
        1000 * 4e-6 + 1000 * 0.4e-6 + 3000 * 5e-6 + 100 * 20e-6,
    ),
    "audio in and out": (
        chat("gpt-audio", 300, 500, audio=(200, 450)),
        "2026-11-01",
        100 * 2.5e-6 + 200 * 32e-6 + 50 * 10e-6 + 450 * 64e-6,
    ),
    # Anthropic's input tokens exclude the cache
    "Messages": (messages("claude-sonnet-4-5-20250929", 1000, 200), "2026-11-01", 1000 * 3e-6 + 200 * 15e-6),
    "Messages, cache read and written for 5 m and 1 h": (
        messages("claude-sonnet-4-5", 100, 200, read=10_000, write_5m=2000, write_1h=3000),
        "2026-11-01",
        100 * 3e-6 + 10_000 * 0.3e-6 + 2000 * 3.75e-6 + 3000 * 6e-6 + 200 * 15e-6,
    ),
    # over 200,000 tokens of input, cache included, everything costs the tier's price
    "Messages, at the tier's edge": (
        messages("claude-sonnet-4-5", 100_000, 200, read=100_000),
        "2026-11-01",
        100_000 * 3e-6 + 100_000 * 0.3e-6 + 200 * 15e-6,
    ),
    "Messages, in the tier": (
        messages("claude-sonnet-4-5", 100_001, 200, read=100_000),
        "2026-11-01",
        100_001 * 6e-6 + 100_000 * 0.6e-6 + 200 * 22.5e-6,
    ),
    "Messages, a tier that was given up": (
        messages("claude-opus-4-6", 300_000, 100),
        "2026-03-13",
        300_000 * 5e-6 + 100 * 25e-6,
    ),
    "Messages, a tier before it was given up": (
        messages("claude-opus-4-6", 300_000, 100),
        "2026-03-12",
        300_000 * 10e-6 + 100 * 37.5e-6,
    ),
    "Messages, batch": (
        messages("claude-haiku-4-5", 1000, 200, read=400, write_1h=100, service_tier="batch"),
        "2026-11-01",
        1000 * 0.5e-6 + 400 * 0.05e-6 + 100 * 1e-6 + 200 * 2.5e-6,
    ),
    "Messages, web searches at 10 USD a thousand": (
        messages("claude-haiku-4-5", 1000, 200, server_tool_use={"web_search_requests": 3}),
        "2026-11-01",
        1000 * 1e-6 + 200 * 5e-6 + 3 * 0.01,
    ),
    "Messages on Bedrock, the model in the path": (
        messages(
            "",
            1000,
            200,
            provider="bedrock",
            path="/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
        ),
        "2026-11-01",
        1000 * 3.3e-6 + 200 * 16.5e-6,
    ),
    "Gemini, in the tier": (
        chat("gemini-2.5-pro", 200_001, 100, provider="gemini"),
        "2026-11-01",
        200_001 * 2.5e-6 + 100 * 15e-6,
    ),
    "DeepSeek by day": (
        chat("deepseek-chat", 1000, 100, cached=600, provider="deepseek"),
        "2026-11-01T16:29:59",
        400 * 0.27e-6 + 600 * 0.07e-6 + 100 * 1.1e-6,
    ),
    "DeepSeek by night": (
        chat("deepseek-chat", 1000, 100, cached=600, provider="deepseek"),
        "2026-11-01T16:30:00",
        400 * 0.135e-6 + 600 * 0.035e-6 + 100 * 0.55e-6,
    ),
    # xAI counts reasoning beside the completion tokens, as its total shows
    "reasoning counted apart": (
        chat("grok-4", 12, 1, reasoning=290, total=303, provider="xai"),
        "2026-11-01",
        12 * 3e-6 + 1 * 15e-6 + 290 * 15e-6,
    ),
    "Groq": (chat("llama-3.3-70b-versatile", 500, 50, provider="groq"), "2026-11-01", 500 * 0.59e-6 + 50 * 0.79e-6),
    "Azure": (chat("gpt-4o-2024-08-06", 500, 50, provider="azure"), "2026-11-01", 500 * 2.5e-6 + 50 * 10e-6),
    "OpenRouter": (
        chat("anthropic/claude-sonnet-4", 500, 50, cached=100, provider="openrouter"),
        "2026-11-01",
        400 * 3e-6 + 100 * 0.3e-6 + 50 * 15e-6,
    ),
    "a charge for each request": (
        chat("sonar-pro", 100, 200, provider="perplexity"),
        "2026-11-01",
        100 * 3e-6 + 200 * 15e-6 + 1 * 0.014,
    ),
    "free": (chat("deepseek/deepseek-r1:free", 100, 200, provider="openrouter"), "2026-11-01", 0.0),
    "own price": (
        chat("gpt-4o", 1000, 100, cached=300),
        "2026-06-01",
        700 * 2e-6 + 300 * 0.5e-6 + 100 * 8e-6,
    ),
    "own price, a day too early": (
        chat("gpt-4o", 1000, 100, cached=300),
        "2026-05-31",
        700 * 2.5e-6 + 300 * 1.25e-6 + 100 * 10e-6,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_cost_is_what_it_is_by_hand(name: str) -> None:
    item, at, expected = BY_HAND[name]

    cost = cost_of(item, at, (OWN,) if name.startswith("own") else ())

    assert cost.unpriced is None
    assert cost.usd == pytest.approx(expected, rel=0, abs=1e-9)
    assert sum(line.usd for line in cost.lines) == cost.usd


def test_a_cost_says_by_which_price() -> None:
    listed, own = cost_of(chat("gpt-4o-mini-2024-07-18", 1, 1)), cost_of(chat("gpt-4o", 1, 1), own=(OWN,))

    assert (listed.price_source, listed.price_version) == ("genai-prices", "0.2.3")
    assert listed.matched_model == "gpt-4o-mini"
    assert (own.price_source, own.price_version, own.matched_model) == ("own", "7", "gpt-4o*")


def test_lines_are_the_buckets_that_hold_something() -> None:
    cost = cost_of(messages("claude-haiku-4-5", 10, 20, read=5, write_5m=4, write_1h=3))

    assert [(line.bucket, line.tokens) for line in cost.lines] == [
        ("uncached_input", 10),
        ("cache_read", 5),
        ("cache_write_5m", 4),
        ("cache_write_1h", 3),
        ("output_text", 20),
    ]


def without_usage(**more: Any) -> dict[str, Any]:
    item = chat("gpt-4o", 1, 1)
    del item["response_body"]["usage"]
    return item | more


UNPRICED = {
    "model that is not in the list": (
        chat("no-such-model", 10, 5),
        "no price for model no-such-model at provider openai",
    ),
    "provider that is not in the list": (
        chat("gpt-4o", 10, 5, provider="my-own"),
        "no price for model gpt-4o at provider my-own",
    ),
    # what was asked for is not what answered
    "response model that is not in the list": (
        {**chat("moonshotai/kimi-k2", 10, 5), "request_body": {"model": "gpt-4.1-mini", "messages": []}},
        "no price for model moonshotai/kimi-k2 at provider openai",
    ),
    "model without a rate": (
        chat("qwen-3-coder-480b", 10, 5, provider="cerebras"),
        "no price for uncached_input of model qwen-3-coder-480b",
    ),
    "name that is no name": (chat("x" * 5000, 10, 5), f"no price for model {'x' * 120} at provider openai"),
    "no usage": (without_usage(), NO_USAGE),
    "no model": (chat("", 10, 5), NO_MODEL),
    "only a total": ({"model": "gpt-4o", "prompt": "x", "token_count": 15}, INCOMPLETE),
    "only input": ({"model": "gpt-4o", "prompt": "x", "token_count": {"prompt": 15}}, INCOMPLETE),
    "more cached than asked": (chat("grok-4", 10, 5, cached=11, provider="azure"), ODD),
    "hidden thinking": (chat("gemini-2.5-pro", 35, 12, total=109, provider="gemini"), ODD),
    "nothing that can be read": ({"request_body": {"a": 1}}, NO_USAGE),
}


@pytest.mark.parametrize("name", UNPRICED)
def test_what_is_not_known_is_null_with_a_reason(name: str) -> None:
    item, reason = UNPRICED[name]

    assert cost_of(item) == Cost(unpriced=reason)


def test_a_stream_that_was_cut_before_its_usage_is_unpriced() -> None:
    start = messages("claude-haiku-4-5", 10, 1)["response_body"] | {"content": [], "stop_reason": None}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "so many words"}},
    ]
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)

    assert cost_of({"path": "/v1/messages", "response_body": stream}).unpriced == CUT


@pytest.mark.parametrize("status", [200, 429])
def test_an_error_without_usage_costs_null_and_is_not_unpriced(status: int) -> None:
    error = {"error": {"type": "rate_limit", "message": "later"}}

    assert cost_of({**chat("gpt-4o", 1, 1), "status_code": status, "response_body": error}) == Cost()


def test_the_clients_own_counts_are_priced_where_the_provider_reports_none() -> None:
    cost = cost_of(without_usage(token_count={"prompt": 1000, "completion": 100, "total": 1100}))

    assert cost.usd == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6, abs=1e-9)


def test_usage_of_nothing_costs_nothing() -> None:
    assert cost_of(chat("gpt-4o", 0, 0)).usd == 0.0


def own(model: str, provider: str | None = None, valid_from: int | None = None, *, number: int = 1) -> OwnPrice:
    rates = OwnRates(uncached_input=float(number), output_text=0.0)
    return OwnPrice(id=number, provider=provider, model=model, valid_from=valid_from, rates=rates)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (own("gpt-4o-mini*"), own("gpt-*")),
        (own("gpt-4o"), own("gpt-4o*")),
        (own("gpt-4o"), own("*", "openai")),
        (own("gpt-4o", "openai"), own("gpt-4o")),
        (own("gpt-4o", valid_from=2), own("gpt-4o", valid_from=1)),
        (own("gpt-4o", valid_from=1), own("gpt-4o")),
        (own("gpt-4o", number=2), own("gpt-4o", number=1)),
    ],
)
def test_the_narrower_then_the_later_own_price_holds(first: OwnPrice, then: OwnPrice) -> None:
    assert sorted([then, first], key=lambda price: price.precedence, reverse=True) == [first, then]


def test_an_own_price_fits_the_model_that_was_asked_for_too() -> None:
    item = {**chat("gpt-4o-2024-08-06", 1_000_000, 0, provider="azure"), "request_body": {"model": "our-deployment"}}

    assert cost_of(item, own=(own("our-*", "azure", number=3),)).usd == 3.0


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("gpt-4o", "GPT-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("*", "", True),
        ("gpt-*-mini", "gpt-4o-mini", True),
        ("gpt-*-mini", "gpt-mini", False),
        ("a*a", "a", False),
        ("*b*b*", "abb", True),
        ("*b*b*", "ab", False),
        ("a*b*c", "abcbc", True),
        ("a.c", "abc", False),
        ("*a" * 50 + "b", "a" * 5000, False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, text: str, does: bool) -> None:
    assert fits(pattern, text) is does


COUNT = st.integers(0, 10**7)


@given(uncached=COUNT, read=COUNT, write_5m=COUNT, write_1h=COUNT, output=COUNT, searches=st.integers(0, 50))
def test_the_cost_is_the_sum_of_its_lines_and_none_is_negative(
    uncached: int, read: int, write_5m: int, write_1h: int, output: int, searches: int
) -> None:
    cost = cost_of(
        messages(
            "claude-sonnet-4-5", uncached, output, read=read, write_5m=write_5m, write_1h=write_1h,
            server_tool_use={"web_search_requests": searches},
        )
    )  # fmt: skip

    assert cost.usd is not None
    assert cost.usd == sum(line.usd for line in cost.lines)
    assert all(line.usd >= 0 and line.tokens > 0 for line in cost.lines)
    counted = sum(line.tokens for line in cost.lines)
    assert counted == uncached + read + write_5m + write_1h + output + searches


KEYS = st.sampled_from(["usage", "prompt_tokens", "completion_tokens", "model", "choices", "service_tier", "details"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


@given(VALUES)
def test_whatever_a_body_holds_it_is_priced_or_not(body: Any) -> None:
    cost = cost_of({"path": "/v1/chat/completions", "response_body": body, "prompt": "x"})

    assert cost.usd is None or cost.unpriced is None
