"""The doors in front of Quart: what they answer is what Quart's routes would, and Quart answers everything else."""

import asyncio
from typing import Any

import pytest
import structlog

from app import intake, telemetry
from app.errors import InvalidItem
from tests.conftest import Api
from tests.helpers import encoded, item, sql
from web.routing import refuse_unknown

pytestmark = pytest.mark.backend

JSON = {"Content-Type": "application/json"}


async def test_a_door_answers_without_quart(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(api.app, "handle_request", broken)

    assert (await api.post("/api/v1/ingest", json=item(request_id="a"))).status_code == 202
    assert (await api.post("/api/v1/ingest/batch", json={"exchanges": [item(), item()]})).status_code == 202
    assert sql("SELECT count(*) FROM exchange") == [(3,)]


@pytest.mark.parametrize("role", ["member", None])
async def test_its_answers_have_the_headers_of_every_answer(api: Api, role: str | None) -> None:
    accepted = await api.post("/api/v1/ingest", json=item(), role=role)
    listed = await api.get("/api/v1/logs", role=role)

    assert {name for name, _ in accepted.headers} == {name for name, _ in listed.headers}
    for name in ("X-Content-Type-Options", "Cache-Control", "Content-Type"):
        assert accepted.headers[name] == listed.headers[name]
    assert int(accepted.headers["Content-Length"]) == len(await accepted.get_data(as_text=False))


async def test_a_parameter_that_is_not_known_is_refused_before_the_body_is_read(api: Api) -> None:
    answer = await api.post("/api/v1/ingest?dry_run=1", data=b"no JSON", headers=JSON)

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (422, "unknown_parameter")


def test_a_parameter_that_is_not_utf8_is_not_known() -> None:
    with pytest.raises(InvalidItem):
        refuse_unknown(b"\xff=1", {"q"})


async def test_other_methods_are_answered_by_quart(api: Api) -> None:
    refused = await api.call("DELETE", "/api/v1/ingest/batch")
    asked = await api.call("OPTIONS", "/api/v1/ingest", role=None)

    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert (asked.status_code, set(asked.headers["Allow"].split(", "))) == (200, {"OPTIONS", "POST"})
    assert (await api.get("/api/v1/ingest/batch")).status_code == 404  # no exchange of this id


async def test_a_method_is_the_same_in_small_letters(api: Api) -> None:
    headers = {"X-Ingate-Key": api.keys["member"], **JSON}

    async with api.client.request("/api/v1/ingest", method="post", headers=headers) as connection:
        await connection.send(encoded())
        await connection.send_complete()

    assert (await connection.as_response()).status_code == 202


async def test_whoever_hangs_up_within_the_body_has_sent_nothing(api: Api) -> None:
    headers = {"X-Ingate-Key": api.keys["member"], **JSON}

    async with api.client.request("/api/v1/ingest", method="POST", headers=headers) as connection:
        await connection.send(encoded())
        await connection.disconnect()

    assert (await connection.as_response()).status_code == 400
    assert sql("SELECT count(*) FROM exchange") == [(0,)]


async def test_a_bug_behind_a_door_is_500_without_its_stack_and_is_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(intake, "read_single", broken)
    telemetry.configure("info")

    with structlog.testing.capture_logs() as events:
        answer = await api.post("/api/v1/ingest", json=item())

    telemetry.configure("error")
    told = await answer.get_json(force=True)
    assert (answer.status_code, told["error_code"], "secret" in str(told)) == (500, "internal_error", False)
    assert [(event["event"], event["path"]) for event in events] == [("request_crashed", "/api/v1/ingest")]


async def test_what_was_sent_whole_is_committed_though_nobody_waits(api: Api) -> None:
    headers = {"X-Ingate-Key": api.keys["member"], **JSON}

    async with api.client.request("/api/v1/ingest", method="POST", headers=headers) as connection:
        await connection.send(encoded(request_id="a"))
        await connection.send_complete()
        await connection.disconnect()

    assert (await asyncio.wait_for(connection.as_response(), 5)).status_code == 202
    assert sql("SELECT request_id FROM exchange") == [("a",)]
