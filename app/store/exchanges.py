"""Exchanges as they are read: lists by filter and page, one exchange with its state, the rows a worker needs."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from app.errors import InvalidItem, NotFound
from app.filters import Term
from app.store import database
from app.store.database import execute, execute_planned, id_list, in_list, is_sqlite
from app.store.filtering import conditions, sources
from app.store.models import Kind, Step
from app.store.streams import MAX_PART, RANGE_PART, Parts, parts

MAX_PAGE = 200
_LAST_ID = 2**40
#: At most so many exchanges are being accepted at a moment, by all web processes together.
_SAME_TIME = 5_000

_STATUS = f"""CASE WHEN f.discarded_at IS NOT NULL THEN 'discarded' WHEN f.exchange_id IS NOT NULL THEN 'failed'
    WHEN p.step = {Step.EXTRACT} THEN 'accepted' WHEN p.step = {Step.LOG} THEN 'extracted'
    WHEN p.step = {Step.EVALUATE} THEN 'logged' ELSE 'evaluated' END"""
_FROM = """FROM exchange e
    LEFT JOIN log l ON l.exchange_id = e.id
    LEFT JOIN pending p ON p.exchange_id = e.id
    LEFT JOIN failure f ON f.exchange_id = e.id"""


class ExchangeRow(NamedTuple):
    """One exchange as lists show it. Fields of the log are null until the log step is done."""

    id: int
    request_id: str
    #: accepted, extracted, logged, evaluated, failed or discarded.
    state: str
    kind: int
    batch_id: str | None
    batch_position: int | None
    received_at: int
    started_at: int | None
    provider: str | None
    path: str | None
    method: str
    status_code: int | None
    latency_ms: float | None
    ttft_ms: float | None
    user_id: str | None
    session_id: str | None
    tags: str | None
    shape: str | None
    extraction: str | None
    reason: str | None
    model: str | None
    response_model: str | None
    finish_reason: str | None
    prompt_preview: str | None
    completion_preview: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    flags: int | None
    cost_usd: float | None
    #: Why it has no cost, where it should have one.
    unpriced: str | None
    #: What was masked before it was stored (app.masking.Mask); null for nothing.
    masking: int | None


_ROW = f"""e.id, e.request_id, {_STATUS}, e.kind,
    (SELECT b.batch_id FROM batch b WHERE b.id = e.batch), e.batch_position, e.received_at, e.started_at,
    coalesce(l.provider, e.provider), e.path, e.method, e.status_code, e.latency_ms, e.ttft_ms, e.user_id,
    e.session_id, e.tags, l.shape, l.extraction, l.reason, l.model, l.response_model, l.finish_reason,
    l.prompt_preview, l.completion_preview, l.prompt_tokens, l.completion_tokens, l.total_tokens, l.flags,
    l.cost_usd, l.unpriced, e.masking"""


class StepState(NamedTuple):
    """Where one step of an exchange stands."""

    #: pending, done or failed.
    state: str
    at: int | None
    attempts: int
    error: str | None


class Progress(NamedTuple):
    """The three steps of an exchange; `traceback` is there when one failed."""

    extract: StepState
    log: StepState
    eval: StepState
    traceback: str | None

    @property
    def final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.eval.state == "done" or any(s.state == "failed" for s in (self.extract, self.log, self.eval))


class Subject(NamedTuple):
    """What the steps need of an exchange beside its payload."""

    id: int
    project_id: int
    kind: int
    request_id: str
    provider: str | None
    path: str | None
    status_code: int | None
    latency_ms: float | None
    received_at: int
    started_at: int | None
    key_id: int | None
    user_id: str | None
    session_id: str | None

    @property
    def called_at(self) -> int:
        """When the call happened, as far as it is known."""
        return self.received_at if self.started_at is None else self.started_at


#: Exchanges that one page looks at, when so few match that it is not full before.
MAX_LOOKED_AT = RANGE_PART


class Page(NamedTuple):
    """A page of a list; `next_cursor` is None on the last one.

    A page with a `next_cursor` may be short, or empty: it looked at MAX_LOOKED_AT exchanges, and older ones may match.
    """

    rows: list[ExchangeRow]
    next_cursor: int | None


def page(
    project_id: int,
    *,
    terms: Sequence[Term] = (),
    since: int | None = None,
    until: int | None = None,
    limit: int = 50,
    cursor: int | None = None,
) -> Page:
    """Return live and demo exchanges that match, newest first; `cursor` is the last page's `next_cursor`."""
    wanted = _Wanted(project_id, terms, since, until)
    found: list[ExchangeRow] = []
    looked_at, last = 0, 0
    with database.session():
        for part in _parts(wanted, _LAST_ID if cursor is None else cursor - 1, limit + 1):
            if looked_at >= MAX_LOOKED_AT:
                return Page(found, last)
            rows = execute_planned(
                f"SELECT {_ROW} {_FROM} WHERE {part.where} ORDER BY e.id DESC LIMIT ?",
                [*part.params, limit + 1 - len(found)],
            )
            found += [ExchangeRow(*row) for row in rows]
            if len(found) > limit:
                return Page(found[:limit], found[limit - 1].id)
            looked_at, last = looked_at + len(part.ids), part.ids[-1]
    return Page(found, None)


def matching(
    project_id: int, *, terms: Sequence[Term], since: int | None, until: int | None, below: int, limit: int
) -> list[int]:
    """Return ids of logged exchanges that match, newest first, starting below an id."""
    found: list[int] = []
    with database.session():
        for part in _parts(_Wanted(project_id, terms, since, until), below - 1, limit):
            rows = execute_planned(
                f"""SELECT e.id {_FROM} WHERE {part.where} AND l.exchange_id IS NOT NULL
                     ORDER BY e.id DESC LIMIT ?""",
                [*part.params, limit - len(found)],
            )
            found += [row[0] for row in rows]
            if len(found) == limit:
                break
    return found


def count(project_id: int, *, terms: Sequence[Term], since: int | None, until: int | None) -> int:
    """Count the logged exchanges that match."""
    total = 0
    with database.session():
        for part in _parts(_Wanted(project_id, terms, since, until), _LAST_ID, MAX_PART):
            sql = f"SELECT count(*) {_FROM} WHERE {part.where} AND l.exchange_id IS NOT NULL"
            total += execute_planned(sql, part.params)[0][0]
    return total


def matches(ids: Sequence[int], terms: Sequence[Term]) -> set[int]:
    """Return those of the given exchanges that match; runs inside the caller's session."""
    where, params = conditions(terms, sorted(ids, reverse=True))
    return {
        row[0] for row in execute(f"SELECT e.id {_FROM} WHERE {in_list('e.id')} AND {where}", [id_list(ids), *params])
    }


def get(project_id: int, request_id: str) -> ExchangeRow:
    """Return one exchange. Raises NotFound when the project has none of that id."""
    with database.session():
        rows = execute(f"SELECT {_ROW} {_FROM} WHERE e.project_id = ? AND e.request_id = ?", [project_id, request_id])
    if not rows:
        raise NotFound(f"no exchange {request_id[:255]}")
    return ExchangeRow(*rows[0])


def progress(exchange_id: int) -> Progress:
    """Return where the steps of an exchange stand."""
    carried = "extracted_at, extract_attempts, logged_at, log_attempts"
    # Steps that were done in one pass have no times of their own.
    finished = ", ".join(
        f"coalesce({name}, {'evaluated_at' if name.endswith('_at') else 'evaluate_attempts'})"
        for name in carried.split(", ")
    )
    # One statement, so that a row which moves from one table to the next is seen exactly once.
    sql = f"""SELECT 0, {carried}, step, attempts, NULL, last_error, NULL FROM pending WHERE exchange_id = ?
        UNION ALL SELECT 1, {carried}, step, attempts, failed_at, reason, traceback FROM failure WHERE exchange_id = ?
        UNION ALL SELECT 0, {finished}, {len(Step)}, evaluate_attempts, evaluated_at, NULL, NULL
                    FROM finished WHERE exchange_id = ?"""
    with database.session():
        rows = execute(sql, [exchange_id] * 3)
    if rows:
        return _progress(_StateRow(*rows[0]))
    raise NotFound(f"no state of exchange {exchange_id}")


def hold(ids: Sequence[int]) -> set[int]:
    """Return those that have not expired, and keep them until the caller's transaction ends."""
    lock = "" if database.is_sqlite() else "FOR KEY SHARE"
    return {row[0] for row in execute(f"SELECT id FROM exchange WHERE {in_list('id')} {lock}", [id_list(ids)])}


def subjects(ids: Sequence[int]) -> list[Subject]:
    """Return what the steps need of a chunk of exchanges."""
    columns = ", ".join(Subject._fields)
    with database.session():
        rows = execute(f"SELECT {columns} FROM exchange WHERE {in_list('id')} ORDER BY id", [id_list(ids)])
    return [Subject(*row) for row in rows]


class _Wanted(NamedTuple):
    project_id: int
    terms: Sequence[Term]
    since: int | None
    until: int | None


class _Part(NamedTuple):
    """Exchanges to look at, in descending order, and the condition that one is of them and matches."""

    ids: Sequence[int]
    where: str
    params: list[Any]


def _parts(wanted: _Wanted, highest: int, first: int) -> Iterator[_Part]:
    """Give all that can match, newest first, in parts of bounded size; inside the caller's session.

    first: how many ids the first part has.
    """
    project_id, terms, since, until = wanted
    ids = range(highest, 0, -1)
    if terms or since is not None or until is not None:
        ids = _narrowed(project_id, since, until, ids)
    if not ids:
        return
    found = parts(sources(project_id, terms), ids, first) if terms else Parts(iter([ids]))
    asked = [term for term in terms if term not in found.settled]
    # The plus keeps SQLite from reading an index of the project's exchanges that is in another order.
    of_project = f"{'+' if is_sqlite() else ''}e.project_id = ? AND e.kind IN ({Kind.LIVE}, {Kind.DEMO})"
    for part in found.parts:
        condition, params = conditions(asked, part)
        if isinstance(part, range):
            where, values = "e.id BETWEEN ? AND ?", [part.stop + 1, part.start]
        else:
            where, values = in_list("e.id"), [id_list(part)]
        where += f" AND {of_project} AND {condition}"
        values += [project_id, *params]
        for bound, operator in ((since, ">="), (until, "<")):
            if bound is not None:
                where += f" AND e.received_at {operator} ?"
                values.append(bound)
        yield _Part(part, where, values)


def _narrowed(project_id: int, since: int | None, until: int | None, ids: range) -> range:
    """Return what a descending range of ids has in common with those that exist, and with a window of time.

    Ids and times rise together, but for exchanges that were accepted at about the same time.
    """
    low = "SELECT min(id) FROM exchange"
    high = "SELECT max(id) FROM exchange"
    params: list[Any] = []
    if since is not None:
        low = f"""SELECT min(id) FROM (SELECT id FROM exchange WHERE project_id = ? AND received_at >= ?
                   ORDER BY received_at LIMIT {_SAME_TIME}) AS first"""
        params += [project_id, since]
    if until is not None:
        high = f"""SELECT max(id) FROM (SELECT id FROM exchange WHERE project_id = ? AND received_at < ?
                    ORDER BY received_at DESC LIMIT {_SAME_TIME}) AS last"""
        params += [project_id, until]
    lowest, highest = execute_planned(f"SELECT ({low}), ({high})", params)[0]
    if lowest is None or highest is None:
        return range(0)
    return range(min(highest, ids.start), max(lowest - 1, ids.stop), -1)


class _StateRow(NamedTuple):
    failed: int
    extracted_at: int | None
    extract_attempts: int | None
    logged_at: int | None
    log_attempts: int | None
    #: The step that is pending or has failed; past the last one when all are done.
    step: int
    attempts: int
    at: int | None
    error: str | None
    traceback: str | None


def _progress(row: _StateRow) -> Progress:
    done = [(row.extracted_at, row.extract_attempts), (row.logged_at, row.log_attempts), (row.at, row.attempts)]
    states = []
    for number, (done_at, tries) in enumerate(done):
        if number < row.step:
            states.append(StepState("done", done_at, tries or 0, None))
        elif number == row.step:
            states.append(StepState("failed" if row.failed else "pending", row.at, row.attempts, row.error))
        else:
            states.append(StepState("pending", None, 0, None))
    return Progress(states[0], states[1], states[2], row.traceback)


def check_limit(limit: int) -> int:
    """Return a page size that is allowed. Raises InvalidItem when it is not."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidItem(f"limit: a whole number from 1 to {MAX_PAGE}", error_code="out_of_range", pointer="/limit")
    return limit
