"""The price list that comes with Ingate: the data of genai-prices, looked up offline, by its own rules.

Only app/pricing.py asks, at its first look-up: loading takes 0.3 s and 30 MB, which processes that price nothing save.
The look-ups of genai-prices remember every name they are ever asked for; the ones here are bounded.
"""

import datetime as dt
import functools
import re
from importlib.metadata import version
from typing import Final, NamedTuple

from genai_prices.data import providers
from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.data_units import unit_data
from genai_prices.decompose import is_descendant_or_self
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint
from genai_prices.units import UnitDef, UnitRegistry

SOURCE: Final = "genai-prices"
VERSION: Final = version(SOURCE)

#: Longer names are no names; they would only fill the caches.
MAX_NAME_CHARS = 256

_DAY_MS, _SECOND_MS = 86_400_000, 1000
_REGISTRY = UnitRegistry(unit_data)
#: What we count, and the unit that genai-prices knows it by. A unit without a price of its own costs what the
#: narrowest priced unit around it costs: a cache write of an hour as any cache write, that as any input.
_UNITS: Final = {
    "uncached_input": _REGISTRY.units["input_tokens"],
    "cache_read": _REGISTRY.units["cache_read_tokens"],
    "cache_write_5m": _REGISTRY.units["cache_write_5m_tokens"],
    "cache_write_1h": _REGISTRY.units["cache_write_1h_tokens"],
    "audio_input": _REGISTRY.units["input_audio_tokens"],
    "output_text": _REGISTRY.units["output_tokens"],
    "reasoning": _REGISTRY.units["output_reasoning_tokens"],
    "audio_output": _REGISTRY.units["output_audio_tokens"],
    "web_searches": _REGISTRY.units["web_searches"],
    "requests": _REGISTRY.units["requests"],
}
#: Names of providers that genai-prices neither has nor recognises, or would take for another.
_ALIASES: Final = {
    "azure-openai": "azure",
    "azure_openai": "azure",
    "azureopenai": "azure",
    "azure-ai": "azure",
    "azure_ai": "azure",
    "xai": "x-ai",
    "x.ai": "x-ai",
    "grok": "x-ai",
    "together.ai": "together",
    "togetherai": "together",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "fireworks.ai": "fireworks",
    "perplexity-ai": "perplexity",
    "perplexity_ai": "perplexity",
    "deepseek-ai": "deepseek",
    "novita-ai": "novita",
    "novita.ai": "novita",
    "kimi": "moonshotai",
    "z-ai": "zai",
    "z.ai": "zai",
    "zhipu": "zhipuai",
    "bigmodel": "zhipuai",
    "open-router": "openrouter",
}
#: They pass on what the maker asks: their models are priced as the maker's, by the prefix `maker/model`.
_GATEWAYS: Final = frozenset({"litellm", "vercel", "portkey", "helicone"})
_DATE = re.compile(r"[-@]20\d\d-?[01]\d-?[0-3]\d$")
#: What the data says of models that cost nothing; others without a price are models whose price is not known.
_FREE = re.compile(r"\bfree\b|included in the subscription", re.IGNORECASE)


class Rate(NamedTuple):
    """The price of one bucket: `usd` for `per` of them."""

    usd: float
    per: int
    #: (total input tokens, usd): from more input than that on, everything costs `usd`; the highest first.
    tiers: tuple[tuple[int, float], ...] = ()


class Rates(NamedTuple):
    """What one model costs at one moment."""

    #: The model of the price list.
    model: str
    #: By bucket, only those that have a price.
    rates: dict[str, Rate]


class _Entry(NamedTuple):
    model: ModelInfo
    #: The provider sells it itself, and is not only known to resell it: only then its tiers are known.
    own: bool
    #: Its price depends on the hour.
    by_clock: bool


def rates(provider: str | None, model: str, at_ms: int, context: tuple[tuple[str, str], ...] = ()) -> Rates | None:
    """Return what a model costs at a moment (milliseconds since 1970 UTC); None when the list does not have it.

    context: what selects a variant of the price: `service_tier`, `processing` (batch), `speed`.
    """
    if len(model) > MAX_NAME_CHARS or len(provider or "") > MAX_NAME_CHARS:
        return None
    entry = _entry(provider, model)
    if entry is None:
        return None
    unit = _SECOND_MS if entry.by_clock else _DAY_MS
    return _rates(provider, model, at_ms // unit * unit, context)


@functools.lru_cache(maxsize=4096)
def _rates(provider: str | None, model: str, at_ms: int, context: tuple[tuple[str, str], ...]) -> Rates | None:
    entry = _entry(provider, model)
    if entry is None:
        return None
    moment = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
    prices = entry.model.get_prices(moment, dict(context) if entry.own else None)
    return Rates(entry.model.id, _free() if _is_free(entry.model, prices) else _by_bucket(prices))


def _by_bucket(prices: ModelPrice) -> dict[str, Rate]:
    priced = [unit for unit in _REGISTRY.units.values() if getattr(prices, unit.price_key) is not None]
    found = {}
    for bucket, unit in _UNITS.items():
        around = [other for other in priced if is_descendant_or_self(other, unit)]
        if around:
            narrowest = max(around, key=lambda other: len(other.dimensions))
            found[bucket] = _rate(narrowest, prices)
    return found


def _rate(unit: UnitDef, prices: ModelPrice) -> Rate:
    price = getattr(prices, unit.price_key)
    if not isinstance(price, TieredPrices):
        return Rate(float(price), unit.per)
    tiers = tuple((tier.start, float(tier.price)) for tier in reversed(price.tiers))
    return Rate(float(price.base), unit.per, tiers)


def _is_free(model: ModelInfo, prices: ModelPrice) -> bool:
    unpriced = all(getattr(prices, unit.price_key) is None for unit in _REGISTRY.units.values())
    return unpriced and _FREE.search(f"{model.id} {model.price_comments or ''}") is not None


def _free() -> dict[str, Rate]:
    return {bucket: Rate(0.0, unit.per) for bucket, unit in _UNITS.items() if bucket != "requests"}


@functools.lru_cache(maxsize=4096)
def _entry(provider: str | None, name: str) -> _Entry | None:
    """Find a model of the list by the names that a call uses."""
    name = name.strip().lower()
    wanted = (provider or "").strip().lower()
    maker, _, rest = name.partition("/")
    if wanted and wanted not in _GATEWAYS:
        seller = _provider(wanted)
        # The provider's own name before the model's, or Google's `models/…`, says nothing more.
        plain = rest if rest and (maker == "models" or _provider(maker) is seller) else None
    else:
        seller = (_provider(maker) if rest else None) or _maker_of(name)
        plain = rest or None
    return None if seller is None else _of(seller, [name, *([plain] if plain else [])])


def _of(seller: Provider, names: list[str]) -> _Entry | None:
    """Find a model by the first name that fits; a date that the list does not know yet is left out."""
    for name in names + [_DATE.sub("", name) for name in names]:
        model = seller.find_model(name, all_providers=providers)
        if model is not None:
            prices = model.prices if isinstance(model.prices, list) else []
            by_clock = any(isinstance(price.constraint, TimeOfDateConstraint) for price in prices)
            return _Entry(model, any(model is one for one in seller.models), by_clock)
    return None


def _provider(name: str) -> Provider | None:
    return find_provider_by_id(providers, _ALIASES.get(name, name))


def _maker_of(model: str) -> Provider | None:
    """The provider that a bare model name belongs to."""
    return next((p for p in providers if p.model_match is not None and p.model_match.is_match(model)), None)
