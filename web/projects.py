"""The caller's project over the API: its name, and what is masked in its items before they are stored."""

from typing import Annotated, Literal

import msgspec
from quart import Blueprint, Response

from app.masking import Mask
from app.store import projects
from app.store.keys import Identity
from app.store.projects import MAX_NAME_CHARS, ProjectRow
from web.auth import forget_all
from web.body import read_json
from web.query import shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("projects", __name__)

MaskName = Literal["secrets", "cards", "emails"]


class ProjectBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A project as an admin sets it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
    #: What is replaced in items before they are stored: keys and tokens, payment cards, e-mail addresses. For good.
    masking: Annotated[list[MaskName], msgspec.Meta(max_length=10)]


class ProjectAnswer(ProjectBody, kw_only=True):
    """A project."""

    created_at: str


@operation(
    routes,
    "GET",
    "/api/v1/project",
    role="viewer",
    summary="The key's project and what is masked in its items",
    gives=ProjectAnswer,
)
async def project(identity: Identity) -> Response:
    """Answer the caller's project."""
    return json_answer(_answer(await in_thread(projects.get, identity.project_id)))


@operation(
    routes,
    "PUT",
    "/api/v1/project",
    role="admin",
    summary="Rename the project, and say what is masked in what it is sent from now on (within 5 s)",
    takes=ProjectBody,
    gives=ProjectAnswer,
)
async def replace_project(identity: Identity) -> Response:
    """Change the caller's project."""
    body = await read_json(ProjectBody)
    row = await in_thread(replace, identity, body.name, Mask.of(body.masking))
    return json_answer(_answer(row))


def replace(identity: Identity, name: str, masking: Mask) -> ProjectRow:
    """Change someone's project; this process follows at once. Raises InvalidItem or Conflict for the name."""
    row = projects.replace(identity.project_id, name=name, masking=masking, actor=identity.actor)
    forget_all()
    return row


def _answer(row: ProjectRow) -> ProjectAnswer:
    return ProjectAnswer(
        name=row.name,
        masking=row.masking.names,  # type: ignore[arg-type]  # Mask's names are these
        created_at=shown(row.created_at) or "",
    )
