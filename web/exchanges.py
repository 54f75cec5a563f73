"""Exchanges as they are read over the API: the list, one with all the rest, its bytes; the retry of a failed one."""

import json
from typing import Any, Literal

import msgspec
from quart import Blueprint, Response, request

from app import extraction
from app.errors import InvalidItem, Unreadable
from app.exchange import present
from app.extraction import Extraction
from app.shapes import Buckets, buckets
from app.store import exchanges, logs, payloads, scores
from app.store.exchanges import ExchangeRow, Progress
from app.store.keys import Identity
from app.store.models import Flag, Kind
from app.store.scores import ScoreView
from web.failures import discard, retry
from web.ingest import StepAnswer, steps_answer
from web.query import FILTERS, LIST, WINDOW, cursor, following, limit, selection, shown
from web.routing import Parameter, json_answer, operation
from web.threads import in_thread

routes = Blueprint("exchanges", __name__)

State = Literal["accepted", "extracted", "logged", "evaluated", "failed", "discarded"]


class Tokens(msgspec.Struct, kw_only=True):
    """Token counts as the provider (or, failing that, the client) reports them."""

    prompt: int | None
    completion: int | None
    total: int | None


class LogRow(msgspec.Struct, kw_only=True):
    """An exchange as lists show it; fields of the log are null until it is logged."""

    request_id: str
    status: State
    kind: Literal["live", "demo"]
    batch_id: str | None
    batch_index: int | None
    received_at: str
    started_at: str | None
    provider: str | None
    path: str | None
    method: str
    status_code: int | None
    latency_ms: float | None
    time_to_first_token_ms: float | None
    shape: str | None
    extraction: Literal["extracted", "fallback", "mixed", "none"] | None
    model: str | None
    response_model: str | None
    prompt_preview: str | None
    completion_preview: str | None
    token_count: Tokens | None
    finish_reason: str | None
    flags: list[str]
    user_id: str | None
    session_id: str | None
    tags: dict[str, str]
    cost_usd: float | None
    #: Whether it has no cost though it should have one.
    unpriced: bool


class LogList(msgspec.Struct, kw_only=True):
    data: list[LogRow]
    next_cursor: str | None


class ScoreAnswer(msgspec.Struct, kw_only=True):
    """One evaluator's verdict; `score` is null and `error` says why when it could not score."""

    evaluator: str
    version: int
    score: float | None
    passed: bool | None
    explanation: str | None
    error: str | None
    at: str


class FailureAnswer(msgspec.Struct, kw_only=True):
    """Why an exchange has failed."""

    step: Literal["extract", "log", "eval"]
    reason: str
    traceback: str | None


class CostLine(msgspec.Struct, kw_only=True):
    """One bucket's share of a cost; web searches and requests that are charged apart are counted as `tokens`."""

    bucket: str
    tokens: int
    usd: float


class CostAnswer(msgspec.Struct, kw_only=True):
    """How a cost comes about; the lines add up to `cost_usd`."""

    #: `own`, or the name of the price list; the version is the own price's id, or the list's version.
    price_source: str | None
    price_version: str | None
    matched_model: str | None
    lines: list[CostLine]


class LogDetail(LogRow, kw_only=True):
    """An exchange with all the rest; texts are read from its raw item."""

    steps: dict[Literal["extract", "log", "eval"], StepAnswer]
    failure: FailureAnswer | None
    #: Why nothing, or not all, could be read from the bodies.
    reason: str | None
    sources: dict[str, Literal["request", "path", "response", "client"]]
    request_model: str | None
    prompt: str | None
    completion: str | None
    system: str | None
    usage: dict[str, int | None]
    #: Disjoint counts, by which it is priced; `odd` where they do not sum to the provider's own totals.
    buckets: Buckets | None
    cost: CostAnswer | None
    unpriced_reason: str | None
    #: The version of the extraction that the row was logged by; the texts here are read by the newest.
    extractor_version: int | None
    metadata: dict[str, Any]
    messages: list[Any]
    scores: list[ScoreAnswer]
    request_body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    response_body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RetryAnswer(msgspec.Struct, kw_only=True):
    """What has become of a failed exchange: on its way again from the step that failed, or discarded."""

    request_id: str
    status: State


@operation(
    routes,
    "GET",
    "/api/v1/logs",
    role="viewer",
    summary="Exchanges that match, newest first",
    gives=LogList,
    query=(*FILTERS, *WINDOW, *LIST),
)
async def list_logs(identity: Identity) -> Response:
    """Answer a page of exchanges."""
    chosen = selection()
    page = await in_thread(
        exchanges.page,
        identity.project_id,
        terms=chosen.terms,
        since=chosen.since,
        until=chosen.until,
        limit=limit(),
        cursor=cursor(),
    )
    return json_answer(LogList(data=[log_row(row) for row in page.rows], next_cursor=following(page.next_cursor)))


@operation(
    routes,
    "GET",
    "/api/v1/logs/<request_id>",
    role="viewer",
    summary="One exchange with all the rest",
    gives=LogDetail,
    query=(Parameter("bodies", "false leaves the two bodies out", {"type": "boolean", "default": True}),),
)
async def log(identity: Identity, request_id: str) -> Response:
    """Answer one exchange."""
    bodies = request.args.get("bodies", "true")
    if bodies not in ("true", "false"):
        raise InvalidItem("bodies: true or false", error_code="wrong_type", pointer="/bodies")
    detail = await in_thread(_detail, identity.project_id, request_id, bodies == "true")
    return json_answer(detail)


@operation(
    routes,
    "GET",
    "/api/v1/logs/<request_id>/raw",
    role="viewer",
    summary="The item's bytes exactly as received (credential headers excepted); X-Ingate-Masked: true if masked",
)
async def raw_log(identity: Identity, request_id: str) -> Response:
    """Answer the item's bytes."""
    row = await in_thread(exchanges.get, identity.project_id, request_id)
    raw = await in_thread(payloads.read, row.id)
    return Response(
        raw, mimetype="application/json", headers={"X-Content-Type-Options": "nosniff", **masked_header(row)}
    )


@operation(
    routes,
    "POST",
    "/api/v1/logs/<request_id>/retries",
    role="member",
    summary="Retry a failed exchange from the step that failed",
    status=202,
    gives=RetryAnswer,
)
async def retry_log(identity: Identity, request_id: str) -> Response:
    """Make a failed exchange pending again."""
    state = await in_thread(retry, identity, request_id)
    return json_answer(RetryAnswer(request_id=request_id, status=state), 202)  # type: ignore[arg-type]  # the store's states are these


@operation(
    routes,
    "POST",
    "/api/v1/logs/<request_id>/discards",
    role="member",
    summary="Give up a failed exchange; it keeps its bytes, and a retry brings it back",
    gives=RetryAnswer,
)
async def discard_log(identity: Identity, request_id: str) -> Response:
    """Give up a failed exchange."""
    state = await in_thread(discard, identity, request_id)
    return json_answer(RetryAnswer(request_id=request_id, status=state))  # type: ignore[arg-type]  # the store's states are these


def stored_item(exchange_id: int) -> tuple[bytes, str | None]:
    """Return an item as it is stored; nothing, and why, when it cannot be read: all else is shown nevertheless."""
    try:
        return payloads.read(exchange_id), None
    except Unreadable as error:
        return b"", error.detail


def masked_header(row: ExchangeRow) -> dict[str, str]:
    """The header that says that an item was masked before it was stored."""
    return {"X-Ingate-Masked": "true"} if row.masking else {}


def log_row(row: ExchangeRow) -> LogRow:
    """Return an exchange as lists show it."""
    return LogRow(**_row_fields(row))


def score_answer(view: ScoreView) -> ScoreAnswer:
    """Return a score."""
    return ScoreAnswer(
        evaluator=view.evaluator,
        version=view.version,
        score=view.score,
        passed=view.passed,
        explanation=view.explanation,
        error=view.error,
        at=shown(view.at) or "",
    )


def _row_fields(row: ExchangeRow) -> dict[str, Any]:
    counts = (row.prompt_tokens, row.completion_tokens, row.total_tokens)
    tokens = Tokens(prompt=counts[0], completion=counts[1], total=counts[2])
    same = row._asdict()
    fields = {name: same[name] for name in LogRow.__struct_fields__ if name in same}
    return fields | {
        "status": row.state,
        "batch_index": row.batch_position,
        "kind": Kind(row.kind).name.lower(),
        "received_at": shown(row.received_at),
        "started_at": shown(row.started_at),
        "time_to_first_token_ms": row.ttft_ms,
        "token_count": None if counts == (None, None, None) else tokens,
        "flags": [flag.name.lower() for flag in Flag if (row.flags or 0) & flag],
        "tags": {} if row.tags is None else json.loads(row.tags),
        "unpriced": row.unpriced is not None,
    }


def _detail(project_id: int, request_id: str, bodies: bool) -> LogDetail:
    progress = exchanges.progress(exchanges.get(project_id, request_id).id)
    # Read after the steps, so that the status is never behind them.
    row = exchanges.get(project_id, request_id)
    raw, unreadable = stored_item(row.id)
    found = extraction.extract(raw)
    fields = _row_fields(row) | {
        "steps": steps_answer(progress),
        "failure": _failure(progress),
        "scores": [score_answer(view) for view in scores.of_exchange(row.id)],
        **_texts(found, raw),
        **_cost(row),
    }
    if unreadable is not None:
        fields["reason"] = unreadable
    if bodies and found.item is not None:
        fields |= {
            "request_body": _body(found.item.request_body),
            "response_body": _body(found.item.response_body),
        }
    return LogDetail(**fields)


def _texts(found: Extraction, raw: bytes) -> dict[str, Any]:
    return {
        "reason": found.reason,
        "sources": found.sources,
        "request_model": found.request_model,
        "prompt": found.prompt,
        "completion": found.completion,
        "system": found.system,
        "usage": msgspec.structs.asdict(found.usage),
        "buckets": buckets(found.answered.tokens, found.answered.usage),
        "metadata": found.metadata(),
        "messages": extraction.conversation(raw),
    }


def _cost(row: ExchangeRow) -> dict[str, Any]:
    logged = logs.priced(row.id)
    answer = None
    if logged is not None and logged.cost.usd is not None:
        cost = logged.cost
        answer = CostAnswer(
            price_source=cost.price_source,
            price_version=cost.price_version,
            matched_model=cost.matched_model,
            lines=[CostLine(bucket=line.bucket, tokens=line.tokens, usd=line.usd) for line in cost.lines],
        )
    return {
        "cost": answer,
        "unpriced_reason": row.unpriced,
        "extractor_version": logged and logged.extractor_version,
    }


def _body(body: msgspec.Raw) -> msgspec.Raw:
    return body if present(body) else msgspec.Raw(b"null")


def _failure(progress: Progress) -> FailureAnswer | None:
    for name in ("extract", "log", "eval"):
        state = getattr(progress, name)
        if state.state == "failed":
            return FailureAnswer(step=name, reason=state.error, traceback=progress.traceback)
    return None
