"""Projects and their API keys. A key is 256 random bits, kept only as SHA-256; it is shown once."""

import hashlib
import secrets
from typing import NamedTuple

from peewee import JOIN

from app.errors import InvalidItem, NotFound
from app.masking import Mask
from app.store import audit, database
from app.store.models import CANARY_PROJECT, ApiKey, Project

#: Each role includes the ones before.
ROLES = ("viewer", "member", "admin", "owner")
PREFIX = "sk-ingate-"
DEFAULT_PROJECT = "default"
MAX_NAME_CHARS = 100


class Identity(NamedTuple):
    """Who a key speaks for."""

    #: None for a browser that signed in by a link.
    key_id: int | None
    project_id: int
    role: str
    #: What the project has masked in the items that it stores.
    masking: Mask = Mask(0)

    @property
    def actor(self) -> str:
        """How the audit trail names it."""
        return "sign-in link" if self.key_id is None else f"key:{self.key_id}"

    def reaches(self, role: str) -> bool:
        """Whether this identity's role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


class KeyInfo(NamedTuple):
    """A key as it may be shown: never the key itself."""

    id: int
    name: str
    prefix: str
    role: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None


def verify(token: str) -> Identity | None:
    """Return who a key speaks for; None when it is unknown, revoked or expired."""
    with database.session():
        row = (
            ApiKey.select(ApiKey.id, ApiKey.project_id, ApiKey.role, Project.masking)
            .join(Project, JOIN.LEFT_OUTER, on=(Project.id == ApiKey.project_id))
            .where(ApiKey.digest == digest(token), ApiKey.revoked_at.is_null())
            .where(ApiKey.expires_at.is_null() | (ApiKey.expires_at > database.now_sql()))
            .tuples()
            .first()
        )
    return None if row is None else Identity(row[0], row[1], row[2], Mask(row[3] or 0))


def create(
    *, name: str, role: str, actor: str, project_id: int | None = None, token: str | None = None
) -> tuple[KeyInfo, str]:
    """Make a key and return it with its text, which is not kept.

    Raises InvalidItem for a wrong name or an unknown role.
    """
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidItem(
            f"name: 1 to {MAX_NAME_CHARS} printable characters", error_code="out_of_range", pointer="/name"
        )
    if role not in ROLES:
        raise InvalidItem(f"role: expected one of {', '.join(ROLES)}", error_code="wrong_type", pointer="/role")
    token = token or PREFIX + secrets.token_urlsafe(32)
    with database.transaction():
        project_id = project_id or default_project()
        now = database.now()
        key = ApiKey.create(
            project_id=project_id,
            name=name,
            prefix=token[: len(PREFIX) + 4],
            digest=digest(token),
            role=role,
            created_at=now,
        )
        audit.note(project_id, actor, "key.created", f"key:{key.id}", now)
    return _info(key), token


def ensure(token: str) -> None:
    """Make `token` an owner key of the default project unless it is one already (INGATE_BOOTSTRAP_KEY)."""
    with database.transaction():
        if not ApiKey.select().where(ApiKey.digest == digest(token)).exists():
            create(name="bootstrap", role="owner", actor="INGATE_BOOTSTRAP_KEY", token=token)


def any_exist() -> bool:
    """Whether a key was ever made: the first start makes the owner's."""
    with database.session():
        return bool(ApiKey.select().exists())


def listed(project_id: int | None = None) -> list[KeyInfo]:
    """Return a project's keys, newest first; of the default project when none is named."""
    with database.session():
        project_id = project_id or default_project()
        query = ApiKey.select().where(ApiKey.project_id == project_id).order_by(ApiKey.id.desc())
        return [_info(key) for key in query]


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> tuple[list[KeyInfo], int | None]:
    """Return a project's keys, newest first, and the cursor of the next page."""
    query = ApiKey.select().where(ApiKey.project_id == project_id).order_by(ApiKey.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(ApiKey.id < cursor)
    with database.session():
        found = [_info(key) for key in query]
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def get(project_id: int, key_id: int) -> KeyInfo:
    """Return one key. Raises NotFound."""
    with database.session():
        key = ApiKey.get_or_none(ApiKey.project_id == project_id, ApiKey.id == key_id)
    if key is None:
        raise NotFound(f"no key {key_id}")
    return _info(key)


def revoke(key_id: int, *, actor: str, project_id: int | None = None) -> None:
    """Revoke a key at once. Raises NotFound when the project has no such key that is valid."""
    with database.transaction():
        project_id = project_id or default_project()
        now = database.now()
        changed = (
            ApiKey.update(revoked_at=now)
            .where(ApiKey.id == key_id, ApiKey.project_id == project_id, ApiKey.revoked_at.is_null())
            .execute()
        )
        if not changed:
            raise NotFound(f"no valid key {key_id}")
        audit.note(project_id, actor, "key.revoked", f"key:{key_id}", now)


def digest(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def default_project() -> int:
    """Return the id of the project that a fresh Ingate has, however it is named now, making it at the first call."""
    project = Project.select().where(Project.name != CANARY_PROJECT).order_by(Project.id).first()
    if project is None:
        project = Project.create(name=DEFAULT_PROJECT, created_at=database.now())
    return int(project.id)


def _info(key: ApiKey) -> KeyInfo:
    return KeyInfo(key.id, key.name, key.prefix, key.role, key.created_at, key.expires_at, key.revoked_at)
