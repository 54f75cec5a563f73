"""Reprocess runs over the API: read stored exchanges again, or only say what that would change."""

from typing import Annotated, Literal

import msgspec
from quart import Blueprint, Response

from actors.reprocess import reprocess as reprocess_actor
from actors.stage import send
from app import filters
from app.store import exchanges
from app.store import reprocess as runs
from app.store.keys import Identity
from app.store.reprocess import RunRow
from web.body import read_json
from web.evals import Window
from web.query import LIST, Time, cursor, following, limit, moment, shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("reprocess", __name__)


class ReprocessBody(msgspec.Struct, kw_only=True, rename={"since": "from", "until": "to"}, forbid_unknown_fields=True):
    """Which stored exchanges to read again; without q, from and to all of them."""

    q: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    since: Time | None = None
    until: Time | None = None
    #: Change nothing, and report what would change.
    dry_run: bool = False


class ReprocessAnswer(msgspec.Struct, kw_only=True, rename={"since": "from", "until": "to"}):
    """A run, how far it is, and what it changes, or would change.

    `changed` counts rows of which more than the versions differs; `fields` counts rows by what differs. The costs are
    those of the processed exchanges, unpriced ones as nothing.
    """

    run_id: int
    state: Literal["running", "done", "failed", "discarded"]
    dry_run: bool
    q: str
    since: str | None
    until: str | None
    exchanges: int
    processed: int
    failed: int
    changed: int
    fields: dict[str, int]
    cost_usd_before: float
    cost_usd_after: float
    cost_usd_difference: float
    created_at: str
    finished_at: str | None
    #: Why a failed run stopped; a retry in the failure inbox makes it go on.
    error: str | None


class ReprocessList(msgspec.Struct, kw_only=True):
    data: list[ReprocessAnswer]
    next_cursor: str | None


@operation(
    routes,
    "POST",
    "/api/v1/reprocess_runs",
    role="admin",
    summary="Read and price stored exchanges again; with dry_run only find out what that would change",
    takes=ReprocessBody,
    status=202,
    gives=ReprocessAnswer,
)
async def create_reprocess_run(identity: Identity) -> Response:
    """Start a run."""
    body = await read_json(ReprocessBody)
    window = Window(moment("from", body.since), moment("to", body.until))
    row = await in_thread(start, identity.project_id, body.q, window, dry_run=body.dry_run, actor=identity.actor)
    return json_answer(_run(row), 202, {"Location": f"/api/v1/reprocess_runs/{row.id}"})


@operation(
    routes,
    "GET",
    "/api/v1/reprocess_runs",
    role="viewer",
    summary="Reprocess runs, newest first",
    gives=ReprocessList,
    query=LIST,
)
async def list_reprocess_runs(identity: Identity) -> Response:
    """Answer a page of runs."""
    rows, after = await in_thread(runs.page, identity.project_id, limit=limit(), cursor=cursor())
    return json_answer(ReprocessList(data=[_run(row) for row in rows], next_cursor=following(after)))


@operation(
    routes,
    "GET",
    "/api/v1/reprocess_runs/<int:run_id>",
    role="viewer",
    summary="A reprocess run's progress and report",
    gives=ReprocessAnswer,
)
async def get_reprocess_run(identity: Identity, run_id: int) -> Response:
    """Answer one run."""
    return json_answer(_run(await in_thread(runs.get, identity.project_id, run_id)))


def start(project_id: int, q: str, window: Window, *, dry_run: bool, actor: str) -> RunRow:
    """Start a run and wake its worker. Raises InvalidItem for a wrong query."""
    terms = filters.parse(q)
    total = exchanges.count(project_id, terms=terms, since=window.since, until=window.until)
    row = runs.create(
        project_id, query=q, since=window.since, until=window.until, dry_run=dry_run, total=total, actor=actor
    )
    send(lambda ids: reprocess_actor.send(ids[0]), [row.id])
    return row


def _run(row: RunRow) -> ReprocessAnswer:
    return ReprocessAnswer(
        run_id=row.id,
        state=row.state,  # type: ignore[arg-type]  # the store's states are these
        dry_run=row.dry_run,
        q=row.query,
        since=shown(row.since),
        until=shown(row.until),
        exchanges=row.total,
        processed=row.processed,
        failed=row.failed,
        changed=row.changed,
        fields=msgspec.json.decode(row.fields),
        cost_usd_before=row.cost_before,
        cost_usd_after=row.cost_after,
        cost_usd_difference=row.cost_after - row.cost_before,
        created_at=shown(row.created_at) or "",
        finished_at=shown(row.finished_at),
        error=row.reason,
    )
