"""Exchanges as they are read: pages without gaps, filters, and nothing of another project."""

import re
from typing import Any

import pytest

from app import filters
from app.errors import InvalidItem, NotFound
from app.store import database, exchanges, streams
from app.store.accept import store as store_submissions
from tests.helpers import accept, item, sql, submission, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def found(query: str, **window: Any) -> list[str]:
    page = exchanges.page(project(), terms=filters.parse(query), **window)
    return sorted(row.request_id for row in page.rows)


def test_an_exchange_is_read_with_what_was_sent_and_what_was_found() -> None:
    accept(
        item(request_id="a", tags={"user_id": "u", "session_id": "s", "team": "x"}, started_at="2026-01-02T03:04:05Z")
    )
    work()

    row = exchanges.get(project(), "a")

    assert (row.state, row.provider, row.model, row.status_code, row.latency_ms) == (
        "evaluated", "openai", "gpt-4o-mini", 200, 432.0,
    )  # fmt: skip
    assert (row.user_id, row.session_id, row.tags, row.started_at) == ("u", "s", '{"team": "x"}', 1767323045000)
    assert (row.prompt_preview, row.completion_preview, row.prompt_tokens) == ("Hello", "Hi there!", 10)


def test_an_exchange_can_be_read_before_any_step() -> None:
    accept(item(request_id="a"))

    row = exchanges.get(project(), "a")

    assert (row.state, row.shape, row.model, row.flags) == ("accepted", None, None, None)


def test_pages_hold_every_exchange_once_newest_first() -> None:
    ids = accept(*[item(request_id=f"r{n}") for n in range(23)])
    pages, cursor = [], None

    while True:
        page = exchanges.page(project(), limit=5, cursor=cursor)
        pages.append([row.id for row in page.rows])
        cursor = page.next_cursor
        if len(pages) == 2:
            accept(item(request_id="arrives while paging"))
        if cursor is None:
            break

    assert [i for rows in pages for i in rows] == ids[::-1]
    assert [len(rows) for rows in pages] == [5, 5, 5, 5, 3]


def test_a_last_page_that_is_full_has_no_next() -> None:
    accept(*[item() for _ in range(4)])

    assert exchanges.page(project(), limit=4).next_cursor is None


def test_a_filtered_page_goes_on_below_its_last_row() -> None:
    accept(*[item(request_id=f"r{n}", status_code=500 if n % 3 == 0 else 200) for n in range(12)])
    terms = filters.parse("status:500")

    first = exchanges.page(project(), terms=terms, limit=3)
    second = exchanges.page(project(), terms=terms, limit=3, cursor=first.next_cursor)

    assert [row.request_id for row in first.rows + second.rows] == ["r9", "r6", "r3", "r0"]


def test_another_projects_exchanges_are_not_there() -> None:
    accept(item(request_id="mine"))
    store_submissions([submission(item(request_id="theirs"), project_id=99)])

    assert found("") == ["mine"]
    with pytest.raises(NotFound):
        exchanges.get(project(), "theirs")
    assert exchanges.get(99, "theirs").request_id == "theirs"


@pytest.mark.parametrize("request_id", ["missing", "", "x" * 5000, "A", "a'; DROP TABLE exchange; --", "%"])
def test_what_is_not_there_is_not_found(request_id: str) -> None:
    accept(item(request_id="a"))

    with pytest.raises(NotFound) as error:
        exchanges.get(project(), request_id)

    assert len(error.value.detail) < 300


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["a", "b", "c", "d"]),
        ("model:gpt-4o-mini", ["a", "b"]),
        ("model:gpt*", ["a", "b"]),
        ("model:GPT*", []),
        ("-model:gpt*", ["c", "d"]),
        ("model:gpt-4o-mini,claude-1", ["a", "b", "c"]),
        ("model:*[1]", []),
        ("model:cl?ude-1", []),
        ("model:claude_1", []),
        ('model:"gpt*"', []),
        ("provider:anthropic", ["c"]),
        ("shape:openai_chat", ["a", "b"]),
        ("finish:stop", ["a"]),
        ("path:*/messages", ["c"]),
        ("user:u%", ["b"]),
        ("user:*%", ["b"]),
        ("-user:u%", ["a", "c", "d"]),
        ("session:s1", ["b"]),
        ("id:a", ["a"]),
        ("id:a,b", ["a", "b"]),
        ("status:200", ["a", "c"]),
        ("status:>=400", ["b"]),
        ("status:5xx", ["b"]),
        ("-status:5xx", ["a", "c", "d"]),
        ("latency:>1s", ["b"]),
        ("latency:400..500", ["a"]),
        ("latency:<432", ["c"]),
        ("tokens:15", []),
        ("in_tokens:>=10", ["a"]),
        ("out_tokens:<6", ["a"]),
        ("tokens:" + "9" * 400, []),
        ("is:error", ["b"]),
        ("is:ok", ["a", "c", "d"]),
        ("is:streamed", ["b"]),
        ("is:pending", []),
        ("is:failed", []),
        ("is:evaluated", ["a", "b", "c", "d"]),
        ("-is:evaluated", []),
        ("status:200 latency:>100", ["a"]),
        ("batch:nothing", []),
    ],
)
def test_filters_find_what_they_say(query: str, expected: list[str]) -> None:
    chunks = [{"choices": [{"delta": {"content": "x"}}]}]
    tags = {"user_id": "u%", "session_id": "s1"}
    claude = {"path": "/v1/messages", "request_body": {"model": "claude-1"}, "response_body": {}}
    accept(
        item(request_id="a"),
        item(request_id="b", status_code=503, latency_ms=2000, response_body=chunks, tags=tags),
        item(request_id="c", provider="anthropic", latency_ms=1, **claude),
        {"request_id": "d", "prompt": "only"},
    )
    work()

    assert found(query) == expected


def test_the_batch_can_be_filtered() -> None:
    (receipt,), _ = store_submissions([submission(item(request_id="in"), batch=True)])
    accept(item(request_id="out"))

    assert found(f"batch:{receipt.batch_id}") == ["in"]


def test_a_window_holds_its_beginning_but_not_its_end() -> None:
    accept(item(request_id="early"), item(request_id="late"))
    sql("UPDATE exchange SET received_at = 1000 WHERE request_id = 'early'")
    sql("UPDATE exchange SET received_at = 2000 WHERE request_id = 'late'")

    assert found("", since=1000, until=2000) == ["early"]
    assert found("", since=1001) == ["late"]
    assert found("", until=1000) == []


def test_a_short_page_says_that_there_is_more_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    accept(*[item(request_id=f"r{n}", latency_ms=5 if n in {1, 8} else 500) for n in range(12)])
    monkeypatch.setattr(exchanges, "MAX_LOOKED_AT", 4)
    monkeypatch.setattr(streams, "RANGE_PART", 4)
    pages, cursor = [], None

    while True:
        page = exchanges.page(project(), terms=filters.parse("latency:<10"), cursor=cursor)
        pages.append([row.request_id for row in page.rows])
        cursor = page.next_cursor
        if cursor is None:
            break

    assert pages == [["r8"], [], ["r1"]]


@pytest.mark.parametrize("query", ["", "latency:<10", "is:error", "-hello", "hello", "hello is:error", "provider:*"])
def test_parts_of_any_size_give_the_same_pages(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(*[item(request_id=f"r{n:02}", status_code=500 if n % 3 else 200, latency_ms=n) for n in range(30)])
    work()
    whole = found(query)
    monkeypatch.setattr(streams, "MAX_PART", 2)
    monkeypatch.setattr(streams, "RANGE_PART", 3)
    rows, cursor = [], None

    while True:
        page = exchanges.page(project(), terms=filters.parse(query), limit=2, cursor=cursor)
        rows += [row.request_id for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert rows == whole[::-1]
    assert exchanges.count(project(), terms=filters.parse(query), since=None, until=None) == len(whole)


def test_a_window_finds_what_was_accepted_at_about_the_same_time_in_any_order() -> None:
    accept(*[item(request_id=f"r{n}") for n in range(4)])
    for n, at in enumerate((2000, 1000, 4000, 3000)):
        sql("UPDATE exchange SET received_at = ? WHERE request_id = ?", at, f"r{n}")

    assert found("", since=2000, until=4000) == ["r0", "r3"]


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("", []),
        ("model:gpt-4o-mini", ["log_project_id_model_exchange_id"]),
        ("model:gpt-4o*", ["log_project_id_model_exchange_id"]),
        ("provider:openai", ["log_project_id_provider_exchange_id"]),
        ("user:u", ["exchange_user"]),
        ("session:s", ["exchange_session"]),
        ("batch:b", ["exchange_batch_batch_position"]),
        ("id:a", ["exchange_project_id_request_id"]),
        ("status:429", ["exchange_error"]),
        ("status:5xx", ["exchange_error"]),
        ("latency:>1m", ["exchange_slow"]),
        ("tokens:>100k", ["log_large"]),
        ("cost:>1", ["log_costly"]),
        ("is:error", ["exchange_error", "log_flagged"]),
        ("is:odd", ["log_flagged"]),
        ("is:unpriced", ["log_unpriced"]),
        ("is:failed", ["failure_project_id"]),
        ("is:pending", []),
        ("hello", []),
        ("hello model:gpt-4o-mini", ["log_project_id_model_exchange_id"]),
        ("-hello", []),
        ("latency:<10", []),
    ],
)
def test_a_page_reads_from_keys_and_indexes(query: str, indexes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    accept(*[item() for _ in range(5)])
    work()
    statements = noted(monkeypatch)

    exchanges.page(project(), terms=filters.parse(query))

    plans = [plan(*statement) for statement in statements]
    assert not [line for lines in plans for line in lines if full_scan(line)]
    if database.is_sqlite():  # PostgreSQL chooses by what there is, which is next to nothing here
        assert [name for name in indexes if not any(name in line for lines in plans for line in lines)] == []


def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The statements of lists from here on, with their parameters."""
    statements: list[tuple[str, Any]] = []
    real = database.execute_planned
    for module in (exchanges, streams):
        monkeypatch.setattr(module, "execute_planned", lambda *args: (statements.append(args), real(*args))[1])
    return statements


def plan(statement: str, params: Any = ()) -> list[str]:
    with database.transaction():
        if database.is_sqlite():
            return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", params)]
        # These tables are empty, so that a scan is always cheapest: what can be read by index must be.
        database.execute("SET LOCAL enable_seqscan = off")
        database.execute("SET LOCAL enable_bitmapscan = off")
        return [row[0] for row in database.execute(f"EXPLAIN {statement}", params)]


def full_scan(line: str) -> bool:
    """Whether a line of a plan reads a whole large table, or all exchanges of a project in another order."""
    scans = r"Seq Scan on (exchange|log|score|search)\b|SCAN (e|l|exchange|log|score)\b"
    unordered = r"|SEARCH e USING (COVERING )?INDEX exchange_project_id_received_at"
    return re.search(scans + unordered, line) is not None


@pytest.mark.parametrize(
    ("query", "statements"),
    [("", 1), ("status:200", 2), ("status:500", 3), ("model:gpt-4o-mini", 3), ("model:nothing", 2), ("hello", 3)],
)
def test_a_page_costs_so_many_statements_however_much_there_is(
    query: str, statements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(*[item(status_code=200 if n % 2 else 500) for n in range(60)])
    work()
    seen = noted(monkeypatch)

    exchanges.page(project(), terms=filters.parse(query), limit=20)

    assert len(seen) == statements


def test_history_is_walked_from_the_newest_down_to_the_logged_ones() -> None:
    ids = accept(*[item() for _ in range(5)])
    work()
    accept(item())

    first = exchanges.matching(project(), terms=(), since=None, until=None, below=2**62, limit=3)
    rest = exchanges.matching(project(), terms=(), since=None, until=None, below=first[-1], limit=3)

    assert first + rest == ids[::-1]
    assert exchanges.count(project(), terms=(), since=None, until=None) == 5


def test_progress_of_an_accepted_exchange_is_three_pending_steps() -> None:
    (exchange_id,) = accept(item())

    progress = exchanges.progress(exchange_id)

    assert [s.state for s in (progress.extract, progress.log, progress.eval)] == ["pending"] * 3
    assert [s.attempts for s in (progress.extract, progress.log, progress.eval)] == [0, 0, 0]
    assert not progress.final


def test_progress_of_an_evaluated_exchange_tells_when_and_after_how_many_tries() -> None:
    (exchange_id,) = accept(item())
    work()

    progress = exchanges.progress(exchange_id)

    steps = (progress.extract, progress.log, progress.eval)
    assert [(s.state, s.attempts, s.error) for s in steps] == [("done", 1, None)] * 3
    assert sorted(s.at or 0 for s in steps) == [s.at for s in steps]
    assert progress.final


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9])
def test_a_page_size_beyond_the_limits_is_refused(limit: int) -> None:
    with pytest.raises(InvalidItem, match="from 1 to 200"):
        exchanges.check_limit(limit)
