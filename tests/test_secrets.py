"""Secrets planted everywhere in real exchanges, through real processes: what may hold them does, nothing else."""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from app import search
from app.settings import Settings
from app.store import database, payloads
from tests.conftest import Ingate, wait_until
from tests.helpers import item
from tests.secrets import planted

pytestmark = pytest.mark.backend

PERSONAL = {
    "card": ("4000 0566 5566 5556", "4000 0566 5566 5556"),
    "email": ("jane.q.planted@mail.example.org", "jane.q.planted@mail.example.org"),
}
TABS = ("", "?messages=all", "?tab=request", "?tab=response", "?tab=metadata", "/raw")


class Plant:
    """Secrets, and exchanges that hold all of them in each place where a text of a client can be."""

    def __init__(self, name: str, *, personal: bool = False) -> None:
        planted_now = planted() | (PERSONAL if personal else {})
        self.texts = {kind: text for kind, (text, _) in planted_now.items()}
        self.secrets = [secret for _, secret in planted_now.values()]
        self.header = planted()["bearer"]
        self.items = {f"{name}-{place}": item(**changes) for place, changes in self._places().items()}
        if not personal:
            # What the README says masking does not find, in the item; pages show the texts that are read from it.
            self.items[f"{name}-cut-up"] = item(response_body=_pieces(_events(_pieces("\n".join(self.texts.values())))))

    def _places(self) -> dict[str, dict[str, Any]]:
        texts, every = self.texts, list(self.texts.values())
        said = "\n".join(every)
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"keys": every})}}]
        error = {"error": {"type": "auth", "code": texts["groq_key"], "message": f"wrong key: {said}"}}
        return {
            "prompt": _asked(said),
            "parts": _asked([{"type": "text", "text": said}]),
            "system": {"request_body": {"messages": [{"role": "system", "content": said}, _user("hi")]}},
            "cut": _asked("x" * 130 + " " + texts["openai_project_key"]),
            "completion": _answered({"content": said}, finish_reason=said),
            "tools": _answered({"content": None, "tool_calls": calls}),
            "unknown": {"request_body": {"new": said, said: 1}, "response_body": said},
            "error": {"status_code": 401, "response_body": error},
            "path": {"path": "/v1/chat/completions?x=" + "&y=".join(every)},
            "metadata": {"metadata": {"notes": every, "deep": {texts["jwt"]: said}}},
            "tags": {"tags": {f"t{n}": text for n, text in enumerate(every)}},
            "people": {"tags": {"user_id": texts["npm_token"], "session_id": texts["slack_token"], texts["jwt"]: "x"}},
            "fields": {
                "provider": texts["gitlab_token"], "model": texts["groq_key"], "prompt": said, "completion": said,
                "request_body": None, "response_body": None,
            },
            "extra": {"of_our_own": every},
            "headers": {
                "request_headers": {"Authorization": self.header[0], "X-Api-Key": self.header[1], "X-Note": said},
                "response_headers": {"Set-Cookie": self.header[1], "x-echo": every},
            },
            "stream": {"response_body": _events([said])},
            "pieces": {"response_body": _events(_pieces(said))},
            "chunks": {"response_body": [_chunk(piece) for piece in _pieces(said)]},
        }  # fmt: skip

    def raw(self, request_id: str) -> bytes:
        """An exchange as it is sent."""
        return json.dumps({"request_id": request_id, **self.items[request_id]}).encode()

    def in_text(self, text: str) -> set[str]:
        """The secrets of which a text shows a half or more."""
        return {secret for secret in self.secrets if any(trace in text for trace in _traces(secret))}


@pytest.fixture(scope="module")
def evaluator(ingate: Ingate) -> int:
    """An evaluator that looks at every completion."""
    config = {"name": "json", "type": "is_json", "config": {}}
    return int(ingate.http.post("/api/v1/evals", json=config).json()["id"])


def test_without_masking_secrets_are_in_the_item_and_nowhere_else(ingate: Ingate, evaluator: int) -> None:
    plant = Plant("off")

    batches = send(ingate, plant)

    assert missing(plant, ingate.http.get("/api/v1/logs/off-prompt/raw").content) == set()
    assert ingate.http.get("/api/v1/logs/off-prompt/raw").content == plant.raw("off-prompt")
    assert "X-Ingate-Masked" not in ingate.http.get("/api/v1/logs/off-prompt/raw").headers
    detail = ingate.http.get("/api/v1/logs/off-pieces").json()
    assert detail["completion"] == "\n".join(plant.texts.values())
    assert detail["response_body"] == plant.items["off-pieces"]["response_body"]

    assert dict(shown_by_tables(ingate, plant)) == {}
    assert dict(shown_by_pages(ingate, plant, batches, evaluator)) == {}
    assert plant.in_text(ingate.output()) == set()
    # A header that carries a credential is not even in the item.
    everything = " ".join(text for _, text in contents(ingate, payload=True))
    assert [trace for trace in _traces(plant.header[1]) if trace in everything] == []


def test_with_masking_secrets_are_nowhere(ingate: Ingate, evaluator: int) -> None:
    plant = Plant("on", personal=True)
    setting = {"name": "default", "masking": ["secrets", "cards", "emails"]}
    assert ingate.http.put("/api/v1/project", json=setting).status_code == 200

    batches = send(ingate, plant)

    assert dict(shown_by_tables(ingate, plant, payload=True)) == {}
    assert dict(shown_by_pages(ingate, plant, batches, evaluator)) == {}
    for request_id in plant.items:
        detail, raw = (ingate.http.get(f"/api/v1/logs/{request_id}{end}") for end in ("", "/raw"))
        assert (request_id, plant.in_text(detail.text), plant.in_text(raw.text)) == (request_id, set(), set())
        assert raw.headers["X-Ingate-Masked"] == "true"
    files = [path for path in Path(ingate.environ["INGATE_DATA"]).rglob("*") if path.is_file()]
    assert {path.name: plant.in_text(path.read_bytes().decode("latin-1")) for path in files} == {
        path.name: set() for path in files
    }
    assert ingate.http.get("/api/v1/logs/on-prompt").json()["prompt"].startswith("<masked:anthropic_key>\n")


def test_the_same_bytes_are_a_replay_whatever_the_setting_is(ingate: Ingate) -> None:
    plant = Plant("replay")
    raw = plant.raw("replay-prompt")
    ingate.http.put("/api/v1/project", json={"name": "default", "masking": ["secrets"]})
    first = post(ingate, raw)

    ingate.http.put("/api/v1/project", json={"name": "default", "masking": []})

    assert (first.status_code, first.json().get("duplicate")) == (202, None)
    assert (post(ingate, raw).status_code, post(ingate, raw).json().get("duplicate")) == (202, True)
    assert post(ingate, raw[:-1] + b', "more": 1}').status_code == 409


def send(ingate: Ingate, plant: Plant) -> list[str]:
    """Send the exchanges one by one and, under other ids, as batches with refused items; return the batches."""
    assert [post(ingate, plant.raw(request_id)).status_code for request_id in plant.items] == [202] * len(plant.items)
    batches = []
    for number, text in enumerate(plant.texts.values()):
        again = {**plant.items[f"{next(iter(plant.items))}"], "request_id": f"{next(iter(plant.items))}-{number}"}
        items = [again, item(tags={text: 5}), item(metadata=5, prompt=text)]
        batches.append(ingate.http.post("/api/v1/ingest/batch", json={"exchanges": items}).json())
    assert {(batch["accepted"], batch["rejected"]) for batch in batches} == {(1, 2)}
    with queue_of(ingate) as queue:

        def done() -> bool:
            assert plant.in_text(held(queue)) == set()
            return not ingate.http.get("/api/v1/logs?q=is:pending").json()["data"]

        wait_until(done, seconds=60, why=ingate.output)
    assert {ingate.receipt(request_id)["status"] for request_id in plant.items} == {"evaluated"}
    return [batch["batch_id"] for batch in batches]


def post(ingate: Ingate, raw: bytes) -> httpx.Response:
    return ingate.http.post("/api/v1/ingest", content=raw, headers={"Content-Type": "application/json"})


def shown_by_pages(ingate: Ingate, plant: Plant, batches: list[str], evaluator: int) -> Iterator[tuple[str, set[str]]]:
    """Every page on which a secret shows."""
    paths = [f"/exchanges/{request_id}{tab}" for request_id in plant.items for tab in TABS]
    paths += [f"/batches/{batch_id}" for batch_id in batches]
    paths += ["/exchanges", "/batches", "/failures", "/evals", f"/evals/{evaluator}", "/settings"]
    with httpx.Client(base_url=ingate.url, follow_redirects=True) as browser:
        assert browser.get(ingate.sign_in_link()).status_code == 200
        for path in paths:
            page = browser.get(path)
            assert page.status_code == 200
            if shown := plant.in_text(html.unescape(page.text)):
                yield path, shown


def shown_by_tables(ingate: Ingate, plant: Plant, *, payload: bool = False) -> Iterator[tuple[str, set[str]]]:
    """Every table in which a secret, or a word of one, is."""
    words = {word for secret in plant.secrets for word in search.words(secret) if len(word) >= 12}
    for table, text in contents(ingate, payload=payload):
        shown = plant.in_text(text)
        if table == "search words":
            shown |= words & set(text.split("\n"))
        if shown:
            yield table, shown


def contents(ingate: Ingate, *, payload: bool) -> Iterator[tuple[str, str]]:
    """What is in each table, and in the search index; payloads are unpacked, where they are asked for."""
    database.connect(ingate.environ["DATABASE_URL"])
    try:
        with database.session():
            # SQLite's search index cannot be read as a table: its words are read below, and its own tables here.
            tables = set(database.db.get_tables()) - {"payload", *(["search"] if database.is_sqlite() else [])}
            assert {"exchange", "log", "score", "rejection"} <= tables
            for table in tables:
                rows = database.execute(f'SELECT * FROM "{table}"')
                yield table, "\n".join(_text(value) for row in rows for value in row)
            if database.is_sqlite():
                database.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, search, 'row')")
                words = database.execute("SELECT term FROM temp.words")
                database.execute("DROP TABLE temp.words")
            else:
                words = database.execute("SELECT DISTINCT unnest(tsvector_to_array(words)) FROM search")
            assert words
            yield "search words", "\n".join(row[0] for row in words)
            if payload:
                rows = database.execute("SELECT codec, data FROM payload")
                yield "payload", "\n".join(payloads.unpack(*row).decode() for row in rows)
    finally:
        database.close()


def queue_of(ingate: Ingate) -> "redis.Redis":
    """A client of its queue server."""
    return redis.Redis.from_url(Settings.from_environ(ingate.environ).redis_url)


def held(queue: "redis.Redis") -> str:
    """All keys and values of the queue server."""
    read: dict[bytes, Any] = {
        b"string": queue.get, b"hash": queue.hgetall, b"set": queue.smembers,
        b"list": lambda key: queue.lrange(key, 0, -1), b"zset": lambda key: queue.zrange(key, 0, -1),
    }  # fmt: skip
    return repr([(key, read[kind](key)) for key in queue.scan_iter() if (kind := queue.type(key)) in read])


def missing(plant: Plant, raw: bytes) -> set[str]:
    """The secrets that are not in an item."""
    said = json.loads(raw)["request_body"]["messages"][0]["content"]
    return {secret for secret in plant.secrets if secret not in said}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1") if _is_bytes(value) else repr(value)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | memoryview)


def _traces(secret: str) -> list[str]:
    """Both halves of a secret, or all of a short one; a key in several lines is as good as each of them."""
    lines = [line for line in secret.split("\n") if not line.startswith("-----")]
    return [
        half
        for line in lines
        for half in ((line[: len(line) // 2], line[len(line) // 2 :]) if len(line) >= 20 else (line,))
    ]


def _asked(content: Any) -> dict[str, Any]:
    return {"request_body": {"model": "m", "messages": [_user(content)]}}


def _user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _answered(message: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"response_body": {"choices": [{"message": {"role": "assistant", **message}, **choice}]}}


def _pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def _chunk(piece: str) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": piece}}]}


def _events(pieces: list[str]) -> str:
    return "".join(f"data: {json.dumps(_chunk(piece))}\n\n" for piece in pieces) + "data: [DONE]\n\n"
