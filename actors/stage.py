"""What the three steps have in common: claim, work, keep, pass on; and what happens to an exchange that breaks.

What comes for the first time goes through all steps in one pass, where a stage has one: claimed, read, decoded and
written once. Whatever goes wrong there, the next try takes the steps one by one, each with its own attempts.

The exception of one exchange never reaches its neighbours: it is tried again later, and after MAX_ATTEMPTS it is
failed, with its reason and traceback, until a person retries it.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import redis
import structlog
from dramatiq.errors import BrokerError

from app.errors import StoreUnavailable
from app.masking import mask_text
from app.store import failures, pending
from app.store.models import Step
from app.store.pending import MAX_ATTEMPTS, Claimed, never_ended

T = TypeVar("T")

log = structlog.get_logger()

#: Rows of one worker transaction: SQLite has one writer, and an accept must not wait long for it.
CHUNK = 100
#: Ids of one message.
MESSAGE_IDS = 200


class Stage(NamedTuple):
    """One step of the pipeline."""

    step: Step
    #: Does the work of claimed exchanges; what it raises for one id is in `broken`, not thrown.
    work: "Callable[[Sequence[int]], Outcome]"
    #: Sends the exchanges that moved to the next step; None after the last.
    pass_on: Callable[[list[int]], object] | None
    #: Does the work of this step and of all that follow, for what was never tried; `keep` then ends the last one.
    whole: "Callable[[Sequence[int]], Outcome] | None" = None


class Outcome(NamedTuple):
    """What came of a chunk: `keep` commits it in one transaction and returns the ids that moved."""

    done: Sequence[int]
    keep: Callable[[Sequence[int]], list[int]]
    broken: dict[int, Exception]


def run(stage: Stage, exchange_ids: Sequence[int]) -> None:
    """Take exchanges through a step, in chunks."""
    for chunk in chunks(exchange_ids, CHUNK):
        claimed = _not_exhausted(stage.step, pending.claim(chunk, stage.step))
        if not claimed:
            continue
        attempts = dict(claimed)
        is_new = all(tries == 1 for tries in attempts.values())
        work, pass_on = (stage.whole, None) if is_new and stage.whole else (stage.work, stage.pass_on)
        outcome = _work(work, list(attempts))
        moved, broken = _keep(outcome)
        for exchange_id, error in {**outcome.broken, **broken}.items():
            _put_off(stage.step, Claimed(exchange_id, attempts[exchange_id]), error)
        if moved and pass_on is not None:
            send(pass_on, moved)


def each(ids: Sequence[int], work: Callable[[int], T]) -> tuple[dict[int, T], dict[int, Exception]]:
    """Do something for every id by itself; return the results and the exceptions."""
    done: dict[int, T] = {}
    broken: dict[int, Exception] = {}
    for exchange_id in ids:
        try:
            done[exchange_id] = work(exchange_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this exchange's alone
            broken[exchange_id] = error
    return done, broken


def chunks(ids: Sequence[int], size: int) -> Iterator[list[int]]:
    """Cut a list of ids into lists of at most `size`."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def send(actor_send: Callable[[list[int]], object], ids: Sequence[int]) -> None:
    """Send ids to an actor; when the queue does not take them, the sweep will send them later."""
    try:
        for chunk in chunks(ids, MESSAGE_IDS):
            actor_send(chunk)
    except (redis.RedisError, BrokerError) as error:
        log.warning("message_not_sent", exchanges=len(ids), error=repr(error))


def _work(work: Callable[[Sequence[int]], Outcome], ids: Sequence[int]) -> Outcome:
    """Do the work of a chunk; when it breaks as a whole, do it one by one, so that only the culprit stays behind."""
    try:
        return work(ids)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - see `each`
        if len(ids) == 1:
            return Outcome([], lambda _: [], {ids[0]: error})
    # What `each` catches here is a database that went meanwhile: those stay claimed, and the sweep sends them.
    outcomes, _ = each(ids, lambda exchange_id: _work(work, [exchange_id]))
    done = {i: outcome for outcome in outcomes.values() for i in outcome.done}
    broken = {i: error for outcome in outcomes.values() for i, error in outcome.broken.items()}
    return Outcome(list(done), lambda kept: [moved for i in kept for moved in done[i].keep([i])], broken)


def _keep(outcome: Outcome) -> tuple[list[int], dict[int, Exception]]:
    """Commit a chunk; when the database refuses it, commit one by one, so that only the culprit stays behind."""
    if not outcome.done:
        return [], {}
    try:
        return outcome.keep(outcome.done), {}
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        if len(outcome.done) == 1:
            return [], {outcome.done[0]: error}
    kept, broken = each(outcome.done, lambda exchange_id: outcome.keep([exchange_id]))
    return [exchange_id for moved in kept.values() for exchange_id in moved], broken


def _not_exhausted(step: Step, claimed: Sequence[Claimed]) -> list[Claimed]:
    """Park what was claimed too often without ever coming back: its worker died, or could not write, each time."""
    for exchange_id, attempts in claimed:
        if attempts > MAX_ATTEMPTS:
            failures.park(exchange_id, step, error="NeverEnded", reason=never_ended("this step"), traceback=None)
            log.error("exchange_failed", exchange_id=exchange_id, step=step.name, error="NeverEnded")
    return [c for c in claimed if c.attempts <= MAX_ATTEMPTS]


def _put_off(step: Step, claimed: Claimed, error: Exception) -> None:
    name = type(error).__name__
    # Masked before it is cut: half of a key is not told apart.
    reason = mask_text(str(error))[:1000] or name
    fields = {
        "exchange_id": claimed.exchange_id,
        "step": step.name,
        "attempts": claimed.attempts,
        "error": name,
    }
    if claimed.attempts < MAX_ATTEMPTS:
        pending.try_later(claimed.exchange_id, step, claimed.attempts, f"{name}: {reason}")
        log.warning("exchange_put_off", **fields)
        return
    text = mask_text("".join(traceback.format_exception(error)))
    failures.park(claimed.exchange_id, step, error=name, reason=reason, traceback=text[-20_000:])
    log.error("exchange_failed", **fields)
