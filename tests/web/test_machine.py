"""For machines: alive, ready, and what else is wrong."""

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.broker import broker, lengths
from app.store import database, keys
from tests.conftest import Api
from tests.helpers import accept, item, sql, work
from web import canary, machine

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
    monkeypatch.setattr(database, "missing_migrations", lambda: ["0099_more"])

    answer = await api.get("/readyz", role=None)

    assert (answer.status_code, (await answer.get_json())["migrations"]) == (503, ["0099_more"])


async def test_a_queue_that_is_gone_is_degraded_but_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    def gone(*_: object) -> dict[str, int]:
        raise redis.ConnectionError

    monkeypatch.setattr(machine, "lengths", gone)

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


async def test_a_queue_server_that_hangs_is_degraded_soon(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hangs(*_: object) -> dict[str, int]:
        answered.wait(20)
        return {}

    monkeypatch.setattr(machine, "lengths", hangs)
    monkeypatch.setattr(machine, "QUEUE_PATIENCE_S", 0.05)

    told = await (await api.get("/readyz", role=None)).get_json()

    answered.set()
    assert (told["status"], told["queue"]) == ("degraded", None)


async def test_a_canary_that_does_not_come_through_is_degraded_but_ready(api: Api) -> None:
    await canary.send(api.app.config["WRITER"])
    fresh = await (await api.get("/readyz", role=None)).get_json()
    sql("UPDATE exchange SET received_at = received_at - 40000")

    stuck = await (await api.get("/readyz", role=None)).get_json()
    work()
    through = await (await api.get("/readyz", role=None)).get_json()

    assert (fresh["status"], fresh["canary"]["took_ms"]) == ("ok", None)
    assert (stuck["status"], len(stuck["degraded"])) == ("degraded", 1)
    assert "canary exchange has been on its way for 4" in stuck["degraded"][0]
    assert (through["status"], through["canary"]["took_ms"] >= 40_000) == ("ok", True)


async def test_metrics_hold_the_accounting_of_the_keys_project(api: Api) -> None:
    accept(item(), item(), item())
    work()
    accept(item(), item())
    sql("UPDATE exchange SET received_at = received_at - 7000 WHERE id = 4")

    answer = await api.get("/metrics", role="viewer")

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(await answer.get_data(as_text=True))
        for sample in family.samples
    }
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert found["ingate_exchanges_accepted_total",] == 5
    assert {state: found["ingate_exchanges", state] for state in ("evaluated", "pending", "failed", "expired")} == {
        "evaluated": 3,
        "pending": 2,
        "failed": 0,
        "expired": 0,
    }
    assert found["ingate_accounting_drift",] == 0
    assert 7 <= found["ingate_oldest_unfinished_seconds",] < 30
    waiting = lengths(broker, "extract")["extract"]
    assert (found["ingate_queue_up",], found["ingate_queue_messages", "extract"]) == (1, waiting)


async def test_metrics_ask_for_a_key_and_show_nothing_of_another_project(api: Api) -> None:
    accept(item())
    _, other = keys.create(name="other", role="viewer", actor="tests", project_id=99)

    assert (await api.get("/metrics", role=None)).status_code == 401
    text = await (await api.get("/metrics", role=None, headers={"X-Ingate-Key": other})).get_data(as_text=True)
    assert "ingate_exchanges_accepted_total 0.0" in text
