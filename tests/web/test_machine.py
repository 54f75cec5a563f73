"""For machines: alive, ready, and what else is wrong."""

import pytest

from app.store import database
from tests.conftest import Api
from tests.helpers import accept, item, sql
from web import machine

pytestmark = pytest.mark.backend


async def test_a_living_process_says_so_whatever_else_is_wrong(api: Api, store: str) -> None:
    database.close()
    database.connect("sqlite:////nowhere/at/all.db")

    answer = await api.get("/healthz", role=None)

    assert (answer.status_code, await answer.get_json()) == (200, {"status": "ok"})
    database.connect(store)


async def test_a_fresh_ingate_is_ready(api: Api) -> None:
    answer = await api.get("/readyz", role=None)

    told = await answer.get_json()
    assert (answer.status_code, told["status"], told["degraded"]) == (200, "ok", [])


async def test_a_database_that_is_gone_is_not_ready_and_tells_no_secret(api: Api, store: str) -> None:
    database.close()
    database.connect("postgresql://user:hunter2@127.0.0.1:1/none")

    answer = await api.get("/readyz", role=None)

    assert (answer.status_code, (await answer.get_json())["status"]) == (503, "unavailable")
    assert b"hunter2" not in await answer.get_data()
    database.connect(store)
    assert (await api.get("/readyz", role=None)).status_code == 200


async def test_a_missing_migration_is_not_ready_and_is_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "missing_migrations", lambda: ["0009_more"])

    answer = await api.get("/readyz", role=None)

    assert (answer.status_code, (await answer.get_json())["migrations"]) == (503, ["0009_more"])


async def test_a_queue_that_is_gone_is_degraded_but_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    def gone(*_: object) -> int:
        raise redis.ConnectionError

    monkeypatch.setattr(machine, "length", gone)

    answer = await api.get("/readyz", role=None)

    told = await answer.get_json()
    assert (answer.status_code, told["status"], told["queue"]) == (200, "degraded", None)
    assert "queue server" in told["degraded"][0]


async def test_work_that_nobody_does_is_degraded_but_ready(api: Api) -> None:
    accept(item())
    sql("UPDATE pending SET due_at = ?", database.now() - 300_000)

    told = await (await api.get("/readyz", role=None)).get_json()

    assert told["status"] == "degraded"
    assert told["overdue_ms"] > 290_000
    assert "are the workers running" in told["degraded"][0]
