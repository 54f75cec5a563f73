"""Reprocessing: history is read again in chunks, once; texts, costs and search follow, scores and client data stay."""

import json
from typing import Any

import pytest

from actors.reprocess import reprocess
from app import filters
from app.pricing import OwnRates
from app.store import database, evaluators, exchanges, failures, prices, search
from app.store import reprocess as runs
from app.store.evaluators import Definition
from app.store.pending import MAX_ATTEMPTS
from app.store.reprocess import RunRow
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]

#: A value that no extraction gives: as if an older version had read it so.
STALE = """UPDATE log SET model = 'wrong', prompt_preview = 'wrong', total_tokens = 9, cost_usd = 1.0, words_digest = 0,
                          extractor_version = 0 WHERE exchange_id = ?"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reprocess.fn.__globals__, "CHUNK", 3)


def project() -> int:
    return int(sql("SELECT min(id) FROM project")[0][0])


def history(count: int) -> list[int]:
    ids = accept(*[item(request_id=f"r{n}", tags={"user_id": "u"}) for n in range(count)])
    work()
    return ids


def start(query: str = "", *, dry_run: bool = False) -> RunRow:
    return runs.create(project(), query=query, since=None, until=None, dry_run=dry_run, total=0, actor="tests")


def finish(run: RunRow) -> RunRow:
    """Deliver a run's message more often than it needs."""
    for _ in range(8):
        reprocess.fn(run.id)
    return runs.get(run.project_id, run.id)


def everything() -> dict[str, Any]:
    tables = ("log", "exchange", "payload", "score", "finished", "pending")
    return {table: sorted(map(repr, sql(f"SELECT * FROM {table}"))) for table in tables}


def found(query: str) -> list[int]:
    return [row.id for row in exchanges.page(project(), terms=filters.parse(query)).rows]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_run_brings_all_of_history_up_to_date(count: int) -> None:
    ids = history(count)
    right = everything()
    for exchange_id in ids:
        sql(STALE, exchange_id)

    ended = finish(start())

    assert everything() == right
    assert (ended.state, ended.processed, ended.changed, ended.failed) == ("done", count, count, 0)
    fields = json.loads(ended.fields)
    assert fields == dict.fromkeys(
        ("model", "prompt_preview", "total_tokens", "cost_usd", "search_words", "extractor_version"), count
    )
    assert (ended.cost_before, ended.cost_after) == (count, pytest.approx(count * 4.5e-6))


def test_a_second_run_changes_nothing() -> None:
    for exchange_id in history(4):
        sql(STALE, exchange_id)
    finish(start())
    before = everything()

    ended = finish(start())

    assert everything() == before
    assert (ended.processed, ended.changed, json.loads(ended.fields)) == (4, 0, {})
    assert ended.cost_before == ended.cost_after


def test_a_dry_run_changes_nothing_and_reports_the_same() -> None:
    for exchange_id in history(4)[:2]:
        sql(STALE, exchange_id)
    before = everything()

    dry = finish(start(dry_run=True))
    assert everything() == before
    real = finish(start())

    assert everything() != before
    said = ("processed", "changed", "fields", "cost_before", "cost_after", "failed")
    assert [getattr(dry, name) for name in said[:2]] == [getattr(real, name) for name in said[:2]] == [4, 2]
    assert json.loads(dry.fields) == json.loads(real.fields)
    assert (dry.cost_before, dry.cost_after) == (real.cost_before, real.cost_after)


def test_an_interrupted_run_goes_on_where_it_was() -> None:
    ids = history(7)
    for exchange_id in ids:
        sql(STALE, exchange_id)
    run = start()
    reprocess.fn(run.id)
    half = runs.get(run.project_id, run.id)
    assert (half.state, half.processed, half.cursor) == ("running", 3, ids[4])

    sql("UPDATE reprocess_run SET due_at = 0")
    assert runs.take_due(10) == [run.id]

    assert finish(run).processed == 7
    assert sql("SELECT count(*) FROM log WHERE model = 'wrong'") == [(0,)]


def test_a_version_alone_is_brought_up_to_date_without_counting_as_a_change() -> None:
    history(2)
    sql("UPDATE log SET extractor_version = NULL, price_version = '0.0.1'")

    ended = finish(start())

    assert (ended.changed, json.loads(ended.fields)) == (0, {"extractor_version": 2, "price_version": 2})
    assert sql("SELECT count(*) FROM log WHERE extractor_version IS NULL OR price_version = '0.0.1'") == [(0,)]


def test_only_what_the_query_holds_is_read_again() -> None:
    ids = history(4)
    for exchange_id in ids:
        sql(STALE, exchange_id)

    ended = finish(start("id:r1,r2"))

    assert (ended.processed, ended.changed) == (2, 2)
    assert sql("SELECT exchange_id FROM log WHERE model = 'wrong' ORDER BY exchange_id") == [(ids[0],), (ids[3],)]


def test_a_new_own_price_reaches_history_and_new_exchanges() -> None:
    history(2)
    rates = OwnRates(uncached_input=100_000.0, output_text=0.0)
    prices.create(project(), provider=None, model="gpt-*", valid_from=None, rates=rates, actor="tests")

    ended = finish(start())
    accept(item())
    work()

    assert (ended.changed, ended.cost_after) == (2, pytest.approx(2.0))
    assert sql("SELECT cost_usd, price_source FROM log") == [(pytest.approx(1.0), "own")] * 3


def test_what_was_found_before_is_found_after() -> None:
    ids = history(3)
    with database.transaction():
        search.replace([(ids[0], ["winter"])])
    sql("UPDATE log SET words_digest = 0 WHERE exchange_id = ?", ids[0])
    assert (found("hello"), found("winter")) == (ids[:0:-1], [ids[0]])

    finish(start())

    assert (found("hello"), found("winter")) == (ids[::-1], [])


def test_scores_and_client_data_stay() -> None:
    accept(item())
    evaluators.create(project(), Definition(name="greets", type="contains", config='{"values":["hi"]}'))
    ids = history(2)
    before = {name: rows for name, rows in everything().items() if name != "log"}
    assert len(before["score"]) == 3
    for exchange_id in ids:
        sql(STALE, exchange_id)

    finish(start())

    assert {name: rows for name, rows in everything().items() if name != "log"} == before


def test_an_item_that_cannot_be_read_is_counted_and_its_row_stays() -> None:
    ids = history(3)
    sql("UPDATE payload SET codec = 99 WHERE exchange_id = ?", ids[1])
    for exchange_id in ids:
        sql(STALE, exchange_id)

    ended = finish(start())

    assert (ended.processed, ended.failed, ended.changed) == (3, 1, 2)
    assert sql("SELECT exchange_id FROM log WHERE model = 'wrong'") == [(ids[1],)]


def test_a_message_of_a_run_that_is_not_there_does_nothing() -> None:
    reprocess.fn(99)


def test_a_run_that_breaks_each_time_is_failed_and_in_the_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    accept(item())
    work()
    project = sql("SELECT min(id) FROM project")[0][0]
    begun = runs.create(project, query="", since=None, until=None, dry_run=False, total=1, actor="tests")

    def entries(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setitem(reprocess.fn.__globals__, "entries", entries)
    for _ in range(MAX_ATTEMPTS):
        reprocess.fn(begun.id)

    assert (runs.get(project, begun.id).state, runs.get(project, begun.id).reason) == ("failed", "no such thing")
    assert [(g.step, g.error, g.sample_run_id) for g in failures.groups(project)] == [
        ("reprocess", "ValueError", begun.id)
    ]
