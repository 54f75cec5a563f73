"""One shape for every kind of error."""

import asyncio
import re
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.store import database, exchanges
from tests.conftest import Api
from tests.helpers import item
from web import errors, ingest

pytestmark = pytest.mark.backend

MEMBERS = {"type", "title", "status", "detail", "instance", "error", "error_code", "retryable"}


async def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Return the error of an answer, once it is known to have the one shape."""
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    told: dict[str, Any] = await answer.get_json(force=True)
    assert set(told) >= MEMBERS
    assert (told["status"], told["error_code"], told["type"]) == (status, code, f"urn:ingate:problem:{code}")
    assert told["error"] == told["detail"] != ""
    assert len(told["detail"]) <= errors.MAX_ECHO_CHARS
    assert told["title"] == errors.TITLES[status]
    assert re.fullmatch(r"[a-z0-9_]+", code)
    assert told["retryable"] is (status in (429, 502, 503, 504))
    assert ("Retry-After" in answer.headers) is told["retryable"]
    for place in told.get("errors", []):
        assert set(place) == {"index", "pointer", "error_code", "detail"}
        assert place["pointer"] == "" or place["pointer"].startswith("/")
    return told


async def test_no_key_is_401_and_says_how_to_send_one(api: Api) -> None:
    answer = await api.get("/api/v1/logs", role=None)

    told = await problem(answer, 401, "missing_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert told["instance"] == "/api/v1/logs"


async def test_a_role_that_does_not_reach_is_403(api: Api) -> None:
    told = await problem(await api.post("/api/v1/ingest", role="viewer", json=item()), 403, "role_required")

    assert "member" in told["detail"]


async def test_what_is_not_there_is_404(api: Api) -> None:
    await problem(await api.get("/api/v1/logs/nothing"), 404, "not_found")
    await problem(await api.get("/api/v1/nothing"), 404, "not_found")


async def test_a_method_that_is_not_taken_is_405_with_those_that_are(api: Api) -> None:
    answer = await api.call("DELETE", "/api/v1/ingest")

    await problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


async def test_malformed_json_is_400(api: Api) -> None:
    answer = await api.post("/api/v1/ingest", data=b'{"prompt": }', headers={"Content-Type": "application/json"})

    assert "at byte 11" in (await problem(answer, 400, "malformed_json"))["detail"]


async def test_a_conflict_is_409_with_its_place(api: Api) -> None:
    await api.post("/api/v1/ingest", json=item(request_id="a"))

    answer = await api.post("/api/v1/ingest", json=item(request_id="a", status_code=500))

    told = await problem(answer, 409, "request_id_conflict")
    assert [(e["index"], e["pointer"]) for e in told["errors"]] == [(0, "/request_id")]


async def test_a_limit_that_is_passed_is_413_with_its_name(api: Api) -> None:
    answer = await api.post("/api/v1/ingest/batch", json={"exchanges": [{}] * 1001})

    assert "INGATE_MAX_BATCH_ITEMS" in (await problem(answer, 413, "batch_too_large"))["detail"]


async def test_a_media_type_that_is_not_taken_is_415(api: Api) -> None:
    answer = await api.post("/api/v1/ingest", data=b"{}", headers={"Content-Type": "text/plain"})

    await problem(answer, 415, "unsupported_media_type")
    assert answer.headers["Accept-Encoding"] == "gzip, zstd"


async def test_a_wrong_field_is_422_with_its_place(api: Api) -> None:
    answer = await api.post("/api/v1/ingest", json=item(token_count={"prompt": "ten"}))

    told = await problem(answer, 422, "wrong_type")
    assert [(e["index"], e["pointer"], e["error_code"]) for e in told["errors"]] == [
        (0, "/token_count/prompt", "wrong_type")
    ]


async def test_a_batch_of_refused_items_is_422_with_every_place(api: Api) -> None:
    answer = await api.post("/api/v1/ingest/batch", json={"exchanges": [{}, item(status_code=1)]})

    told = await problem(answer, 422, "all_items_refused")
    assert [(e["index"], e["pointer"]) for e in told["errors"]] == [(0, ""), (1, "/status_code")]
    assert (told["accepted"], told["rejected"], len(told["items"])) == (0, 2, 2)
    assert (await api.get(f"/api/v1/batches/{told['batch_id']}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "code", "pointer"),
    [
        ("/api/v1/logs?statsu=200", "unknown_parameter", "/statsu"),
        ("/api/v1/logs?limit=0", "out_of_range", "/limit"),
        ("/api/v1/logs?limit=201", "out_of_range", "/limit"),
        ("/api/v1/logs?limit=-1", "wrong_type", "/limit"),
        ("/api/v1/logs?limit=" + "9" * 30, "wrong_type", "/limit"),
        ("/api/v1/logs?cursor=abc", "invalid_cursor", "/cursor"),
        ("/api/v1/logs?cursor=-1", "invalid_cursor", "/cursor"),
        ("/api/v1/logs?from=yesterday", "wrong_type", "/from"),
        ("/api/v1/logs?to=2026-13-01", "wrong_type", "/to"),
        ("/api/v1/logs?q=modle:x", "invalid_query", "/q"),
        ("/api/v1/logs?q=model:a%00b", "invalid_query", "/q"),
        ("/api/v1/logs?model=%00", "invalid_query", "/q"),
        ("/api/v1/logs?status=ok", "invalid_query", "/q"),
        ("/api/v1/logs/x?bodies=maybe", "wrong_type", "/bodies"),
        ("/api/v1/ingest/x?wait=31", "out_of_range", "/wait"),
        ("/api/v1/ingest/x?wait=nan", "out_of_range", "/wait"),
        ("/api/v1/ingest/x?wait=soon", "out_of_range", "/wait"),
        ("/api/v1/batches/x?state=lost", "wrong_type", "/state"),
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_422_and_is_named(api: Api, path: str, code: str, pointer: str) -> None:
    told = await problem(await api.get(path), 422, code)

    assert [e["pointer"] for e in told["errors"]] == [pointer]


async def test_a_misspelt_parameter_gets_a_suggestion(api: Api) -> None:
    told = await problem(await api.get("/api/v1/logs?modle=x"), 422, "unknown_parameter")

    assert "did you mean 'model'" in told["detail"]


async def test_a_body_that_drips_is_408(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.client.app.config, "BODY_TIMEOUT", 0.05)
    headers = {"X-Ingate-Key": api.keys["member"], "Content-Type": "application/json"}

    async with api.client.request("/api/v1/ingest", method="POST", headers=headers) as connection:
        await connection.send(b'{"prompt"')

    await problem(await connection.as_response(), 408, "request_timeout")


async def test_an_error_is_json_whatever_the_client_would_rather_have(api: Api) -> None:
    answer = await api.get("/api/v1/logs/nothing", headers={"Accept": "text/html"})

    await problem(answer, 404, "not_found")


async def test_no_input_is_echoed_at_length(api: Api) -> None:
    for path in ("/api/v1/logs/" + "x" * 3000, "/api/v1/logs?q=" + "x:" * 3000, "/api/v1/logs?from=" + "x" * 3000):
        told = await (await api.get(path)).get_json(force=True)

        assert len(told["detail"]) <= 400


async def test_a_bug_is_500_without_its_stack(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(exchanges, "page", broken)

    told = await problem(await api.get("/api/v1/logs"), 500, "internal_error")

    assert "secret" not in str(told)


async def test_a_database_that_is_gone_is_503_and_back_without_a_restart(api: Api, store: str) -> None:
    ingested = [("POST", "/api/v1/ingest", {"json": item(request_id="a")}), ("GET", "/api/v1/logs", {})]
    await api.get("/api/v1/logs")  # the key is believed for a while
    await api.post("/api/v1/ingest", json=item(request_id="before"))

    database.close()
    database.connect("sqlite:////nowhere/at/all.db")
    for method, path, more in ingested:
        await problem(await api.call(method, path, **more), 503, "store_unavailable")
    database.connect(store)

    assert [(await api.call(m, p, **more)).status_code for m, p, more in ingested] == [202, 200]


async def test_a_refused_key_is_503_not_401_when_nobody_can_be_asked(api: Api, store: str) -> None:
    database.close()
    database.connect("postgresql://nobody@127.0.0.1:1/none")

    await problem(await api.get("/api/v1/logs", role="owner"), 503, "store_unavailable")

    database.connect(store)


async def test_a_receipt_that_waits_ends_with_503_when_the_database_goes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post("/api/v1/ingest", json=item(request_id="a"))
    waiting = asyncio.create_task(api.get("/api/v1/ingest/a?wait=20"))
    await asyncio.sleep(0)

    def gone(*_: Any) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(ingest, "_state", gone)

    await problem(await asyncio.wait_for(waiting, 10), 503, "store_unavailable")
