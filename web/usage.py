"""Usage over the API: totals, series and breakdowns, users and sessions; all from roll-ups of live calls."""

import re
from typing import Any, Literal

import msgspec
from quart import Blueprint, Response, request

from app import latencies
from app.errors import InvalidItem, NotFound
from app.store import database, figures
from app.store.figures import Cut, Figures, Window
from app.store.keys import Identity
from app.store.usage import DAY_MS, EARLIEST_MS, HOUR_MS, PICO
from web.query import TIME, limit, moment, shown
from web.routing import LIMIT, Parameter, json_answer, operation
from web.threads import in_thread

routes = Blueprint("usage", __name__)

DEFAULT_DAYS = 30
#: Points of a series at most, and days that a user is looked up in.
MAX_POINTS = 1000
PERCENTS = (50, 95, 99)

By = Literal["model", "provider", "status", "key", "user_id", "session_id"]
_BY: tuple[By, ...] = ("model", "provider", "status", "key", "user_id", "session_id")

_WINDOW = (
    Parameter("since", f"called at or after; default: {DEFAULT_DAYS} days ago; the answer says what was taken", TIME),
    Parameter("until", "called before; default: now; the answer says what was taken", TIME),
)
_PROVIDER = Parameter("provider", "only calls of this provider")
_MODEL = Parameter("model", "only calls of this model: the response's, where it names one")
_USER = Parameter("user_id", "only this user's calls, in whole days; stands alone")
_SESSION = Parameter("session_id", "only this session's calls, from the first to the last; stands alone")
_AFTER = Parameter(
    "cursor",
    "`next_cursor` of the page before; empty for the first",
    {"type": "string", "pattern": "^([0-9]{1,18}[.].+)?$"},
)


class Totals(msgspec.Struct, kw_only=True):
    """What live calls add up to; null is what is not known.

    A sum is of the calls that say it, and null when none does. Percentiles are within 9.1 %, from 1 ms to 17 min. Users
    and sessions have no percentiles, no `unpriced_requests` and of tokens only input and output.
    """

    total_requests: int
    total_errors: int
    error_rate: float | None
    total_input_tokens: int | None
    total_output_tokens: int | None
    total_tokens: int | None
    cached_tokens: int | None
    cache_creation_tokens: int | None
    reasoning_tokens: int | None
    total_cost_usd: float | None
    #: How many have a cost, and how many have none though they should.
    priced_requests: int
    unpriced_requests: int | None
    avg_latency_ms: float | None
    p50_latency_ms: float | None
    p95_latency_ms: float | None
    p99_latency_ms: float | None


class UsageSummary(Totals, kw_only=True):
    """Totals of a time: of whole hours, of a user's whole days, or from a session's first call to its last."""

    since: str
    until: str


class Point(Totals, kw_only=True):
    """Totals of the hour or day that begins at `at`."""

    at: str


class Series(msgspec.Struct, kw_only=True):
    """Every hour or day of a time, those without calls too."""

    granularity: Literal["hour", "day"]
    since: str
    until: str
    data: list[Point]


class Group(Totals, kw_only=True):
    """Totals of what has one value; null is none. Of status it is the class, e.g. `2xx`, of key the key's id."""

    value: str | None


class Breakdown(msgspec.Struct, kw_only=True):
    """Groups of a time, the most frequent first; `truncated` says that there are more.

    By user it is of whole days. By session it is of whole sessions, those that began in that time.
    """

    by: By
    since: str
    until: str
    data: list[Group]
    truncated: bool


class SessionAnswer(Totals, kw_only=True):
    """A session; `/api/v1/logs?q=session:…` has its exchanges."""

    session_id: str
    first_at: str
    last_at: str


class SessionList(msgspec.Struct, kw_only=True):
    """Sessions, that which began last first."""

    data: list[SessionAnswer]
    next_cursor: str | None


class UserAnswer(Totals, kw_only=True):
    """A user's calls in whole days, with the days that had some; `/api/v1/logs?q=user:…` has the exchanges."""

    user_id: str
    since: str
    until: str
    days: list[Point]


@operation(
    routes,
    "GET",
    "/api/v1/usage/summary",
    role="viewer",
    summary="What live calls of a time add up to",
    gives=UsageSummary,
    query=(*_WINDOW, _PROVIDER, _MODEL, _USER, _SESSION),
)
async def usage_summary(identity: Identity) -> Response:
    """Answer totals."""
    chosen = _stands_alone("user_id", "session_id")
    if chosen == "session_id":
        if request.args.get("since") or request.args.get("until"):
            raise _uncombined("session_id", "since and until")
        found = await in_thread(figures.session, identity.project_id, request.args["session_id"])
        since, until, sums = found.first_at, found.last_at, found.figures
    elif chosen == "user_id":
        window = _window(await _now(), DAY_MS, most=MAX_POINTS)
        days = await in_thread(figures.of_user, identity.project_id, window, request.args["user_id"])
        since, until, sums = *window, figures.together([*days.values(), Figures()])
    else:
        window = _window(await _now(), HOUR_MS)
        since, until, sums = *window, await in_thread(figures.summary, identity.project_id, window, _cut())
    return json_answer(UsageSummary(since=_at(since), until=_at(until), **_totals(sums)))


@operation(
    routes,
    "GET",
    "/api/v1/usage/timeseries",
    role="viewer",
    summary=f"What live calls add up to by hour or day; at most {MAX_POINTS} points",
    gives=Series,
    query=(
        Parameter("granularity", "a user's only by day", {"type": "string", "enum": ["hour", "day"], "default": "day"}),
        *_WINDOW,
        _PROVIDER,
        _MODEL,
        _USER,
    ),
)
async def usage_timeseries(identity: Identity) -> Response:
    """Answer one point for each period."""
    granularity = _choice("granularity", ("hour", "day"), "day")
    step = DAY_MS if granularity == "day" else HOUR_MS
    window = _window(await _now(), step, most=MAX_POINTS)
    if _stands_alone("user_id") is None:
        points = await in_thread(figures.series, identity.project_id, window, _cut(), daily=step == DAY_MS)
        empty = Figures(
            latencies=0, unpriced=0, total_tokens=0, cached_tokens=0, cache_creation_tokens=0, reasoning_tokens=0
        )
    elif granularity == "hour":
        raise _uncombined("user_id", "granularity=hour")
    else:
        points = await in_thread(figures.of_user, identity.project_id, window, request.args["user_id"])
        empty = Figures()
    data = [_point(at, points.get(at, empty)) for at in range(window.since, window.until, step)]
    return json_answer(Series(granularity=granularity, since=_at(window.since), until=_at(window.until), data=data))  # type: ignore[arg-type]  # one of two


@operation(
    routes,
    "GET",
    "/api/v1/usage/breakdown",
    role="viewer",
    summary="What live calls of a time add up to, by model, provider, status class, key, user or session",
    gives=Breakdown,
    query=(
        Parameter("by", "what to group by", {"type": "string", "enum": list(_BY), "default": "model"}),
        *_WINDOW,
        _PROVIDER,
        _MODEL,
        LIMIT,
    ),
)
async def usage_breakdown(identity: Identity) -> Response:
    """Answer the largest groups."""
    by, most, cut = _choice("by", _BY, "model"), limit(), _cut()
    window = _window(await _now(), DAY_MS if by == "user_id" else HOUR_MS)
    if by in figures.CUTS:
        groups = await in_thread(figures.breakdown, identity.project_id, window, cut, by=by, limit=most + 1)
    elif cut != Cut():
        raise _uncombined(f"by={by}", "provider and model")
    else:
        read = figures.users if by == "user_id" else figures.sessions_by_size
        groups = await in_thread(read, identity.project_id, window, limit=most + 1)
    data = [Group(value=_value(by, value), **_totals(sums)) for value, sums in groups.items()]
    return json_answer(
        Breakdown(by=by, since=_at(window.since), until=_at(window.until), data=data[:most], truncated=len(data) > most)  # type: ignore[arg-type]  # one of _BY
    )


@operation(
    routes,
    "GET",
    "/api/v1/sessions",
    role="viewer",
    summary="Sessions, that which began last first",
    gives=SessionList,
    query=(LIMIT, _AFTER),
)
async def list_sessions(identity: Identity) -> Response:
    """Answer a page of sessions."""
    page, after = await in_thread(figures.sessions, identity.project_id, limit=limit(), after=_after())
    following = None if after is None else f"{after[0]}.{after[1]}"
    return json_answer(SessionList(data=[_session(one) for one in page], next_cursor=following))


@operation(
    routes,
    "GET",
    "/api/v1/sessions/<session_id>",
    role="viewer",
    summary="One session",
    gives=SessionAnswer,
)
async def get_session(identity: Identity, session_id: str) -> Response:
    """Answer a session."""
    return json_answer(_session(await in_thread(figures.session, identity.project_id, session_id)))


@operation(
    routes,
    "GET",
    "/api/v1/users/<user_id>",
    role="viewer",
    summary="One user's calls of a time",
    gives=UserAnswer,
    query=_WINDOW,
)
async def get_user(identity: Identity, user_id: str) -> Response:
    """Answer a user's totals and days."""
    window = _window(await _now(), DAY_MS, most=MAX_POINTS)
    days = await in_thread(figures.of_user, identity.project_id, window, user_id)
    if not days:
        raise NotFound(f"no call of user {user_id[:255]} from {_at(window.since)} to {_at(window.until)}")
    return json_answer(
        UserAnswer(
            user_id=user_id,
            since=_at(window.since),
            until=_at(window.until),
            days=[_point(at, sums) for at, sums in days.items()],
            **_totals(figures.together(list(days.values()))),
        )
    )


async def _now() -> int:
    return await in_thread(database.now)


def _window(now: int, step: int, *, most: int | None = None) -> Window:
    """Read since and until, and widen them to whole periods of `step` ms, at most so many.

    No call counts before EARLIEST_MS or in the future.
    """
    until = moment("until", request.args.get("until"))
    until = now if until is None else min(until, now)
    since = moment("since", request.args.get("since"))
    since = max(EARLIEST_MS, until - DEFAULT_DAYS * DAY_MS if since is None else since)
    if since >= until:
        raise InvalidItem("since: not before until", error_code="out_of_range", pointer="/since")
    window = Window(since // step * step, -(-until // step) * step)
    if most is not None and (window.until - window.since) // step > most:
        what = "days" if step == DAY_MS else "hours"
        raise InvalidItem(f"since: more than {most} {what} before until", error_code="out_of_range", pointer="/since")
    return window


def _cut() -> Cut:
    return Cut(request.args.get("provider") or None, request.args.get("model") or None)


def _stands_alone(*names: str) -> str | None:
    """Return which of some filters is given. Raises InvalidItem when another is, since no roll-up has both."""
    given = [name for name in ("user_id", "session_id", "provider", "model") if request.args.get(name)]
    alone = next((name for name in given if name in names), None)
    if alone is not None and len(given) > 1:
        raise _uncombined(alone, " and ".join(name for name in given if name != alone))
    return alone


def _uncombined(one: str, other: str) -> InvalidItem:
    detail = (
        f"{one} cannot be combined with {other}: what can be is provider with model, in hours or days; user_id with "
        "since and until, in days; session_id with nothing. /api/v1/logs?q=… filters exchanges by everything"
    )
    return InvalidItem(detail, error_code="not_combined", pointer=f"/{one.partition('=')[0]}")


def _choice(name: str, choices: tuple[str, ...], default: str) -> str:
    value = request.args.get(name) or default
    if value not in choices:
        raise InvalidItem(f"{name}: one of {', '.join(choices)}", error_code="wrong_type", pointer=f"/{name}")
    return value


def _after() -> tuple[int, str] | None:
    text = request.args.get("cursor")
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,18})\.([^\0]+)", text, re.DOTALL)
    if match is None:
        raise InvalidItem(
            "cursor: not the `next_cursor` of a page of sessions", error_code="invalid_cursor", pointer="/cursor"
        )
    return int(match[1]), match[2]


def _value(by: str, value: Any) -> str | None:
    if not value:
        return None
    return f"{value}xx" if by == "status" else str(value)


def _session(one: figures.Session) -> SessionAnswer:
    return SessionAnswer(
        session_id=one.session_id, first_at=_at(one.first_at), last_at=_at(one.last_at), **_totals(one.figures)
    )


def _point(at: int, sums: Figures) -> Point:
    return Point(at=_at(at), **_totals(sums))


def _at(milliseconds: int) -> str:
    return shown(milliseconds) or ""


def _totals(sums: Figures) -> dict[str, Any]:
    """Write figures as the API gives them: a sum that none of some calls says is not known, that of no calls is 0."""

    def known(count: int, value: Any) -> Any:
        return value if count or not sums.requests else None

    found = latencies.percentiles(sums.latencies or 0, PERCENTS)
    p50, p95, p99 = (None, None, None) if found is None else (round(value, 1) for value in found)
    return {
        "total_requests": sums.requests,
        "total_errors": sums.errors,
        "error_rate": sums.errors / sums.requests if sums.requests else None,
        "total_input_tokens": known(sums.metered, sums.prompt_tokens),
        "total_output_tokens": known(sums.metered, sums.completion_tokens),
        "total_tokens": known(sums.metered or sums.total_tokens or 0, sums.total_tokens),
        "cached_tokens": known(sums.metered, sums.cached_tokens),
        "cache_creation_tokens": known(sums.metered, sums.cache_creation_tokens),
        "reasoning_tokens": known(sums.metered, sums.reasoning_tokens),
        "total_cost_usd": known(sums.priced, sums.cost_pico / PICO),
        "priced_requests": sums.priced,
        "unpriced_requests": sums.unpriced,
        "avg_latency_ms": round(sums.latency_us / sums.timed / 1000, 3) if sums.timed else None,
        "p50_latency_ms": p50,
        "p95_latency_ms": p95,
        "p99_latency_ms": p99,
    }
