"""Projects: their name, and what is masked in their items before they are stored."""

from typing import NamedTuple

from app.errors import Conflict, InvalidItem
from app.masking import Mask
from app.store import audit, database
from app.store.models import CANARY_PROJECT, Project

MAX_NAME_CHARS = 100


class ProjectRow(NamedTuple):
    """A project."""

    id: int
    name: str
    created_at: int
    #: What is replaced in its items before they are stored.
    masking: Mask


def get(project_id: int) -> ProjectRow:
    """Return one project."""
    with database.session():
        return _project(Project.get_by_id(project_id))


def replace(project_id: int, *, name: str, masking: Mask, actor: str) -> ProjectRow:
    """Rename a project and say what is masked from now on; other processes follow within seconds.

    Raises InvalidItem for a wrong name, Conflict for one that is taken.
    """
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidItem(
            f"name: 1 to {MAX_NAME_CHARS} printable characters", error_code="out_of_range", pointer="/name"
        )
    with database.transaction():
        taken = Project.select().where(Project.name == name, Project.id != project_id).exists()
        if taken or name == CANARY_PROJECT:
            raise Conflict(f"a project is named {name!r} already", error_code="name_taken", pointer="/name")
        before = get(project_id)
        Project.update(name=name, masking=masking or None).where(Project.id == project_id).execute()
        now, subject = database.now(), f"project:{project_id}"
        if name != before.name:
            audit.note(project_id, actor, "project.renamed", subject, now)
        if masking != before.masking:
            what = ",".join(masking.names) or "nothing"
            audit.note(project_id, actor, "project.masking_changed", f"{subject} masks {what}", now)
    return before._replace(name=name, masking=masking)


def _project(row: Project) -> ProjectRow:
    return ProjectRow(row.id, row.name, row.created_at, Mask(row.masking or 0))
