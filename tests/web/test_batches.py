"""Batches over the API."""

import pytest

from app.store.batches import STATES
from tests.conftest import Api
from tests.helpers import item, work

pytestmark = pytest.mark.backend


async def ingest(api: Api, *items: object) -> str:
    told = await (await api.post("/api/v1/ingest/batch", json={"exchanges": items})).get_json(force=True)
    return str(told["batch_id"])


async def test_a_batch_shows_progress_and_every_item(api: Api) -> None:
    batch_id = await ingest(api, item(request_id="a"), item(request_id="b", status_code=1), item(request_id="a"))
    work()

    batch = await (await api.get(f"/api/v1/batches/{batch_id}", role="viewer")).get_json()

    counts = {
        name: batch[name] for name in ("size", "accepted", "rejected", "duplicates", "pending", "failed", "evaluated")
    }
    assert counts == {
        "size": 3, "accepted": 2, "rejected": 1, "duplicates": 1, "pending": 0, "failed": 0, "evaluated": 1,
    }  # fmt: skip
    assert [(i["index"], i["request_id"], i["state"]) for i in batch["items"]] == [
        (0, "a", "evaluated"), (1, "b", "rejected"), (2, "a", "duplicate"),
    ]  # fmt: skip
    assert (batch["items"][1]["error"]["error_code"], batch["items"][1]["error"]["pointer"]) == (
        "out_of_range", "/status_code",
    )  # fmt: skip
    assert batch["items"][0]["error"] is None


async def test_items_can_be_asked_for_by_state(api: Api) -> None:
    batch_id = await ingest(api, item(), {}, item())

    for state in STATES:
        batch = await (await api.get(f"/api/v1/batches/{batch_id}?state={state}")).get_json()

        expected = {"accepted": [0, 2], "rejected": [1]}.get(state, [])
        assert [i["index"] for i in batch["items"]] == expected


async def test_items_are_paged(api: Api) -> None:
    batch_id = await ingest(api, *[item() for _ in range(5)])

    first = await (await api.get(f"/api/v1/batches/{batch_id}?limit=3")).get_json()
    rest = await (await api.get(f"/api/v1/batches/{batch_id}?limit=3&cursor={first['next_cursor']}")).get_json()

    assert [i["index"] for i in first["items"] + rest["items"]] == [0, 1, 2, 3, 4]
    assert rest["next_cursor"] is None


async def test_batches_are_listed_newest_first(api: Api) -> None:
    made = [await ingest(api, item()) for _ in range(3)]

    first = await (await api.get("/api/v1/batches?limit=2")).get_json()
    rest = await (await api.get(f"/api/v1/batches?limit=2&cursor={first['next_cursor']}")).get_json()

    assert [batch["batch_id"] for batch in first["data"] + rest["data"]] == made[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("batch_id", ["nothing", "%00", "x" * 1000, "😀", "a'b"])
async def test_a_batch_that_is_not_there_is_not_found(api: Api, batch_id: str) -> None:
    assert (await api.get(f"/api/v1/batches/{batch_id}")).status_code == 404
