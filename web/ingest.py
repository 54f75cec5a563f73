"""The doors: POST /api/v1/ingest and /api/v1/ingest/batch. Read, commit, answer 202; the receipt tells the rest."""

import asyncio
import contextlib
import time
from typing import Annotated, Any, Literal

import msgspec
from quart import Blueprint, Response, request

from app import intake
from app.errors import IngateError, InvalidItem, InvalidRequest
from app.exchange import Item
from app.intake import Accepted, Defaults, Limits, Refused
from app.store import exchanges
from app.store.accept import Outcome, Receipt, Submission
from app.store.exchanges import ExchangeRow, Progress, StepState
from app.store.keys import Identity
from app.store.models import Kind
from web import errors
from web.answers import Answer
from web.doors import Incoming, door
from web.query import shown
from web.routing import Parameter, json_answer, operation
from web.threads import in_thread

routes = Blueprint("ingest", __name__)

#: Bodies from here on are read off the event loop: they take milliseconds.
_LARGE_BYTES = 256 * 1024
_LARGE_MASKED_BYTES = 16 * 1024
_MAX_HEADER_CHARS = 256
MAX_WAIT_S = 30.0
_WAIT = {"type": "number", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0}
#: Receipts that wait at a time, per process; further ones are answered at once, as they stand: each one polls.
_WAITERS = asyncio.Semaphore(64)
#: Examples say so here: they are shown, but never counted as usage.
KIND_HEADER = "X-Ingate-Kind"


class IngestAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A single exchange is committed."""

    request_id: str
    status: Literal["accepted"]
    duplicate: bool = False


class ItemError(msgspec.Struct, kw_only=True):
    """Why an item is refused, and where in it."""

    error_code: str
    detail: str
    pointer: str | None = None


class ItemAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one item of a batch."""

    index: int
    accepted: bool
    request_id: str | None = None
    duplicate: bool = False
    error: ItemError | None = None


class BatchAnswer(msgspec.Struct, kw_only=True):
    """What became of a batch."""

    batch_id: str
    accepted: int
    rejected: int
    items: list[ItemAnswer]


class BatchBody(msgspec.Struct, kw_only=True):
    """A batch as sent."""

    exchanges: Annotated[list[Item], msgspec.Meta(min_length=1)]


class StepAnswer(msgspec.Struct, kw_only=True):
    """Where one step of an exchange stands."""

    state: Literal["pending", "done", "failed"]
    at: str | None
    attempts: int
    error: str | None


class ReceiptAnswer(msgspec.Struct, kw_only=True):
    """Where an exchange stands."""

    request_id: str
    status: Literal["accepted", "extracted", "logged", "evaluated", "failed", "discarded"]
    batch_id: str | None
    batch_index: int | None
    received_at: str
    steps: dict[Literal["extract", "log", "eval"], StepAnswer]


@door(
    routes,
    "/api/v1/ingest",
    role="member",
    summary="Ingest one exchange",
    takes=Item,
    status=202,
    gives=IngestAnswer,
)
async def ingest(incoming: Incoming) -> Answer:
    """Accept one exchange; its errors are the request's."""
    entry = await _read(intake.read_single, incoming)
    receipt = await _commit(incoming, [entry], batch=False)
    outcome = receipt.outcomes[0]
    if outcome.error is not None:
        raise outcome.error
    told = IngestAnswer(request_id=outcome.request_id or "", status="accepted", duplicate=outcome.duplicate)
    return Answer(202, msgspec.json.encode(told))


@door(
    routes,
    "/api/v1/ingest/batch",
    role="member",
    summary="Ingest up to 1,000 exchanges; one bad item never fails its neighbours",
    takes=BatchBody,
    status=202,
    gives=BatchAnswer,
)
async def ingest_batch(incoming: Incoming) -> Answer:
    """Accept a batch, item by item; 422 only when every item is refused."""
    entries = await _read(intake.read_batch, incoming)
    receipt = await _commit(incoming, entries, batch=True)
    rejected = sum(outcome.error is not None for outcome in receipt.outcomes)
    batch = BatchAnswer(
        batch_id=receipt.batch_id or "",
        accepted=len(receipt.outcomes) - rejected,
        rejected=rejected,
        items=[_item(outcome) for outcome in receipt.outcomes],
    )
    if batch.accepted:
        return Answer(202, msgspec.json.encode(batch))
    members: dict[str, Any] = msgspec.to_builtins(batch)
    places = [errors.entry(o.error, o.position) for o in receipt.outcomes if o.error is not None]
    detail = f"all {rejected} items are refused"
    return errors.problem(422, "all_items_refused", detail, incoming.path, errors=places, **members)


@operation(
    routes,
    "GET",
    "/api/v1/ingest/<request_id>",
    role="viewer",
    summary="The receipt: where an exchange stands",
    gives=ReceiptAnswer,
    query=(Parameter("wait", "answer as soon as the exchange is final, within so many seconds", _WAIT),),
)
async def receipt(identity: Identity, request_id: str) -> Response:
    """Answer where an exchange stands, at once or when it is final."""
    deadline = time.monotonic() + _wait_s()
    row, progress = await in_thread(_state, identity.project_id, request_id)
    if not progress.final and not _WAITERS.locked():
        async with _WAITERS:
            row, progress = await _final(identity.project_id, request_id, deadline)
    return json_answer(receipt_answer(row, progress))


async def _final(project_id: int, request_id: str, deadline: float) -> tuple[ExchangeRow, Progress]:
    pause = 0.01
    while True:
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        row, progress = await in_thread(_state, project_id, request_id)
        if progress.final or time.monotonic() >= deadline:
            return row, progress
        pause = min(pause * 1.5, 0.25)


def receipt_answer(row: ExchangeRow, progress: Progress) -> ReceiptAnswer:
    """Return the receipt of an exchange."""
    return ReceiptAnswer(
        request_id=row.request_id,
        status=row.state,  # type: ignore[arg-type]  # the store's states are these
        batch_id=row.batch_id,
        batch_index=row.batch_position,
        received_at=shown(row.received_at) or "",
        steps=steps_answer(progress),
    )


def steps_answer(progress: Progress) -> dict[Literal["extract", "log", "eval"], StepAnswer]:
    """Return the three steps."""
    return {"extract": _step(progress.extract), "log": _step(progress.log), "eval": _step(progress.eval)}


def _state(project_id: int, request_id: str) -> tuple[ExchangeRow, Progress]:
    progress_id = exchanges.get(project_id, request_id).id
    progress = exchanges.progress(progress_id)
    # Read after the steps, so that the status is never behind them.
    return exchanges.get(project_id, request_id), progress


def _step(state: StepState) -> StepAnswer:
    return StepAnswer(
        state=state.state,  # type: ignore[arg-type]  # the store's states are these
        at=shown(state.at),
        attempts=state.attempts,
        error=state.error,
    )


async def _read(reader: Any, incoming: Incoming) -> Any:
    body = await incoming.json_body()
    settings, masking = incoming.settings, incoming.identity.masking
    limits = Limits(item_bytes=settings.max_item_bytes, batch_items=settings.max_batch_items)
    defaults = Defaults(
        user_id=_header(incoming, "X-Ingate-User-Id"),
        session_id=_header(incoming, "X-Ingate-Session-Id"),
        idempotency_key=_header(incoming, "Idempotency-Key"),
    )
    if len(body) < (_LARGE_MASKED_BYTES if masking else _LARGE_BYTES):
        return reader(body, limits, defaults, masking)
    return await in_thread(reader, body, limits, defaults, masking)


async def _commit(incoming: Incoming, entries: list[Accepted | Refused], *, batch: bool) -> Receipt:
    identity = incoming.identity
    return await incoming.writer.submit(
        Submission(identity.project_id, identity.key_id, _kind(incoming), entries, batch)
    )


def _kind(incoming: Incoming) -> Kind:
    """Live unless the header says that these are examples."""
    kind = incoming.headers.get(KIND_HEADER)
    if kind is None:
        return Kind.LIVE
    if kind not in ("live", "demo"):
        raise InvalidRequest(f"{KIND_HEADER}: live or demo", error_code="invalid_header")
    return Kind[kind.upper()]


def _item(outcome: Outcome) -> ItemAnswer:
    return ItemAnswer(
        index=outcome.position,
        accepted=outcome.error is None,
        request_id=outcome.request_id,
        duplicate=outcome.duplicate,
        error=None if outcome.error is None else _item_error(outcome.error),
    )


def _item_error(error: IngateError) -> ItemError:
    return ItemError(error_code=error.code, detail=error.detail[: errors.MAX_ECHO_CHARS], pointer=error.pointer)


def _header(incoming: Incoming, name: str) -> str | None:
    value = incoming.headers.get(name)
    if value is not None and not value.isascii():
        # The server reads header bytes as Latin-1, whatever they are; clients send UTF-8.
        with contextlib.suppress(UnicodeError):
            value = value.encode("latin-1").decode("utf-8")
    if value is not None and not 1 <= len(value) <= _MAX_HEADER_CHARS:
        raise InvalidRequest(f"{name}: 1 to {_MAX_HEADER_CHARS} characters", error_code="invalid_header")
    return value


def _wait_s() -> float:
    text = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_WAIT_S:
        raise InvalidItem(f"wait: seconds from 0 to {MAX_WAIT_S:g}", error_code="out_of_range", pointer="/wait")
    return seconds
