"""Stored items on their way into a step: subject and extraction of each, read and decoded once a chunk."""

from collections.abc import Sequence
from typing import NamedTuple

from actors.stage import each
from app.extraction import Extraction, extract
from app.store import exchanges, payloads
from app.store.exchanges import Subject


class Read(NamedTuple):
    """An exchange as the steps need it."""

    subject: Subject
    extraction: Extraction


def read(ids: Sequence[int]) -> tuple[dict[int, Read], dict[int, Exception]]:
    """Return the reads of exchanges, and what went wrong with those that have none."""
    packed = payloads.packed(ids)
    subjects = {subject.id: subject for subject in exchanges.subjects(ids)}

    def work(exchange_id: int) -> Read:
        return Read(subjects[exchange_id], extract(payloads.unpack(*packed[exchange_id])))

    return each(ids, work)
