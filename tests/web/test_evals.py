"""Evaluators over the API: define, change, score history."""

from typing import Any

import pytest

from app.evals import TYPES
from tests.app.evals.test_registry import CONFIGS
from tests.conftest import Api
from tests.helpers import accept, item, work

pytestmark = pytest.mark.backend

GREETS = {"name": "greets", "type": "contains", "config": {"values": ["hi"]}}


async def create(api: Api, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/evals", json={**GREETS, **changes})
    assert answer.status_code == 201, await answer.get_data()
    told: dict[str, Any] = await answer.get_json()
    return told


async def test_an_evaluator_scores_what_comes_after_it(api: Api) -> None:
    accept(item(request_id="before"))
    work()
    made = await create(api)
    accept(item(request_id="after"))
    work()

    scores = await (await api.get(f"/api/v1/evals/{made['id']}/scores")).get_json()
    log = await (await api.get("/api/v1/logs/after")).get_json()

    assert [(s["request_id"], s["score"], s["passed"], s["version"]) for s in scores["data"]] == [
        ("after", 1.0, True, 1)
    ]
    assert [(s["evaluator"], s["score"], s["error"]) for s in log["scores"]] == [("greets", 1.0, None)]
    assert log["scores"][0]["explanation"]


@pytest.mark.parametrize("name", TYPES)
async def test_every_type_can_be_made_and_read_back(api: Api, name: str) -> None:
    made = await create(api, type=name, config=CONFIGS[name])

    answer = await api.get(f"/api/v1/evals/{made['id']}", role="viewer")

    assert await answer.get_json() == made
    assert (made["version"], made["enabled"], made["sample_rate"], made["threshold"]) == (1, True, 1.0, 1.0)
    assert set(CONFIGS[name]) <= set(made["config"])


async def test_a_new_evaluator_says_where_it_is(api: Api) -> None:
    answer = await api.post("/api/v1/evals", json=GREETS)

    assert (await api.get(answer.headers["Location"])).status_code == 200


async def test_a_changed_config_is_a_new_version_and_old_scores_keep_theirs(api: Api) -> None:
    made = await create(api)
    accept(item(request_id="a"))
    work()

    changed = await api.call("PUT", f"/api/v1/evals/{made['id']}", json={**GREETS, "config": {"values": ["bye"]}})
    accept(item(request_id="b"))
    work()

    assert ((await changed.get_json())["version"], changed.status_code) == (2, 200)
    scores = await (await api.get(f"/api/v1/evals/{made['id']}/scores")).get_json()
    assert [(s["request_id"], s["version"], s["score"]) for s in scores["data"]] == [("b", 2, 0.0), ("a", 1, 1.0)]


async def test_a_removed_evaluator_is_gone_and_its_scores_stay(api: Api) -> None:
    made = await create(api)
    accept(item(request_id="a"))
    work()

    removed = await api.call("DELETE", f"/api/v1/evals/{made['id']}")

    assert (removed.status_code, await removed.get_data()) == (204, b"")
    for method in ("GET", "DELETE"):
        assert (await api.call(method, f"/api/v1/evals/{made['id']}")).status_code == 404
    assert len((await (await api.get("/api/v1/logs/a")).get_json())["scores"]) == 1


async def test_a_name_can_be_used_once(api: Api) -> None:
    await create(api)

    answer = await api.post("/api/v1/evals", json=GREETS)

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (409, "name_taken")


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"type": "nothing"}, "unknown_type", "/type"),
        ({"type": 7}, "wrong_type", "/type"),
        ({"name": ""}, "out_of_range", "/name"),
        ({"name": "x" * 101}, "out_of_range", "/name"),
        ({"name": "a\x00b"}, "out_of_range", "/name"),
        ({"config": {"values": []}}, "out_of_range", "/config/values"),
        ({"config": {"values": ["a", 7]}}, "wrong_type", "/config/values/1"),
        ({"config": {"valeus": ["a"]}}, "wrong_type", "/config"),
        ({"config": []}, "wrong_type", "/config"),
        ({"type": "regex_match", "config": {"pattern": "(?=a)"}}, "unsupported_pattern", "/config/pattern"),
        ({"sample_rate": 1.1}, "out_of_range", "/sample_rate"),
        ({"threshold": -0.1}, "out_of_range", "/threshold"),
        ({"enabled": "yes"}, "wrong_type", "/enabled"),
        ({"filter": "modle:x"}, "invalid_query", "/q"),
        ({"colour": "green"}, "wrong_type", ""),
    ],
)  # fmt: skip
async def test_a_wrong_evaluator_is_refused_with_its_place(
    api: Api, changes: dict[str, Any], code: str, pointer: str
) -> None:
    made = await create(api, name="other")

    for method, path in (("POST", "/api/v1/evals"), ("PUT", f"/api/v1/evals/{made['id']}")):
        answer = await api.call(method, path, json={**GREETS, **changes})

        told = await answer.get_json(force=True)
        assert (answer.status_code, told["error_code"]) == (422, code)
        assert [error["pointer"] for error in told["errors"]] == [pointer]


async def test_evaluators_are_listed_page_by_page(api: Api) -> None:
    made = [(await create(api, name=f"e{n}"))["id"] for n in range(3)]

    first = await (await api.get("/api/v1/evals?limit=2")).get_json()
    rest = await (await api.get(f"/api/v1/evals?limit=2&cursor={first['next_cursor']}")).get_json()

    assert [one["id"] for one in first["data"] + rest["data"]] == made[::-1]


async def test_scores_are_paged_across_versions(api: Api) -> None:
    made = await create(api, enabled=False)
    accept(*[item(request_id=f"r{n}") for n in range(3)])
    work()
    from actors.run import run

    path = f"/api/v1/evals/{made['id']}"
    for version in (1, 2):
        await api.call("PUT", path, json={**GREETS, "enabled": False, "threshold": 1.0 / version})
        told = await (await api.post(f"{path}/runs", json={})).get_json()
        run.fn(told["run_id"])
    found, query = [], "?limit=2"
    for _ in range(3):
        page = await (await api.get(f"{path}/scores{query}")).get_json()
        found += [(s["request_id"], s["version"]) for s in page["data"]]
        query = f"?limit=2&cursor={page['next_cursor']}"

    assert found == [(f"r{n}", version) for n in (2, 1, 0) for version in (2, 1)]
    assert page["next_cursor"] is None


async def test_a_run_can_be_estimated_started_and_followed(api: Api) -> None:
    from actors.run import run

    made = await create(api, enabled=False)
    accept(*[item(request_id=f"r{n}", status_code=200 if n else 500) for n in range(4)])
    work()
    path = f"/api/v1/evals/{made['id']}/runs"

    estimate = await api.post(path, json={"q": "status:200", "dry_run": True})
    begun = await api.post(path, json={"q": "status:200"})
    run_id = (await begun.get_json())["run_id"]
    run.fn(run_id)

    assert (estimate.status_code, (await estimate.get_json())["exchanges"]) == (200, 3)
    assert (begun.status_code, begun.headers["Location"]) == (202, f"{path}/{run_id}")
    ended = await (await api.get(f"{path}/{run_id}")).get_json()
    assert (ended["state"], ended["exchanges"], ended["scored"], ended["failed"]) == ("done", 3, 3, 0)
    assert [one["run_id"] for one in (await (await api.get(path)).get_json())["data"]] == [run_id]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"q": "modle:x"}, "/q"),
        ({"from": "yesterday"}, "/from"),
        ({"to": 7}, "/to"),
        ({"dry_run": "yes"}, "/dry_run"),
        ({"since": "2026-01-01"}, ""),
    ],
)
async def test_a_wrong_run_is_refused_with_its_place(api: Api, body: dict[str, Any], pointer: str) -> None:
    made = await create(api)

    answer = await api.post(f"/api/v1/evals/{made['id']}/runs", json=body)

    assert answer.status_code == 422
    assert [error["pointer"] for error in (await answer.get_json(force=True))["errors"]] == [pointer]


async def test_runs_and_scores_of_what_is_not_there_are_not_found(api: Api) -> None:
    made = await create(api)

    for path in ("/api/v1/evals/999/runs", "/api/v1/evals/999/scores", f"/api/v1/evals/{made['id']}/runs/999"):
        assert (await api.get(path)).status_code == 404
    assert (await api.post("/api/v1/evals/999/runs", json={})).status_code == 404
