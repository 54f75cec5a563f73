"""Roll-ups of live calls: by hour and day, by day and user, by session; figures.py reads them.

They are written where a call is logged, in the same transaction, and so count each call once. They outlive the
exchanges: retention takes those, not what they add up to. All sums are of whole numbers, so they are exact, in any
order, when a reprocess run subtracts what a call counted as and adds what it counts as now.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import neg
from typing import NamedTuple

from app import latencies
from app.store import bulk, database
from app.store.database import execute, execute_many, is_sqlite
from app.store.exchanges import Subject
from app.store.models import Flag, Kind

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
#: 2020-01-01: no call was before. Clients whose clock is not set would make an hour of 1970 theirs.
EARLIEST_MS = 1_577_836_800_000
#: Characters of a provider or model that tell it from others: a response may name any, and an index takes 2,704 bytes.
MAX_NAME = 256

#: Picodollars of a dollar.
PICO = 10**12

#: What a call is counted by that its log row says, in the order of Call.
LOG_COLUMNS = (
    "provider", "model", "response_model", "flags", "prompt_tokens", "completion_tokens", "total_tokens",
    "cached_tokens", "cache_creation_tokens", "reasoning_tokens", "cost_usd", "unpriced",
)  # fmt: skip


class Call(NamedTuple):
    """A logged exchange."""

    subject: Subject
    provider: str | None
    model: str | None
    response_model: str | None
    flags: int
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    cache_creation_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    unpriced: str | None

    @property
    def counted_at(self) -> int:
        """The moment that a call counts at: when it was made, unless that is after it came here or before any was."""
        received_at, started_at = self.subject.received_at, self.subject.started_at
        if started_at is None or not EARLIEST_MS <= started_at <= received_at:
            return received_at
        return started_at


class _Table(NamedTuple):
    name: str
    #: PostgreSQL's types by column.
    keys: dict[str, str]
    sums: dict[str, str]
    #: Columns that keep the smallest or the greatest value, by the comparison that chooses it.
    extremes: dict[str, str] = {}  # noqa: RUF012 - a constant

    @property
    def columns(self) -> list[str]:
        return [*self.keys, *self.extremes, *self.sums]


#: The last of a row's columns, where there is one.
_LATENCIES = "latencies"
_MEASURED = {
    "requests": "bigint", "errors": "bigint", "metered": "bigint", "prompt_tokens": "float8",
    "completion_tokens": "float8", "priced": "bigint", "cost_pico": "float8", "timed": "bigint", "latency_us": "float8",
}  # fmt: skip
_USAGE = {
    **_MEASURED, "total_tokens": "float8", "cached_tokens": "float8", "cache_creation_tokens": "float8",
    "reasoning_tokens": "float8", "unpriced": "bigint", _LATENCIES: "numeric",
}  # fmt: skip
_CUT_BY = {"provider": "text", "model": "text", "status_class": "smallint", "key_id": "int"}
_PERIOD = {"project_id": "int", "start": "bigint"}
_HOUR = _Table("usage_hour", _PERIOD | _CUT_BY, _USAGE)
_DAY = _Table("usage_day", _PERIOD | _CUT_BY, _USAGE)
_DAY_USER = _Table("usage_day_user", _PERIOD | {"user_id": "text"}, _MEASURED)
_SESSION = _Table(
    "session",
    {"project_id": "int", "session_id": "text"},
    _MEASURED,
    {"first_at": "<", "last_at": ">"},
)

Sums = list[int]
Groups = defaultdict[bulk.Row, list[Sums]]


class Totals(NamedTuple):
    """Rows to add to the roll-ups, in the order of their keys, and by that every worker locks them."""

    hours: list[bulk.Row]
    days: list[bulk.Row]
    users: list[bulk.Row]
    sessions: list[bulk.Row]


def add(calls: Iterable[Call], gone: Iterable[Call] = ()) -> None:
    """Count calls, and no longer count those that are gone, inside the caller's transaction.

    It belongs at the end of it: other workers count in the same rows, and wait from here to the commit.
    """
    for table, rows in zip((_HOUR, _DAY, _DAY_USER, _SESSION), totals(calls, gone), strict=True):
        if rows:
            _upsert(table, rows)


def totals(calls: Iterable[Call], gone: Iterable[Call] = ()) -> Totals:
    """Sum live calls up, and subtract those that are gone. Pure."""
    hours: Groups = defaultdict(list)
    days: Groups = defaultdict(list)
    users: Groups = defaultdict(list)
    sessions: Groups = defaultdict(list)
    spans: defaultdict[bulk.Row, list[int]] = defaultdict(list)
    for sign, some in ((1, calls), (-1, gone)):
        for call in some:
            subject, at = call.subject, call.counted_at
            if subject.kind != Kind.LIVE:
                continue
            values = _values(call) if sign > 0 else [*map(neg, _values(call))]
            provider, model = (call.provider or "")[:MAX_NAME], (call.response_model or call.model or "")[:MAX_NAME]
            cut = provider, model, (subject.status_code or 0) // 100, subject.key_id or 0
            hours[subject.project_id, at - at % HOUR_MS, *cut].append(values)
            if subject.user_id:
                users[subject.project_id, at - at % DAY_MS, subject.user_id].append(values[: len(_MEASURED)])
            if subject.session_id:
                key = subject.project_id, subject.session_id
                sessions[key].append(values[: len(_MEASURED)])
                spans[key].append(at)
    by_hour = _rows(hours)
    for project_id, hour, *rest in by_hour:
        days[project_id, hour - hour % DAY_MS, *rest[: len(_CUT_BY)]].append(rest[len(_CUT_BY) :])
    by_session = {(*key, min(spans[key]), max(spans[key])): values for key, values in sessions.items()}
    return Totals(by_hour, _rows(days), _rows(users), _rows(by_session))


def _values(call: Call) -> Sums:
    """What one call counts as, in the order of _USAGE."""
    latency_ms = call.subject.latency_ms
    return [
        1,
        (call.subject.status_code or 0) >= 400 or (call.flags & Flag.ERROR) != 0,
        call.prompt_tokens is not None or call.completion_tokens is not None,
        call.prompt_tokens or 0,
        call.completion_tokens or 0,
        call.cost_usd is not None,
        _whole((call.cost_usd or 0.0) * PICO),
        latency_ms is not None,
        _whole((latency_ms or 0.0) * 1000),
        call.total_tokens or 0,
        call.cached_tokens or 0,
        call.cache_creation_tokens or 0,
        call.reasoning_tokens or 0,
        call.unpriced is not None,
        0 if latency_ms is None else latencies.one(latency_ms),
    ]


def _whole(value: float) -> int:
    """Round as SQL does."""
    return math.floor(value + 0.5)


def _rows(groups: Mapping[bulk.Row, Sequence[Sums]]) -> list[bulk.Row]:
    sums = (
        (key, values[0] if len(values) == 1 else [*map(sum, zip(*values, strict=True))])
        for key, values in sorted(groups.items())
    )
    return [(*key, *added) for key, added in sums if any(added)]


def _upsert(table: _Table, rows: Sequence[bulk.Row]) -> None:
    sql = _upsert_sql(table.name, is_sqlite())
    if not is_sqlite():
        # One statement of one text, whatever the number of rows.
        execute(sql, [bulk.array(values) for values in zip(*rows, strict=True)])
        return
    if _LATENCIES in table.sums:
        rows = [(*row[:-1], latencies.pack(row[-1])) for row in rows]
    execute_many(sql, rows)


@functools.cache
def _upsert_sql(name: str, sqlite: bool) -> str:
    table = next(one for one in (_HOUR, _DAY, _DAY_USER, _SESSION) if one.name == name)
    changes = {column: f"{name}.{column} + excluded.{column}" for column in table.sums} | {
        column: f"CASE WHEN excluded.{column} {by} {name}.{column} THEN excluded.{column} ELSE {name}.{column} END"
        for column, by in table.extremes.items()
    }
    if sqlite and _LATENCIES in changes:
        changes[_LATENCIES] = f"latencies_add({name}.latencies, excluded.latencies)"
    types = [*table.keys.values(), *["bigint"] * len(table.extremes), *table.sums.values()]
    arrays = ", ".join(f"?::{kind}[]" for kind in types)
    rows = f"VALUES ({', '.join('?' * len(types))})" if sqlite else f"SELECT * FROM unnest({arrays})"
    return f"""INSERT INTO {name} ({", ".join(table.columns)}) {rows}
        ON CONFLICT ({", ".join(table.keys)}) DO UPDATE SET
        {", ".join(f"{column} = {new}" for column, new in changes.items())}"""


def rebuild() -> list[int]:
    """Sum up again, from the exchanges that are there; what counts meanwhile waits. Return projects left as they are.

    A project whose exchanges have begun to expire keeps the roll-ups it has: they know more than what is left.
    """
    with database.transaction():
        if not is_sqlite():
            execute("SET LOCAL statement_timeout = 0")
            execute("LOCK TABLE usage_hour, usage_day, usage_day_user, session IN EXCLUSIVE MODE")
        expired = execute(
            """SELECT project_id FROM tally GROUP BY project_id HAVING sum(expired) > 0
                  AND EXISTS (SELECT 1 FROM usage_day d WHERE d.project_id = tally.project_id) ORDER BY 1"""
        )
        kept = [row[0] for row in expired]
        for (project_id,) in execute("SELECT id FROM project ORDER BY id"):
            if project_id not in kept:
                _rebuild(project_id)
    return kept


def _rebuild(project_id: int) -> None:
    cut = ", ".join(_CUT_BY)
    day = ", ".join("sum(latencies)" if n == _LATENCIES and not is_sqlite() else _merged(n) for n in _USAGE)
    for table, keys, sums, source in (
        (_HOUR, f"project_id, at / {HOUR_MS} * {HOUR_MS}, {cut}", _sums(_USAGE), _CALLS),
        (_DAY, f"project_id, start / {DAY_MS} * {DAY_MS}, {cut}", day, "SELECT * FROM usage_hour WHERE project_id = ?"),
        (
            _DAY_USER,
            f"project_id, at / {DAY_MS} * {DAY_MS}, user_id",
            _sums(_MEASURED),
            f"{_CALLS} AND e.user_id <> ''",
        ),
        (
            _SESSION,
            "project_id, session_id",
            f"min(at), max(at), {_sums(_MEASURED)}",
            f"{_CALLS} AND e.session_id <> ''",
        ),
    ):
        execute(f"DELETE FROM {table.name} WHERE project_id = ?", [project_id])
        execute(
            f"""INSERT INTO {table.name} ({", ".join(table.columns)})
                SELECT {keys}, {sums} FROM ({source}) AS call GROUP BY {keys}""",
            [project_id],
        )


#: Live calls of a project, as `Call` has them.
_CALLS = f"""SELECT e.project_id, e.user_id, e.session_id, coalesce(e.key_id, 0) AS key_id, e.latency_ms,
        CASE WHEN e.started_at BETWEEN {EARLIEST_MS} AND e.received_at THEN e.started_at ELSE e.received_at END AS at,
        coalesce(e.status_code, 0) AS status_code, coalesce(e.status_code, 0) / 100 AS status_class,
        substr(coalesce(l.provider, ''), 1, {MAX_NAME}) AS provider,
        substr(coalesce(nullif(l.response_model, ''), l.model, ''), 1, {MAX_NAME}) AS model, l.flags,
        l.prompt_tokens, l.completion_tokens, l.total_tokens, l.cached_tokens, l.cache_creation_tokens,
        l.reasoning_tokens, l.cost_usd, l.unpriced
   FROM exchange e JOIN log l ON l.exchange_id = e.id
  WHERE e.project_id = ? AND e.kind = {Kind.LIVE}"""


def _merged(name: str) -> str:
    return "latencies_sum(latencies)" if name == _LATENCIES else f"sum({name})"


def _sums(names: Iterable[str]) -> str:
    """What a group of calls counts as: the same as `_values` of each, added up."""

    def whole(value: str) -> str:
        return f"coalesce(sum({f'round({value})' if is_sqlite() else f'floor({value} + 0.5)'}), 0)"

    def known(condition: str) -> str:
        return f"sum(CASE WHEN {condition} THEN 1 ELSE 0 END)"

    special = {
        "requests": "count(*)",
        "errors": known(f"status_code >= 400 OR (flags & {Flag.ERROR}) <> 0"),
        "metered": known("prompt_tokens IS NOT NULL OR completion_tokens IS NOT NULL"),
        "priced": known("cost_usd IS NOT NULL"),
        "cost_pico": whole(f"cost_usd * {PICO}.0"),
        "timed": known("latency_ms IS NOT NULL"),
        "latency_us": whole("latency_ms * 1000.0"),
        "unpriced": known("unpriced IS NOT NULL"),
        _LATENCIES: _histogram(),
    }
    # As doubles: no sum is out of range then.
    return ", ".join(special.get(n, f"coalesce(sum(CAST({n} AS double precision)), 0)") for n in names)


def _histogram() -> str:
    if is_sqlite():
        return "latencies_sum(latencies_of(latency_ms))"
    ones, bounds = ",".join(map(str, latencies.ONES)), ",".join(map(repr, latencies.BOUNDS))
    bucket = f"width_bucket(latency_ms, '{{{bounds}}}'::float8[])"
    return f"coalesce(sum(('{{{ones}}}'::numeric[])[1 + {bucket}]), 0)"
