"""Extractions on their way from one step to the next within a process, so that a chunk is read and decoded once.

Extraction is pure: a miss (another process, a restart, a full memo) reads the raw item again and gets the same.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from actors.stage import each
from app.extraction import Extraction, extract
from app.store import exchanges, payloads
from app.store.exchanges import Subject

#: Memory that waiting extractions may hold, counted as the size of their raw items.
MAX_BYTES = 64 << 20


class Read(NamedTuple):
    """An exchange as the steps need it."""

    subject: Subject
    extraction: Extraction
    raw_bytes: int


_lock = threading.Lock()
_reads: OrderedDict[int, Read] = OrderedDict()
_held_bytes = 0


def read(ids: Sequence[int]) -> tuple[dict[int, Read], dict[int, Exception]]:
    """Return the reads of claimed exchanges, and what went wrong with those that have none."""
    with _lock:
        known = {exchange_id: _reads[exchange_id] for exchange_id in ids if exchange_id in _reads}
    missing = [exchange_id for exchange_id in ids if exchange_id not in known]
    if not missing:
        return known, {}
    subjects = {subject.id: subject for subject in exchanges.subjects(missing)}
    packed = payloads.packed(missing)

    def work(exchange_id: int) -> Read:
        raw = payloads.unpack(*packed[exchange_id])
        return Read(subjects[exchange_id], extract(raw), len(raw))

    found, broken = each(missing, work)
    _remember(found)
    return known | found, broken


def forget(ids: Sequence[int]) -> None:
    """Drop what the last step does not need any more."""
    global _held_bytes  # noqa: PLW0603 - one memo per process, like the lock beside it
    with _lock:
        for exchange_id in ids:
            gone = _reads.pop(exchange_id, None)
            _held_bytes -= gone.raw_bytes if gone else 0


def _remember(found: dict[int, Read]) -> None:
    global _held_bytes  # noqa: PLW0603 - see forget
    forget(list(found))
    with _lock:
        for exchange_id, one in found.items():
            _reads[exchange_id] = one
            _held_bytes += one.raw_bytes
        while _held_bytes > MAX_BYTES:
            _, oldest = _reads.popitem(last=False)
            _held_bytes -= oldest.raw_bytes
