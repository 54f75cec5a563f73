"""Roll-ups: they equal what the exchanges add up to, whatever happens to these on the way."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.reprocess import reprocess
from app import latencies
from app.pricing import OwnRates
from app.store import database, failures, pending, prices, usage
from app.store import reprocess as runs
from app.store.accept import store as accept_all
from app.store.exchanges import Subject
from app.store.models import Flag, Kind, Step
from app.store.usage import DAY_MS, EARLIEST_MS, HOUR_MS, Call
from tests.conftest import ROOT
from tests.helpers import accept, item, let_leases_end, sql, submission, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]

TABLES = ("usage_hour", "usage_day", "usage_day_user", "session")
_MEASURED = (
    "requests", "errors", "metered", "prompt_tokens", "completion_tokens", "priced", "cost_pico", "timed", "latency_us",
)  # fmt: skip
_USAGE = (
    *_MEASURED, "total_tokens", "cached_tokens", "cache_creation_tokens", "reasoning_tokens", "unpriced", "latencies",
)  # fmt: skip

Table = dict[tuple[Any, ...], tuple[Any, ...]]


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def stored() -> dict[str, Table]:
    """The roll-ups, without what counts nothing."""
    keys = {
        "usage_hour": "project_id, start, provider, model, status_class, key_id",
        "usage_day": "project_id, start, provider, model, status_class, key_id",
        "usage_day_user": "project_id, start, user_id",
        "session": "project_id, session_id, first_at, last_at",
    }
    found: dict[str, Table] = {}
    for name, key in keys.items():
        width = len(key.split(", "))
        columns = ", ".join(_USAGE if name in TABLES[:2] else _MEASURED)
        rows = sql(f"SELECT {key}, {columns} FROM {name}")
        found[name] = {row[:width]: _numbers(row[width:]) for row in rows if any(_numbers(row[width:]))}
    return found


def _numbers(values: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(latencies.unpack(v) if isinstance(v, bytes) else int(v) for v in values)


def recomputed() -> dict[str, Table]:
    """The same from the exchanges, one after the other."""
    found: dict[str, dict[tuple[Any, ...], list[int]]] = {name: {} for name in TABLES}
    seen: dict[Any, list[int]] = defaultdict(list)
    rows = sql(
        f"""SELECT e.project_id, e.received_at, e.started_at, e.status_code, e.key_id, e.user_id, e.session_id,
                   e.latency_ms, l.provider, l.model, l.response_model, l.flags, l.prompt_tokens, l.completion_tokens,
                   l.cost_usd, l.total_tokens, l.cached_tokens, l.cache_creation_tokens, l.reasoning_tokens, l.unpriced
              FROM exchange e JOIN log l ON l.exchange_id = e.id WHERE e.kind = {Kind.LIVE}"""
    )
    for (
        project_id, received, started, status, key_id, user, session, latency, provider, model, response_model, flags,
        prompt, completion, cost, total, cached, created, reasoning, unpriced,
    ) in rows:  # fmt: skip
        at = started if started and EARLIEST_MS <= started <= received else received
        values = [
            1, (status or 200) >= 400 or flags & Flag.ERROR > 0, prompt is not None or completion is not None,
            prompt or 0, completion or 0, cost is not None, int((cost or 0) * 1e12 + 0.5), latency is not None,
            int((latency or 0) * 1000 + 0.5), total or 0, cached or 0, created or 0, reasoning or 0,
            unpriced is not None, 0 if latency is None else latencies.one(latency),
        ]  # fmt: skip
        cut = provider or "", response_model or model or "", (status or 0) // 100, key_id or 0
        keys: list[tuple[str, tuple[Any, ...]]] = [
            ("usage_hour", (project_id, at // HOUR_MS * HOUR_MS, *cut)),
            ("usage_day", (project_id, at // DAY_MS * DAY_MS, *cut)),
        ]
        if user:
            keys.append(("usage_day_user", (project_id, at // DAY_MS * DAY_MS, user)))
        if session:
            keys.append(("session", (project_id, session)))
            seen[project_id, session].append(at)
        for name, key in keys:
            counted = values if name in TABLES[:2] else values[: len(_MEASURED)]
            before = found[name].get(key, [0] * len(counted))
            found[name][key] = [a + b for a, b in zip(before, counted, strict=True)]
    sessions = {(*key, min(seen[key]), max(seen[key])): tuple(v) for key, v in found.pop("session").items()}
    return {name: {k: tuple(v) for k, v in table.items()} for name, table in found.items()} | {"session": sessions}


def test_a_call_is_counted_once_in_each_roll_up() -> None:
    accept(item(tags={"user_id": "u", "session_id": "s"}))
    work()
    work()

    assert sql("SELECT requests, errors, prompt_tokens, cost_pico, latency_us FROM usage_hour") == [
        (1, 0, 10, 4_500_000, 432_000)
    ]
    assert sql("SELECT requests, model, status_class FROM usage_day") == [(1, "gpt-4o-mini", 2)]
    assert sql("SELECT requests, user_id FROM usage_day_user") == [(1, "u")]
    assert sql("SELECT requests, session_id, last_at - first_at FROM session") == [(1, "s", 0)]


def test_what_is_not_live_is_not_counted() -> None:
    accept_all([submission(item(tags={"user_id": "u", "session_id": "s"}))._replace(kind=Kind.DEMO)])
    work()

    assert sql("SELECT count(*) FROM log") == [(1,)]
    assert not any(stored().values())


@pytest.mark.parametrize(
    ("started_at", "counted"),
    [
        (None, "received"), ("2024-02-29T12:34:56Z", "started"), ("2019-12-31T23:59:59Z", "received"),
        ("1970-01-01T00:00:00Z", "received"), ("9999-12-31T23:59:59Z", "received"),
        ("0001-01-01T00:00:00Z", "received"),
    ],
)  # fmt: skip
def test_a_call_counts_when_it_was_made_if_it_can_have_been_then(started_at: str | None, counted: str) -> None:
    accept(item(**({} if started_at is None else {"started_at": started_at})))
    work()

    ((received, started, hour),) = sql("SELECT received_at, started_at, start FROM exchange, usage_hour")
    at = received if counted == "received" else started
    assert hour == at - at % HOUR_MS
    assert stored() == recomputed()


def test_counts_beyond_every_number_are_taken() -> None:
    huge = {"prompt": 2**53, "completion": 2**53, "total": 2**53}
    accept(*[{"prompt": "x", "model": "m", "token_count": huge} for _ in range(3000)])
    work()

    assert sql("SELECT requests FROM usage_day") == [(3000,)]
    assert sql("SELECT total_tokens FROM usage_day")[0][0] == pytest.approx(3000.0 * 2**53)


def test_a_name_of_any_length_is_taken() -> None:
    name = "".join(chr(0x4E00 + n % 20_000) for n in range(10_000))
    accept(item(response_body={"model": name, "choices": [{"message": {"content": "x"}}]}))
    work()

    assert sql("SELECT model FROM usage_hour") == [(name[: usage.MAX_NAME],)]


def usage_item(number: int, kind: tuple[Any, ...]) -> dict[str, Any]:
    model, answered_by, tokens, status, latency, user, session, started = kind
    answer: dict[str, Any] = {"choices": [{"message": {"content": "x"}}]}
    if answered_by:
        answer["model"] = answered_by
    if tokens is not None:
        answer["usage"] = {"prompt_tokens": tokens, "completion_tokens": tokens // 2, "total_tokens": tokens * 3 // 2}
    tags = {name: value for name, value in (("user_id", user), ("session_id", session)) if value is not None}
    fields = {"status_code": status, "latency_ms": latency, "started_at": started}
    return item(
        request_id=f"r{number}",
        request_body={"model": model, "messages": []} if model else {"messages": []},
        response_body={"error": {"message": "no"}} if status == 500 else answer,
        tags=tags,
        **fields,
    )


KINDS = st.tuples(
    st.sampled_from(["gpt-4o", "gpt-4o-mini", "unknown-model", None]),
    st.sampled_from([None, "gpt-4o-2024-08-06"]),
    st.sampled_from([None, 0, 7, 123_457]),
    st.sampled_from([None, 200, 204, 429, 500]),
    st.none() | st.floats(0, 86_400_000),
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, "s", "t"]),
    st.sampled_from([None, "1999-01-01T00:00:00Z", "2024-02-29T23:59:59.999Z", "2024-03-01T00:00:00Z"]),
)
MOVES = st.lists(
    st.sampled_from(["accept", "demo", "work", "half", "fail", "retry", "price", "reprocess", "rebuild"]),
    min_size=1,
    max_size=10,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES, kinds=st.lists(KINDS, min_size=1, max_size=6))
def test_roll_ups_are_what_the_exchanges_add_up_to(moves: list[str], kinds: list[tuple[Any, ...]]) -> None:
    for name in ("exchange", "payload", "log", "pending", "failure", "finished", "price", *TABLES):
        sql(f"DELETE FROM {name}")
    for number, move in enumerate(["accept", *moves, "work"]):
        _MOVES[move](number, kinds)

        assert stored() == recomputed(), (number, move)


def _send(kind: Kind) -> Callable[[int, list[tuple[Any, ...]]], None]:
    def send(number: int, kinds: list[tuple[Any, ...]]) -> None:
        items = [usage_item(number * 100 + n, kind) for n, kind in enumerate(kinds)]
        accept_all([submission(*items)._replace(kind=kind)])

    return send


def _half(*_: object) -> None:
    """A worker logs, dies before it passes on, and the message comes again."""
    from actors.extract import extract
    from actors.log import log

    ids = [row[0] for row in sql("SELECT exchange_id FROM pending")]
    for _ in range(2):
        extract.fn(ids)
        log.fn(ids)
        let_leases_end()


def _fail(*_: object) -> None:
    for (exchange_id,) in sql("SELECT exchange_id FROM pending WHERE step = ? ORDER BY 1 LIMIT 1", Step.EXTRACT):
        pending.claim([exchange_id], Step.EXTRACT)
        failures.park(exchange_id, Step.EXTRACT, error="E", reason="r", traceback=None)


def _retry(*_: object) -> None:
    failures.retry_all(project(), actor="tests")


def _price(number: int, _: object) -> None:
    rates = OwnRates(uncached_input=number + 1 / 3, output_text=0.1)
    prices.create(project(), provider=None, model="*", valid_from=None, rates=rates, actor="tests")


def _reprocess(*_: object) -> None:
    """As if an older version had read another model and failed to see an error; then all is read again."""
    run = runs.create(project(), query="", since=None, until=None, dry_run=False, total=0, actor="tests")
    for _ in range(8):
        reprocess.fn(run.id)


_MOVES: dict[str, Callable[[int, list[tuple[Any, ...]]], None]] = {
    "accept": _send(Kind.LIVE),
    "demo": _send(Kind.DEMO),
    "work": lambda *_: work(),
    "half": _half,
    "fail": _fail,
    "retry": _retry,
    "price": _price,
    "reprocess": _reprocess,
    "rebuild": lambda *_: usage.rebuild(),
}


def test_a_call_that_is_read_differently_moves_to_where_it_counts_now() -> None:
    accept(*[item(tags={"user_id": "u", "session_id": "s"}) for _ in range(3)])
    work()
    right = stored()
    sql("UPDATE log SET model = 'wrong', cost_usd = 1.1, prompt_tokens = NULL, flags = ?", Flag.ERROR)
    usage.rebuild()
    assert stored() == recomputed() != right

    _reprocess()

    assert stored() == recomputed() == right


def test_what_a_transaction_takes_back_was_never_counted() -> None:
    def broken() -> None:
        with database.transaction():
            work()
            raise RuntimeError

    accept(item())
    with pytest.raises(RuntimeError):
        broken()

    assert not any(stored().values())


def test_rebuilding_finds_what_was_not_counted() -> None:
    accept(
        *[item(tags={"user_id": f"u{n}", "session_id": "s"}, started_at="2024-01-01T00:00:00Z") for n in range(3)],
        item(),
    )
    work()
    right = stored()
    sql("DELETE FROM usage_hour")
    sql("UPDATE usage_day SET requests = 7")
    sql("DELETE FROM session")

    usage.rebuild()

    assert stored() == right == recomputed()


def test_rebuilding_keeps_what_expired_exchanges_counted() -> None:
    ids = accept(*[item(tags={"user_id": "u", "session_id": "s"}) for _ in range(3)])
    work()
    right = stored()
    for table, column in (("finished", "exchange_id"), ("log", "exchange_id"), ("exchange", "id")):
        sql(f"DELETE FROM {table} WHERE {column} = ?", ids[0])

    assert usage.rebuild() == [project()]

    assert stored() == right != recomputed()


def test_two_workers_count_in_the_same_rows_without_losing_or_stopping_each_other(store: str) -> None:
    code = """
import sys
from app.store import database
from tests.helpers import work
database.connect(sys.argv[1], relaxed=True)
from actors.evaluate import evaluate
from actors.extract import extract
from actors.log import log
lo, hi = int(sys.argv[2]), int(sys.argv[3])
for start in range(lo, hi, 20):
    for actor in (extract, log, evaluate):
        actor.fn(list(range(start, min(start + 20, hi))))
"""
    users = [{"user_id": f"u{n % 7}", "session_id": f"s{n % 5}"} for n in range(600)]
    ids = accept(*[item(tags=tags, request_body={"model": f"m{n % 11}"}) for n, tags in enumerate(users)])
    middle = ids[len(ids) // 2]

    bounds = [(ids[0], middle), (middle, ids[-1] + 1)]
    started = [
        subprocess.Popen([sys.executable, "-c", code, store, str(a), str(b)], cwd=ROOT, stderr=subprocess.PIPE)
        for a, b in bounds
    ]

    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert sql("SELECT sum(requests) FROM usage_day") == [(600,)]
    assert stored() == recomputed()


def test_summing_up_is_sorted_so_that_no_two_workers_wait_for_each_other() -> None:
    calls = [_call(user_id=f"u{n % 3}", session_id=f"s{n % 2}", received_at=EARLIEST_MS + n) for n in range(9, 0, -1)]

    totals = usage.totals(calls)

    for rows in totals:
        assert rows == sorted(rows)
    assert usage.totals(calls, calls) == ([], [], [], [])


def _call(**changes: Any) -> Call:
    subject = Subject(
        id=1, project_id=1, kind=Kind.LIVE, request_id="r", provider="p", path=None, status_code=200, latency_ms=1.0,
        received_at=EARLIEST_MS, started_at=None, key_id=None, user_id=None, session_id=None,
    )  # fmt: skip
    return Call(subject._replace(**changes), "p", "m", None, 0, 1, 1, 2, None, None, None, 0.1, None)


def test_sqlite_finds_its_own_file_whole() -> None:
    accept(item(tags={"user_id": "u", "session_id": "s"}))
    work()

    assert not database.is_sqlite() or sql("PRAGMA integrity_check") == [("ok",)]
