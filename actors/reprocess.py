"""Reading history again: stored exchanges through extraction and pricing, a chunk a message, on the evals process."""

import dramatiq

from actors import history, reading, stage
from actors.broker import broker
from actors.log import entries
from actors.queues import RUNS
from app import filters
from app.store import exchanges
from app.store import reprocess as runs

#: Exchanges of one message.
CHUNK = stage.CHUNK


@dramatiq.actor(queue_name=RUNS, broker=broker)
def reprocess(run_id: int) -> None:
    """Rewrite the next chunk of a run and send the run on, until nothing is left."""
    history.attempt("reprocess_run", run_id, lambda: _rewrite(run_id))


def _rewrite(run_id: int) -> None:
    current = runs.running(run_id)
    if current is None:
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
    ready, unpriceable = entries(reads)
    last = len(ids) < CHUNK
    failed = len(broken) + len(unpriceable)
    if runs.advance(current, list(ready.values()), failed=failed, cursor=None if last else ids[-1]) and not last:
        stage.send(lambda chunk: reprocess.send(chunk[0]), [run_id])
