"""Figures of usage, users and sessions, read from the roll-ups: no exchange is looked at, however many there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from app import latencies
from app.errors import NotFound
from app.store import database
from app.store.database import execute, is_sqlite
from app.store.usage import DAY_MS, MAX_NAME

#: Figures that every roll-up has, and those that only hours and days have.
_EVERYWHERE = (
    "requests", "errors", "metered", "prompt_tokens", "completion_tokens", "priced", "cost_pico", "timed", "latency_us",
)  # fmt: skip
_BY_CUT = ("total_tokens", "cached_tokens", "cache_creation_tokens", "reasoning_tokens", "unpriced")
#: What hours and days can be grouped by.
CUTS = {"provider": "provider", "model": "model", "status": "status_class", "key": "key_id"}


class Figures(NamedTuple):
    """What calls add up to; see app.store.models.Measured. The last six are None where no roll-up has them."""

    requests: int = 0
    errors: int = 0
    metered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    priced: int = 0
    cost_pico: int = 0
    timed: int = 0
    latency_us: int = 0
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    unpriced: int | None = None
    latencies: int | None = None


class Window(NamedTuple):
    """A time from whole hours to whole hours, in milliseconds since 1970 UTC."""

    since: int
    until: int


class Cut(NamedTuple):
    """Only calls of a provider, of a model, or both."""

    provider: str | None = None
    model: str | None = None


class Session(NamedTuple):
    """A session's figures, from its first call to its last."""

    session_id: str
    first_at: int
    last_at: int
    figures: Figures


def summary(project_id: int, window: Window, cut: Cut) -> Figures:
    """Add up the calls of a time: whole days from days, the rest from hours."""
    source, params = _days_and_hours(project_id, window, cut)
    with database.session():
        return _figures(execute(f"SELECT {_sums()} FROM ({source}) AS usage", params)[0])


def series(project_id: int, window: Window, cut: Cut, *, daily: bool) -> dict[int, Figures]:
    """Add up the calls of a time by hour or, where it is of whole days, by day; periods without calls are absent."""
    source, params = _rows("usage_day" if daily else "usage_hour", project_id, window, cut)
    with database.session():
        rows = execute(f"SELECT start, {_sums()} FROM ({source}) AS usage GROUP BY start", params)
    return _by_first(rows)


def breakdown(project_id: int, window: Window, cut: Cut, *, by: str, limit: int) -> dict[Any, Figures]:
    """Add up the calls of a time by one of CUTS, the most frequent first; "" and 0 stand for none."""
    source, params = _days_and_hours(project_id, window, cut)
    with database.session():
        rows = execute(
            f"""SELECT {CUTS[by]}, {_sums()} FROM ({source}) AS usage GROUP BY {CUTS[by]} HAVING sum(requests) > 0
                 ORDER BY sum(requests) DESC, {CUTS[by]} LIMIT ?""",
            [*params, limit],
        )
    return _by_first(rows)


def of_user(project_id: int, window: Window, user_id: str) -> dict[int, Figures]:
    """Return a user's figures by day, for a time of whole days; days without calls are absent."""
    days = range(window.since, window.until, DAY_MS)
    with database.session():
        rows = execute(
            f"""SELECT start, {", ".join(_EVERYWHERE)} FROM usage_day_user
                 WHERE project_id = ? AND {database.in_list("start")} AND user_id = ? ORDER BY start""",
            # One key a day: a range would read every user's.
            [project_id, database.id_list(days), user_id],
        )
    return _by_first(rows)


def users(project_id: int, window: Window, *, limit: int) -> dict[Any, Figures]:
    """Add up a time of whole days by user, the most frequent first."""
    with database.session():
        rows = execute(
            f"""SELECT user_id, {", ".join(f"sum({name})" for name in _EVERYWHERE)} FROM usage_day_user
                 WHERE project_id = ? AND start >= ? AND start < ?
                 GROUP BY user_id ORDER BY sum(requests) DESC, user_id LIMIT ?""",
            [project_id, window.since, window.until, limit],
        )
    return _by_first(rows)


def sessions_by_size(project_id: int, window: Window, *, limit: int) -> dict[Any, Figures]:
    """Return the figures of whole sessions that began in a time, those with the most calls first."""
    with database.session():
        rows = execute(
            f"""SELECT session_id, {", ".join(_EVERYWHERE)} FROM session
                 WHERE project_id = ? AND first_at >= ? AND first_at < ?
                 ORDER BY requests DESC, session_id LIMIT ?""",
            [project_id, window.since, window.until, limit],
        )
    return _by_first(rows)


def sessions(
    project_id: int, *, limit: int, after: tuple[int, str] | None = None
) -> tuple[list[Session], tuple[int, str] | None]:
    """Return a page of a project's sessions, that which began last first, and where the next page begins."""
    where, params = ("", []) if after is None else ("AND (first_at, session_id) < (?, ?)", [*after])
    with database.session():
        rows = execute(
            f"""SELECT session_id, first_at, last_at, {", ".join(_EVERYWHERE)} FROM session
                 WHERE project_id = ? {where} ORDER BY first_at DESC, session_id DESC LIMIT ?""",
            [project_id, *params, limit + 1],
        )
    found = [_session(row) for row in rows[:limit]]
    return found, (found[-1].first_at, found[-1].session_id) if len(rows) > limit else None


def session(project_id: int, session_id: str) -> Session:
    """Return one session. Raises NotFound when the project has logged no live call of it."""
    with database.session():
        rows = execute(
            f"""SELECT session_id, first_at, last_at, {", ".join(_EVERYWHERE)} FROM session
                 WHERE project_id = ? AND session_id = ?""",
            [project_id, session_id],
        )
    if not rows:
        raise NotFound(f"no session {session_id[:255]}")
    return _session(rows[0])


def together(figures: Sequence[Figures]) -> Figures:
    """Add up figures of users or sessions."""
    return Figures(*map(sum, zip(*(one[: len(_EVERYWHERE)] for one in figures), strict=True)))


def _days_and_hours(project_id: int, window: Window, cut: Cut) -> tuple[str, list[Any]]:
    first_day, last_day = -(-window.since // DAY_MS) * DAY_MS, window.until // DAY_MS * DAY_MS
    if first_day >= last_day:
        return _rows("usage_hour", project_id, window, cut)
    parts = [
        _rows(table, project_id, Window(since, until), cut)
        for table, since, until in (
            ("usage_hour", window.since, first_day),
            ("usage_day", first_day, last_day),
            ("usage_hour", last_day, window.until),
        )
        if since < until
    ]
    return " UNION ALL ".join(sql for sql, _ in parts), [value for _, params in parts for value in params]


def _rows(table: str, project_id: int, window: Window, cut: Cut) -> tuple[str, list[Any]]:
    where, params = "project_id = ? AND start >= ? AND start < ?", [project_id, window.since, window.until]
    for column, value in cut._asdict().items():
        if value is not None:
            where += f" AND {column} = ?"
            params.append(value[:MAX_NAME])
    columns = ", ".join(("start", *CUTS.values(), *_EVERYWHERE, *_BY_CUT, "latencies"))
    return f"SELECT {columns} FROM {table} WHERE {where}", params


def _sums() -> str:
    merged = "latencies_sum(latencies)" if is_sqlite() else "sum(latencies)::text"
    return ", ".join([*(f"coalesce(sum({name}), 0)" for name in (*_EVERYWHERE, *_BY_CUT)), merged])


def _by_first(rows: Sequence[tuple[Any, ...]]) -> dict[Any, Figures]:
    return {first: _figures(rest) for first, *rest in rows}


def _session(row: Sequence[Any]) -> Session:
    return Session(row[0], row[1], row[2], _figures(row[3:]))


def _figures(row: Sequence[Any]) -> Figures:
    sums = [int(value) for value in row[: len(_EVERYWHERE) + len(_BY_CUT)]]
    if len(row) == len(_EVERYWHERE):
        return Figures(*sums)
    merged = row[-1]
    histogram = latencies.unpack(merged) if isinstance(merged, bytes) else int(merged or 0)
    return Figures(*sums)._replace(latencies=histogram)
