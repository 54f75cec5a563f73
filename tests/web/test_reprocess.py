"""Reprocess runs over the API: started by an admin, followed by anyone, and worked by the evals process."""

from typing import Any

import pytest

from actors.reprocess import reprocess
from tests.conftest import Api
from tests.helpers import accept, item, sql, work

pytestmark = pytest.mark.backend

RUNS = "/api/v1/reprocess_runs"


async def start(api: Api, **body: Any) -> Any:
    answer = await api.post(RUNS, json=body, role="admin")
    assert answer.status_code == 202
    return await answer.get_json()


async def read(api: Api, run_id: int) -> Any:
    return await (await api.get(f"{RUNS}/{run_id}")).get_json()


async def test_a_run_reports_what_it_changes(api: Api) -> None:
    accept(item(request_id="a"), item(request_id="b"))
    work()
    sql("UPDATE log SET cost_usd = 1.0, model = 'old'")

    begun = await start(api, q="id:a")
    reprocess.fn(begun["run_id"])
    ended = await read(api, begun["run_id"])

    assert (begun["state"], begun["exchanges"], begun["processed"], begun["dry_run"]) == ("running", 1, 0, False)
    assert ended | {"finished_at": None} == begun | {
        "state": "done",
        "processed": 1,
        "changed": 1,
        "fields": {"cost_usd": 1, "model": 1},
        "cost_usd_before": 1.0,
        "cost_usd_after": pytest.approx(4.5e-6),
        "cost_usd_difference": pytest.approx(4.5e-6 - 1.0),
    }
    assert sql("SELECT model FROM log ORDER BY exchange_id") == [("gpt-4o-mini",), ("old",)]


async def test_a_dry_run_is_a_run_that_changes_nothing(api: Api) -> None:
    accept(item())
    work()
    sql("UPDATE log SET model = 'old'")

    begun = await start(api, dry_run=True)
    reprocess.fn(begun["run_id"])

    assert (await read(api, begun["run_id"]))["changed"] == 1
    assert sql("SELECT model FROM log") == [("old",)]


async def test_a_window_narrows_a_run(api: Api) -> None:
    accept(item())
    work()

    begun = await start(api, **{"from": "2999-01-01", "to": "2999-01-02T00:00:00Z"})

    assert (
        begun.items()
        >= {
            "exchanges": 0,
            "from": "2999-01-01T00:00:00.000Z",
            "to": "2999-01-02T00:00:00.000Z",
        }.items()
    )


async def test_runs_are_listed_newest_first(api: Api) -> None:
    ids = [(await start(api, dry_run=True))["run_id"] for _ in range(3)]

    page = await (await api.get(f"{RUNS}?limit=2")).get_json()
    rest = await (await api.get(f"{RUNS}?limit=2&cursor={page['next_cursor']}")).get_json()

    assert [run["run_id"] for run in page["data"] + rest["data"]] == ids[::-1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "status"), [({"q": "colour:red"}, 422), ({"from": "x"}, 422), ({"query": ""}, 422), ({"dry_run": 1}, 422)]
)
async def test_a_wrong_run_is_refused(api: Api, body: dict[str, Any], status: int) -> None:
    answer = await api.post(RUNS, json=body, role="admin")

    assert answer.status_code == status
    assert sql("SELECT count(*) FROM reprocess_run") == [(0,)]


async def test_a_run_that_is_not_there_is_404(api: Api) -> None:
    assert (await api.get(f"{RUNS}/99")).status_code == 404
