"""Step 3: every enabled evaluator of the project scores the exchange; then it is finished."""

from collections.abc import Iterable, Sequence

import dramatiq

from actors import reading, stage
from actors.broker import broker
from actors.queues import EVALUATE
from actors.reading import Read
from app import filters, scoring
from app.store import database, evaluators, exchanges, pending, scores
from app.store.evaluators import EvaluatorRow
from app.store.models import Step
from app.store.scores import ScoreRow


@dramatiq.actor(queue_name=EVALUATE, broker=broker)
def evaluate(exchange_ids: list[int]) -> None:
    """Score exchanges that wait for it."""
    stage.run(_STAGE, exchange_ids)


class Scorer:
    """Scores a chunk: at once by the evaluators without a filter, by the others once the chunk is logged."""

    def __init__(self, reads: dict[int, Read]) -> None:
        self._reads = reads
        found = evaluators.enabled([one.subject.project_id for one in reads.values()])
        self._filtered = [one for group in found.values() for one in group if one.definition.filter]
        self._rows = scored(reads, [one for group in found.values() for one in group if not one.definition.filter])

    def rows(self, ids: Sequence[int]) -> list[ScoreRow]:
        """Return the scores of logged exchanges, inside the transaction that keeps them."""
        rows = [row for i in ids for row in self._rows[i]]
        for evaluator in self._filtered:
            matching = exchanges.matches(ids, filters.parse(evaluator.definition.filter))
            reads = {i: self._reads[i] for i in ids if i in matching}
            rows += [row for found in scored(reads, [evaluator]).values() for row in found]
        return rows


def scored(reads: dict[int, Read], by: Iterable[EvaluatorRow]) -> dict[int, list[ScoreRow]]:
    """Return the score rows of each exchange, by the evaluators of its project whose sample holds it."""
    by_project: dict[int, list[EvaluatorRow]] = {}
    for evaluator in by:
        by_project.setdefault(evaluator.project_id, []).append(evaluator)
    rows: dict[int, list[ScoreRow]] = {}
    for exchange_id, (subject, extraction) in reads.items():
        facts = scoring.evidence(extraction, status_code=subject.status_code, latency_ms=subject.latency_ms)
        rows[exchange_id] = [
            scoring.score(evaluator, exchange_id, facts)
            for evaluator in by_project.get(subject.project_id, ())
            if scoring.sampled(evaluator, subject.request_id)
        ]
    return rows


def _work(ids: Sequence[int]) -> stage.Outcome:
    reads, broken = reading.read(ids)
    scorer = Scorer(reads)

    def keep(kept: Sequence[int]) -> list[int]:
        with database.transaction():
            moved, at = pending.finish(kept, Step.EVALUATE)
            scores.insert(scorer.rows(moved), at)
        return moved

    return stage.Outcome(list(reads), keep, broken)


_STAGE = stage.Stage(Step.EVALUATE, _work, None)
