"""`python -m benchmarks.seed --exchanges 1000000`: fill the database of DATABASE_URL (else of INGATE_DATA) with
finished exchanges that look like a month of real ones, so that reads can be measured on it.

Rows are written straight into the tables, past intake and workers, and look the same at every run with the same seed.
Payloads are a few real items again and again: no list reads them. Words follow Zipf: a handful is in nearly every
text, most of them are in about twenty of a million.
"""

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from app.evals import check_config
from app.settings import Settings
from app.store import bulk, database, evaluators, keys, payloads
from app.store.database import execute
from app.store.evaluators import Definition
from app.store.models import Flag, Kind, Step
from benchmarks import bodies
from benchmarks.running import EVALS

CHUNK = 5_000
BATCH = 100
#: Of a chunk, this many come in batches; the rest came alone.
BATCHED = 4_000
DAYS = 30
USERS, SESSIONS = 10_000, 50_000
WORDS, WORDS_PER_TEXT = 200_000, 40

#: Provider, model, its share in percent, and USD per million tokens in and out; a price of None is not known.
MODELS = (
    ("openai", "gpt-4o-mini", 30, 0.15, 0.6),
    ("openai", "gpt-4o", 14, 2.5, 10),
    ("openai", "gpt-4.1-mini", 12, 0.4, 1.6),
    ("anthropic", "claude-sonnet-4-5", 15, 3, 15),
    ("anthropic", "claude-haiku-4-5", 9, 1, 5),
    ("google", "gemini-2.5-flash", 8, 0.3, 2.5),
    ("google", "gemini-2.5-pro", 4, 1.25, 10),
    ("mistral", "mistral-large-latest", 3, 2, 6),
    ("mistral", "mistral-small-latest", 3, 0.1, 0.3),
    ("anthropic", "claude-opus-4-1", 1.4, 15, 75),
    ("openai", "our-fine-tune", 0.5, None, None),
    ("openai", "o3", 0.1, 2, 8),
)
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "google": "/v1beta/openai/chat/completions",
    "mistral": "/v1/chat/completions",
}
#: Status codes and their share in percent: 2 % of all calls fail.
STATUSES = ((200, 98), (429, 1), (500, 0.5), (400, 0.3), (529, 0.19), (404, 0.01))
#: One exchange in so many has failed; of these, one in ten was discarded.
FAILED = 2_000
#: So many of the newest are still on their way.
PENDING = 100

Tables = dict[str, tuple[tuple[str, ...], list[bulk.Row]]]


class _Place(NamedTuple):
    """Where the seeded exchanges begin, and whose they are."""

    project_id: int
    evaluator_ids: list[int]
    first_id: int
    first_batch: int
    until: int


def main() -> None:
    """Write them and say how long that took."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--exchanges", type=int, default=1_000_000, help=f"a multiple of {CHUNK}")
    wanted = arguments.parse_args().exchanges
    settings = Settings.from_environ()
    settings.data.mkdir(parents=True, exist_ok=True)
    database.connect(settings.database_url, relaxed=True, statement_timeout_s=0)
    started = time.monotonic()
    with database.session():
        database.migrate()
        if database.is_sqlite():
            execute("PRAGMA synchronous = off")
            execute("PRAGMA cache_size = -1000000")
        seed(wanted)
        execute("ANALYZE" if not database.is_sqlite() else "PRAGMA wal_checkpoint(truncate)")
    database.close()
    print(f"{wanted:,} exchanges in {time.monotonic() - started:.0f} s")


def seed(wanted: int) -> None:
    """Write so many exchanges into the bound database, in chunks of CHUNK."""
    place = _place()
    vocabulary = _Vocabulary(random.Random(0))
    packed = [payloads.pack(bodies.encoded(number, "seed")) for number in range(len(MODELS))]
    for start in range(0, wanted, CHUNK):
        tables = _chunk(start, wanted, place, vocabulary, packed)
        with database.transaction():
            for name, (columns, rows) in tables.items():
                _write(name, columns, rows)
    if not database.is_sqlite():
        for name in ("exchange", "batch"):
            execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))")


def _place() -> _Place:
    with database.transaction():
        project_id = keys.default_project()
        found, _ = evaluators.page(project_id)
        ids = [row.id for row in found] or [
            evaluators.create(project_id, Definition(e["name"], e["type"], check_config(e["type"], e["config"]))).id
            for e in EVALS
        ]
        last, last_batch = execute("SELECT (SELECT max(id) FROM exchange), (SELECT max(id) FROM batch)")[0]
    return _Place(project_id, ids, (last or 0) + 1, (last_batch or 0) + 1, database.now())


class _Vocabulary:
    """Words by how often they are used: the first is in nearly every text."""

    def __init__(self, rng: random.Random) -> None:
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is", "on", "um")]
        names = itertools.product(syllables, repeat=3)
        found = ["".join(name) for name in itertools.islice(names, WORDS * 4)]
        rng.shuffle(found)
        self.words = found[:WORDS]
        self.weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(WORDS)))

    def texts(self, rng: random.Random, count: int) -> Iterator[list[str]]:
        drawn = rng.choices(self.words, cum_weights=self.weights, k=count * WORDS_PER_TEXT)
        return (drawn[at : at + WORDS_PER_TEXT] for at in range(0, len(drawn), WORDS_PER_TEXT))


def _chunk(
    start: int, wanted: int, place: _Place, vocabulary: _Vocabulary, packed: Sequence[tuple[int, bytes]]
) -> Tables:
    """Return the rows of one chunk by table, in the order they are written."""
    rng = random.Random(start)
    models = rng.choices(range(len(MODELS)), [model[2] for model in MODELS], k=CHUNK)
    statuses = rng.choices(*zip(*STATUSES, strict=True), k=CHUNK)
    step_ms = DAYS * 86_400_000 / wanted
    exchange, payload, log, words, score, finished, failure, pending = ([] for _ in range(8))
    for place_in_chunk, text in enumerate(vocabulary.texts(rng, CHUNK)):
        number = start + place_in_chunk
        exchange_id = place.first_id + number
        provider, model, _, price_in, price_out = MODELS[models[place_in_chunk]]
        status = statuses[place_in_chunk]
        at = place.until - int((wanted - number) * step_ms)
        session = min(number * SESSIONS // wanted + rng.randrange(100), SESSIONS - 1)
        batch = place.first_batch + (start // CHUNK * BATCHED + place_in_chunk) // BATCH
        exchange.append((
            exchange_id, place.project_id, f"{rng.getrandbits(128):032x}", rng.randbytes(16),
            *((batch, place_in_chunk % BATCH) if place_in_chunk < BATCHED else (None, None)), None, Kind.LIVE, at,
            at - 1000, provider, PATHS[provider], "POST", status, round(rng.lognormvariate(7, 0.9), 1), None,
            *((f"user-{session * 7919 % USERS}", f"session-{session:05}") if session % 10 else (None, None)),
            json.dumps({"env": rng.choice(("prod", "staging")), "team": f"team-{session % 7}"})
            if session % 5 == 0 else None,
        ))  # fmt: skip
        payload.append((exchange_id, *packed[models[place_in_chunk]]))
        is_failed = rng.randrange(FAILED) == 0
        if number >= wanted - PENDING:
            pending.append((exchange_id, Step.EXTRACT, 0, at, 0))
            continue
        if is_failed:
            cause = rng.randrange(20)
            discarded_at = at if rng.randrange(10) == 0 else None
            failure.append((
                exchange_id, place.project_id, Step.LOG, 5, at, "ValueError", f"the price {cause} is wrong", at, 1,
                f"{cause:012x}", "openai_chat", provider, discarded_at,
            ))  # fmt: skip
            continue
        log.append(_log(exchange_id, place, rng, status, text, provider, model, price_in, price_out))
        words.append((exchange_id, " ".join(dict.fromkeys(text))))
        score += [
            (exchange_id, evaluator, 1, float(passed), passed, f"1{index}5 characters, at most 400", None, at + 40)
            for index, evaluator in enumerate(place.evaluator_ids)
            for passed in (rng.random() < 0.9,)
        ]
        finished.append((exchange_id, at + 10, 1, at + 20, 1, at + 40, 1))
    batches = [
        (place.first_batch + (start // CHUNK * BATCHED + at) // BATCH, place.project_id,
         f"{rng.getrandbits(128):032x}", exchange[at][8], BATCH)
        for at in range(0, BATCHED, BATCH)
    ]  # fmt: skip
    return {
        "batch": (("id", "project_id", "batch_id", "received_at", "size"), batches),
        "exchange": (_EXCHANGE, exchange),
        "payload": (("exchange_id", "codec", "data"), payload),
        "log": (_LOG, log),
        "search": (("rowid" if database.is_sqlite() else "exchange_id", "words"), words),
        "score": (_SCORE, score),
        "finished": (_FINISHED, finished),
        "failure": (_FAILURE, failure),
        "pending": (("exchange_id", "step", "attempts", "due_at", "leased_until"), pending),
    }


_EXCHANGE = (
    "id", "project_id", "request_id", "digest", "batch", "batch_position", "key_id", "kind", "received_at",
    "started_at", "provider", "path", "method", "status_code", "latency_ms", "ttft_ms", "user_id", "session_id", "tags",
)  # fmt: skip
_LOG = (
    "exchange_id", "project_id", "shape", "extraction", "provider", "model", "response_model", "finish_reason",
    "prompt_preview", "completion_preview", "prompt_tokens", "completion_tokens", "total_tokens", "flags", "cost_usd",
    "unpriced", "matched_model", "price_source", "price_version", "cost_lines", "words_digest", "extractor_version",
)  # fmt: skip
_SCORE = ("exchange_id", "evaluator_id", "version", "score", "passed", "explanation", "error", "at")
_FINISHED = (
    "exchange_id", "extracted_at", "extract_attempts", "logged_at", "log_attempts", "evaluated_at", "evaluate_attempts",
)  # fmt: skip
_FAILURE = (
    "exchange_id", "project_id", "step", "attempts", "failed_at", "error", "reason", "extracted_at",
    "extract_attempts", "fingerprint", "shape", "provider", "discarded_at",
)  # fmt: skip


def _log(
    exchange_id: int, place: _Place, rng: random.Random, status: int, text: list[str], provider: str, model: str,
    price_in: float | None, price_out: float | None,
) -> bulk.Row:  # fmt: skip
    ok = status < 400
    prompt = " ".join(text[: WORDS_PER_TEXT // 2])
    flags = 0 if ok else Flag.ERROR
    for flag, share in ((Flag.STREAMED, 0.3), (Flag.TOOLS, 0.1), (Flag.TRUNCATED, 0.01), (Flag.REFUSAL, 0.002)):
        flags |= flag if ok and rng.random() < share else 0
    flags |= Flag.ODD if rng.random() < 0.001 else 0
    read, written = (int(rng.lognormvariate(6, 1)), int(rng.lognormvariate(5, 1))) if ok else (None, None)
    priced = ok and price_in is not None and price_out is not None
    lines = [["input", read, read * price_in / 1e6], ["output", written, written * price_out / 1e6]] if priced else []
    return (
        exchange_id, place.project_id, "anthropic_messages" if provider == "anthropic" else "openai_chat", "extracted",
        provider, model, model if ok else None, rng.choice(("stop", "length")) if ok else None, prompt[:160],
        " ".join(text[WORDS_PER_TEXT // 2 :])[:160] if ok else None, read, written, read + written if ok else None,
        flags, sum(line[2] for line in lines) if priced else None,
        "unknown_model" if ok and not priced else None, model if priced else None, "genai-prices" if priced else None,
        "2026-11-01" if priced else None, json.dumps(lines) if priced else None, rng.getrandbits(63), 1,
    )  # fmt: skip


def _write(table: str, columns: Sequence[str], rows: Sequence[bulk.Row]) -> None:
    names = ", ".join(columns)
    if database.is_sqlite():
        database.execute_many(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", rows)
        return
    cursor: Any = database.db.cursor()
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


if __name__ == "__main__":
    main()
