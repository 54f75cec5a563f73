"""Latencies in a histogram that is one whole number, so that merging histograms is adding numbers. Pure.

A bucket is a quarter of an octave, from 1 ms to 17 min; what is beyond counts in the first or the last. Its middle is
at most 9.1 % away from all that is in it. The count of bucket n are the 40 bits from bit 40 n on, which no real sum of
counts overflows.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

BUCKETS: Final = 80
BITS: Final = 40
#: Milliseconds from which on the next bucket counts.
BOUNDS: Final = tuple(2 ** (n / 4) for n in range(1, BUCKETS))
#: The histogram of one latency, by its bucket.
ONES: Final = tuple(1 << BITS * n for n in range(BUCKETS))

_MASK: Final = (1 << BITS) - 1


def one(latency_ms: float) -> int:
    """Return the histogram of one latency."""
    return ONES[bisect_right(BOUNDS, latency_ms)]


def percentiles(histogram: int, percents: Sequence[int]) -> list[float] | None:
    """Return the latency in ms that each of some percents of all do not exceed; None when there are none.

    percents: ascending, from 1 to 100.
    """
    if histogram == 0:
        return None
    # Most buckets are empty, and a chart asks for hundreds of histograms.
    first = ((histogram & -histogram).bit_length() - 1) // BITS
    rest, counts = histogram >> BITS * first, []
    while rest:
        counts.append(rest & _MASK)
        rest >>= BITS
    total = sum(counts)
    found, at, reached = [], 0, counts[0]
    for percent in percents:
        while reached * 100 < percent * total:
            at += 1
            reached += counts[at]
        found.append(2 ** ((first + at + 0.5) / 4))
    return found


def pack(histogram: int) -> bytes:
    """Return a histogram, or the difference of two, as bytes."""
    return histogram.to_bytes((histogram.bit_length() >> 3) + 1, "little", signed=True)


def unpack(data: bytes) -> int:
    """Return what was packed."""
    return int.from_bytes(data, "little", signed=True)


class Packed:
    """SQL functions for SQLite, which has no numbers that long: histograms as packed bytes."""

    @staticmethod
    def one(latency_ms: float | None) -> bytes | None:
        """Return the histogram of one latency; null is no latency."""
        return None if latency_ms is None else pack(one(latency_ms))

    @staticmethod
    def add(a: bytes, b: bytes) -> bytes:
        """Merge two histograms."""
        return pack(unpack(a) + unpack(b))

    class Sum:
        """Merge any number of histograms; null is none."""

        def __init__(self) -> None:
            self._histogram = 0

        def step(self, data: bytes | None) -> None:
            """Take one more."""
            if data is not None:
                self._histogram += unpack(data)

        def finalize(self) -> bytes:
            """Return what they are together."""
            return pack(self._histogram)
