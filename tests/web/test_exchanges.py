"""Exchanges as they are read over the API."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from app.store import failures, pending
from app.store.models import Step
from tests.conftest import Api
from tests.helpers import accept, encoded, item, sql, work

pytestmark = pytest.mark.backend


async def ids(api: Api, query: str = "") -> list[str]:
    answer = await api.get(f"/api/v1/logs{query}")
    assert answer.status_code == 200, await answer.get_data()
    return [row["request_id"] for row in (await answer.get_json())["data"]]


async def test_an_exchange_is_read_with_all_the_rest(api: Api) -> None:
    accept(
        item(
            request_id="a", tags={"user_id": "u", "team": "x"}, metadata={"mine": 1}, started_at="2026-01-02T03:04:05Z"
        )
    )
    work()

    log = await (await api.get("/api/v1/logs/a", role="viewer")).get_json()

    assert (log["status"], log["extraction"], log["shape"]) == ("evaluated", "extracted", "openai_chat")
    assert (log["model"], log["prompt"], log["completion"]) == ("gpt-4o-mini", "Hello", "Hi there!")
    assert log["token_count"] == {"prompt": 10, "completion": 5, "total": None}
    assert (log["user_id"], log["tags"], log["metadata"]["client"]) == ("u", {"team": "x"}, {"mine": 1})
    assert (log["started_at"], log["metadata"]["finish_reason"]) == ("2026-01-02T03:04:05.000Z", "stop")
    assert (log["request_body"], log["response_body"]) == (item()["request_body"], item()["response_body"])
    assert (log["failure"], log["scores"]) == (None, [])


async def test_bodies_can_be_left_out(api: Api) -> None:
    accept(item(request_id="a"))

    log = await (await api.get("/api/v1/logs/a?bodies=false")).get_json()

    assert not {"request_body", "response_body"} & set(log)


async def test_an_exchange_can_be_read_before_it_is_logged(api: Api) -> None:
    accept(item(request_id="a"))

    log = await (await api.get("/api/v1/logs/a")).get_json()

    assert (log["status"], log["prompt"], log["prompt_preview"]) == ("accepted", "Hello", None)


async def test_raw_bytes_are_the_bytes_that_came(api: Api) -> None:
    raw = b'{ "request_id" : "a",\n "prompt":"\\ud83d\\u0000", "n": 1.10 }'
    accept(raw)

    answer = await api.get("/api/v1/logs/a/raw")

    assert (await answer.get_data(), answer.mimetype) == (raw, "application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_credentials_are_gone_from_all_that_is_read(api: Api) -> None:
    headers = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Accept": "*/*"}
    await api.post(
        "/api/v1/ingest", json=item(request_id="a", request_headers=headers, response_headers={"Set-Cookie": "s3cret"})
    )
    work()

    for path in ("/api/v1/logs/a", "/api/v1/logs/a/raw", "/api/v1/logs"):
        assert b"s3cret" not in await (await api.get(path)).get_data()
    assert json.loads(await (await api.get("/api/v1/logs/a/raw")).get_data())["request_headers"] == {"Accept": "*/*"}


async def test_pages_hold_every_exchange_once(api: Api) -> None:
    accept(*[item(request_id=f"r{n}") for n in range(7)])
    found, query = [], "?limit=3"

    for _ in range(3):
        page = await (await api.get(f"/api/v1/logs{query}")).get_json()
        found += [row["request_id"] for row in page["data"]]
        query = f"?limit=3&cursor={page['next_cursor']}"

    assert found == [f"r{n}" for n in range(6, -1, -1)]
    assert page["next_cursor"] is None


async def test_lists_are_filtered_by_query_and_by_parameter(api: Api) -> None:
    accept(item(request_id="a"), item(request_id="b", status_code=500), item(request_id="c", provider="x y"))
    work()

    assert await ids(api, "?q=status:500") == await ids(api, "?status=5xx") == ["b"]
    assert await ids(api, "?model=gpt-4o*&provider=openai&status=200") == ["a"]
    assert await ids(api, "?provider=x%20y") == ["c"]
    assert await ids(api, "?q=" + quote('provider:"x y"')) == ["c"]
    assert await ids(api, "?model=&q=") == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("from=2026-01-02T00:00:00Z", ["late"]),
        ("to=2026-01-02T00:00:00Z", ["early"]),
        ("from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z", ["late", "early"]),
        ("from=2026-01-02", ["late"]),
        ("from=2026-01-02T00:00:00", ["late"]),
        ("from=2026-01-02T02:00:00%2B02:00", ["late"]),
        ("from=2026-01-02T02:00:00+02:00", ["late"]),
        ("from=2026-01-01T19:00:00-05:00", ["late"]),
        ("from=2026-01-02T00:00:00.001Z", []),
        ("from=0001-01-01T00:00:00%2B23:59&to=9999-12-31T23:59:59-23:59", ["late", "early"]),
    ],
)
async def test_a_window_is_rfc_3339_and_utc_without_a_zone(api: Api, query: str, found: list[str]) -> None:
    accept(item(request_id="early"), item(request_id="late"))
    sql("UPDATE exchange SET received_at = 1767225600000 WHERE request_id = 'early'")
    sql("UPDATE exchange SET received_at = 1767312000000 WHERE request_id = 'late'")

    assert await ids(api, f"?{query}") == found


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("0999-12-31T23:59:59.999Z", "0999-12-31T23:59:59.999Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
async def test_moments_of_any_year_are_shown_as_rfc_3339(api: Api, sent: str, shown: str) -> None:
    accept(item(request_id="a", started_at=sent))

    assert (await (await api.get("/api/v1/logs/a")).get_json())["started_at"] == shown


async def test_a_failed_exchange_says_why_and_is_retried_from_there(api: Api) -> None:
    (exchange_id,) = accept(encoded(request_id="a"))
    pending.claim([exchange_id], Step.EXTRACT)
    failures.park(exchange_id, Step.EXTRACT, error="ValueError", reason="no such thing", traceback="Traceback …")

    log = await (await api.get("/api/v1/logs/a")).get_json()
    again: list[Any] = [await api.post("/api/v1/logs/a/retries") for _ in range(2)]
    work()

    assert log["failure"] == {"step": "extract", "reason": "no such thing", "traceback": "Traceback …"}
    assert [answer.status_code for answer in again] == [202, 409]
    assert await again[0].get_json() == {"request_id": "a", "status": "accepted"}
    assert (await (await api.get("/api/v1/ingest/a")).get_json())["status"] == "evaluated"


async def test_only_a_failed_exchange_can_be_retried(api: Api) -> None:
    accept(item(request_id="a"))

    answer = await api.post("/api/v1/logs/a/retries")

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (409, "not_failed")


async def test_an_item_that_cannot_be_read_back_hides_nothing_else(api: Api) -> None:
    await api.post("/api/v1/ingest", json=item(request_id="a"))
    work()
    sql("UPDATE payload SET codec = 91")

    detail = await api.get("/api/v1/logs/a")
    raw = await api.get("/api/v1/logs/a/raw")

    told = await detail.get_json()
    assert (detail.status_code, told["status"], told["prompt_preview"]) == (200, "evaluated", "Hello")
    assert "unknown payload codec 91" in told["reason"]
    assert (raw.status_code, (await raw.get_json(force=True))["error_code"]) == (500, "unreadable")
