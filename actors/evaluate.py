"""Step 3: every enabled evaluator of the project scores the exchange; then it is finished."""

from collections.abc import Sequence

import dramatiq

from actors import memo, stage
from actors.broker import broker
from actors.queues import EVALUATE
from app import filters, scoring
from app.store import database, evaluators, exchanges, pending, scores
from app.store.evaluators import EvaluatorRow
from app.store.models import Step
from app.store.scores import ScoreRow


@dramatiq.actor(queue_name=EVALUATE, broker=broker)
def evaluate(exchange_ids: list[int]) -> None:
    """Score exchanges that wait for it."""
    stage.run(_STAGE, exchange_ids)


def scored(reads: dict[int, memo.Read], project_evaluators: dict[int, list[EvaluatorRow]]) -> dict[int, list[ScoreRow]]:
    """Return the score rows of each exchange, by the evaluators of its project whose filter and sample hold it."""
    matching = _matching(list(reads), project_evaluators)
    rows: dict[int, list[ScoreRow]] = {}
    for exchange_id, one in reads.items():
        subject = one.subject
        facts = scoring.evidence(one.extraction, status_code=subject.status_code, latency_ms=subject.latency_ms)
        rows[exchange_id] = [
            scoring.score(evaluator, exchange_id, facts)
            for evaluator in project_evaluators.get(subject.project_id, ())
            if exchange_id in matching.get(evaluator.id, reads) and scoring.sampled(evaluator, subject.request_id)
        ]
    return rows


def _matching(ids: Sequence[int], project_evaluators: dict[int, list[EvaluatorRow]]) -> dict[int, set[int]]:
    """For each evaluator that has a filter, which of these exchanges it holds."""
    found: dict[int, set[int]] = {}
    for evaluator in (e for group in project_evaluators.values() for e in group if e.definition.filter):
        with database.session():
            found[evaluator.id] = exchanges.matches(ids, filters.parse(evaluator.definition.filter))
    return found


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = memo.read(ids)
    rows = scored(reads, evaluators.enabled([one.subject.project_id for one in reads.values()]))

    def keep(kept: Sequence[int]) -> list[int]:
        with database.transaction():
            moved = pending.finish(kept)
            scores.insert([row for i in moved for row in rows[i]], database.now())
        memo.forget(kept)
        return moved

    return stage.Outcome(list(reads), keep, broken)


_STAGE = stage.Stage(Step.EVALUATE, _work, None)
