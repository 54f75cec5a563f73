"""Scoring history: one evaluator version over stored exchanges, a chunk a message, on the evals process."""

import dramatiq

from actors import history, reading, stage
from actors.broker import broker
from actors.evaluate import scored
from actors.queues import RUNS
from app import filters
from app.errors import NotFound
from app.store import evaluators, exchanges, runs
from app.store.scores import ScoreRow

#: Exchanges of one message.
CHUNK = 200


@dramatiq.actor(queue_name=RUNS, broker=broker)
def run(run_id: int) -> None:
    """Score the next chunk of a run and send the run on, until nothing is left."""
    history.attempt("eval_run", run_id, lambda: _score(run_id))


def _score(run_id: int) -> None:
    current = runs.running(run_id)
    if current is None:
        return
    try:
        evaluator = evaluators.get(current.project_id, current.evaluator_id, version=current.version)
    except NotFound:
        runs.advance(current, [], cursor=None)  # deleted meanwhile: nothing to score with
        return
    ids = exchanges.matching(
        current.project_id,
        terms=filters.parse(current.query),
        since=current.since,
        until=current.until,
        below=current.cursor,
        limit=CHUNK,
    )
    reads, broken = reading.read(ids)
    whole = evaluator._replace(definition=evaluator.definition._replace(filter="", sample_rate=1.0))
    rows = [row for found in scored(reads, [whole]).values() for row in found]
    rows += [ScoreRow.unscored(i, evaluator.id, evaluator.version, repr(error)) for i, error in broken.items()]
    last = len(ids) < CHUNK
    if runs.advance(current, rows, cursor=None if last else ids[-1]) and not last:
        stage.send(lambda chunk: run.send(chunk[0]), [run_id])
