"""What the two kinds of runs over history have in common: a chunk is tried a few times, then its run has failed."""

import traceback
from collections.abc import Callable

import structlog

from app.errors import StoreUnavailable
from app.masking import mask_text
from app.store import runs
from app.store.runs import Table

log = structlog.get_logger()


def attempt(table: Table, run_id: int, work: Callable[[], None]) -> None:
    """Do the work of a run's next chunk, unless the run has ended; keep why it broke, for the sweep to try again."""
    if not runs.begin(table, run_id):
        return
    try:
        work()
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's alone
        name = type(error).__name__
        # Masked before they are cut: half of a key is not told apart.
        reason, text = mask_text(str(error)), mask_text("".join(traceback.format_exception(error)))
        failed = runs.put_off(table, run_id, error=name, reason=reason[:1000] or name, traceback=text[-20_000:])
        log.warning("run_failed" if failed else "run_put_off", table=table, run_id=run_id, error=name)
