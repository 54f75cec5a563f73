"""Histograms of latencies: percentiles as near as promised, and merging is adding."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app import latencies
from app.latencies import Packed

WITHIN = st.lists(st.floats(1, 2**20), min_size=1, max_size=200)
ANY = st.lists(st.floats(0, 86_400_000), max_size=50)


def histogram(values: list[float]) -> int:
    return sum(map(latencies.one, values))


@given(values=WITHIN, percents=st.lists(st.integers(1, 100), min_size=1).map(sorted))
def test_percentiles_are_within_a_tenth_of_the_exact_ones(values: list[float], percents: list[int]) -> None:
    exact = [sorted(values)[math.ceil(percent * len(values) / 100) - 1] for percent in percents]

    found = latencies.percentiles(histogram(values), percents) or []

    assert len(found) == len(exact)
    assert all(abs(one - other) <= 0.091 * other for one, other in zip(found, exact, strict=True))


def test_what_is_beyond_counts_in_the_first_or_the_last_bucket() -> None:
    low, high = latencies.percentiles(histogram([0, 0.5, 86_400_000]), [50, 99]) or []

    assert 1 <= low <= 1.1
    assert 2**20 * 0.9 <= high <= 2**20


def test_of_nothing_there_is_no_percentile() -> None:
    assert latencies.percentiles(0, [50]) is None


@given(one=ANY, other=ANY)
def test_merging_is_adding_packed_or_not(one: list[float], other: list[float]) -> None:
    both = histogram(one) + histogram(other)

    merged = Packed.Sum()
    for value in one + other:
        merged.step(Packed.one(value))
    merged.step(Packed.one(None))

    assert both == histogram(one + other)
    assert latencies.unpack(Packed.add(latencies.pack(histogram(one)), latencies.pack(histogram(other)))) == both
    assert latencies.unpack(merged.finalize()) == both
    assert latencies.unpack(latencies.pack(histogram(one) - histogram(other))) == histogram(one) - histogram(other)


def test_a_bucket_counts_a_thousand_billion() -> None:
    full = latencies.one(100) * (2**latencies.BITS - 1) + latencies.one(200)

    assert latencies.percentiles(full, [1, 99]) == latencies.percentiles(latencies.one(100), [1, 99])
