"""Terms of the filter language as SQL conditions over exchange `e`, log `l`, pending `p` and failure `f`."""

from collections.abc import Sequence
from typing import Any

from app.filters import KEYS, Sort, Term, Test
from app.store import search
from app.store.database import is_sqlite
from app.store.models import Flag

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

Condition = tuple[str, list[Any]]

assert {key for key, sort in KEYS.items() if sort not in (Sort.FLAG, Sort.WORDS)} == set(_COLUMNS)


def conditions(terms: Sequence[Term]) -> Condition:
    """Return one SQL condition for all terms and its parameters; `1 = 1` for none."""
    parts, params = ["1 = 1"], []
    for term in terms:
        sqls = []
        for test in term.tests:
            sql, values = _test(term.key, test)
            sqls.append(sql)
            params += values
        any_of = " OR ".join(sqls)
        # A missing value matches no test, so its negation must hold: NULL counts as false here.
        parts.append(f"NOT coalesce(({any_of}), {_false()})" if term.negated else f"({any_of})")
    return " AND ".join(parts), params


def _test(key: str, test: Test) -> Condition:
    if KEYS[key] is Sort.WORDS:
        return search.condition(test.text)
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
