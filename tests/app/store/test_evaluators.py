"""Evaluators: a changed check is a new version, and the old one can still be read."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.errors import Conflict, NotFound
from app.store import database, evaluators, keys
from app.store.evaluators import Definition

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]

GREETS = Definition(name="greets", type="contains", config='{"values":["hi"]}')


def test_an_evaluator_begins_at_version_1() -> None:
    made = evaluators.create(1, GREETS)

    assert (made.version, made.definition) == (1, GREETS)
    assert evaluators.get(1, made.id) == made


def test_of_two_that_want_a_name_at_once_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with database.session():
        project_id = keys.default_project()
    both_found_it_free = threading.Barrier(2)
    refuse_taken = evaluators._refuse_taken

    def slowly(*name: Any) -> None:
        refuse_taken(*name)
        with contextlib.suppress(threading.BrokenBarrierError):
            both_found_it_free.wait(0.5)

    def make(_: int) -> bool:
        with contextlib.suppress(Conflict):
            evaluators.create(project_id, GREETS)
            return True
        return False

    monkeypatch.setattr(evaluators, "_refuse_taken", slowly)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(make, range(2)))

    assert sorted(made) == [False, True]
    assert len(evaluators.page(project_id)[0]) == 1


@pytest.mark.parametrize(
    "changed",
    [GREETS._replace(config='{"values":["yo"]}'), GREETS._replace(threshold=0.5), GREETS._replace(type="not_contains")],
)
def test_another_type_config_or_threshold_is_a_new_version(changed: Definition) -> None:
    made = evaluators.create(1, GREETS)

    replaced = evaluators.replace(1, made.id, changed)

    assert (replaced.version, replaced.definition) == (2, changed)
    assert evaluators.get(1, made.id).definition == changed


def test_an_old_version_keeps_its_type_config_and_threshold() -> None:
    made = evaluators.create(1, GREETS)
    evaluators.replace(1, made.id, GREETS._replace(type="is_json", config="{}", threshold=0.5))

    old = evaluators.get(1, made.id, version=1)

    assert (old.version, old.definition) == (1, GREETS)


@pytest.mark.parametrize(
    "changed",
    [
        GREETS,
        GREETS._replace(name="other"),
        GREETS._replace(enabled=False),
        GREETS._replace(sample_rate=0.1, filter="is:ok"),
    ],
)
def test_what_does_not_change_the_check_keeps_the_version(changed: Definition) -> None:
    made = evaluators.create(1, GREETS)

    assert evaluators.replace(1, made.id, changed)[:3] == (made.id, 1, 1)
    assert evaluators.get(1, made.id).definition == changed


def test_a_name_is_taken_within_a_project_until_it_is_deleted() -> None:
    made = evaluators.create(1, GREETS)
    other = evaluators.create(1, GREETS._replace(name="other"))
    evaluators.create(2, GREETS)

    with pytest.raises(Conflict) as error:
        evaluators.create(1, GREETS)
    with pytest.raises(Conflict):
        evaluators.replace(1, other.id, GREETS)

    assert (error.value.code, error.value.pointer) == ("name_taken", "/name")
    evaluators.delete(1, made.id)
    evaluators.create(1, GREETS)


def test_a_deleted_evaluator_is_gone_but_its_name_is_known() -> None:
    made = evaluators.create(1, GREETS)

    evaluators.delete(1, made.id)

    for again in (evaluators.get, evaluators.delete):
        with pytest.raises(NotFound):
            again(1, made.id)
    assert evaluators.enabled([1]) == {}
    assert evaluators.names([made.id]) == {made.id: "greets"}


def test_another_projects_evaluator_is_not_found() -> None:
    made = evaluators.create(2, GREETS)

    with pytest.raises(NotFound):
        evaluators.get(1, made.id)
    with pytest.raises(NotFound):
        evaluators.replace(1, made.id, GREETS)
    with pytest.raises(NotFound):
        evaluators.delete(1, made.id)
    assert evaluators.page(1) == ([], None)


def test_only_enabled_ones_of_the_projects_score_new_exchanges() -> None:
    one = evaluators.create(1, GREETS)
    evaluators.create(1, GREETS._replace(name="off", enabled=False))
    two = evaluators.create(2, GREETS)
    evaluators.create(3, GREETS)

    assert evaluators.enabled([1, 2, 2]) == {1: [one], 2: [two]}
    assert evaluators.enabled([]) == {}


def test_evaluators_are_listed_newest_first_page_by_page() -> None:
    made = [evaluators.create(1, GREETS._replace(name=f"e{n}")).id for n in range(5)]
    found, cursor = [], None

    for _ in range(3):
        rows, cursor = evaluators.page(1, limit=2, cursor=cursor)
        found += [row.id for row in rows]

    assert found == made[::-1]
    assert cursor is None
