"""Whatever is sent to the doors: never an error of ours, always a problem in the one shape, and an answer within time.

What is accepted comes back byte for byte. A hundred examples each by default; twenty thousand, and more than fifty
thousand items for the round trip, with `pytest tests/web/test_fuzz.py --hypothesis-profile long`.
"""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.exchange import Item
from tests.helpers import CHAT

pytestmark = pytest.mark.backend

#: An answer that takes longer is a hang.
PATIENCE_S = 5
#: The store is shared by the examples of a test, on purpose.
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)

#: Numbers, texts and words as JSON may write them, and parsers may not expect.
ODD = (
    "0", "-0", "1e999", "-1E+2", "0.10", "123456789012345678901234567890", "9223372036854775808", "1e-400",
    r'"\u0000"', r'"\ud83d"', r'"\udc00\ud83d"', r'"\ud83d\ude00"', r'"\/\b\u001f"', '"\u2028"', '"\ufeff"', '"\ufffe"',
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=()), max_size=12).map(json.dumps) | st.text(max_size=12).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
scalars = (
    st.sampled_from((*ODD, "null", "true", "false"))
    | st.builds(lambda: "7" * 4400)
    | st.integers().map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | texts
)
spaces = st.sampled_from(("", "", " ", "\n\t", "\r\n"))


def lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda values, space: f"[{space}{f',{space}'.join(values)}]", st.lists(inner, max_size=4), spaces)


def objects(inner: st.SearchStrategy[str], names: st.SearchStrategy[str] = texts) -> st.SearchStrategy[str]:
    """Objects with equal names, too."""
    pairs = st.lists(st.tuples(names, inner), max_size=4)
    return st.builds(written, pairs, spaces)


def written(pairs: list[tuple[str, str]], space: str = "") -> str:
    return "{" + space + f",{space}".join(f"{name}{space}:{value}" for name, value in pairs) + space + "}"


documents = st.recursive(scalars, lambda inner: lists(inner) | objects(inner), max_leaves=8)
fields = st.sampled_from(Item.__struct_fields__).map(json.dumps)


def changed(changes: list[tuple[str, str]]) -> str:
    """An exchange of which some fields are something else."""
    return written([*((json.dumps(name), json.dumps(value)) for name, value in CHAT.items()), *changes])


def mangled(raw: bytes, at: int, length: int, put: bytes) -> bytes:
    at %= len(raw) + 1
    return raw[:at] + put + raw[at + length :]


items = objects(documents, fields | texts) | st.lists(st.tuples(fields, documents), max_size=2).map(changed)
cuts = st.tuples(st.integers(0, 5000), st.integers(0, 9), st.binary(max_size=4))
#: Headers that the server lets through: no line ends in them.
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
HEADERS = (
    "Content-Type", "Content-Encoding", "Content-Length", "X-Ingate-User-Id", "X-Ingate-Session-Id", "Accept",
    "X-Ingate-Kind", "Idempotency-Key", "Authorization", "Cookie", "X-Forwarded-For", "Range", "If-None-Match",
)  # fmt: skip
KNOWN_VALUES = (
    "application/json", "application/json; charset=utf-8", "application/x+json", "text/plain", "gzip", "zstd",
    "identity", "br", "demo", "0", "-1", "99999999999999999999", "multipart/form-data; boundary=x", "a=b; c",
)  # fmt: skip
headers = st.dictionaries(st.sampled_from(HEADERS), values | st.sampled_from(KNOWN_VALUES), max_size=3)
packers = st.sampled_from((("", bytes), ("", bytes), ("gzip", gzip.compress), ("zstd", zstandard.compress)))


def requests(wholes: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[bytes, dict[str, str]]]:
    """Bodies as they should be, mangled, packed, and none; with odd headers."""
    bodies = wholes | st.builds(lambda raw, cut: mangled(raw, *cut), wholes, cuts) | st.binary(max_size=60)

    def made(body: bytes, packer: Any, more: dict[str, str], cut: Any) -> tuple[bytes, dict[str, str]]:
        encoding, pack = packer
        sent = pack(body) if cut is None else mangled(pack(body), *cut)
        return sent, {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {}) | more

    return st.builds(made, bodies, packers, st.just({}) | headers, st.none() | st.none() | cuts)


def utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


singles = requests((items | documents).map(utf8))
batches = requests(
    (st.lists(items | documents, max_size=4).map(lambda some: f'{{"exchanges": [{", ".join(some)}]}}') | documents).map(
        utf8
    )
)


class Silent:
    """A sender that sends nothing: what is accepted here is never worked on."""

    def announce(self, exchange_ids: list[int]) -> None:
        pass

    def close(self) -> None:
        pass


class Door:
    """The app in this process, asked one request at a time."""

    def __init__(self, client: Any, key: str, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._key, self._loop = client, key, loop

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
        """Return status, media type and body of an answer that came in time."""
        return self._loop.run_until_complete(asyncio.wait_for(self._asked(method, path, body, headers), PATIENCE_S))

    async def _asked(self, method: str, path: str, body: bytes, headers: dict[str, str] | None) -> Any:
        known = {"X-Ingate-Key": self._key, **(headers or {})}
        answer = await self._client.open(path, method=method, data=body, headers=known)
        return answer.status_code, answer.mimetype, await answer.get_data()


@pytest.fixture
def door(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    from app.settings import Settings
    from app.store import keys
    from web.app import create_app
    from web.auth import forget_all

    monkeypatch.setenv("DATABASE_URL", store)
    monkeypatch.setattr("web.app.Sender", Silent)
    forget_all()
    _, key = keys.create(name="fuzz", role="member", actor="tests")
    app = create_app(Settings.from_environ())
    with asyncio.Runner() as runner:
        running = app.test_app()
        runner.run(running.startup())
        yield Door(running.test_client(), key, runner.get_loop())
        runner.run(running.shutdown())


def check(status: int, media_type: str, body: bytes, accepted: str) -> None:
    """Hold an answer to the contract."""
    told = json.loads(body)
    if status == 202:
        assert media_type == "application/json"
        assert told[accepted]
        return
    assert 400 <= status < 500, told
    assert media_type == "application/problem+json"
    assert told.keys() >= {"type", "title", "status", "detail", "instance", "error", "error_code", "retryable"}
    assert (told["status"], told["error"], told["retryable"]) == (status, told["detail"], False)
    assert len(told["detail"]) <= 400
    assert "Traceback" not in told["detail"]


@shared
@given(singles)
def test_whatever_is_sent_as_an_exchange_is_taken_or_refused_in_the_one_shape(door: Door, sent: Any) -> None:
    check(*door.ask("POST", "/api/v1/ingest", *sent), "request_id")


@shared
@given(batches)
def test_whatever_is_sent_as_a_batch_is_taken_or_refused_in_the_one_shape(door: Door, sent: Any) -> None:
    check(*door.ask("POST", "/api/v1/ingest/batch", *sent), "accepted")


others = texts.filter(lambda name: json.loads(name) not in Item.__struct_fields__)
#: Items that are exchanges whatever else is in them.
unknown_fields = st.builds(
    lambda found, space: written([('"prompt"', '"x"'), *found], space),
    st.lists(st.tuples(others, documents), max_size=3),
    spaces,
)
with_bodies = st.builds(
    lambda request, response, space, metadata: written(
        [('"request_body"', request), ('"response_body"', response), ('"prompt"', '"x"'), ('"metadata"', metadata)],
        space,
    ),
    documents,
    documents,
    spaces,
    objects(texts),
)


@shared
@given(st.lists(unknown_fields | with_bodies, min_size=3, max_size=6))
def test_whatever_is_accepted_comes_back_byte_for_byte(door: Door, some: list[str]) -> None:
    raws = [utf8(one) for one in some]

    status, _, body = door.ask(
        "POST",
        "/api/v1/ingest/batch",
        b'{"exchanges":[' + b",".join(raws) + b"]}",
        {"Content-Type": "application/json"},
    )

    told = json.loads(body)
    assert (status, told["accepted"]) == (202, len(raws)), told
    for one, raw in zip(told["items"], raws, strict=True):
        assert door.ask("GET", f"/api/v1/logs/{one['request_id']}/raw") == (200, "application/json", raw)
