"""Batches and every item's result: accepted ones with their state, duplicates, and refused ones with their reason."""

from collections.abc import Sequence
from typing import NamedTuple

from app.errors import NotFound
from app.store import database
from app.store.database import execute, id_list, in_list
from app.store.exchanges import _STATUS

STATES = ("accepted", "extracted", "logged", "evaluated", "failed", "discarded", "rejected", "duplicate")


class BatchRow(NamedTuple):
    """A batch and how far it is. size = rejected + duplicates + pending + failed + discarded + evaluated."""

    id: int
    batch_id: str
    received_at: int
    size: int
    rejected: int
    duplicates: int
    pending: int
    failed: int
    discarded: int
    evaluated: int

    @property
    def accepted(self) -> int:
        """Items that were accepted, duplicates included."""
        return self.size - self.rejected


class BatchItem(NamedTuple):
    """One item's result; `state` is one of STATES."""

    position: int
    #: None where a refused item had none, or the exchange that it was a duplicate of has expired.
    request_id: str | None
    state: str
    error_code: str | None
    detail: str | None
    pointer: str | None


class BatchPage(NamedTuple):
    rows: list[BatchRow]
    next_cursor: int | None


class ItemPage(NamedTuple):
    rows: list[BatchItem]
    next_cursor: int | None


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> BatchPage:
    """Return a project's batches, newest first."""
    below = "" if cursor is None else "AND id < ?"
    with database.session():
        rows = execute(
            f"SELECT id, batch_id, received_at, size FROM batch WHERE project_id = ? {below} ORDER BY id DESC LIMIT ?",
            [project_id, *([] if cursor is None else [cursor]), limit + 1],
        )
        found = _counted(rows[:limit])
    return BatchPage(found, found[-1].id if len(rows) > limit else None)


def get(project_id: int, batch_id: str) -> BatchRow:
    """Return one batch. Raises NotFound when the project has none of that id."""
    with database.session():
        rows = execute(
            "SELECT id, batch_id, received_at, size FROM batch WHERE batch_id = ? AND project_id = ?",
            [batch_id, project_id],
        )
        if not rows:
            raise NotFound(f"no batch {batch_id[:255]}")
        return _counted(rows)[0]


def items(batch: int, *, state: str | None = None, limit: int = 50, cursor: int | None = None) -> ItemPage:
    """Return a batch's items in the order they were sent; `state` keeps one of STATES."""
    with database.session():
        rows = execute(
            f"""SELECT * FROM (
                    SELECT e.batch_position AS place, e.request_id, {_STATUS} AS state, NULL, f.reason, NULL
                      FROM exchange e LEFT JOIN pending p ON p.exchange_id = e.id
                           LEFT JOIN failure f ON f.exchange_id = e.id
                     WHERE e.batch = ? AND e.batch_position > ?
                    UNION ALL
                    SELECT r.position, r.request_id, 'rejected', r.error_code, r.detail, r.pointer
                      FROM rejection r WHERE r.batch = ? AND r.position > ?
                    UNION ALL
                    SELECT d.position, e.request_id, 'duplicate', NULL, NULL, NULL
                      FROM duplicate d LEFT JOIN exchange e ON e.id = d.exchange_id WHERE d.batch = ? AND d.position > ?
                ) AS item WHERE ? = '' OR state = ? ORDER BY place LIMIT ?""",
            [*[batch, -1 if cursor is None else cursor] * 3, state or "", state or "", limit + 1],
        )
    found = [BatchItem(*row) for row in rows[:limit]]
    return ItemPage(found, found[-1].position if len(rows) > limit else None)


def _counted(rows: Sequence[tuple[int, str, int, int]]) -> list[BatchRow]:
    ids = [row[0] for row in rows]
    own = "SELECT batch, count(*) FROM {} WHERE {{}} GROUP BY batch"
    joined = "SELECT e.batch, count(*) FROM {} x JOIN exchange e ON e.id = x.exchange_id WHERE {{}} {} GROUP BY e.batch"
    groups = {
        "rejected": _count(own.format("rejection"), "batch", ids),
        "duplicates": _count(own.format("duplicate"), "batch", ids),
        "pending": _count(joined.format("pending", ""), "e.batch", ids),
        "failed": _count(joined.format("failure", "AND x.discarded_at IS NULL"), "e.batch", ids),
        "discarded": _count(joined.format("failure", "AND x.discarded_at IS NOT NULL"), "e.batch", ids),
    }
    found = []
    for number, batch_id, received_at, size in rows:
        counts = {name: group.get(number, 0) for name, group in groups.items()}
        evaluated = size - sum(counts.values())
        found.append(BatchRow(number, batch_id, received_at, size, **counts, evaluated=evaluated))
    return found


def _count(sql: str, column: str, ids: Sequence[int]) -> dict[int, int]:
    return dict(execute(sql.format(in_list(column)), [id_list(ids)]))
