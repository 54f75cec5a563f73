"""Scores: at most one per exchange, evaluator and version, however often an exchange is delivered."""

from collections.abc import Sequence
from typing import NamedTuple

from app.masking import finds_in, mask_text
from app.store import bulk, database
from app.store.database import execute
from app.store.models import Score


class ScoreRow(NamedTuple):
    """One score; `score` is null and `error` says why when the evaluator could not score."""

    exchange_id: int
    evaluator_id: int
    version: int
    score: float | None
    passed: bool | None
    explanation: str | None
    error: str | None

    @classmethod
    def unscored(cls, exchange_id: int, evaluator_id: int, version: int, error: str) -> "ScoreRow":
        """A row that says why there is no score."""
        return cls(exchange_id, evaluator_id, version, None, None, None, mask_text(error)[:500])


class ScoreView(NamedTuple):
    """A score as it is read: with the names of things."""

    request_id: str
    exchange_id: int
    evaluator: str
    version: int
    score: float | None
    passed: bool | None
    explanation: str | None
    error: str | None
    at: int


class Summary(NamedTuple):
    """An evaluator's newest scores in numbers; those that could not be scored are counted apart."""

    scores: int
    passed: int
    unscored: int
    mean: float | None


#: How many of an evaluator's newest scores a summary looks at.
SUMMARY_SCORES = 500

#: More versions than a person makes of one evaluator.
_MAX_VERSIONS = 1_000_000

_VIEW = """SELECT e.request_id, s.exchange_id, v.name, s.version, s.score, s.passed, s.explanation, s.error, s.at
             FROM score s JOIN evaluator v ON v.id = s.evaluator_id JOIN exchange e ON e.id = s.exchange_id"""


def insert(rows: Sequence[ScoreRow], now: int, *, new: bool = False) -> None:
    """Insert scores inside the caller's transaction, without keys and tokens; one that is there stays as it is.

    new: none can be there, because the exchanges have only now been logged.
    """
    bulk.insert(Score, (*ScoreRow._fields, "at"), [(*row, now) for row in _masked(rows)], ignore=not new)


def of_exchange(exchange_id: int) -> list[ScoreView]:
    """Return an exchange's scores, all versions, oldest evaluator first."""
    with database.session():
        rows = execute(f"{_VIEW} WHERE s.exchange_id = ? ORDER BY s.evaluator_id, s.version", [exchange_id])
    return [_view(row) for row in rows]


def of_evaluator(
    evaluator_id: int, *, limit: int = 50, cursor: int | None = None
) -> tuple[list[ScoreView], int | None]:
    """Return an evaluator's scores, newest exchange first, and the cursor of the next page."""
    # A page may end between two versions of one exchange's score, so the cursor holds both.
    below = "" if cursor is None else "AND (s.exchange_id, s.version) < (?, ?)"
    params = [evaluator_id, *([] if cursor is None else divmod(cursor, _MAX_VERSIONS)), limit + 1]
    with database.session():
        rows = execute(
            f"{_VIEW} WHERE s.evaluator_id = ? {below} ORDER BY s.exchange_id DESC, s.version DESC LIMIT ?",
            params,
        )
    found = [_view(row) for row in rows[:limit]]
    return found, found[-1].exchange_id * _MAX_VERSIONS + found[-1].version if len(rows) > limit else None


def summaries(evaluator_ids: Sequence[int]) -> dict[int, Summary]:
    """Return the summary of each evaluator's newest scores, in one statement."""
    if not evaluator_ids:
        return {}
    one = f"""SELECT * FROM (SELECT CAST(? AS INTEGER), count(*), coalesce(sum(CASE WHEN passed THEN 1 ELSE 0 END), 0),
                     coalesce(sum(CASE WHEN score IS NULL THEN 1 ELSE 0 END), 0), avg(score)
                FROM (SELECT passed, score FROM score WHERE evaluator_id = ?
                       ORDER BY exchange_id DESC LIMIT {SUMMARY_SCORES}) AS newest) AS summary"""
    params = [value for evaluator_id in evaluator_ids for value in (evaluator_id, evaluator_id)]
    with database.session():
        rows = execute(" UNION ALL ".join([one] * len(evaluator_ids)), params)
    return {row[0]: Summary(*row[1:]) for row in rows}


def _masked(rows: Sequence[ScoreRow]) -> Sequence[ScoreRow]:
    if not finds_in(text for row in rows for text in (row.explanation, row.error)):
        return rows
    return [
        row._replace(
            explanation=row.explanation and mask_text(row.explanation), error=row.error and mask_text(row.error)
        )
        for row in rows
    ]


def _view(row: tuple[object, ...]) -> ScoreView:
    view = ScoreView(*row)  # type: ignore[arg-type]  # the columns of _VIEW, in order
    return view._replace(passed=None if view.passed is None else bool(view.passed))
