"""A project's name and its masking: changed by people, noted, and known to everybody whom a key or a session names."""

import pytest

from app.errors import Conflict, InvalidItem
from app.masking import Mask
from app.store import canaries, keys, projects, sessions
from tests.helpers import sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def test_a_change_is_kept_noted_and_travels_with_the_identity() -> None:
    key, token = keys.create(name="app", role="admin", actor="tests")
    identity = keys.verify(token)
    assert identity is not None
    browser = sessions.start(identity).token
    assert (identity.masking, projects.get(identity.project_id).masking) == (Mask(0), Mask(0))

    row = projects.replace(identity.project_id, name="shop", masking=Mask.SECRETS | Mask.EMAILS, actor=identity.actor)

    assert projects.get(identity.project_id) == row
    assert (row.name, row.masking.names) == ("shop", ["secrets", "emails"])
    for known in (keys.verify(token), sessions.find(browser)):
        assert known is not None
        assert known.masking == Mask.SECRETS | Mask.EMAILS
    assert sql("SELECT actor, action, subject FROM audit_entry WHERE action LIKE ? ORDER BY id", "project.%") == [
        (f"key:{key.id}", "project.renamed", f"project:{row.id}"),
        (f"key:{key.id}", "project.masking_changed", f"project:{row.id} masks secrets,emails"),
    ]


def test_a_renamed_project_stays_the_default_one() -> None:
    project_id = keys.default_project()

    projects.replace(project_id, name="shop", masking=Mask(0), actor="tests")

    assert keys.default_project() == project_id
    assert sql("SELECT count(*) FROM project") == [(1,)]


def test_the_canarys_project_is_never_the_default_one() -> None:
    canary = canaries.submission().project_id

    assert keys.default_project() != canary
    with pytest.raises(Conflict):
        projects.replace(keys.default_project(), name="canary", masking=Mask(0), actor="tests")


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidItem):
        projects.replace(keys.default_project(), name=name, masking=Mask(0), actor="tests")


def test_a_name_that_is_taken_is_refused() -> None:
    project_id = keys.default_project()
    sql("INSERT INTO project (name, created_at) VALUES ('other', 0)")

    with pytest.raises(Conflict):
        projects.replace(project_id, name="other", masking=Mask(0), actor="tests")
