"""Usage, sessions and users over the API: what live calls add up to, and what cannot be asked."""

from typing import Any

import pytest

from tests.conftest import Api
from tests.helpers import accept, item, sql, work
from tests.web.test_openapi import problems

pytestmark = pytest.mark.backend

DAY = {"since": "2024-02-28T23:30:00Z", "until": "2024-03-01T01:30:00Z"}
AT = "2024-02-29T12:34:56Z"


async def ask(api: Api, path: str, **query: Any) -> Any:
    answer = await api.get(f"/api/v1/{path}", role="viewer", query_string=query)
    assert answer.status_code == 200, await answer.get_data()
    return await answer.get_json()


async def refused(api: Api, path: str, **query: Any) -> tuple[int, str, str]:
    answer = await api.get(f"/api/v1/{path}", role="viewer", query_string=query)
    body = await answer.get_json()
    return answer.status_code, body["error_code"], body["errors"][0]["pointer"]


def call(**changes: Any) -> dict[str, Any]:
    return item(**{"started_at": AT, **changes})


async def test_a_summary_adds_up_what_was_called_in_a_time(api: Api) -> None:
    accept(call(latency_ms=100), call(latency_ms=300), call(status_code=500, response_body={"error": {}}))
    accept(call(started_at="2024-02-28T22:59:59Z"), call(started_at="2024-03-01T02:00:00Z"))
    work()

    found = await ask(api, "usage/summary", **DAY)

    assert {name: found[name] for name in ("since", "until")} == {
        "since": "2024-02-28T23:00:00.000Z",
        "until": "2024-03-01T02:00:00.000Z",
    }
    assert (found["total_requests"], found["total_errors"], found["error_rate"]) == (3, 1, pytest.approx(1 / 3))
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (20, 10)
    assert (found["total_cost_usd"], found["priced_requests"], found["unpriced_requests"]) == (9e-6, 2, 0)
    assert found["avg_latency_ms"] == pytest.approx((100 + 300 + 432) / 3, abs=0.001)
    assert found["p50_latency_ms"] == pytest.approx(300, rel=0.091)
    assert found["p99_latency_ms"] == pytest.approx(432, rel=0.091)


async def test_what_nobody_says_is_null_and_no_calls_are_none(api: Api) -> None:
    accept({"prompt": "x"})
    work()

    found = await ask(api, "usage/summary")
    nothing = await ask(api, "usage/summary", **DAY)

    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {
        "total_input_tokens", "total_output_tokens", "total_tokens", "cached_tokens", "cache_creation_tokens",
        "reasoning_tokens", "total_cost_usd", "avg_latency_ms", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
    }  # fmt: skip
    assert (found["total_requests"], found["error_rate"], nothing["total_requests"]) == (1, 0, 0)
    assert (nothing["total_cost_usd"], nothing["total_input_tokens"], nothing["error_rate"]) == (0, 0, None)


async def test_money_is_never_rounded_to_nothing(api: Api) -> None:
    body = {"usage": {"prompt_tokens": 1, "completion_tokens": 0}, "choices": [{"message": {"content": "x"}}]}
    accept(call(response_body=body))
    work()

    assert (await ask(api, "usage/summary", **DAY))["total_cost_usd"] == pytest.approx(1.5e-7)


@pytest.mark.parametrize(("granularity", "points"), [("hour", 27), ("day", 3)])
async def test_a_series_has_every_period(api: Api, granularity: str, points: int) -> None:
    accept(call(), call(), call(started_at="2024-02-29T23:59:59.999Z", request_body={"model": "other"}))
    work()

    found = await ask(api, "usage/timeseries", granularity=granularity, model="gpt-4o-mini", **DAY)

    assert len(found["data"]) == points
    assert [(p["at"][:13], p["total_requests"]) for p in found["data"] if p["total_requests"]] == [
        ("2024-02-29T12" if granularity == "hour" else "2024-02-29T00", 2)
    ]
    assert found["data"][0]["at"] == found["since"]


async def test_a_summary_of_days_and_hours_is_that_of_its_hours(api: Api) -> None:
    accept(*[call(started_at=f"2024-02-{day:02}T{hour:02}:30:00Z") for day in (27, 28, 29) for hour in (0, 11, 23)])
    work()

    for since, until in (("27T11", "29T12"), ("27T00", "29T00"), ("28T12", "28T23"), ("28T12", "29T11")):
        window = {"since": f"2024-02-{since}:00:00Z", "until": f"2024-02-{until}:00:00Z"}
        hours = (await ask(api, "usage/timeseries", granularity="hour", **window))["data"]

        found = await ask(api, "usage/summary", **window)

        assert found["total_requests"] == sum(point["total_requests"] for point in hours)
        assert (found["since"], found["until"]) == (window["since"][:-1] + ".000Z", window["until"][:-1] + ".000Z")


@pytest.mark.parametrize(
    ("by", "values"),
    [
        ("model", [("gpt-4o-mini", 2), ("other", 1), (None, 1)]),
        ("provider", [("openai", 3), (None, 1)]),
        ("status", [("2xx", 2), (None, 1), ("4xx", 1)]),
        ("key", [(None, 4)]),
        ("user_id", [("a", 2), ("b", 1)]),
        ("session_id", [("s", 3)]),
    ],
)
async def test_a_breakdown_has_the_most_frequent_first(api: Api, by: str, values: list[tuple[str | None, int]]) -> None:
    accept(
        call(tags={"user_id": "a", "session_id": "s"}),
        call(tags={"user_id": "b", "session_id": "s"}),
        call(tags={"user_id": "a", "session_id": "s"}, request_body={"model": "other"}, status_code=429),
        {"prompt": "x", "started_at": AT},
    )
    work()

    found = await ask(api, "usage/breakdown", by=by, **DAY)
    first = await ask(api, "usage/breakdown", by=by, limit=1, **DAY)

    assert sorted(((g["value"], g["total_requests"]) for g in found["data"]), key=str) == sorted(values, key=str)
    assert [g["total_requests"] for g in found["data"]] == sorted((n for _, n in values), reverse=True)
    assert (found["truncated"], first["truncated"], first["data"]) == (False, len(values) > 1, found["data"][:1])


async def test_users_and_sessions_have_totals_of_their_own(api: Api) -> None:
    accept(call(tags={"user_id": "a", "session_id": "s"}), call(tags={"user_id": "a"}), call(tags={"user_id": "b"}))
    work()

    user = await ask(api, "usage/summary", user_id="a", **DAY)
    session = await ask(api, "usage/summary", session_id="s")
    days = await ask(api, "usage/timeseries", user_id="a", **DAY)

    assert (user["total_requests"], user["since"], user["until"]) == (
        2, "2024-02-28T00:00:00.000Z", "2024-03-02T00:00:00.000Z",
    )  # fmt: skip
    assert (session["total_requests"], session["since"]) == (1, "2024-02-29T12:34:56.000Z")
    assert [point["total_requests"] for point in days["data"]] == [0, 2, 0]
    assert (user["p50_latency_ms"], user["unpriced_requests"], user["avg_latency_ms"]) == (None, None, 432)
    assert (await ask(api, "usage/summary", user_id="nobody", **DAY))["total_requests"] == 0


async def test_pages_of_sessions_hold_each_once_the_latest_first(api: Api) -> None:
    sessions = ["a", "b.c", "d", "é"]
    accept(
        *[call(tags={"session_id": s}, started_at=f"2024-02-2{min(n, 2)}T00:00:00Z") for n, s in enumerate(sessions)]
    )
    work()

    seen, cursor = [], ""
    while cursor is not None:
        page = await ask(api, "sessions", limit=1, cursor=cursor)
        seen += [one["session_id"] for one in page["data"]]
        cursor = page["next_cursor"]

    assert sorted(seen) == sorted(sessions)
    assert seen[2:] == ["b.c", "a"]
    one = await ask(api, "sessions/a")
    assert (one["first_at"], one["total_requests"]) == ("2024-02-20T00:00:00.000Z", 1)


async def test_a_user_has_the_days_of_a_time(api: Api) -> None:
    accept(call(tags={"user_id": "a"}), call(tags={"user_id": "a"}, started_at="2024-02-28T23:45:00Z"))
    work()

    found = await ask(api, "users/a", **DAY)

    assert [(day["at"][:10], day["total_requests"]) for day in found["days"]] == [("2024-02-28", 1), ("2024-02-29", 1)]
    assert (found["total_requests"], found["total_cost_usd"]) == (2, 9e-6)


@pytest.mark.parametrize("path", ["sessions/nothing", "users/nothing", "usage/summary?session_id=nothing"])
async def test_what_was_never_called_is_not_found(api: Api, path: str) -> None:
    assert (await api.get(f"/api/v1/{path}", role="viewer")).status_code == 404


async def test_another_projects_calls_are_not_seen(api: Api) -> None:
    accept(item(tags={"user_id": "a", "session_id": "s"}))
    work()
    for table in ("usage_hour", "usage_day", "usage_day_user", "session"):
        sql(f"UPDATE {table} SET project_id = project_id + 1")

    assert (await ask(api, "usage/summary"))["total_requests"] == 0
    assert (await ask(api, "usage/breakdown", by="user_id"))["data"] == []
    assert (await ask(api, "sessions"))["data"] == []
    assert [(await api.get(f"/api/v1/{path}")).status_code for path in ("users/a", "sessions/s")] == [404, 404]


@pytest.mark.parametrize(
    ("path", "query", "code", "pointer"),
    [
        ("usage/summary", {"user_id": "a", "model": "m"}, "not_combined", "/user_id"),
        ("usage/summary", {"user_id": "a", "session_id": "s"}, "not_combined", "/user_id"),
        ("usage/summary", {"session_id": "s", "since": AT}, "not_combined", "/session_id"),
        ("usage/timeseries", {"user_id": "a", "granularity": "hour"}, "not_combined", "/user_id"),
        ("usage/breakdown", {"by": "user_id", "model": "m"}, "not_combined", "/by"),
        ("usage/breakdown", {"by": "session_id", "provider": "p"}, "not_combined", "/by"),
        ("usage/breakdown", {"by": "weather"}, "wrong_type", "/by"),
        ("usage/timeseries", {"granularity": "week"}, "wrong_type", "/granularity"),
        ("usage/timeseries", {"session_id": "s"}, "unknown_parameter", "/session_id"),
        ("usage/timeseries", {"granularity": "hour", "since": "2024-01-01"}, "out_of_range", "/since"),
        ("usage/summary", {"user_id": "a", "since": "2020-01-01"}, "out_of_range", "/since"),
        ("usage/summary", {"since": AT, "until": AT}, "out_of_range", "/since"),
        ("usage/summary", {"until": "1969-01-01"}, "out_of_range", "/since"),
        ("usage/summary", {"since": "yesterday"}, "wrong_type", "/since"),
        ("usage/breakdown", {"limit": "0"}, "out_of_range", "/limit"),
        ("sessions", {"cursor": "7"}, "invalid_cursor", "/cursor"),
        ("sessions", {"cursor": "7.\0"}, "invalid_cursor", "/cursor"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    api: Api, path: str, query: dict[str, str], code: str, pointer: str
) -> None:
    assert await refused(api, path, **query) == (422, code, pointer)


async def test_a_time_is_no_longer_than_what_can_have_calls(api: Api) -> None:
    found = await ask(api, "usage/summary", since="0001-01-01", until="9999-12-31T23:59:59Z")

    assert found["since"] == "2020-01-01T00:00:00.000Z"
    assert found["until"] < "9999"


async def test_answers_are_as_described(api: Api) -> None:
    accept(call(tags={"user_id": "a", "session_id": "s"}), {"prompt": "x", "started_at": AT})
    work()
    paths: list[tuple[str, str, dict[str, str]]] = [
        ("/api/v1/usage/summary", "", DAY),
        ("/api/v1/usage/timeseries", "", DAY),
        ("/api/v1/usage/breakdown", "", DAY),
        ("/api/v1/sessions", "", {}),
        ("/api/v1/sessions/{session_id}", "s", {}),
        ("/api/v1/users/{user_id}", "a", DAY),
    ]

    for path, name, query in paths:
        url = path.format(session_id=name, user_id=name)
        body = await (await api.get(url, role="viewer", query_string=query)).get_json()

        assert problems("GET", path, 200, body) == [], path


async def test_nothing_is_read_but_by_key(api: Api) -> None:
    """Every statement of these routes goes through a key or an index of the roll-ups."""
    from app.store import database

    accept(call(tags={"user_id": "a", "session_id": "s"}))
    work()
    asked: list[tuple[str, Any]] = []
    execute = database.execute

    def noting(statement: str, params: Any = ()) -> Any:
        asked.append((statement, params))
        return execute(statement, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.store.figures.execute", noting)
        await ask(api, "usage/summary", model="gpt-4o-mini", **DAY)
        await ask(api, "usage/summary", user_id="a", **DAY)
        await ask(api, "usage/timeseries", granularity="hour", **DAY)
        for by in ("model", "user_id", "session_id"):
            await ask(api, "usage/breakdown", by=by, **DAY)
        await ask(api, "sessions", cursor="9.x")
        await ask(api, "sessions/s")
        await ask(api, "users/a", **DAY)

    assert len(asked) == 9
    for statement, params in asked:
        assert _by_key(statement, params), statement


def _by_key(statement: str, params: Any) -> bool:
    from app.store import database

    if database.is_sqlite():
        plan = [row[3] for row in sql(f"EXPLAIN QUERY PLAN {statement}", *params)]
        return not [
            line for line in plan if line.startswith("SCAN") and " VIRTUAL TABLE" not in line and "usage_" in line
        ]
    with database.transaction():
        # A table of one row is read as a whole, however it is indexed, unless that is not allowed.
        database.execute("SET LOCAL enable_seqscan = off")
        plan = [row[0] for row in database.execute(f"EXPLAIN {statement}", params)]
    return not any("Seq Scan" in line for line in plan)
