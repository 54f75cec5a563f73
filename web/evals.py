"""Evaluators over the API: define, change, score history, read scores."""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from quart import Blueprint, Response

from actors.run import run as run_actor
from actors.stage import send
from app import evals, filters
from app.store import evaluators, exchanges, runs, scores
from app.store.evaluators import Definition, EvaluatorRow
from app.store.keys import Identity
from app.store.runs import RunRow
from web.body import read_json
from web.exchanges import ScoreAnswer, score_answer
from web.query import LIST, Time, cursor, following, limit, moment, shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("evals", __name__)


class EvalBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An evaluator as a person defines it. `config` depends on the type."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
    type: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(evals.TYPES)})]
    config: dict[str, Any] = {}
    enabled: bool = True
    #: Share of the matching exchanges that is scored; which ones follows from their request ids.
    sample_rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    #: Filter language; empty scores every exchange.
    filter: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    #: Scores from here on pass.
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class EvalAnswer(EvalBody, kw_only=True):
    """An evaluator at its current version; a changed type, config or threshold makes a new one."""

    id: int
    version: int
    created_at: str
    updated_at: str


class EvalList(msgspec.Struct, kw_only=True):
    data: list[EvalAnswer]
    next_cursor: str | None


class RunBody(msgspec.Struct, kw_only=True, rename={"since": "from", "until": "to"}, forbid_unknown_fields=True):
    """Which stored exchanges to score."""

    q: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    since: Time | None = None
    until: Time | None = None
    #: Only say how many it would be.
    dry_run: bool = False


class RunEstimate(msgspec.Struct, kw_only=True):
    """What a run would do; the evaluators of rules cost nothing."""

    dry_run: Literal[True]
    exchanges: int
    cost_usd: float


class RunAnswer(msgspec.Struct, kw_only=True):
    """A run and how far it is; `failed` counts exchanges that the evaluator could not score."""

    run_id: int
    evaluator_id: int
    version: int
    state: Literal["running", "done", "failed", "discarded"]
    q: str
    exchanges: int
    scored: int
    failed: int
    created_at: str
    finished_at: str | None
    #: Why a failed run stopped; a retry in the failure inbox makes it go on.
    error: str | None


class RunList(msgspec.Struct, kw_only=True):
    data: list[RunAnswer]
    next_cursor: str | None


class ScoreOfExchange(ScoreAnswer, kw_only=True):
    """A score, with the exchange it belongs to."""

    request_id: str


class ScoreList(msgspec.Struct, kw_only=True):
    data: list[ScoreOfExchange]
    next_cursor: str | None


@operation(
    routes,
    "POST",
    "/api/v1/evals",
    role="member",
    summary="Define an evaluator",
    takes=EvalBody,
    status=201,
    gives=EvalAnswer,
)
async def create_eval(identity: Identity) -> Response:
    """Make an evaluator; from now on it scores new exchanges."""
    definition = definition_of(await read_json(EvalBody))
    row = await in_thread(evaluators.create, identity.project_id, definition)
    return json_answer(_eval(row), 201, {"Location": f"/api/v1/evals/{row.id}"})


@operation(
    routes,
    "GET",
    "/api/v1/evals",
    role="viewer",
    summary="Evaluators, newest first",
    gives=EvalList,
    query=LIST,
)
async def list_evals(identity: Identity) -> Response:
    """Answer a page of evaluators."""
    rows, after = await in_thread(evaluators.page, identity.project_id, limit=limit(), cursor=cursor())
    return json_answer(EvalList(data=[_eval(row) for row in rows], next_cursor=following(after)))


@operation(
    routes,
    "GET",
    "/api/v1/evals/<int:evaluator_id>",
    role="viewer",
    summary="One evaluator",
    gives=EvalAnswer,
)
async def get_eval(identity: Identity, evaluator_id: int) -> Response:
    """Answer one evaluator."""
    return json_answer(_eval(await in_thread(evaluators.get, identity.project_id, evaluator_id)))


@operation(
    routes,
    "PUT",
    "/api/v1/evals/<int:evaluator_id>",
    role="member",
    summary="Change an evaluator; another type, config or threshold is a new version",
    takes=EvalBody,
    gives=EvalAnswer,
)
async def replace_eval(identity: Identity, evaluator_id: int) -> Response:
    """Change an evaluator; old scores keep their version."""
    definition = definition_of(await read_json(EvalBody))
    return json_answer(_eval(await in_thread(evaluators.replace, identity.project_id, evaluator_id, definition)))


@operation(
    routes,
    "DELETE",
    "/api/v1/evals/<int:evaluator_id>",
    role="member",
    summary="Remove an evaluator; its scores stay",
    status=204,
)
async def delete_eval(identity: Identity, evaluator_id: int) -> Response:
    """Remove an evaluator."""
    await in_thread(evaluators.delete, identity.project_id, evaluator_id)
    return Response(status=204)


@operation(
    routes,
    "POST",
    "/api/v1/evals/<int:evaluator_id>/runs",
    role="member",
    summary="Score history; with dry_run only say how many it would be (200)",
    takes=RunBody,
    status=202,
    gives=RunAnswer,
    also=(200, RunEstimate),
)
async def create_run(identity: Identity, evaluator_id: int) -> Response:
    """Start a run, or estimate one."""
    body = await read_json(RunBody)
    window = Window(moment("from", body.since), moment("to", body.until))
    if body.dry_run:
        await in_thread(evaluators.get, identity.project_id, evaluator_id)
        total = await in_thread(estimate_run, identity.project_id, body.q, window)
        return json_answer(RunEstimate(dry_run=True, exchanges=total, cost_usd=0.0))
    row = await in_thread(start_run, identity.project_id, evaluator_id, body.q, window)
    return json_answer(_run(row), 202, {"Location": f"/api/v1/evals/{evaluator_id}/runs/{row.id}"})


@operation(
    routes,
    "GET",
    "/api/v1/evals/<int:evaluator_id>/runs",
    role="viewer",
    summary="Runs, newest first",
    gives=RunList,
    query=LIST,
)
async def list_runs(identity: Identity, evaluator_id: int) -> Response:
    """Answer a page of runs."""
    await in_thread(evaluators.get, identity.project_id, evaluator_id)
    rows, after = await in_thread(runs.listed, identity.project_id, evaluator_id, limit=limit(), cursor=cursor())
    return json_answer(RunList(data=[_run(row) for row in rows], next_cursor=following(after)))


@operation(
    routes,
    "GET",
    "/api/v1/evals/<int:evaluator_id>/runs/<int:run_id>",
    role="viewer",
    summary="A run's progress",
    gives=RunAnswer,
)
async def get_run(identity: Identity, evaluator_id: int, run_id: int) -> Response:
    """Answer one run."""
    return json_answer(_run(await in_thread(runs.get, identity.project_id, evaluator_id, run_id)))


@operation(
    routes,
    "GET",
    "/api/v1/evals/<int:evaluator_id>/scores",
    role="viewer",
    summary="An evaluator's scores, newest exchange first",
    gives=ScoreList,
    query=LIST,
)
async def list_scores(identity: Identity, evaluator_id: int) -> Response:
    """Answer a page of scores."""
    await in_thread(evaluators.get, identity.project_id, evaluator_id)
    rows, after = await in_thread(scores.of_evaluator, evaluator_id, limit=limit(), cursor=cursor())
    data = [ScoreOfExchange(request_id=r.request_id, **msgspec.structs.asdict(score_answer(r))) for r in rows]
    return json_answer(ScoreList(data=data, next_cursor=following(after)))


class Window(NamedTuple):
    """A time window, in milliseconds since 1970 UTC; None leaves a side open."""

    since: int | None
    until: int | None


def estimate_run(project_id: int, q: str, window: Window) -> int:
    """Count the exchanges that a run would score. Raises InvalidItem for a wrong query."""
    return exchanges.count(project_id, terms=filters.parse(q), since=window.since, until=window.until)


def start_run(project_id: int, evaluator_id: int, q: str, window: Window) -> RunRow:
    """Start a run of the evaluator's current version and wake its worker. Raises NotFound or InvalidItem."""
    evaluator = evaluators.get(project_id, evaluator_id)
    total = estimate_run(project_id, q, window)
    row = runs.create(
        project_id, evaluator_id, evaluator.version, query=q, since=window.since, until=window.until, total=total
    )
    send(lambda ids: run_actor.send(ids[0]), [row.id])
    return row


def definition_of(body: EvalBody) -> Definition:
    """Return the definition that a person sent, once it is known that the evaluator can run. Raises InvalidItem."""
    filters.parse(body.filter)
    return Definition(
        name=body.name,
        type=body.type,
        config=evals.check_config(body.type, body.config),
        enabled=body.enabled,
        sample_rate=body.sample_rate,
        filter=body.filter,
        threshold=body.threshold,
    )


def _eval(row: EvaluatorRow) -> EvalAnswer:
    definition = row.definition._asdict()
    return EvalAnswer(
        **definition | {"config": msgspec.json.decode(row.definition.config)},
        id=row.id,
        version=row.version,
        created_at=shown(row.created_at) or "",
        updated_at=shown(row.updated_at) or "",
    )


def _run(row: RunRow) -> RunAnswer:
    return RunAnswer(
        run_id=row.id,
        evaluator_id=row.evaluator_id,
        version=row.version,
        state=row.state,  # type: ignore[arg-type]  # the store's states are these
        q=row.query,
        exchanges=row.total,
        scored=row.scored,
        failed=row.failed,
        created_at=shown(row.created_at) or "",
        finished_at=shown(row.finished_at),
        error=row.reason,
    )
