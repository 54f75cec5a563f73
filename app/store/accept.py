"""Accepting: what waits together is committed together, in one transaction, before anybody is told 202.

Each web process has one `Writer`: a thread that takes all submissions that wait (no timer), stores them, answers
them, and then hands the new ids to `on_commit`. Callers wait on a future, so no SQL runs on the event loop.
"""

import asyncio
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import structlog

from app.decoding import column_text
from app.errors import Conflict, IngateError, StoreUnavailable
from app.intake import Accepted, Refused
from app.masked_items import mask_json, mask_pointer
from app.masking import mask_text
from app.store import bulk, database, payloads
from app.store.models import Batch, Duplicate, Exchange, Kind, Payload, Pending, Rejection, Step
from app.store.pending import LEASE_MS

log = structlog.get_logger()

#: Items committed together at most: bounds the time that the write lock is held and the memory of one group.
MAX_GROUP_ITEMS = 1000
#: Items that may wait while the database stalls.
MAX_WAITING_BYTES = 128 << 20

_EXCHANGE = (
    "project_id", "request_id", "digest", "batch", "batch_position", "key_id", "kind", "received_at", "started_at",
    "provider", "path", "method", "status_code", "latency_ms", "ttft_ms", "user_id", "session_id", "tags",
    "masking",
)  # fmt: skip


class Submission(NamedTuple):
    """One ingest request, read."""

    project_id: int
    key_id: int | None
    kind: Kind
    entries: Sequence[Accepted | Refused]
    #: Whether a batch is kept for inspection: yes for a batch request, no for a single.
    batch: bool


class Outcome(NamedTuple):
    """What became of one item."""

    position: int
    request_id: str | None
    duplicate: bool = False
    error: IngateError | None = None


class Receipt(NamedTuple):
    """What became of one submission; outcomes are in the order of its entries."""

    batch_id: str | None
    outcomes: list[Outcome]


class _Stored(NamedTuple):
    exchange_id: int
    digest: bytes


_Key = tuple[int, str]
_Waiting = tuple[Submission, asyncio.Future[Receipt]]


class Writer:
    """The thread that commits; `submit` is called on an event loop, the same one every time."""

    def __init__(self, on_commit: Callable[[list[int]], None]) -> None:
        self._on_commit = on_commit
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission) -> asyncio.Future[Receipt]:
        """Queue a submission; the future resolves once it is committed, or fails with why it could not be.

        Cancelled before the writer takes it, it is not stored.

        Raises StoreUnavailable when so much waits already that memory, not patience, would run out.
        """
        if self._waiting_bytes > MAX_WAITING_BYTES:
            raise StoreUnavailable("too much waits for the database")
        self._count(+1, submission)
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.put((submission, future))
        return future

    def close(self) -> None:
        """Commit what waits and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (group := self._take()) is not None:
            staying = self._begun(group)
            if staying:
                self._commit(staying)

    def _begun(self, group: list[_Waiting]) -> list[_Waiting]:
        """Return who still waits: a caller that gave up is left out; from here on it is stored all the same."""
        for submission, _ in group:
            self._count(-1, submission)
        return [waiting for waiting in group if not waiting[1].cancelled()]

    def _count(self, sign: int, submission: Submission) -> None:
        size = sum(len(entry.raw) for entry in submission.entries if isinstance(entry, Accepted))
        with self._counting:
            self._waiting_bytes += sign * size

    def _take(self) -> list[_Waiting] | None:
        first = self._waiting.get()
        if first is None:
            return None
        group, items = [first], len(first[0].entries)
        while items < MAX_GROUP_ITEMS:
            try:
                waiting = self._waiting.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                self._waiting.put(None)
                break
            group.append(waiting)
            items += len(waiting[0].entries)
        return group

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            receipts, new_ids = store([submission for submission, _ in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must be told, and only their own
            self._fail(group, error)
            return
        self._hand_back(group, receipts)
        if new_ids:
            self._announce(new_ids)

    def _announce(self, new_ids: list[int]) -> None:
        try:
            self._on_commit(new_ids)
        except Exception:
            # The sweep sends them; the thread must live on.
            log.exception("announce_failed", exchanges=len(new_ids))

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        if isinstance(error, IngateError) and error.retryable:
            # Whoever came meanwhile has waited for the same database, and would wait as long again.
            while not self._waiting.empty():
                more = self._take()
                if more is None:
                    self._waiting.put(None)
                    break
                group += self._begun(more)
        elif len(group) > 1:
            # One submission may be what the database refuses; its neighbours must not share its fate.
            for waiting in group:
                self._commit([waiting])
            return
        log.error("accept_failed", submissions=len(group), error=repr(error))
        self._hand_back(group, [error] * len(group))

    def _hand_back(self, group: list[_Waiting], results: Sequence[Receipt | Exception]) -> None:
        """Resolve the futures of a group on their loop, which is woken once for all of them."""
        futures = [future for _, future in group]
        futures[0].get_loop().call_soon_threadsafe(_resolve, futures, results)


def _resolve(futures: Sequence[asyncio.Future[Receipt]], results: Sequence[Receipt | Exception]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue  # its caller gave up
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def store(submissions: Sequence[Submission]) -> tuple[list[Receipt], list[int]]:
    """Store submissions in one transaction; return their receipts and the ids of the new exchanges."""
    packed = {id(e): payloads.pack(e.raw) for s in submissions for e in s.entries if isinstance(e, Accepted)}
    with database.transaction():
        now = database.now()
        batches = _insert_batches(submissions, now)
        firsts, new = _insert_exchanges(submissions, batches, now)
        known = _known(submissions, new)
        bulk.insert(
            Payload,
            ("exchange_id", "codec", "data"),
            [(new[key].exchange_id, *packed[id(entry)]) for key, entry in firsts.items() if key in new],
        )
        ids = sorted(stored.exchange_id for stored in new.values())
        bulk.insert(
            Pending,
            ("exchange_id", "step", "attempts", "due_at", "leased_until"),
            [(exchange_id, Step.EXTRACT, 0, now + LEASE_MS, 0) for exchange_id in ids],
        )
        receipts = [
            _settle(submission, batch, firsts, new, known)
            for submission, batch in zip(submissions, batches, strict=True)
        ]
    return receipts, ids


def _insert_batches(submissions: Sequence[Submission], now: int) -> list[tuple[int, str] | None]:
    public = [str(uuid.uuid4()) if s.batch else None for s in submissions]
    rows = [
        (s.project_id, batch_id, now, len(s.entries))
        for s, batch_id in zip(submissions, public, strict=True)
        if batch_id is not None
    ]
    inserted = bulk.insert_returning(Batch, ("project_id", "batch_id", "received_at", "size"), rows, ("batch_id", "id"))
    numbers: dict[str, int] = dict(inserted)
    return [None if batch_id is None else (numbers[batch_id], batch_id) for batch_id in public]


def _accepted(submissions: Sequence[Submission]) -> Iterator[tuple[int, Submission, Accepted]]:
    for position, submission in enumerate(submissions):
        for entry in submission.entries:
            if isinstance(entry, Accepted):
                yield position, submission, entry


def _insert_exchanges(
    submissions: Sequence[Submission], batches: Sequence[tuple[int, str] | None], now: int
) -> tuple[dict[_Key, Accepted], dict[_Key, _Stored]]:
    """Insert the first entry of each request id; return these, and of them those that were not there before."""
    firsts: dict[_Key, Accepted] = {}
    rows = []
    for position, submission, entry in _accepted(submissions):
        key = (submission.project_id, entry.request_id)
        if key not in firsts:
            firsts[key] = entry
            batch = batches[position]
            rows.append(_row(submission, entry, None if batch is None else batch[0], now))
    inserted = bulk.insert_returning(Exchange, _EXCHANGE, rows, ("project_id", "request_id", "id", "digest"))
    return firsts, {(row[0], row[1]): _Stored(row[2], bytes(row[3])) for row in inserted}


def _row(submission: Submission, entry: Accepted, batch: int | None, now: int) -> bulk.Row:
    item = entry.item
    return (
        submission.project_id, entry.request_id, entry.digest, batch, None if batch is None else entry.position,
        submission.key_id, submission.kind, now, entry.started_at,
        _text(item.provider), _text(item.path), _text(item.method) or "POST", item.status_code, item.latency_ms,
        item.time_to_first_token_ms, _text(entry.user_id), _text(entry.session_id),
        entry.tags and mask_json(entry.tags.encode()).decode(), entry.masking or None,
    )  # fmt: skip


def _text(value: str | None) -> str | None:
    """What a text column holds of a client's text: no key and no token."""
    return None if value is None else mask_text(column_text(value))


def _known(submissions: Sequence[Submission], new: dict[_Key, _Stored]) -> dict[_Key, _Stored]:
    """Return the exchanges that were there before, of all request ids that were not inserted."""
    missing: dict[int, list[str]] = {}
    for _, submission, entry in _accepted(submissions):
        if (submission.project_id, entry.request_id) not in new:
            missing.setdefault(submission.project_id, []).append(entry.request_id)
    known: dict[_Key, _Stored] = {}
    for project_id, request_ids in missing.items():
        for start in range(0, len(request_ids), MAX_GROUP_ITEMS):
            part = request_ids[start : start + MAX_GROUP_ITEMS]
            rows = database.execute(
                f"""SELECT request_id, id, digest FROM exchange
                     WHERE project_id = ? AND request_id IN ({", ".join("?" * len(part))})""",
                [project_id, *part],
            )
            known |= {(project_id, row[0]): _Stored(row[1], bytes(row[2])) for row in rows}
        if any((project_id, request_id) not in known for request_id in request_ids):
            raise StoreUnavailable("an exchange expired while it was accepted again")
    return known


def _settle(
    submission: Submission,
    batch: tuple[int, str] | None,
    firsts: dict[_Key, Accepted],
    new: dict[_Key, _Stored],
    known: dict[_Key, _Stored],
) -> Receipt:
    """Decide each entry's outcome and keep what the batch needs for inspection."""
    outcomes: list[Outcome] = []
    duplicates: list[bulk.Row] = []
    for entry in submission.entries:
        if isinstance(entry, Refused):
            outcomes.append(Outcome(entry.position, entry.request_id, error=entry.error))
            continue
        key = (submission.project_id, entry.request_id)
        stored = new.get(key) or known[key]
        if key in new and firsts[key] is entry:
            outcomes.append(Outcome(entry.position, entry.request_id))
        elif stored.digest == entry.digest:
            outcomes.append(Outcome(entry.position, entry.request_id, duplicate=True))
            duplicates.append((entry.position, stored.exchange_id))
        else:
            outcomes.append(Outcome(entry.position, entry.request_id, error=_conflict(entry.request_id)))
    if batch is not None:
        _keep_batch(batch[0], outcomes, duplicates)
    return Receipt(None if batch is None else batch[1], outcomes)


def _conflict(request_id: str) -> Conflict:
    return Conflict(
        f"request_id {request_id} was accepted before with other content",
        error_code="request_id_conflict",
        pointer="/request_id",
    )


def _keep_batch(batch: int, outcomes: Sequence[Outcome], duplicates: Sequence[bulk.Row]) -> None:
    bulk.insert(
        Rejection,
        ("batch", "position", "request_id", "error_code", "detail", "pointer"),
        [
            (
                batch,
                o.position,
                o.request_id and column_text(o.request_id),
                o.error.code,
                _text(o.error.detail),
                o.error.pointer and mask_pointer(column_text(o.error.pointer)),
            )
            for o in outcomes
            if o.error is not None
        ],
    )
    bulk.insert(Duplicate, ("batch", "position", "exchange_id"), [(batch, *row) for row in duplicates])
