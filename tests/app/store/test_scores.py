"""Scores: at most one per exchange, evaluator and version."""

import pytest

from app.store import database, evaluators, scores
from app.store.evaluators import Definition
from app.store.scores import ScoreRow
from tests.helpers import accept, item
from tests.secrets import planted

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def evaluator() -> int:
    return evaluators.create(1, Definition(name="greets", type="contains", config="{}")).id


def insert(*rows: ScoreRow) -> None:
    with database.transaction():
        scores.insert(rows, 1000)


def row(exchange_id: int, evaluator_id: int, version: int = 1, score: float | None = 1.0) -> ScoreRow:
    return ScoreRow(exchange_id, evaluator_id, version, score, None if score is None else score >= 0.5, "because", None)


def test_a_score_is_read_with_the_names_of_things() -> None:
    (exchange_id,), evaluator_id = accept(item(request_id="a")), evaluator()

    insert(row(exchange_id, evaluator_id, score=0.25))

    (view,) = scores.of_exchange(exchange_id)
    assert view[:9] == ("a", exchange_id, "greets", 1, 0.25, False, "because", None, 1000)


def test_a_second_score_of_the_same_version_changes_nothing() -> None:
    (exchange_id,), evaluator_id = accept(item()), evaluator()

    insert(row(exchange_id, evaluator_id, score=1.0))
    insert(row(exchange_id, evaluator_id, score=0.0), row(exchange_id, evaluator_id, version=2, score=0.0))

    assert [(view.version, view.score) for view in scores.of_exchange(exchange_id)] == [(1, 1.0), (2, 0.0)]


def test_what_could_not_be_scored_says_why() -> None:
    (exchange_id,), evaluator_id = accept(item()), evaluator()

    insert(ScoreRow.unscored(exchange_id, evaluator_id, 1, "no latency " * 100))

    (view,) = scores.of_exchange(exchange_id)
    assert (view.score, view.passed, view.explanation) == (None, None, None)
    assert len(view.error or "") == 500


def test_no_key_is_in_what_a_score_says() -> None:
    (exchange_id,), evaluator_id, key = accept(item()), evaluator(), planted()["groq_key"][0]

    insert(row(exchange_id, evaluator_id)._replace(explanation=f"it says {key}", error=f"{key} is no number"))

    (view,) = scores.of_exchange(exchange_id)
    assert (view.explanation, view.error) == ("it says <masked:groq_key>", "<masked:groq_key> is no number")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_an_evaluators_scores_are_paged_without_gaps(limit: int) -> None:
    ids, evaluator_id = accept(*[item() for _ in range(4)]), evaluator()
    insert(*[row(i, evaluator_id, version) for i in ids for version in (1, 2, 3)])
    found: list[tuple[int, int]] = []
    cursor = None

    for _ in range(20):
        views, cursor = scores.of_evaluator(evaluator_id, limit=limit, cursor=cursor)
        assert len(views) <= limit
        found += [(view.exchange_id, view.version) for view in views]
        if cursor is None:
            break

    assert found == [(i, version) for i in ids[::-1] for version in (3, 2, 1)]


def test_scores_of_nothing_are_none() -> None:
    assert scores.of_exchange(10**12) == []
    assert scores.of_evaluator(10**6) == ([], None)


def test_a_summary_counts_what_passed_and_what_could_not_be_scored() -> None:
    ids, evaluator_id, silent = accept(*[item() for _ in range(3)]), evaluator(), 10**6
    insert(
        row(ids[0], evaluator_id, score=1.0),
        row(ids[1], evaluator_id, score=0.0),
        row(ids[2], evaluator_id, score=None),
    )

    found = scores.summaries([evaluator_id, silent])

    assert found[evaluator_id] == (3, 1, 1, 0.5)
    assert found[silent] == (0, 0, 0, None)
    assert scores.summaries([]) == {}
