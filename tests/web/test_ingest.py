"""The doors: accepted means committed, receipts tell the rest."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.exchange import Item
from app.store import failures, pending
from app.store.models import Step
from tests.conftest import Api
from tests.helpers import encoded, item, sql, work

pytestmark = pytest.mark.backend


async def send(api: Api, body: bytes, path: str = "/api/v1/ingest", **headers: str) -> Any:
    """Post bytes as they are."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.post(path, data=body, headers={"Content-Type": "application/json", **named})


async def raw(api: Api, request_id: str) -> bytes:
    answer = await api.get(f"/api/v1/logs/{request_id}/raw")
    assert answer.status_code == 200
    return bytes(await answer.get_data())


async def test_an_accepted_exchange_is_committed_and_answered_202(api: Api) -> None:
    answer = await send(api, encoded(request_id="a"))

    assert (answer.status_code, await answer.get_json()) == (202, {"request_id": "a", "status": "accepted"})
    assert sql("SELECT request_id FROM exchange") == [("a",)]
    assert await raw(api, "a") == encoded(request_id="a")


async def test_a_request_id_is_made_where_none_is_sent(api: Api) -> None:
    made = (await (await send(api, encoded())).get_json())["request_id"]

    assert (await api.get(f"/api/v1/ingest/{made}")).status_code == 200


async def test_a_replay_gives_the_same_answer_and_says_duplicate(api: Api) -> None:
    answers = [await (await send(api, encoded(request_id="a"))).get_json() for _ in range(3)]

    assert (
        answers
        == [{"request_id": "a", "status": "accepted"}]
        + [{"request_id": "a", "status": "accepted", "duplicate": True}] * 2
    )
    assert sql("SELECT count(*) FROM exchange") == [(1,)]


async def test_racing_replays_are_one_row(api: Api) -> None:
    answers = await asyncio.gather(*[send(api, encoded(request_id="a")) for _ in range(100)])

    told = [await answer.get_json() for answer in answers]
    assert {answer.status_code for answer in answers} == {202}
    assert sum("duplicate" not in one for one in told) == 1
    assert sql("SELECT count(*) FROM exchange") == [(1,)]


async def test_a_batch_is_answered_item_by_item(api: Api) -> None:
    items = [item(request_id="a"), item(request_id="bad", status_code="200"), item(request_id="a"), 7]

    answer = await api.post("/api/v1/ingest/batch", json={"exchanges": items})

    told = await answer.get_json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (202, 2, 2)
    assert told["items"][0] == {"index": 0, "request_id": "a", "accepted": True}
    assert told["items"][2] == {"index": 2, "request_id": "a", "accepted": True, "duplicate": True}
    refused = told["items"][1]
    assert (refused["index"], refused["request_id"], refused["accepted"]) == (1, "bad", False)
    assert (refused["error"]["error_code"], refused["error"]["pointer"]) == ("wrong_type", "/status_code")
    assert told["items"][3]["accepted"] is False
    assert "request_id" not in told["items"][3]


async def test_a_replayed_batch_is_a_new_batch_of_duplicates(api: Api) -> None:
    body = {"exchanges": [item(request_id="a"), item(request_id="b")]}

    first, second = [await (await api.post("/api/v1/ingest/batch", json=body)).get_json() for _ in range(2)]

    assert first["batch_id"] != second["batch_id"]
    assert [one.get("duplicate") for one in second["items"]] == [True, True]
    assert (second["accepted"], second["rejected"]) == (2, 0)


async def test_an_idempotency_key_makes_a_retry_without_ids_safe(api: Api) -> None:
    body = json.dumps({"exchanges": [item(), item()]}).encode()

    first, again = [
        await (await send(api, body, "/api/v1/ingest/batch", Idempotency_Key="k1")).get_json() for _ in range(2)
    ]

    assert [one["request_id"] for one in first["items"]] == [one["request_id"] for one in again["items"]]
    assert [one.get("duplicate") for one in again["items"]] == [True, True]
    assert sql("SELECT count(*) FROM exchange") == [(2,)]


async def test_an_idempotency_key_with_another_body_is_a_conflict(api: Api) -> None:
    await send(api, encoded(), Idempotency_Key="k1")

    assert (await send(api, encoded(status_code=500), Idempotency_Key="k1")).status_code == 409


@pytest.mark.parametrize("name", ["Idempotency_Key", "X_Ingate_User_Id", "X_Ingate_Session_Id"])
async def test_a_header_that_is_too_long_is_refused(api: Api, name: str) -> None:
    answer = await send(api, encoded(), **{name: "x" * 257})

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (400, "invalid_header")


async def test_user_and_session_may_come_as_headers(api: Api) -> None:
    await send(api, encoded(request_id="a"), X_Ingate_User_Id="u", X_Ingate_Session_Id="s")

    log = await (await api.get("/api/v1/logs/a")).get_json()
    assert (log["user_id"], log["session_id"]) == ("u", "s")


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress), ("GZIP", gzip.compress)]
)
async def test_compressed_requests_are_taken(api: Api, encoding: str, pack: Any) -> None:
    answer = await send(api, pack(encoded(request_id="a")), Content_Encoding=encoding)

    assert answer.status_code == 202
    assert await raw(api, "a") == encoded(request_id="a")


async def test_a_zstd_stream_without_its_size_is_taken(api: Api) -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()

    answer = await send(api, stream.compress(encoded(request_id="a")) + stream.flush(), Content_Encoding="zstd")

    assert answer.status_code == 202


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "application/json; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/vnd.x+json",
    ],
)
async def test_json_has_several_names(api: Api, media: str) -> None:
    assert (await send(api, encoded(), Content_Type=media)).status_code == 202


async def test_the_key_may_come_as_a_bearer_token(api: Api) -> None:
    answer = await api.get("/api/v1/logs", role=None, headers={"Authorization": f"bearer {api.keys['viewer']}"})

    assert answer.status_code == 200


async def test_two_keys_are_ambiguous(api: Api) -> None:
    headers = Headers([("X-Ingate-Key", api.keys["member"]), ("X-Ingate-Key", api.keys["viewer"])])

    answer = await api.client.open("/api/v1/logs", method="GET", headers=headers)

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (400, "ambiguous_key")


@pytest.mark.parametrize("key", ["", " ", "x" * 10_000, "é", "sk-ingate-", "\U0001f600".encode().decode("latin-1")])
async def test_a_key_that_is_none_is_401(api: Api, key: str) -> None:
    assert (await api.get("/api/v1/logs", role=None, headers={"X-Ingate-Key": key})).status_code == 401


async def test_a_key_in_the_query_string_opens_nothing(api: Api) -> None:
    for name in ("key", "api_key", "X-Ingate-Key"):
        assert (await api.get(f"/api/v1/logs?{name}={api.keys['owner']}", role=None)).status_code == 401


async def test_a_revoked_key_is_dead_within_seconds_everywhere(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.store import keys
    from web import auth

    info, token = keys.create(name="gone", role="viewer", actor="tests")
    headers = {"X-Ingate-Key": token}
    assert (await api.get("/api/v1/logs", role=None, headers=headers)).status_code == 200

    keys.revoke(info.id, actor="another process")
    real = time.monotonic
    monkeypatch.setattr(auth.time, "monotonic", lambda: real() + 5)

    assert (await api.get("/api/v1/logs", role=None, headers=headers)).status_code == 401


async def test_a_receipt_tells_where_an_exchange_stands(api: Api) -> None:
    batch = await (await api.post("/api/v1/ingest/batch", json={"exchanges": [{}, item(request_id="a")]})).get_json()

    before = await (await api.get("/api/v1/ingest/a")).get_json()
    work()
    after = await (await api.get("/api/v1/ingest/a", role="viewer")).get_json()

    assert (before["status"], before["batch_id"], before["batch_index"]) == ("accepted", batch["batch_id"], 1)
    assert before["steps"]["extract"] == {"state": "pending", "at": None, "attempts": 0, "error": None}
    assert after["status"] == "evaluated"
    assert [after["steps"][name]["state"] for name in ("extract", "log", "eval")] == ["done"] * 3
    assert after["received_at"] == before["received_at"]
    assert after["received_at"].endswith("Z")


async def test_a_receipt_waits_until_the_exchange_is_final(api: Api) -> None:
    await send(api, encoded(request_id="a"))
    waiting = asyncio.create_task(api.get("/api/v1/ingest/a?wait=20"))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    await asyncio.to_thread(work)

    answer = await asyncio.wait_for(waiting, 5)
    assert (await answer.get_json())["status"] == "evaluated"


async def test_a_receipt_of_a_failed_exchange_does_not_wait(api: Api) -> None:
    await send(api, encoded(request_id="a"))
    ((exchange_id,),) = sql("SELECT id FROM exchange")
    pending.claim([exchange_id], Step.EXTRACT)
    failures.park(exchange_id, Step.EXTRACT, error="E", reason="why", traceback="Traceback")

    told = await (await asyncio.wait_for(api.get("/api/v1/ingest/a?wait=20"), 5)).get_json()

    assert (told["status"], told["steps"]["extract"]["state"], told["steps"]["extract"]["error"]) == (
        "failed", "failed", "why",
    )  # fmt: skip


async def test_a_receipt_answers_when_its_time_is_over(api: Api) -> None:
    await send(api, encoded(request_id="a"))
    started = time.monotonic()

    told = await (await api.get("/api/v1/ingest/a?wait=0.3")).get_json()

    assert told["status"] == "accepted"
    assert 0.3 <= time.monotonic() - started < 5


async def test_another_projects_exchange_is_not_found_by_any_route(api: Api) -> None:
    from app.store import keys

    await send(api, encoded(request_id="a"))
    _, token = keys.create(name="other", role="owner", actor="tests", project_id=77)
    headers = {"X-Ingate-Key": token}

    for path in ("/api/v1/ingest/a", "/api/v1/logs/a", "/api/v1/logs/a/raw"):
        assert (await api.get(path, role=None, headers=headers)).status_code == 404
    assert (await api.post("/api/v1/logs/a/retries", role=None, headers=headers)).status_code == 404
    assert (await (await api.get("/api/v1/logs", role=None, headers=headers)).get_json())["data"] == []


@pytest.mark.parametrize("request_id", ["batch", "..", "a+b=c@d:e~f", "-", "0", "%41".replace("%", "="), "x" * 255])
async def test_an_exchange_is_found_by_any_id_that_may_be_sent(api: Api, request_id: str) -> None:
    assert (await send(api, encoded(request_id=request_id))).status_code == 202

    for path in (f"/api/v1/ingest/{request_id}", f"/api/v1/logs/{request_id}"):
        told = await (await api.get(path)).get_json()
        assert told["request_id"] == request_id


async def test_a_client_that_hangs_up_does_not_stop_the_next(api: Api) -> None:
    headers = {"X-Ingate-Key": api.keys["member"], "Content-Type": "application/json"}
    await send(api, encoded())  # the key is believed for a while
    for n in range(20):
        async with api.client.request("/api/v1/ingest", method="POST", headers=headers) as connection:
            await connection.send(encoded(request_id=f"gone-{n}"))
            await connection.send_complete()
            await asyncio.sleep(0.0005 * n)
            await connection.disconnect()

    assert (await asyncio.wait_for(send(api, encoded(request_id="next")), 10)).status_code == 202


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.dictionaries(ANY_TEXT.filter(lambda name: name not in Item.__struct_fields__), JSON, max_size=3),
    body=JSON,
    spaces=st.sampled_from(["", " ", "\n\t"]),
    ascii_only=st.booleans(),
)
async def test_whatever_is_accepted_is_evaluated_and_can_be_read(
    api: Api, fields: dict[str, Any], body: Any, spaces: str, ascii_only: bool
) -> None:
    text = json.dumps(
        {**fields, "prompt": "x", "request_body": body, "response_body": fields},
        ensure_ascii=ascii_only,
        separators=("," + spaces, ":" + spaces),
    )
    sent = text.encode("utf-8", "replace")

    answer = await send(api, sent)

    told = await answer.get_json(force=True)
    assert answer.status_code == 202, told
    assert await raw(api, told["request_id"]) == sent
    work()
    receipt = await (await api.get(f"/api/v1/ingest/{told['request_id']}")).get_json()
    assert receipt["status"] == "evaluated"
    assert (await api.get(f"/api/v1/logs/{told['request_id']}")).status_code == 200


async def test_the_headers_of_user_and_session_are_read_as_utf_8(api: Api) -> None:

    await send(api, encoded(request_id="header"), X_Ingate_User_Id="Käthe", X_Ingate_Session_Id="s-1")

    log = await (await api.get("/api/v1/logs/header")).get_json()
    assert (log["user_id"], log["session_id"]) == ("Käthe", "s-1")
