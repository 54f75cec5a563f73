"""The failure inbox over the API: what could not run, by cause; retry or discard one, a cause, or all."""

import msgspec
from quart import Blueprint, Response

from actors.reprocess import reprocess
from actors.run import run
from actors.stage import send
from actors.sweep import SEND
from app.store import exchanges, failures
from app.store.failures import FailureRow, Group, Retried, Stopped
from app.store.keys import Identity
from web.query import LIST, cursor, following, limit, shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("failures", __name__)


class GroupAnswer(msgspec.Struct, kw_only=True):
    """What failed for one cause: the same step, exception, shape and provider.

    `reason` and the sample are those of the newest; a run over history has a run id in place of a request id.
    """

    fingerprint: str
    step: Stopped
    error: str
    shape: str | None
    provider: str | None
    count: int
    first_seen: str
    last_seen: str
    reason: str
    sample_request_id: str | None
    sample_run_id: int | None


class GroupList(msgspec.Struct, kw_only=True):
    """The causes, latest first. `truncated` says that there are more than are shown."""

    data: list[GroupAnswer]
    next_cursor: str | None
    truncated: bool


class FailureItem(msgspec.Struct, kw_only=True):
    """One failed exchange."""

    request_id: str
    received_at: str
    failed_at: str
    attempts: int
    reason: str


class GroupDetail(GroupAnswer, kw_only=True):
    """A cause with a page of its exchanges, newest first."""

    items: list[FailureItem]
    next_cursor: str | None


class RetriedAnswer(msgspec.Struct, kw_only=True):
    """How many are on their way again, each from where it stopped."""

    retried: int


class DiscardedAnswer(msgspec.Struct, kw_only=True):
    """How many were given up; they keep their bytes, and `POST /api/v1/logs/{request_id}/retries` brings one back."""

    discarded: int


@operation(routes, "GET", "/api/v1/failures", role="viewer", summary="What failed, by cause", gives=GroupList)
async def list_failures(identity: Identity) -> Response:
    """Answer the causes."""
    found = await in_thread(failures.groups, identity.project_id)
    data = [_group(group) for group in found[: failures.MAX_GROUPS]]
    return json_answer(GroupList(data=data, next_cursor=None, truncated=len(found) > failures.MAX_GROUPS))


@operation(
    routes,
    "GET",
    "/api/v1/failures/<fingerprint>",
    role="viewer",
    summary="One cause, and the exchanges that failed for it",
    gives=GroupDetail,
    query=LIST,
)
async def get_failure(identity: Identity, fingerprint: str) -> Response:
    """Answer a cause and a page of its exchanges."""
    group = await in_thread(failures.group, identity.project_id, fingerprint)
    rows, after = await in_thread(failures.page, identity.project_id, fingerprint, limit=limit(), cursor=cursor())
    items = [_item(row) for row in rows]
    detail = GroupDetail(**msgspec.structs.asdict(_group(group)), items=items, next_cursor=following(after))
    return json_answer(detail)


@operation(
    routes,
    "POST",
    "/api/v1/failures/retries",
    role="member",
    summary="Retry everything that failed",
    status=202,
    gives=RetriedAnswer,
)
async def retry_failures(identity: Identity) -> Response:
    """Make everything go on."""
    return json_answer(RetriedAnswer(retried=await in_thread(retry_all, identity)), 202)


@operation(
    routes,
    "POST",
    "/api/v1/failures/<fingerprint>/retries",
    role="member",
    summary="Retry all that failed for one cause",
    status=202,
    gives=RetriedAnswer,
)
async def retry_failure_group(identity: Identity, fingerprint: str) -> Response:
    """Make all of one cause go on."""
    return json_answer(RetriedAnswer(retried=await in_thread(retry_all, identity, fingerprint)), 202)


@operation(
    routes,
    "POST",
    "/api/v1/failures/<fingerprint>/discards",
    role="member",
    summary="Give up all that failed for one cause",
    gives=DiscardedAnswer,
)
async def discard_failure_group(identity: Identity, fingerprint: str) -> Response:
    """Give up all of one cause."""
    count = await in_thread(failures.discard_all, identity.project_id, fingerprint, actor=identity.actor)
    return json_answer(DiscardedAnswer(discarded=count))


def retry_all(identity: Identity, cause: str | None = None) -> int:
    """Make all that failed, or all of one cause, go on, and wake the workers; return how many. Raises NotFound."""
    retried = failures.retry_all(identity.project_id, actor=identity.actor, cause=cause)
    _wake(retried)
    return retried.total


def retry(identity: Identity, request_id: str) -> str:
    """Make a failed exchange pending again, wake its worker, and return its state. Raises NotFound or Conflict."""
    row = exchanges.get(identity.project_id, request_id)
    step = failures.retry(row.id, actor=identity.actor)
    send(SEND[step], [row.id])
    return exchanges.get(identity.project_id, request_id).state


def discard(identity: Identity, request_id: str) -> str:
    """Give up a failed exchange and return its state. Raises NotFound or Conflict."""
    failures.discard(exchanges.get(identity.project_id, request_id).id, actor=identity.actor)
    return exchanges.get(identity.project_id, request_id).state


def _wake(retried: Retried) -> None:
    for step, ids in retried.exchanges.items():
        send(SEND[step], ids)
    for actor, runs in ((run, retried.runs), (reprocess, retried.reprocess_runs)):
        for run_id in runs:
            send(lambda ids, actor=actor: actor.send(ids[0]), [run_id])  # type: ignore[misc]  # bound now, not later


def _group(group: Group) -> GroupAnswer:
    same = group._asdict()
    times = {name: shown(same[name]) for name in ("first_seen", "last_seen")}
    return GroupAnswer(count=same.pop("stopped"), **same | times)


def _item(row: FailureRow) -> FailureItem:
    return FailureItem(
        request_id=row.request_id,
        received_at=shown(row.received_at) or "",
        failed_at=shown(row.failed_at) or "",
        attempts=row.attempts,
        reason=row.reason,
    )
