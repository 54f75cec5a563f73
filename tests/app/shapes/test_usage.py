"""Reported usage in disjoint buckets."""

from hypothesis import given
from hypothesis import strategies as st

from app.shapes import Buckets, Tokens, Usage, buckets

counts = st.none() | st.integers(0, 10_000)


def _inputs(found: Buckets) -> int:
    return found.uncached_input + found.cache_read + found.cache_write_5m + found.cache_write_1h + found.audio_input


def _outputs(found: Buckets) -> int:
    return found.output_text + found.reasoning + found.audio_output


def test_shares_are_taken_out_of_their_wholes() -> None:
    usage = Usage(input_tokens_total=100, cached_tokens=60, cache_creation_tokens=10, reasoning_tokens=5)

    found = buckets(Tokens(prompt=100, completion=20, total=120), usage)

    assert found == Buckets(uncached_input=30, cache_read=60, cache_write_5m=10, output_text=15, reasoning=5)


def test_no_usage_has_no_buckets() -> None:
    assert buckets(Tokens(), Usage()) is None


def test_input_alone_has_buckets() -> None:
    assert buckets(Tokens(prompt=7), Usage(input_tokens_total=7)) == Buckets(uncached_input=7)


def test_reasoning_beside_the_completion_is_kept_and_marked() -> None:
    tokens = Tokens(prompt=12, completion=1, total=303)

    found = buckets(tokens, Usage(input_tokens_total=12, reasoning_tokens=290))

    assert found == Buckets(uncached_input=12, output_text=1, reasoning=290, odd=True)


def test_reasoning_larger_than_the_completion_is_marked_even_without_a_total() -> None:
    found = buckets(Tokens(prompt=12, completion=1), Usage(input_tokens_total=12, reasoning_tokens=290))

    assert found is not None
    assert found.odd


@given(
    tokens=st.builds(Tokens, prompt=counts, completion=counts, total=counts),
    usage=st.builds(
        Usage,
        input_tokens_total=counts,
        cached_tokens=counts,
        cache_creation_tokens=counts,
        cache_creation_1h_tokens=counts,
        reasoning_tokens=counts,
        audio_input_tokens=counts,
        audio_output_tokens=counts,
    ),
)
def test_buckets_sum_to_the_totals_unless_marked(tokens: Tokens, usage: Usage) -> None:
    found = buckets(tokens, usage)

    if found is not None and not found.odd:
        assert _inputs(found) == (usage.input_tokens_total or 0)
        assert _outputs(found) == (tokens.completion or 0)
        assert tokens.total in {None, _inputs(found) + _outputs(found)}
