"""The catalogue of bad input: an answer that names the place, the same on both databases, and never a 5xx.

What is JSON but odd inside the bodies is taken, and comes back byte for byte.
"""

import base64
import gzip
import json
import resource
import subprocess
import sys
import zlib
from typing import Any
from urllib.parse import quote

import pytest
import structlog
import zstandard

from app import telemetry
from app.store import keys
from tests.conftest import ROOT, Api
from tests.helpers import encoded, item, sql, work

pytestmark = pytest.mark.backend

JSON = {"Content-Type": "application/json"}
OTHER_ZSTD = zstandard.compress(b'{"prompt": "x"}')
GZIPPED = gzip.compress(b'{"prompt": "x"}')


def with_(**headers: str) -> dict[str, str]:
    return JSON | {name.replace("_", "-"): value for name, value in headers.items()}


def deep(levels: int) -> bytes:
    return b'{"prompt": "x", "request_body": ' + b"[" * levels + b"]" * levels + b"}"


#: number of the catalogue and name: body, headers, status, error code
REFUSED: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "1 malformed": (b'{"prompt" "x"}', JSON, 400, "malformed_json"),
    "1 trailing comma": (b'{"prompt": "x",}', JSON, 400, "malformed_json"),
    "1 trailing garbage": (b'{"prompt": "x"}]', JSON, 400, "malformed_json"),
    "2 truncated": (b'{"prompt": "x', JSON, 400, "malformed_json"),
    "3 empty": (b"", JSON, 400, "empty_body"),
    "3 white space": (b" \n", JSON, 400, "empty_body"),
    "4 string": (b'"x"', JSON, 422, "wrong_type"),
    "4 number": (b"7", JSON, 422, "wrong_type"),
    "4 null": (b"null", JSON, 422, "wrong_type"),
    "4 array": (b"[]", JSON, 422, "wrong_type"),
    "5 wrong type": (encoded(latency_ms="fast"), JSON, 422, "wrong_type"),
    "5 list for model": (encoded(model=["m"]), JSON, 422, "wrong_type"),
    "6 NaN": (b'{"prompt": "x", "latency_ms": NaN}', JSON, 400, "malformed_json"),
    "6 Infinity": (b'{"prompt": "x", "latency_ms": Infinity}', JSON, 400, "malformed_json"),
    "6 1e999": (b'{"prompt": "x", "latency_ms": 1e999}', JSON, 422, "out_of_range"),
    "8 5,000 digits in a field": (b'{"prompt": "x", "status_code": ' + b"1" * 5000 + b"}", JSON, 422, "out_of_range"),
    "9 beyond 64 bits": (encoded(token_count=2**63), JSON, 422, "out_of_range"),
    "12 invalid UTF-8": (b'{"prompt": "\xff"}', JSON, 400, "invalid_utf8"),
    "13 UTF-16": ('{"prompt": "x"}'.encode("utf-16"), JSON, 400, "invalid_utf8"),
    "13 UTF-32": ('{"prompt": "x"}'.encode("utf-32"), JSON, 400, "invalid_utf8"),
    "14 depth 600": (deep(600), JSON, 400, "too_deep"),
    "14 depth 10,000": (deep(10_000), JSON, 400, "too_deep"),
    "14 depth 200,000": (deep(200_000), JSON, 400, "too_deep"),
    "17 too large": (b"x" * (20 * 2**20 + 1), JSON, 413, "request_too_large"),
    "24 unknown": (b"x", with_(Content_Encoding="x"), 415, "unsupported_encoding"),
    "24 br": (b"x", with_(Content_Encoding="br"), 415, "unsupported_encoding"),
    "24 gzip twice": (GZIPPED, with_(Content_Encoding="gzip, gzip"), 415, "unsupported_encoding"),
    "25 not gzip": (b'{"prompt": "x"}', with_(Content_Encoding="gzip"), 400, "bad_encoding"),
    "25 cut gzip": (GZIPPED[:-9], with_(Content_Encoding="gzip"), 400, "bad_encoding"),
    "25 gzip cut in its checksum": (GZIPPED[:-1], with_(Content_Encoding="gzip"), 400, "bad_encoding"),
    "25 two gzip members": (GZIPPED * 2, with_(Content_Encoding="gzip"), 400, "bad_encoding"),
    "25 deflate as gzip": (zlib.compress(b"{}"), with_(Content_Encoding="gzip"), 400, "bad_encoding"),
    "25 no gzip at all": (b"", with_(Content_Encoding="gzip"), 400, "bad_encoding"),
    "25 not zstd": (b'{"prompt": "x"}', with_(Content_Encoding="zstd"), 400, "bad_encoding"),
    "25 cut zstd": (OTHER_ZSTD[:-3], with_(Content_Encoding="zstd"), 400, "bad_encoding"),
    "25 two zstd frames": (OTHER_ZSTD * 2, with_(Content_Encoding="zstd"), 400, "bad_encoding"),
    "25 garbage after zstd": (OTHER_ZSTD + b"x", with_(Content_Encoding="zstd"), 400, "bad_encoding"),
    "25 no zstd at all": (b"", with_(Content_Encoding="zstd"), 400, "bad_encoding"),
    "26 no content type": (encoded(), {}, 415, "unsupported_media_type"),
    "26 text": (encoded(), {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    "26 form": (encoded(), {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    "26 multipart": (encoded(), {"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
    "27 latin-1": (encoded(), {"Content-Type": "application/json; charset=latin-1"}, 415, "unsupported_media_type"),
    "39 negative latency": (encoded(latency_ms=-1), JSON, 422, "out_of_range"),
    "39 latency of years": (encoded(latency_ms=1e12), JSON, 422, "out_of_range"),
    "39 negative tokens": (encoded(token_count={"total": -1}), JSON, 422, "out_of_range"),
    "40 status as text": (encoded(status_code="200"), JSON, 422, "wrong_type"),
    "40 status 99": (encoded(status_code=99), JSON, 422, "out_of_range"),
    "40 status 1000": (encoded(status_code=1000), JSON, 422, "out_of_range"),
    "40 status true": (encoded(status_code=True), JSON, 422, "wrong_type"),
    "41 no time": (encoded(started_at="noon"), JSON, 422, "wrong_type"),
    "41 year 300000": (encoded(started_at="300000-01-01T00:00:00Z"), JSON, 422, "wrong_type"),
    "41 before year 1 in UTC": (encoded(started_at="0001-01-01T00:00:00+10:00"), JSON, 422, "out_of_range"),
    "42 epoch seconds": (encoded(started_at=1767323045), JSON, 422, "wrong_type"),
    "47 large item": (encoded(prompt="x" * (4 * 2**20)), JSON, 413, "item_too_large"),
    "58 a million keys": (b'{"request_body": {' + b'"k":1,' * 10**6 + b'"k":1}}', JSON, 413, "item_too_large"),
    "53 empty id": (encoded(request_id=""), JSON, 422, "out_of_range"),
    "53 long id": (encoded(request_id="x" * 10_000), JSON, 422, "out_of_range"),
    "53 control signs in an id": (encoded(request_id="a\x00b\n"), JSON, 422, "out_of_range"),
    "53 emoji id": (encoded(request_id="😀"), JSON, 422, "out_of_range"),
    "nothing of an exchange": (b"{}", JSON, 422, "empty_item"),
}


def usage(**tokens: Any) -> bytes:
    return encoded(response_body={"choices": [], "usage": tokens})


NUL_EVERYWHERE = (
    rb'{"provider": "a\u0000b", "path": "\u0000", "method": "\u0000", "model": "\u0000m", "prompt": "\u0000", '
    rb'"completion": "\u0000", "metadata": {"\u0000": "\u0000"}, '
    rb'"tags": {"user_id": "\u0000", "session_id": "\u0000", "t\u0000": "\u0000"}}'
)
NUL_IN_BODIES = (
    rb'{"path": "/v1/chat/completions", '
    rb'"request_body": {"model": "m\u0000", "messages": [{"role": "user", "content": "\u0000"}]}, '
    rb'"response_body": {"id": "\u0000", "model": "\u0000", "error": {"message": "\u0000", "code": "\u0000"}, '
    rb'"choices": [{"finish_reason": "\u0000", "message": {"content": "\u0000"}}]}}'
)
LARGE = b'{"n": 123456789012345678901234567890, "f": 1.10, "e": 1e999, "d": ' + b"7" * 5000 + b"}"
#: number of the catalogue and name: an item that is taken, and comes back as it was.
TAKEN: dict[str, bytes] = {
    "7 30 digits": b'{"request_body": ' + LARGE + b"}",
    "8 5,000 digits": b'{"prompt": "x", "request_body": ' + b"9" * 5000 + b"}",
    "10 lone surrogates": rb'{"prompt": "a\ud83d", "request_body": {"model": "\udc00", "x\ud800": "\ud83d"}}',
    "10 lone surrogates beside numbers": rb'{"prompt": "\ud83d", "x": 1e999, "request_body": ' + LARGE + b"}",
    "11 NUL everywhere": NUL_EVERYWHERE,
    "11 NUL in bodies": NUL_IN_BODIES,
    "15 equal keys": b'{"prompt": "x", "prompt": "y", "request_body": {"a": 1, "a": 2}}',
    "16 unknown fields": b'{"prompt": "x", "colour": "green", "__proto__": {}, "id": 7}',
    "41 far future": encoded(started_at="2099-01-01T00:00:00Z"),
    "41 far past": encoded(started_at="0001-01-01T00:00:00Z"),
    "41 the last moment": encoded(started_at="9999-12-31T23:59:59.999999Z"),
    "42 no zone": encoded(started_at="2026-01-02T03:04:05"),
    "55 unknown provider": encoded(provider="nobody knows", path="/somewhere/else"),
    "56 text": encoded(response_body="just text"),
    "56 event stream": encoded(response_body='data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'),
    "56 nothing": encoded(response_body=None),
    "56 base64": encoded(response_body=base64.b64encode(bytes(range(256))).decode()),
    "56 empty": encoded(response_body=""),
    "56 numbers and lists": encoded(request_body=[1, [{"messages": 7}]], response_body=[None, {"choices": "no"}]),
    "57 cut stream": encoded(response_body='data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"choi'),
    "58 one long line": encoded(response_body="x" * 1_000_000),
    "58 many keys": encoded(request_body={f"k{n}": n for n in range(100_000)}),
    "56 HTML": encoded(response_body="<html><body>502</body></html>"),
    "59 markup": encoded(prompt="<script>alert(1)</script>", model="\"><svg onload=x>{{7*7}}"),
    "tokens beyond 64 bits": usage(prompt_tokens=10**30, completion_tokens=-5, total_tokens=2**63),
    "tokens that are none": usage(prompt_tokens="ten", completion_tokens=1.5, total_tokens=True),
    "depth of the limit": deep(500),
    "headers of odd types": encoded(request_headers={"Accept": ["a", {"b": None}]}, response_headers={}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_bad_input_is_refused_by_name_and_nothing_is_stored(api: Api, case: str) -> None:
    body, headers, status, code = REFUSED[case]

    answer = await api.post("/api/v1/ingest", data=body, headers=headers)

    told = await answer.get_json(force=True)
    assert (answer.status_code, told["error_code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert len(json.dumps(told)) < 2000
    assert sql("SELECT count(*) FROM exchange") == [(0,)]


@pytest.mark.parametrize("case", TAKEN)
async def test_odd_input_is_taken_evaluated_and_comes_back_byte_for_byte(api: Api, case: str) -> None:
    answer = await api.post("/api/v1/ingest", data=TAKEN[case], headers=JSON)

    told = await answer.get_json(force=True)
    assert answer.status_code == 202, told
    work()
    path = f"/api/v1/logs/{told['request_id']}"
    assert await (await api.get(f"{path}/raw")).get_data() == TAKEN[case]
    assert (await api.get(path)).status_code == 200
    assert (await (await api.get(f"/api/v1/ingest/{told['request_id']}")).get_json())["status"] == "evaluated"
    rows = await (await api.get("/api/v1/logs")).get_json()
    assert [row["request_id"] for row in rows["data"]] == [told["request_id"]]


async def test_13_a_byte_order_mark_is_no_part_of_the_item(api: Api) -> None:
    answer = await api.post("/api/v1/ingest", data=b"\xef\xbb\xbf" + encoded(request_id="bom"), headers=JSON)

    assert answer.status_code == 202
    assert await (await api.get("/api/v1/logs/bom/raw")).get_data() == encoded(request_id="bom")


async def test_34_a_key_that_is_unknown_revoked_or_expired_gets_the_same_answer(api: Api) -> None:
    made = {name: keys.create(name=name, role="viewer", actor="tests") for name in ("revoked", "expired")}
    keys.revoke(made["revoked"][0].id, actor="tests")
    sql("UPDATE api_key SET expires_at = 1 WHERE id = ?", made["expired"][0].id)

    tokens = ["sk-ingate-unknown", *(token for _, token in made.values())]
    answers = [await api.get("/api/v1/logs", role=None, headers={"X-Ingate-Key": token}) for token in tokens]

    assert {(answer.status_code, await answer.get_data()) for answer in answers} == {(401, await answers[0].get_data())}


@pytest.mark.parametrize(
    "case", ["10 lone surrogates", "11 NUL everywhere", "58 one long line", "58 many keys", "59 markup"]
)
async def test_pages_of_odd_items_are_shown_and_stay_small(api: Api, case: str) -> None:
    told = await (await api.post("/api/v1/ingest", data=TAKEN[case], headers=JSON)).get_json()
    work()
    await api.client.post("/sign-in", form={"key": api.keys["viewer"]})

    for path in ("", "?tab=request", "?tab=response", "?tab=metadata"):
        page = await api.client.get(f"/exchanges/{told['request_id']}{path}")
        text = await page.get_data(as_text=False)
        assert (page.status_code, len(text) < 2**18) == (200, True), path
        text.decode()
    assert (await api.client.get("/exchanges")).status_code == 200


@pytest.mark.parametrize(
    "q",
    [
        "%", "_", "\\", '"', "'", "NEAR(", "NEAR(a b)", "-x", "--", "col:x", "prompt:x", "*", "x*", "a OR b", "a AND",
        "NOT", "(", ")", "^x", "{x}", "+", "~", ";", "x;DROP TABLE log", "' OR 1=1 --", "\u0000", "\ud83d", "😀", "à",
        "a:b:c", ":*", "model:%", "model:_", "model:*%*", "id:'", 'text:"a\\"', "status:>=", "x" * 5000, '"' * 99, " ",
        "&|!", "a & b",
    ],
)  # fmt: skip
async def test_66_any_search_is_answered_or_said_to_be_wrong(api: Api, q: str) -> None:
    await api.post("/api/v1/ingest", data=encoded(), headers=JSON)
    work()
    sent = q.encode("utf-8", "surrogatepass")

    answers = [await api.get(f"/api/v1/logs?q={quote(sent)}"), await api.get(f"/api/v1/logs?model={quote(sent)}")]

    for answer in answers:
        told = await answer.get_json(force=True)
        assert answer.status_code == 200 or told["error_code"] == "invalid_query", told
        # None of these texts is in the exchange, but all that are wildcards alone.
        assert q in ("*", " ") or "data" not in told or q.startswith("-") or told["data"] == [], q


@pytest.mark.parametrize(
    "query",
    ["sort=id;drop", "sort=received_at", "order=desc", "page=-1", "offset=1", "fields=digest", "q=&Q=x", "limit[]=5"],
)
async def test_67_what_lists_do_not_know_is_refused(api: Api, query: str) -> None:
    for path in ("/api/v1/logs", "/api/v1/batches", "/api/v1/evals", "/api/v1/prices"):
        answer = await api.get(f"{path}?{query}")

        assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (422, "unknown_parameter")


@pytest.mark.parametrize("number", ["-1", "0", "1e9", "1000000000", "9" * 30, "", "x", "1.5", "٣", "0x10", " 5"])
@pytest.mark.parametrize("name", ["limit", "cursor"])
async def test_68_a_page_is_within_its_limits_or_refused(api: Api, name: str, number: str) -> None:
    for path in ("/api/v1/logs", "/api/v1/batches", "/api/v1/evals", "/api/v1/keys"):
        answer = await api.get(f"{path}?{name}={quote(number)}", role="owner")

        told = await answer.get_json(force=True)
        assert answer.status_code == 200 or told["error_code"] in ("wrong_type", "out_of_range", "invalid_cursor")
        assert name == "cursor" or answer.status_code == 422


async def test_a_number_in_a_path_has_digits_of_ascii(api: Api) -> None:
    made = await (await api.post("/api/v1/evals", json={"name": "e", "type": "is_json"})).get_json()

    assert (await api.get(f"/api/v1/evals/{made['id']}")).status_code == 200
    foreign = str(made["id"]).translate({ord("0") + n: chr(ord("٠") + n) for n in range(10)})
    assert (await api.get(f"/api/v1/evals/{foreign}")).status_code == 404


@pytest.mark.parametrize(
    "path", ["/favicon.ico", "/robots.txt", "/.env", "/.git/config", "/wp-login.php", "/admin", "/%0aX:y", "/\x1b[31m"]
)
async def test_94_probing_is_not_found_and_no_event_of_the_log(api: Api, path: str) -> None:
    telemetry.configure("info")

    with structlog.testing.capture_logs() as events:
        answer = await api.get(path, role=None)

    telemetry.configure("error")
    assert (answer.status_code, events) == (404, [])


async def test_all_odd_items_are_taken_in_one_batch(api: Api) -> None:
    body = b'{"exchanges": [' + b", ".join(TAKEN.values()) + b', {"prompt": 7}]}'

    answer = await api.post("/api/v1/ingest/batch", data=body, headers=JSON)

    told = await answer.get_json()
    assert (answer.status_code, told["accepted"], told["rejected"]) == (202, len(TAKEN), 1)
    for one, raw in zip(told["items"], TAKEN.values(), strict=False):
        assert await (await api.get(f"/api/v1/logs/{one['request_id']}/raw")).get_data() == raw


async def test_one_bad_item_among_a_hundred_is_refused_alone(api: Api) -> None:
    items: list[Any] = [item() for _ in range(100)]
    items[42] = item(latency_ms="fast")

    told = await (await api.post("/api/v1/ingest/batch", json={"exchanges": items})).get_json()

    assert (told["accepted"], told["rejected"]) == (99, 1)
    assert [(i["index"], i["error"]["pointer"]) for i in told["items"] if not i["accepted"]] == [(42, "/latency_ms")]


async def test_one_large_item_is_refused_alone(api: Api) -> None:
    items = [item(), item(prompt="x" * 5 * 2**20), item()]

    told = await (await api.post("/api/v1/ingest/batch", json={"exchanges": items})).get_json()

    assert [one.get("error", {}).get("error_code") for one in told["items"]] == [None, "item_too_large", None]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"exchanges": []}', 422, "empty_batch"),
        (b'{"items": []}', 422, "wrong_shape"),
        (b"[]", 422, "wrong_shape"),
        (b'{"exchanges": [' + b"{}," * 1000 + b"{}]}", 413, "batch_too_large"),
        (b'{"exchanges": [{"prompt": "x"}, nul]}', 400, "malformed_json"),
        (b'{"exchanges": [{"prompt": "x"},]}', 400, "malformed_json"),
    ],
)
async def test_a_bad_batch_is_refused_as_a_whole(api: Api, body: bytes, status: int, code: str) -> None:
    answer = await api.post("/api/v1/ingest/batch", data=body, headers=JSON)

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (status, code)
    assert sql("SELECT count(*) FROM exchange") == [(0,)]


async def test_a_body_shorter_than_it_says_is_refused(api: Api) -> None:
    answer = await api.post("/api/v1/ingest", data=encoded(), headers=JSON | {"Content-Length": "5000"})

    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (400, "truncated_body")


async def test_a_body_without_end_is_refused_when_the_limit_is_passed(api: Api) -> None:
    headers = JSON | {"X-Ingate-Key": api.keys["member"]}

    async with api.client.request("/api/v1/ingest", method="POST", headers=headers) as connection:
        for _ in range(22):
            await connection.send(b"x" * 2**20)

    answer = await connection.as_response()
    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (413, "request_too_large")


def _bombs() -> dict[str, bytes]:
    gzip_bomb, zstd_bomb = zlib.compressobj(wbits=31), zstandard.ZstdCompressor().compressobj()
    zeros = b"0" * 2**20
    packed = b"".join(gzip_bomb.compress(zeros) for _ in range(64)) + gzip_bomb.flush()
    return {"gzip": packed, "zstd": b"".join(zstd_bomb.compress(zeros) for _ in range(64)) + zstd_bomb.flush()}


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_a_bomb_is_refused(api: Api, encoding: str) -> None:
    bomb = _bombs()[encoding]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    answer = await api.post("/api/v1/ingest", data=bomb, headers=with_(Content_Encoding=encoding))

    assert len(bomb) < 100_000
    assert (answer.status_code, (await answer.get_json(force=True))["error_code"]) == (413, "request_too_large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize("wide", ["values", "pattern"])
async def test_nul_in_an_evaluator_is_refused_or_kept_but_no_error_of_ours(api: Api, wide: str) -> None:
    config = {"values": ["a\0"]} if wide == "values" else {"pattern": "a\0"}
    body = {"name": "e", "type": "contains" if wide == "values" else "regex_match", "config": config}

    answers = [
        await api.post("/api/v1/evals", json=body),
        await api.post("/api/v1/evals", json=body | {"name": "a\0b"}),
        await api.post("/api/v1/evals", json=body | {"name": "f", "filter": "model:a\0b"}),
        await api.post("/api/v1/evals", json=body | {"name": "g", "type": "contains\0"}),
        await api.post("/api/v1/evals/1/runs", json={"q": "model:\0"}),
        await api.post("/api/v1/keys", json={"name": "a\0b"}, role="owner"),
    ]

    assert [answer.status_code for answer in answers] == [201, 422, 422, 422, 422, 422]


def test_reading_a_bomb_needs_no_memory_of_its_own_size() -> None:
    code = """
import resource, zstandard
from web.body import _gzip, _zstd
import gzip
zeros = b"0" * (128 << 20)
bombs = gzip.compress(zeros, 1), zstandard.compress(zeros)
del zeros
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1])
before = peak()
for decode, bomb in zip((_gzip, _zstd), bombs):
    assert len(decode(bomb, 20 << 20)) == (20 << 20) + 1
    assert peak() - before < 64 << 10, peak() - before
"""

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
