"""API keys over the API: make one (shown once), list, revoke. Nobody gives or takes away more than their own role."""

from typing import Annotated, Literal

import msgspec
from quart import Blueprint, Response

from app.errors import Forbidden
from app.store import keys
from app.store.keys import MAX_NAME_CHARS, Identity, KeyInfo
from web.auth import forget_all
from web.body import read_json
from web.query import LIST, cursor, following, limit, shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("keys", __name__)


class KeyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    role: Literal["viewer", "member", "admin", "owner"] = "member"


class KeyAnswer(msgspec.Struct, kw_only=True):
    """A key as it may be shown: its first characters, never the key itself."""

    id: int
    name: str
    prefix: str
    role: Literal["viewer", "member", "admin", "owner"]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class NewKeyAnswer(KeyAnswer, kw_only=True):
    """A new key: `key` is shown now and never again."""

    key: str


class KeyList(msgspec.Struct, kw_only=True):
    data: list[KeyAnswer]
    next_cursor: str | None


@operation(
    routes,
    "POST",
    "/api/v1/keys",
    role="admin",
    summary="Make a key; it is shown once",
    takes=KeyBody,
    status=201,
    gives=NewKeyAnswer,
)
async def create_key(identity: Identity) -> Response:
    """Make a key of the caller's project."""
    body = await read_json(KeyBody)
    info, token = await in_thread(make, identity, body.name, body.role)
    answer = NewKeyAnswer(**msgspec.structs.asdict(_key(info)), key=token)
    return json_answer(answer, 201, {"Cache-Control": "no-store"})


@operation(
    routes,
    "GET",
    "/api/v1/keys",
    role="admin",
    summary="Keys, newest first",
    gives=KeyList,
    query=LIST,
)
async def list_keys(identity: Identity) -> Response:
    """Answer a page of the project's keys."""
    rows, after = await in_thread(keys.page, identity.project_id, limit=limit(), cursor=cursor())
    return json_answer(KeyList(data=[_key(row) for row in rows], next_cursor=following(after)))


@operation(
    routes,
    "DELETE",
    "/api/v1/keys/<int:key_id>",
    role="admin",
    summary="Revoke a key; running processes refuse it within seconds",
    status=204,
)
async def delete_key(identity: Identity, key_id: int) -> Response:
    """Revoke a key of the caller's project."""
    await in_thread(revoke, identity, key_id)
    return Response(status=204)


def make(identity: Identity, name: str, role: str) -> tuple[KeyInfo, str]:
    """Make a key for someone. Raises Forbidden for a role above theirs, InvalidItem for a wrong name or role."""
    if role in keys.ROLES and not identity.reaches(role):
        raise Forbidden(f"a key of the role {role} takes that role; you have {identity.role}")
    return keys.create(name=name, role=role, actor=identity.actor, project_id=identity.project_id)


def revoke(identity: Identity, key_id: int) -> None:
    """Revoke a key for someone. Raises NotFound, and Forbidden for a key whose role is above theirs."""
    role = keys.get(identity.project_id, key_id).role
    if not identity.reaches(role):
        raise Forbidden(f"to revoke a key of the role {role} takes that role; you have {identity.role}")
    keys.revoke(key_id, actor=identity.actor, project_id=identity.project_id)
    forget_all()


def _key(info: KeyInfo) -> KeyAnswer:
    return KeyAnswer(
        id=info.id,
        name=info.name,
        prefix=info.prefix,
        role=info.role,  # type: ignore[arg-type]  # the store's roles are these
        created_at=shown(info.created_at) or "",
        expires_at=shown(info.expires_at),
        revoked_at=shown(info.revoked_at),
    )
