"""The canary: one a minute however many send it, through every step, and in nobody's lists and counts."""

import pytest

from app.store import accounting, canaries, exchanges, keys
from app.store.accept import store
from app.store.models import CANARY_PROJECT, Kind
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def send() -> int:
    return len(store([canaries.submission()])[1])


def test_there_is_none_before_the_first() -> None:
    assert canaries.last() is None
    assert canaries.prune() == 0


def test_of_many_in_a_minute_one_is_stored() -> None:
    sent = [send() for _ in range(4)]

    # The minute may change while this runs.
    assert 1 <= sum(sent) <= 2
    assert sql("SELECT DISTINCT kind FROM exchange") == [(Kind.CANARY,)]


def test_it_goes_through_every_step_and_says_how_long_that_took() -> None:
    send()
    on_its_way = canaries.last()
    work()

    through = canaries.last()

    assert on_its_way is not None
    assert on_its_way.took_ms is None
    assert through is not None
    assert through.took_ms is not None
    assert 0 <= through.took_ms <= through.age_ms < 30_000
    assert sql("SELECT shape, extraction FROM log")[0][0] == "openai_chat"


def test_it_is_in_no_list_and_no_count() -> None:
    accept(item())
    send()
    work()

    project = keys.default_project()
    assert accounting.of_project(project).accepted == 1
    assert [row.kind for row in exchanges.page(project).rows] == [Kind.LIVE]
    canary_project = sql("SELECT id FROM project WHERE name = ?", CANARY_PROJECT)[0][0]
    assert exchanges.page(canary_project).rows == []


def test_old_ones_are_removed_with_all_they_had() -> None:
    accept(item())
    send()
    work()
    sql("UPDATE exchange SET received_at = received_at - ?", canaries.KEEP_MS + 1000)

    assert canaries.prune() == 1

    assert [sql(f"SELECT count(*) FROM {t}")[0][0] for t in ("exchange", "payload", "log", "finished")] == [1] * 4
    canary_project = sql("SELECT id FROM project WHERE name = ?", CANARY_PROJECT)[0][0]
    assert accounting.of_project(canary_project).drift == 0
