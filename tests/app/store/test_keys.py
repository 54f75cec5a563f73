"""API keys: kept as a hash, shown once, dead when revoked or expired."""

import pytest

from app.errors import InvalidItem, NotFound
from app.store import database, keys
from app.store.keys import ROLES, Identity
from tests.helpers import sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def create(role: str = "member", **more: object) -> tuple[keys.KeyInfo, str]:
    return keys.create(name="app", role=role, actor="tests", **more)  # type: ignore[arg-type]


def test_a_key_speaks_for_its_project_and_role() -> None:
    info, token = create("admin")

    identity = keys.verify(token)

    assert identity is not None
    assert (identity.key_id, identity.role) == (info.id, "admin")
    assert identity.project_id == sql("SELECT id FROM project")[0][0]


def test_the_key_itself_is_not_kept() -> None:
    info, token = create()

    kept = repr(sql("SELECT * FROM api_key")) + repr(keys.listed()) + repr(sql("SELECT * FROM audit_entry"))
    assert token not in kept
    assert token.startswith(info.prefix)
    assert len(info.prefix) < 16


@pytest.mark.parametrize("token", ["", "sk-ingate-unknown", "\x00", "\ud800", "é" * 300])
def test_an_unknown_key_speaks_for_nobody(token: str) -> None:
    create()

    assert keys.verify(token) is None


def test_a_revoked_key_is_dead_and_stays_listed() -> None:
    info, token = create()

    keys.revoke(info.id, actor="tests")

    assert keys.verify(token) is None
    assert [bool(key.revoked_at) for key in keys.listed()] == [True]


def test_an_expired_key_is_dead() -> None:
    _, token = create()
    now = database.now()

    for expires_at, alive in ((now + 60_000, True), (now - 1, False)):
        sql("UPDATE api_key SET expires_at = ?", expires_at)
        assert (keys.verify(token) is not None) is alive


def test_what_is_no_valid_key_cannot_be_revoked() -> None:
    info, _ = create()
    keys.revoke(info.id, actor="tests")

    for key_id in (info.id, info.id + 1):
        with pytest.raises(NotFound):
            keys.revoke(key_id, actor="tests")


def test_the_key_of_another_project_cannot_be_seen_or_revoked() -> None:
    info, token = create(project_id=77)
    project = keys.verify(create()[1])
    assert project is not None

    with pytest.raises(NotFound):
        keys.revoke(info.id, actor="tests", project_id=project.project_id)
    with pytest.raises(NotFound):
        keys.get(project.project_id, info.id)
    assert keys.verify(token) is not None
    assert info.id not in [key.id for key in keys.listed()]


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(InvalidItem, match="role: expected one of viewer, member, admin, owner"):
        create("root")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_includes_the_ones_before(role: str) -> None:
    identity = Identity(1, 1, role)

    assert [identity.reaches(other) for other in ROLES] == [ROLES.index(other) <= ROLES.index(role) for other in ROLES]


def test_the_bootstrap_key_is_made_once() -> None:
    for _ in range(3):
        keys.ensure("sk-ingate-" + "x" * 24)

    assert [(key.name, key.role) for key in keys.listed()] == [("bootstrap", "owner")]


def test_every_change_is_audited() -> None:
    info, _ = create()
    keys.revoke(info.id, actor="cli")

    assert sql("SELECT actor, action, subject FROM audit_entry ORDER BY id") == [
        ("tests", "key.created", f"key:{info.id}"),
        ("cli", "key.revoked", f"key:{info.id}"),
    ]


def test_keys_are_listed_newest_first_page_by_page() -> None:
    ids = [create()[0].id for _ in range(3)]
    project = sql("SELECT id FROM project")[0][0]

    first, cursor = keys.page(project, limit=2)
    second, end = keys.page(project, limit=2, cursor=cursor)

    assert [key.id for key in first + second] == ids[::-1] == [key.id for key in keys.listed()]
    assert end is None


def test_there_is_no_key_before_the_first() -> None:
    assert not keys.any_exist()
    create()
    assert keys.any_exist()
