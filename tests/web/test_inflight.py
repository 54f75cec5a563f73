"""The bound of all bodies at a time: who comes when it is reached is told to come back; nothing is held for ever."""

import asyncio
import gzip
from typing import Any

import pytest

from tests.conftest import Api
from tests.helpers import encoded
from web import inflight

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflight, "MAX_BYTES", 1000)


async def begun(api: Api, body: bytes) -> Any:
    """A request that has sent its body, but not the end of it."""
    headers = {**HEADERS, "X-Ingate-Key": api.keys["member"]}
    connection = api.client.request("/api/v1/ingest", method="POST", headers=headers)
    await connection.__aenter__()
    await connection.send(body)
    await asyncio.sleep(0.05)
    return connection


async def ended(connection: Any) -> int:
    await connection.send_complete()
    await asyncio.sleep(0.05)
    answer = await connection.as_response()
    await connection.__aexit__(None, None, None)
    return int(answer.status_code)


async def test_while_others_hold_too_much_a_body_is_to_come_back(api: Api) -> None:
    other = await begun(api, encoded(prompt="x" * 1500))

    answer = await api.post("/api/v1/ingest", data=encoded(), headers=HEADERS)

    told = await answer.get_json(force=True)
    assert (answer.status_code, told["error_code"], told["retryable"]) == (503, "overloaded", True)
    assert answer.headers["Retry-After"]
    assert await ended(other) == 202
    assert (await api.post("/api/v1/ingest", data=encoded(), headers=HEADERS)).status_code == 202
    assert inflight._held_bytes == 0


async def test_a_lone_request_may_be_larger_than_the_bound(api: Api) -> None:
    body = encoded(prompt="x" * 5000)

    assert (await api.post("/api/v1/ingest", data=body, headers=HEADERS)).status_code == 202


async def test_what_a_body_becomes_when_it_is_decompressed_counts_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    take = inflight.Held.take
    monkeypatch.setattr(inflight.Held, "take", lambda self, size: held.append(size) or take(self, size))
    body = encoded(prompt="x" * 50_000)

    answer = await api.post("/api/v1/ingest", data=gzip.compress(body), headers={**HEADERS, "Content-Encoding": "gzip"})

    assert answer.status_code == 202
    assert held[-1] == len(body)
    assert inflight._held_bytes == 0


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/ingest", "/nowhere"])
async def test_nothing_is_held_after_any_answer(api: Api, path: str) -> None:
    await api.post(path, data=b"x" * 5000, role=None)

    assert inflight._held_bytes == 0
