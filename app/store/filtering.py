"""Terms of the filter language as SQL: conditions over exchange `e`, log `l`, pending `p` and failure `f`, and sources.

A condition is exact and is asked of exchanges that are known by id. A source says which ids these are: it holds at
least all that a term matches, in an index, newest first. Terms that few exchanges match should have one.
"""

import re
from collections.abc import Sequence
from typing import Any

from app.filters import KEYS, Sort, Term, Test
from app.store import search
from app.store.database import is_sqlite
from app.store.models import Flag
from app.store.names import Named, known_names
from app.store.streams import Source, Stream

_COLUMNS = {
    "model": "l.model",
    "provider": "coalesce(l.provider, e.provider)",
    "shape": "l.shape",
    "finish": "l.finish_reason",
    "path": "e.path",
    "user": "e.user_id",
    "session": "e.session_id",
    "batch": "(SELECT b.batch_id FROM batch b WHERE b.id = e.batch)",
    "id": "e.request_id",
    "status": "e.status_code",
    "latency": "e.latency_ms",
    "tokens": "l.total_tokens",
    "in_tokens": "l.prompt_tokens",
    "out_tokens": "l.completion_tokens",
    "cost": "l.cost_usd",
}
_IS_ERROR = f"(coalesce(e.status_code, 200) >= 400 OR (coalesce(l.flags, 0) & {Flag.ERROR}) <> 0)"
_FLAGS = {
    "error": _IS_ERROR,
    "ok": f"NOT {_IS_ERROR}",
    "streamed": f"(l.flags & {Flag.STREAMED}) <> 0",
    "truncated": f"(l.flags & {Flag.TRUNCATED}) <> 0",
    "refusal": f"(l.flags & {Flag.REFUSAL}) <> 0",
    "tools": f"(l.flags & {Flag.TOOLS}) <> 0",
    "odd": f"(l.flags & {Flag.ODD}) <> 0",
    "unpriced": "l.unpriced IS NOT NULL",
    "pending": "p.exchange_id IS NOT NULL",
    "failed": "(f.exchange_id IS NOT NULL AND f.discarded_at IS NULL)",
    "discarded": "f.discarded_at IS NOT NULL",
    "evaluated": "(p.exchange_id IS NULL AND f.exchange_id IS NULL)",
}

#: From these values on a column is in an index (migration 0008): what people look for is what took long, cost much
#: or failed, and there is so little of it that the indexes cost next to nothing.
INDEXED_FROM = {"status": 400, "latency": 30_000, "tokens": 32_000, "cost": 0.1}
#: Rows with one of these flags are in an index.
INDEXED_FLAGS = int(Flag.TRUNCATED | Flag.ERROR | Flag.REFUSAL | Flag.ODD)
#: An alternative of a term is up to as many streams as there are names; more are not merged.
_MAX_STREAMS = 50

Condition = tuple[str, list[Any]]

assert {key for key, sort in KEYS.items() if sort not in (Sort.FLAG, Sort.WORDS)} == set(_COLUMNS)


def conditions(terms: Sequence[Term], among: Sequence[int]) -> Condition:
    """Return one SQL condition for all terms and its parameters, asked of exchanges whose ids are `among`, descending.

    `1 = 1` for no term. Raises InvalidItem.
    """
    parts, params = ["1 = 1"], []
    texts = _texts(terms)
    for term in terms:
        if term.key == "text" and not term.negated:
            continue
        sqls = []
        for test in term.tests:
            sql, values = search.condition([test.text], among) if term.key == "text" else _test(term.key, test)
            sqls.append(sql)
            params += values
        any_of = " OR ".join(sqls)
        # A missing value matches no test, so its negation must hold: NULL counts as false here.
        parts.append(f"NOT coalesce(({any_of}), {_false()})" if term.negated else f"({any_of})")
    if texts:
        sql, values = search.condition([term.tests[0].text for term in texts], among)
        parts.append(sql)
        params += values
    return " AND ".join(parts), params


def sources(project_id: int, terms: Sequence[Term]) -> list[Source]:
    """Return a source for each term that has one, and one for all texts together. Raises InvalidItem."""
    found = []
    for term in terms:
        streams = [] if term.negated or term.key == "text" else _any_of(project_id, term)
        if streams:
            found.append(Source(streams))
    texts = _texts(terms)
    if texts:
        # SQLite's index is entered anew for every exchange that is asked for a word; PostgreSQL's knows no order.
        advantage = 100.0 if is_sqlite() else 0.1
        streams = search.streams([term.tests[0].text for term in texts])
        found.append(Source(streams, settled=texts, advantage=advantage))
    return found


def _texts(terms: Sequence[Term]) -> tuple[Term, ...]:
    return tuple(term for term in terms if term.key == "text" and not term.negated)


def _any_of(project_id: int, term: Term) -> list[Stream]:
    """Return the streams of a term's alternatives; none when one of them has none."""
    found = [_streams(project_id, term.key, test) for test in term.tests]
    streams = [stream for streams in found for stream in streams]
    return streams if all(found) and len(streams) <= _MAX_STREAMS else []


def _streams(project_id: int, key: str, test: Test) -> list[Stream]:
    match key:
        case "model" | "provider":
            return _named(project_id, key, test)
        case "user" | "session" | "id" if not test.glob:
            return [_exchanges(project_id, *_test(key, test))]
        case "batch" if not test.glob:
            return [_exchanges(project_id, "e.batch = (SELECT b.id FROM batch b WHERE b.batch_id = ?)", [test.text])]
        case "status" | "latency" if test.low is not None and test.low >= INDEXED_FROM[key]:
            return [_exchanges(project_id, *_tail(key, test))]
        case "tokens" | "cost" if test.low is not None and test.low >= INDEXED_FROM[key]:
            return [_logs(project_id, *_tail(key, test))]
        case "is":
            return _flagged(project_id, test.text)
    return []


def _named(project_id: int, key: Named, test: Test) -> list[Stream]:
    """Return the streams of the models or providers that a text means."""
    names = [test.text]
    if test.glob:
        pattern = re.compile(".*".join(map(re.escape, test.text.split("*"))), re.DOTALL)
        known = known_names(key, project_id)
        names = [name for name in known.names if pattern.fullmatch(name)]
        if known.more:
            return []
    found = [_logs(project_id, f"l.{key} = ?", [name]) for name in names]
    if key == "provider":
        # Of these the provider that the client named counts.
        found += [_logs(project_id, "l.provider IS NULL", []), _PENDING, _failures(project_id)]
    return found or [_logs(project_id, "1 = 0", [])]


def _tail(key: str, test: Test) -> Condition:
    sql, params = _test(key, test)
    return f"{_COLUMNS[key]} >= {INDEXED_FROM[key]} AND {sql}", params


def _flagged(project_id: int, flag: str) -> list[Stream]:
    """Return the streams of a flag that few exchanges have."""
    match flag:
        case "error":
            of_status = f"e.status_code >= {INDEXED_FROM['status']}"
            return [_exchanges(project_id, of_status, []), _logs(project_id, _rare(Flag.ERROR), [])]
        case "truncated" | "refusal" | "odd":
            return [_logs(project_id, _rare(Flag[flag.upper()]), [])]
        case "unpriced":
            return [_logs(project_id, _FLAGS[flag], [])]
        case "pending":
            return [_PENDING]
        case "failed" | "discarded":
            return [_failures(project_id)]
    return []


def _rare(flag: Flag) -> str:
    return f"(l.flags & {INDEXED_FLAGS}) <> 0 AND (l.flags & {flag}) <> 0"


#: Of every project: few at a time, as long as the workers keep up.
_PENDING = Stream("pending p", "p.exchange_id", "1 = 1", [])


def _failures(project_id: int) -> Stream:
    return Stream("failure f", "f.exchange_id", "f.project_id = ?", [project_id])


def _exchanges(project_id: int, where: str, params: list[Any]) -> Stream:
    return Stream("exchange e", "e.id", f"e.project_id = ? AND {where}", [project_id, *params])


def _logs(project_id: int, where: str, params: list[Any]) -> Stream:
    return Stream("log l", "l.exchange_id", f"l.project_id = ? AND {where}", [project_id, *params])


def _test(key: str, test: Test) -> Condition:
    if KEYS[key] is Sort.FLAG:
        return _FLAGS[test.text], []
    column = _COLUMNS[key]
    if KEYS[key] is Sort.TEXT:
        if not test.glob:
            return f"{column} = ?", [test.text]
        if is_sqlite():
            return f"{column} GLOB ?", ["".join(f"[{c}]" if c in "[?" else c for c in test.text)]
        escaped = test.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"{column} LIKE ?", [escaped.replace("*", "%")]
    parts, params = [], []
    if test.low is not None:
        parts.append(f"{column} {'>' if test.low_open else '>='} ?")
        params.append(test.low)
    if test.high is not None:
        parts.append(f"{column} {'<' if test.high_open else '<='} ?")
        params.append(test.high)
    return "(" + " AND ".join(parts) + ")", params


def _false() -> str:
    return "0" if is_sqlite() else "false"
