"""Where a filtered list begins: the ids of exchanges, newest first, out of an index that holds all that a term matches.

A list is newest first and a page is short, so it never needs all that matches, which may be half of everything. It
takes ids from the sparsest stream of its terms, a part at a time, and asks only these exchanges for the other terms.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from app.filters import Term
from app.store.database import execute_planned

#: Most ids of one part. The first has as many as a page has rows, and each is so many times as large as the last one.
MAX_PART = 4_096
GROWTH = 4
#: Exchanges of a part where there is no stream: they are read one after the other, which costs less than by id.
RANGE_PART = 10_000


class Stream(NamedTuple):
    """Rows of one table, which an index holds in the order of their exchanges."""

    table: str
    #: The column that holds the exchange's id, or that plus `offset`.
    id: str
    where: str
    params: list[Any]
    offset: int = 0
    #: For an index that knows no order: so many of the newest exchanges are read by id, before all is read and sorted.
    ahead: int = 0


class Source(NamedTuple):
    """Streams that together hold every exchange that a term matches, and perhaps others."""

    streams: list[Stream]
    #: Terms that hold for all that comes from here, so that no exchange need be asked again.
    settled: tuple[Term, ...] = ()
    #: How much cheaper it is to read ids here and ask for the other terms than the other way round.
    advantage: float = 1.0

    def newest(self, ids: range, limit: int) -> list[int]:
        """Return the newest of a descending range of ids that are in it; inside the caller's session."""
        ahead = max(stream.ahead for stream in self.streams)
        if 0 < ahead < len(ids):
            found = self._read(ids[:ahead], limit)
            return found if len(found) == limit else self._read(ids, limit, sorting=True)
        return self._read(ids, limit)

    def _read(self, ids: range, limit: int, *, sorting: bool = False) -> list[int]:
        sqls, params = [], []
        for stream in self.streams:
            # An expression can be read in order from no index.
            order = f"{stream.id} + 0" if sorting else stream.id
            sqls.append(
                f"""SELECT * FROM (SELECT {stream.id} - {stream.offset} AS id FROM {stream.table}
                     WHERE {stream.where} AND {stream.id} <= ? AND {stream.id} > ?
                     ORDER BY {order} DESC LIMIT ?) AS stream"""
            )
            params += [*stream.params, ids.start + stream.offset, ids.stop + stream.offset, limit]
        if len(sqls) == 1:
            return [row[0] for row in execute_planned(sqls[0], params)]
        return [row[0] for row in execute_planned(f"{' UNION '.join(sqls)} ORDER BY 1 DESC LIMIT ?", [*params, limit])]


class Parts(NamedTuple):
    """What there is to look at, newest first."""

    #: Ids in descending order; a range where every exchange of it has to be looked at.
    parts: Iterator[Sequence[int]]
    #: Terms that hold for all of them.
    settled: tuple[Term, ...] = ()


def parts(sources: Sequence[Source], ids: range, first: int) -> Parts:
    """Return what has to be looked at of a descending range of ids; inside the caller's session.

    first: how many ids the first part has.
    """
    if not sources:
        return Parts(ids[start : start + RANGE_PART] for start in range(0, len(ids), RANGE_PART))
    begun = [(source, source.newest(ids, first)) for source in sources]
    source, found = min(begun, key=lambda one: _density(one[1], ids, first) / one[0].advantage)
    return Parts(_following(source, found, ids, first), source.settled)


def _density(found: Sequence[int], ids: range, wanted: int) -> float:
    """How many of the ids that a source was read for were in it."""
    read = len(ids) if len(found) < wanted else ids.start - found[-1] + 1
    return len(found) / read if found else 0.0


def _following(source: Source, found: list[int], ids: range, size: int) -> Iterator[Sequence[int]]:
    while found:
        yield found
        if len(found) < size:
            return
        size = min(size * GROWTH, MAX_PART)
        found = source.newest(range(found[-1] - 1, ids.stop, -1), size)
