"""The price list: found by the names that calls use, and read by the rules of genai-prices."""

import datetime as dt
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import Usage
from hypothesis import given
from hypothesis import strategies as st

from app import price_list
from app.price_list import Rates

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)
AT_MS = int(NOON.timestamp() * 1000)
#: Models of every provider whose prices have tiers, caches, audio, reasoning or variants, and their plain neighbours.
MODELS = [
    (provider, model)
    for provider in providers
    for model in provider.models[:: max(1, len(provider.models) // 12)]
    if getattr(model.get_prices(NOON), "input_mtok") is not None  # noqa: B009 - not an attribute that a class has
]


def rates(provider: str | None, model: str, at_ms: int = AT_MS, **context: str) -> Rates | None:
    return price_list.rates(provider, model, at_ms, tuple(context.items()))


@pytest.mark.parametrize(
    ("provider", "name", "model"),
    [
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("OpenAI", "GPT-4o", "gpt-4o"),
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("azure", "gpt-4o", "gpt-4o"),
        ("azure_openai", "gpt-4o", "gpt-4o"),
        (
            "bedrock",
            "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "regional.anthropic.claude-3-5-sonnet-20241022-v2:0",
        ),
        ("vertex", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("groq", "llama-3.3-70b-versatile", "llama-3.3-70b-versatile"),
        ("mistral", "mistral-large-latest", "mistral-large"),
        ("openrouter", "anthropic/claude-sonnet-4", "anthropic/claude-sonnet-4"),
        ("deepseek", "deepseek-chat", "deepseek-chat"),
        ("xai", "grok-4-0709", "grok-4-0709"),
        ("x-ai", "grok-4-0709", "grok-4-0709"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("perplexity", "sonar", "sonar"),
        ("fireworks-ai", "accounts/fireworks/models/deepseek-v3p2", "deepseek-v3p2"),
        ("anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        # a date that the list does not know is the same model
        ("openai", "gpt-5.2-2031-01-31", "gpt-5.2"),
        ("openai", "gpt-5.2-20310131", "gpt-5.2"),
        # who sells it is told by the model's own name
        (None, "gpt-4o", "gpt-4o"),
        (None, "anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("litellm", "openai/gpt-4o", "gpt-4o"),
    ],
)
def test_a_model_is_found_by_the_names_that_calls_use(provider: str | None, name: str, model: str) -> None:
    found = rates(provider, name)

    assert found is not None
    assert found.model == model


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("ollama", "gpt-oss:20b"),
        ("vllm", "openai/gpt-4o"),
        ("openai", "gpt-99"),
        ("openai", "anthropic/claude-sonnet-4-5"),
        (None, "no-such-model"),
        (None, "/"),
        ("", ""),
        ("openai", "x" * 1000),
    ],
)
def test_what_the_list_does_not_have_is_not_guessed(provider: str | None, name: str) -> None:
    assert rates(provider, name) is None


def test_a_models_tiers_are_its_own_sellers() -> None:
    openai, azure = rates("openai", "gpt-5", service_tier="flex"), rates("azure", "gpt-5", service_tier="flex")

    assert openai is not None
    assert azure is not None
    assert (openai.rates["output_text"].usd, azure.rates["output_text"].usd) == (5.0, 10.0)


INPUT = ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input")
OUTPUT = ("output_text", "reasoning", "audio_output")


@given(
    which=st.integers(0, len(MODELS) - 1),
    counts=st.fixed_dictionaries(dict.fromkeys(INPUT + OUTPUT, st.integers(0, 400_000))),
    context=st.sampled_from([{}, {"processing": "batch"}, {"service_tier": "priority"}, {"service_tier": "flex"}]),
)
def test_the_buckets_cost_what_genai_prices_itself_calculates(
    which: int, counts: dict[str, int], context: dict[str, str]
) -> None:
    provider, model = MODELS[which]
    entire = sum(counts[name] for name in INPUT)
    usage = Usage(
        input_tokens=entire,
        cache_read_tokens=counts["cache_read"],
        cache_write_tokens=counts["cache_write_5m"] + counts["cache_write_1h"],
        cache_write_5m_tokens=counts["cache_write_5m"],
        cache_write_1h_tokens=counts["cache_write_1h"],
        input_audio_tokens=counts["audio_input"],
        cache_audio_read_tokens=0,
        output_tokens=counts["output_text"] + counts["reasoning"] + counts["audio_output"],
        output_reasoning_tokens=counts["reasoning"],
        output_audio_tokens=counts["audio_output"],
    )
    theirs = model.calc_price(usage, provider, genai_request_timestamp=NOON, price_context=context).total_price

    found = price_list.Rates(model.id, price_list._by_bucket(model.get_prices(NOON, context)))
    ours = Decimal(0)
    for bucket, tokens in [*counts.items(), ("requests", 1)]:
        rate = found.rates.get(bucket)
        if rate is not None:
            usd = next((usd for start, usd in rate.tiers if entire > start), rate.usd)
            ours += Decimal(tokens) * Decimal(str(usd)) / rate.per

    assert abs(ours - theirs) < Decimal("1e-12")
