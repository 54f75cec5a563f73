"""Own prices and the worklist over the API, and the cost of an exchange as it is read."""

from typing import Any

import pytest

from tests.conftest import Api
from tests.helpers import accept, item, sql, work

pytestmark = pytest.mark.backend

RATES = {"uncached_input": 1.0, "output_text": 2.0}


async def create(api: Api, **changes: Any) -> Any:
    body = {"model": "gpt-4o*", "usd_per_million_tokens": RATES, **changes}
    return await api.post("/api/v1/prices", json=body, role="admin")


async def get(api: Api, path: str) -> Any:
    answer = await api.get(path)
    assert answer.status_code == 200
    return await answer.get_json()


def priced(**changes: Any) -> None:
    accept(item(**changes))
    work()


async def test_a_price_is_read_back_as_it_was_made(api: Api) -> None:
    answer = await create(api, provider="openai", valid_from="2026-06-01")

    made = await answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/prices/{made['id']}"
    assert (
        made.items()
        >= {
            "provider": "openai",
            "model": "gpt-4o*",
            "valid_from": "2026-06-01T00:00:00.000Z",
            "usd_per_million_tokens": RATES,
        }.items()
    )
    assert await get(api, f"/api/v1/prices/{made['id']}") == made
    assert await get(api, "/api/v1/prices") == {"data": [made], "next_cursor": None}


async def test_a_removed_price_is_gone(api: Api) -> None:
    price_id = (await (await create(api)).get_json())["id"]

    answers = [await api.call("DELETE", f"/api/v1/prices/{price_id}", role="admin") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert (await get(api, "/api/v1/prices"))["data"] == []


async def test_who_changes_a_price_is_audited_by_key(api: Api) -> None:
    await create(api)

    ((actor,),) = sql("SELECT actor FROM audit_entry WHERE action = 'price.created'")
    assert actor.startswith("key:")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"model": ""}, "/model"),
        ({"model": "a\0b"}, "/model"),
        ({"model": "x" * 201}, "/model"),
        ({"provider": ""}, "/provider"),
        ({"provider": 7}, "/provider"),
        ({"valid_from": "yesterday"}, "/valid_from"),
        ({"usd_per_million_tokens": {"uncached_input": 1}}, "/usd_per_million_tokens"),
        ({"usd_per_million_tokens": RATES | {"input": 1}}, "/usd_per_million_tokens"),
        ({"usd_per_million_tokens": RATES | {"cache_read": -1}}, "/usd_per_million_tokens/cache_read"),
        ({"usd_per_million_tokens": RATES | {"cache_read": 1e9}}, "/usd_per_million_tokens/cache_read"),
        ({"usd_per_million_tokens": RATES | {"cache_read": "1"}}, "/usd_per_million_tokens/cache_read"),
    ],
)
async def test_a_wrong_price_is_refused_with_its_place(api: Api, changes: dict[str, Any], pointer: str) -> None:
    answer = await create(api, **changes)

    assert answer.status_code == 422
    assert (await answer.get_json())["errors"][0]["pointer"] == pointer


async def test_an_exchange_says_what_it_cost_and_why(api: Api) -> None:
    priced(request_id="a")

    log = await get(api, "/api/v1/logs/a")

    assert (log["unpriced"], log["unpriced_reason"], log["extractor_version"]) == (False, None, 1)
    assert log["cost_usd"] == pytest.approx(10 * 0.15e-6 + 5 * 0.6e-6, abs=1e-12)
    assert log["cost"] == {
        "price_source": "genai-prices",
        "price_version": "0.2.3",
        "matched_model": "gpt-4o-mini",
        "lines": [
            {"bucket": "uncached_input", "tokens": 10, "usd": pytest.approx(1.5e-6)},
            {"bucket": "output_text", "tokens": 5, "usd": pytest.approx(3e-6)},
        ],
    }
    assert sum(line["usd"] for line in log["cost"]["lines"]) == log["cost_usd"]
    assert log["usage"]["input_tokens_total"] == 10
    assert (log["buckets"]["uncached_input"], log["buckets"]["output_text"], log["buckets"]["odd"]) == (10, 5, False)


async def test_an_exchange_that_waits_has_no_cost_yet(api: Api) -> None:
    accept(item(request_id="a"))

    log = await get(api, "/api/v1/logs/a")

    assert (log["cost_usd"], log["cost"], log["unpriced"], log["extractor_version"]) == (None, None, False, None)


async def test_the_price_of_the_day_of_the_call_holds(api: Api) -> None:
    await create(api, valid_from="2026-06-01")
    priced(request_id="before", started_at="2026-05-31T23:59:59Z")
    priced(request_id="after", started_at="2026-06-01T00:00:00Z")

    costs = [(await get(api, f"/api/v1/logs/{name}"))["cost_usd"] for name in ("before", "after")]

    assert costs == [pytest.approx(10 * 0.15e-6 + 5 * 0.6e-6), pytest.approx(10 * 1e-6 + 5 * 2e-6)]


async def test_what_has_no_price_is_null_on_the_worklist_and_found(api: Api) -> None:
    for number in range(2):
        priced(request_id=f"a{number}", request_body={"model": "mine"}, provider="me")
    priced(request_id="b", response_body={"choices": [{"message": {"content": "x"}}]})
    priced(request_id="c")

    work_list = await get(api, "/api/v1/unpriced")
    found = (await get(api, "/api/v1/logs?q=is:unpriced"))["data"]

    assert [(row["request_id"], row["cost_usd"], row["unpriced"]) for row in found] == [
        ("b", None, True),
        ("a1", None, True),
        ("a0", None, True),
    ]
    assert [(g["provider"], g["model"], g["reason"], g["exchanges"]) for g in work_list["data"]] == [
        ("me", "mine", "no price for model mine at provider me", 2),
        ("openai", "gpt-4o-mini", "no usage reported", 1),
    ]
    first, last = [await get(api, f"/api/v1/logs/a{n}") for n in range(2)]
    group = work_list["data"][0]
    assert (group["first_seen"], group["last_seen"]) == (first["received_at"], last["received_at"])
    assert work_list["complete"] is True


async def test_the_worklist_says_when_it_did_not_look_at_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.logs.MAX_UNPRICED", 1)
    for number in range(2):
        priced(request_body={"model": f"m{number}"})

    work_list = await get(api, "/api/v1/unpriced")

    assert ([group["model"] for group in work_list["data"]], work_list["complete"]) == (["m1"], False)


async def test_exchanges_are_found_by_cost(api: Api) -> None:
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    priced(request_id="dear", response_body={"choices": [{"message": {"content": "x"}}], "usage": usage})
    priced(request_id="cheap")
    priced(request_id="unknown", request_body={"model": "mine"})

    async def found(query: str) -> list[str]:
        rows = (await get(api, f"/api/v1/logs?q={query}"))["data"]
        return [row["request_id"] for row in rows]

    assert await found("cost:%3E0.1") == ["dear"]
    assert await found("cost:%3C0.1") == ["cheap"]
    assert await found("cost:0..1") == ["cheap", "dear"]
    assert await found("-cost:%3E0") == ["unknown"]


async def test_counts_that_do_not_add_up_are_flagged(api: Api) -> None:
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    priced(request_id="odd", response_body={"choices": [{"message": {"content": "x"}}], "usage": usage})

    rows = (await get(api, "/api/v1/logs?q=is:odd"))["data"]

    assert [(row["request_id"], row["flags"], row["unpriced"]) for row in rows] == [("odd", ["odd"], True)]
