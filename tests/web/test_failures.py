"""The failure inbox over the API and on its pages."""

import pytest

from app.store import failures, pending
from app.store.models import Step
from tests.conftest import Api
from tests.helpers import accept, item, sql, work

pytestmark = pytest.mark.backend


def park(*request_ids: str, error: str = "ValueError") -> str:
    for exchange_id in accept(*[item(request_id=request_id) for request_id in request_ids]):
        pending.claim([exchange_id], Step.EXTRACT)
        failures.park(exchange_id, Step.EXTRACT, error=error, reason="cannot", traceback="Traceback …")
    return failures.fingerprint("extract", error, None, "openai")


async def test_the_inbox_shows_each_cause_with_count_times_and_sample(api: Api) -> None:
    cause = park("a", "b")
    park("c", error="KeyError")

    told = await (await api.get("/api/v1/failures")).get_json()

    assert (len(told["data"]), told["next_cursor"], told["truncated"]) == (2, None, False)
    group = next(one for one in told["data"] if one["fingerprint"] == cause)
    assert (group["step"], group["error"], group["provider"], group["shape"]) == (
        "extract",
        "ValueError",
        "openai",
        None,
    )
    assert (group["count"], group["reason"], group["sample_request_id"]) == (2, "cannot", "b")
    assert group["first_seen"] <= group["last_seen"]


async def test_a_cause_shows_its_exchanges_page_by_page(api: Api) -> None:
    cause = park("a", "b", "c")

    first = await (await api.get(f"/api/v1/failures/{cause}?limit=2")).get_json()
    second = await (await api.get(f"/api/v1/failures/{cause}?limit=2&cursor={first['next_cursor']}")).get_json()

    assert [one["request_id"] for one in first["items"] + second["items"]] == ["c", "b", "a"]
    assert (first["count"], second["next_cursor"], first["items"][0]["attempts"]) == (3, None, 1)


async def test_a_cause_is_retried_and_comes_to_its_end(api: Api) -> None:
    cause = park("a", "b")

    answer = await api.post(f"/api/v1/failures/{cause}/retries")

    assert (answer.status_code, await answer.get_json()) == (202, {"retried": 2})
    work()
    assert {(await _status(api, one)) for one in ("a", "b")} == {"evaluated"}
    assert (await api.post(f"/api/v1/failures/{cause}/retries")).status_code == 404


async def test_everything_is_retried(api: Api) -> None:
    park("a")
    park("b", error="KeyError")

    answer = await api.post("/api/v1/failures/retries")

    assert (answer.status_code, await answer.get_json()) == (202, {"retried": 2})
    assert (await (await api.post("/api/v1/failures/retries")).get_json()) == {"retried": 0}


async def test_a_cause_is_discarded_and_its_exchanges_say_so(api: Api) -> None:
    cause = park("a", "b")

    answer = await api.post(f"/api/v1/failures/{cause}/discards")

    assert (answer.status_code, await answer.get_json()) == (200, {"discarded": 2})
    assert await _status(api, "a") == "discarded"
    rows = await (await api.get("/api/v1/logs?q=is:discarded")).get_json()
    assert {row["request_id"] for row in rows["data"]} == {"a", "b"}
    assert (await (await api.get("/api/v1/logs?q=is:failed")).get_json())["data"] == []


async def test_one_exchange_is_discarded_and_brought_back(api: Api) -> None:
    park("a", "b")

    discarded = await api.post("/api/v1/logs/a/discards")
    again = await api.post("/api/v1/logs/a/discards")
    retried = await api.post("/api/v1/logs/a/retries")

    assert (discarded.status_code, (await discarded.get_json())["status"]) == (200, "discarded")
    assert (again.status_code, (await again.get_json())["error_code"]) == (409, "not_failed")
    assert (retried.status_code, (await retried.get_json())["status"]) == (202, "accepted")


async def test_a_batch_counts_what_was_discarded(api: Api) -> None:
    body = {"exchanges": [item(request_id="a"), item(request_id="b"), item(request_id="c")]}
    batch_id = (await (await api.post("/api/v1/ingest/batch", json=body)).get_json())["batch_id"]
    (first, second, _) = (row[0] for row in sql("SELECT id FROM exchange ORDER BY id"))
    for exchange_id in (first, second):
        pending.claim([exchange_id], Step.EXTRACT)
        failures.park(exchange_id, Step.EXTRACT, error="E", reason="r", traceback=None)
    await api.post("/api/v1/logs/a/discards")

    told = await (await api.get(f"/api/v1/batches/{batch_id}")).get_json()

    assert (told["size"], told["pending"], told["failed"], told["discarded"], told["evaluated"]) == (3, 1, 1, 1, 0)
    assert [one["state"] for one in told["items"]] == ["discarded", "failed", "accepted"]


async def test_the_audit_trail_says_who_did_what(api: Api) -> None:
    cause = park("a")
    await api.post(f"/api/v1/failures/{cause}/discards")

    told = await (await api.get("/api/v1/audit?limit=1", role="admin")).get_json()

    member = sql("SELECT id FROM api_key WHERE name = 'member'")[0][0]
    (entry,) = told["data"]
    assert (entry["actor"], entry["action"]) == (f"key:{member}", "failure.discarded")
    assert entry["subject"] == f"fingerprint:{cause} (1)"
    older = await (await api.get(f"/api/v1/audit?cursor={told['next_cursor']}", role="admin")).get_json()
    assert {one["action"] for one in older["data"]} == {"key.created"}


async def _status(api: Api, request_id: str) -> str:
    return str((await (await api.get(f"/api/v1/ingest/{request_id}")).get_json())["status"])
