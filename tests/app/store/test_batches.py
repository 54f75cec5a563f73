"""Batches: progress that adds up, and every item in the order it was sent."""

from collections.abc import Callable

import pytest

from app.errors import NotFound
from app.store import batches, failures, pending
from app.store.accept import store as store_submissions
from app.store.batches import STATES
from app.store.models import Step
from tests.helpers import accept, item, sql, submission, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def mixed() -> tuple[batches.BatchRow, list[int]]:
    """A batch of accepted, refused, duplicate and conflicting items, in that order, twice."""
    accept(item(request_id="old"))
    one = [item(request_id="new-1"), item(status_code=1), item(request_id="old"), item(request_id="old", method="PUT")]
    two = [item(request_id="new-2"), b"7", item(request_id="new-1"), item(request_id="new-1", method="PUT")]
    (receipt,), ids = store_submissions([submission(*one, *two, batch=True)])
    assert receipt.batch_id is not None
    return batches.get(project(), receipt.batch_id), ids


def test_a_batch_tells_what_became_of_every_item() -> None:
    batch, _ = mixed()

    assert (batch.size, batch.rejected, batch.duplicates, batch.pending, batch.accepted) == (8, 4, 2, 2, 4)
    states = [(i.position, i.state, i.error_code) for i in batches.items(batch.id).rows]
    assert states == [
        (0, "accepted", None),
        (1, "rejected", "out_of_range"),
        (2, "duplicate", None),
        (3, "rejected", "request_id_conflict"),
        (4, "accepted", None),
        (5, "rejected", "wrong_type"),
        (6, "duplicate", None),
        (7, "rejected", "request_id_conflict"),
    ]


def _accepted(ids: list[int]) -> None:
    pass


def _extracted(ids: list[int]) -> None:
    sql("UPDATE pending SET step = 1")


def _logged(ids: list[int]) -> None:
    sql("UPDATE pending SET step = 2")


def _evaluated(ids: list[int]) -> None:
    work()


def _failed(ids: list[int]) -> None:
    for exchange_id in ids:
        pending.claim([exchange_id], Step.EXTRACT)
        failures.park(exchange_id, Step.EXTRACT, error="E", reason="why", traceback=None)


@pytest.mark.parametrize("to", [_accepted, _extracted, _logged, _evaluated, _failed])
def test_items_are_found_by_each_state_and_the_counts_add_up(to: Callable[[list[int]], None]) -> None:
    batch, ids = mixed()

    to(ids)

    state = to.__name__.lstrip("_")
    found = {name: [i.position for i in batches.items(batch.id, state=name).rows] for name in STATES}
    assert found == {name: [] for name in STATES} | {"rejected": [1, 3, 5, 7], "duplicate": [2, 6], state: [0, 4]}
    now = batches.get(project(), batch.batch_id)
    assert now.size == now.rejected + now.duplicates + now.pending + now.failed + now.evaluated
    assert (now.evaluated, now.failed) == (2 * (state == "evaluated"), 2 * (state == "failed"))


def test_items_are_paged_without_gaps() -> None:
    batch, _ = mixed()
    found, cursor = [], None

    for _ in range(3):
        page = batches.items(batch.id, limit=3, cursor=cursor)
        found += [i.position for i in page.rows]
        cursor = page.next_cursor

    assert found == list(range(8))
    assert cursor is None


def test_batches_are_listed_newest_first_page_by_page() -> None:
    made = [store_submissions([submission(item(), batch=True)])[0][0].batch_id for _ in range(5)]
    found, cursor = [], None

    for _ in range(3):
        page = batches.page(project(), limit=2, cursor=cursor)
        found += [row.batch_id for row in page.rows]
        cursor = page.next_cursor

    assert found == made[::-1]
    assert cursor is None


def test_another_projects_batch_is_not_found() -> None:
    (receipt,), _ = store_submissions([submission(item(), batch=True, project_id=99)])
    accept(item())

    with pytest.raises(NotFound):
        batches.get(project(), receipt.batch_id or "")
    assert batches.page(project()).rows == []
