"""Cost: what one exchange cost in USD, bucket by bucket, at the prices of the day of the call. Pure.

A project's own prices come first, then the price list that comes with Ingate (app/price_list.py). The model is the one
that the response names, where it names one. What is not known is null with a reason, never 0: see `cost`.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec

from app.exchange import TokenCount
from app.extraction import Extraction
from app.shapes import Buckets, Tokens, Usage, buckets

OWN_SOURCE: Final = "own"

NO_USAGE: Final = "no usage reported"
NO_MODEL: Final = "no model is named"
CUT: Final = "the stream ends before its final usage"
INCOMPLETE: Final = "not both of input and output tokens are reported"
ODD: Final = "the reported token counts do not add up"

_PER: Final = 1_000_000
_INPUT: Final = ("uncached_input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input")
_OUTPUT: Final = ("output_text", "reasoning", "audio_output")
BUCKETS: Final = _INPUT + _OUTPUT

#: Values of a body that select a variant of a price are short words.
_MAX_CONTEXT_CHARS = 32
_MAX_REASON_NAME = 120

Usd = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One bucket's share of a cost; web searches and requests that are charged apart are counted as `tokens`."""

    bucket: str
    tokens: int
    usd: float


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange cost, and by which price. Without `usd`, `unpriced` says why, if there is anything to price."""

    #: The lines added up, in their order.
    usd: float | None = None
    unpriced: str | None = None
    matched_model: str | None = None
    #: `own`, or the name of the price list; the version is the own price's id, or the list's version.
    price_source: str | None = None
    price_version: str | None = None
    lines: tuple[Line, ...] = ()


class OwnRates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """USD per million tokens, by bucket; a bucket that is left out costs what all input or all output costs."""

    uncached_input: Usd
    output_text: Usd
    cache_read: Usd | None = None
    cache_write_5m: Usd | None = None
    cache_write_1h: Usd | None = None
    audio_input: Usd | None = None
    reasoning: Usd | None = None
    audio_output: Usd | None = None

    def of(self, bucket: str) -> float:
        """Return what a million tokens of a bucket cost."""
        usd: float | None = getattr(self, bucket)
        if usd is not None:
            return usd
        return self.uncached_input if bucket in _INPUT else self.output_text


class OwnPrice(msgspec.Struct, frozen=True, kw_only=True):
    """A project's own price: for the models and providers that fit its patterns, for calls from a moment on."""

    id: int
    #: `*` stands for any text; None for any provider, a call without one too.
    provider: str | None
    model: str
    #: Milliseconds since 1970 UTC; None: it was always so.
    valid_from: int | None
    rates: OwnRates

    @property
    def precedence(self) -> tuple[int, bool, int, int, int]:
        """Of several that fit, the greatest holds: the narrower model, the narrower provider, the later, the newer."""
        narrow = len(self.model.replace("*", "")), "*" not in self.model, len((self.provider or "").replace("*", ""))
        return *narrow, self.valid_from or 0, self.id

    def fits(self, provider: str | None, models: Sequence[str], at_ms: int) -> bool:
        """Whether it holds for a call of one of these models at a moment."""
        return (
            (self.valid_from is None or self.valid_from <= at_ms)
            and (self.provider is None or fits(self.provider, provider or ""))
            and any(fits(self.model, model) for model in models)
        )


def cost(found: Extraction, *, status_code: int | None, at_ms: int, own: Iterable[OwnPrice] = ()) -> Cost:
    """Price one exchange by its reported usage.

    own: the project's prices, of the greatest precedence first.
    An answer that is an error and reports no usage costs nothing that is known: null, but not unpriced.
    """
    tokens, usage = _reported(found)
    counts = buckets(tokens, usage)
    if counts is None:
        failed = found.answered.error is not None or (status_code or 0) >= 400
        return Cost() if failed and tokens.total is None else Cost(unpriced=INCOMPLETE if tokens.total else NO_USAGE)
    wrong = _wrong(found, counts, tokens, usage)
    if wrong is not None:
        return Cost(unpriced=wrong)
    named = [name for name in (found.response_model, found.model) if name]
    if not named:
        return Cost(unpriced=NO_MODEL)
    price = next((price for price in own if price.fits(found.provider, named, at_ms)), None)
    return _by_list(found, counts, usage, named[0], at_ms) if price is None else _by_own(price, counts)


def fits(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern in which `*` stands for any text; case does not matter."""
    first, *rest = pattern.lower().split("*")
    text = text.lower()
    if not rest:
        return text == first
    if not text.startswith(first) or len(text) < len(first) + len(rest[-1]):
        return False
    at = len(first)
    for piece in rest[:-1]:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return len(text) - len(rest[-1]) >= at and text.endswith(rest[-1])


def _reported(found: Extraction) -> tuple[Tokens, Usage]:
    """The provider's counts, else the client's, as `token_count` has them."""
    if found.sources.get("token_count") != "client":
        return found.answered.tokens, found.answered.usage
    counts = found.token_count or TokenCount()
    tokens = Tokens(prompt=counts.prompt, completion=counts.completion, total=counts.total)
    return tokens, Usage(input_tokens_total=counts.prompt)


def _wrong(found: Extraction, counts: Buckets, tokens: Tokens, usage: Usage) -> str | None:
    """Say why reported counts cannot be priced: then a sum of them would not be the cost."""
    answered = found.answered
    if answered.streamed and answered.finish_reason is None and (answered.truncated or answered.error):
        return CUT  # Anthropic's first event carries a placeholder of the output
    if usage.input_tokens_total is None or tokens.completion is None:
        return INCOMPLETE
    if not counts.odd:
        return None
    # Reasoning that is counted apart, which the provider's own total shows, is odd and yet all there.
    asked = sum(getattr(counts, bucket) for bucket in _INPUT)
    told = sum(getattr(counts, bucket) for bucket in _OUTPUT)
    return None if asked == usage.input_tokens_total and tokens.total == asked + told else ODD


def _by_own(price: OwnPrice, counts: Buckets) -> Cost:
    lines = []
    for bucket in BUCKETS:
        tokens = getattr(counts, bucket)
        if tokens:
            lines.append(Line(bucket, tokens, tokens * price.rates.of(bucket) / _PER))
    return _added_up(lines, price.model, OWN_SOURCE, str(price.id))


def _by_list(found: Extraction, counts: Buckets, usage: Usage, model: str, at_ms: int) -> Cost:
    from app import price_list  # loaded by the processes that price, and only by them

    rates = price_list.rates(found.provider, model, at_ms, _context(found))
    if rates is None:
        return Cost(unpriced=_unknown(model, found.provider))
    entire_input = usage.input_tokens_total or 0
    lines = []
    for bucket, units in _units(found, counts, "requests" in rates.rates):
        rate = rates.rates.get(bucket)
        if rate is None:
            return Cost(unpriced=f"no price for {bucket} of model {rates.model}")
        usd = next((usd for start, usd in rate.tiers if entire_input > start), rate.usd)
        lines.append(Line(bucket, units, units * usd / rate.per))
    return _added_up(lines, rates.model, price_list.SOURCE, price_list.VERSION)


def _units(found: Extraction, counts: Buckets, by_request: bool) -> list[tuple[str, int]]:
    """What is charged, and how many of it."""
    units = [(bucket, tokens) for bucket in BUCKETS if (tokens := getattr(counts, bucket))]
    searches = (found.answered.details.get("server_tool_use") or {}).get("web_search_requests")
    if isinstance(searches, int) and searches > 0:
        units.append(("web_searches", searches))
    if by_request:
        units.append(("requests", 1))
    return units


def _context(found: Extraction) -> tuple[tuple[str, str], ...]:
    """What selects a variant of a price: the tier that the response reports, a batch, Anthropic's fast mode."""
    details = found.answered.details
    sent = found.item.metadata if found.item is not None else None
    tier, speed = details.get("service_tier"), details.get("speed")
    if tier == "batch" or (sent and sent.get("service_tier") == "batch"):
        return (("processing", "batch"),)
    context = [(key, value) for key, value in (("service_tier", tier), ("speed", speed)) if value]
    return tuple(pair for pair in context if len(pair[1]) <= _MAX_CONTEXT_CHARS)


def _unknown(model: str, provider: str | None) -> str:
    seller = "" if provider is None else f" at provider {provider[:_MAX_REASON_NAME]}"
    return f"no price for model {model[:_MAX_REASON_NAME]}{seller}"


def _added_up(lines: list[Line], model: str, source: str, version: str) -> Cost:
    usd = sum([line.usd for line in lines], start=0.0)
    return Cost(usd=usd, matched_model=model, price_source=source, price_version=version, lines=tuple(lines))
