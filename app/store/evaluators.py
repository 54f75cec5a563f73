"""Evaluators and their versions. A changed config or threshold is a new version; old scores keep theirs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.errors import Conflict, NotFound
from app.store import database
from app.store.database import execute, id_list, in_list
from app.store.models import Evaluator, EvaluatorVersion


class Definition(NamedTuple):
    """What a person decides about an evaluator. `config` is the checked JSON that `evals.check_config` returns."""

    name: str
    type: str
    config: str
    enabled: bool = True
    #: Share of the matching exchanges that is scored; which ones follows from their request ids.
    sample_rate: float = 1.0
    filter: str = ""
    #: Scores from here on pass.
    threshold: float = 1.0


class EvaluatorRow(NamedTuple):
    """An evaluator at its current version."""

    id: int
    project_id: int
    version: int
    created_at: int
    updated_at: int
    definition: Definition


def create(project_id: int, definition: Definition) -> EvaluatorRow:
    """Make an evaluator at version 1. Raises Conflict when the project has one of that name."""
    with database.transaction():
        _refuse_taken(project_id, definition.name, None)
        now = database.now()
        row = Evaluator.create(project_id=project_id, version=1, created_at=now, updated_at=now, **_columns(definition))
        _add_version(row.id, 1, definition, now)
    return EvaluatorRow(row.id, project_id, 1, now, now, definition)


def replace(project_id: int, evaluator_id: int, definition: Definition) -> EvaluatorRow:
    """Change an evaluator; another type, config or threshold makes a new version.

    Raises NotFound, and Conflict when another one has the name.
    """
    with database.transaction():
        old = get(project_id, evaluator_id)
        _refuse_taken(project_id, definition.name, evaluator_id)
        now = database.now()
        version = old.version
        before, after = old.definition, definition
        if (before.type, before.config, before.threshold) != (after.type, after.config, after.threshold):
            version += 1
            _add_version(evaluator_id, version, definition, now)
        Evaluator.update(version=version, updated_at=now, **_columns(definition)).where(
            Evaluator.id == evaluator_id
        ).execute()
    return old._replace(version=version, updated_at=now, definition=definition)


def delete(project_id: int, evaluator_id: int) -> None:
    """Remove an evaluator; its scores stay. Raises NotFound."""
    with database.transaction():
        get(project_id, evaluator_id)
        Evaluator.update(deleted_at=database.now(), enabled=False).where(Evaluator.id == evaluator_id).execute()


def get(project_id: int, evaluator_id: int, *, version: int | None = None) -> EvaluatorRow:
    """Return one evaluator, as it is now or as it was at a version. Raises NotFound."""
    with database.session():
        row = _select(version).where(Evaluator.project_id == project_id, Evaluator.id == evaluator_id).first()
    if row is None:
        raise NotFound(f"no evaluator {evaluator_id}")
    return _evaluator(row)


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> tuple[list[EvaluatorRow], int | None]:
    """Return a project's evaluators, newest first, and the cursor of the next page."""
    query = _select().where(Evaluator.project_id == project_id).order_by(Evaluator.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(Evaluator.id < cursor)
    with database.session():
        found = [_evaluator(row) for row in query]
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def enabled(project_ids: Sequence[int]) -> dict[int, list[EvaluatorRow]]:
    """Return the evaluators that score new exchanges of these projects."""
    with database.session():
        rows = execute(
            f"""SELECT e.project_id, e.id, e.version, e.created_at, e.updated_at, e.name, v.type, v.config,
                       e.sample_rate, e.filter_query, v.threshold
                  FROM evaluator e JOIN evaluator_version v ON v.evaluator_id = e.id AND v.version = e.version
                 WHERE {in_list("e.project_id")} AND e.deleted_at IS NULL AND e.enabled ORDER BY e.id""",
            [id_list([*set(project_ids)])],
        )
    found: dict[int, list[EvaluatorRow]] = {}
    for project_id, evaluator_id, version, created_at, updated_at, name, kind, config, rate, query, threshold in rows:
        definition = Definition(name, kind, config, sample_rate=rate, filter=query, threshold=threshold)
        row = EvaluatorRow(evaluator_id, project_id, version, created_at, updated_at, definition)
        found.setdefault(project_id, []).append(row)
    return found


def names(ids: Sequence[int]) -> dict[int, str]:
    """Return the names of evaluators, deleted ones too."""
    with database.session():
        return dict(execute(f"SELECT id, name FROM evaluator WHERE {in_list('id')}", [id_list(ids)]))


def _select(version: int | None = None) -> Any:
    return (
        Evaluator.select(Evaluator, EvaluatorVersion)
        .join(
            EvaluatorVersion,
            on=(EvaluatorVersion.evaluator_id == Evaluator.id)
            & (EvaluatorVersion.version == (Evaluator.version if version is None else version)),
            attr="current",
        )
        .where(Evaluator.deleted_at.is_null())
    )


def _evaluator(row: Any) -> EvaluatorRow:
    definition = Definition(
        name=row.name,
        type=row.current.type,
        config=row.current.config,
        enabled=row.enabled,
        sample_rate=row.sample_rate,
        filter=row.filter_query,
        threshold=row.current.threshold,
    )
    return EvaluatorRow(row.id, row.project_id, row.current.version, row.created_at, row.updated_at, definition)


def _columns(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "enabled": definition.enabled,
        "sample_rate": definition.sample_rate,
        "filter_query": definition.filter,
    }


def _add_version(evaluator_id: int, version: int, definition: Definition, now: int) -> None:
    EvaluatorVersion.create(
        evaluator_id=evaluator_id,
        version=version,
        type=definition.type,
        config=definition.config,
        threshold=definition.threshold,
        created_at=now,
    )


def _refuse_taken(project_id: int, name: str, but: int | None) -> None:
    if not database.is_sqlite():
        # SQLite has one writer; here two could find the name free. Only other names wait, exchanges do not.
        execute("SELECT 1 FROM project WHERE id = ? FOR NO KEY UPDATE", [project_id])
    taken = _select().where(Evaluator.project_id == project_id, Evaluator.name == name, Evaluator.id != (but or 0))
    if taken.exists():
        raise Conflict(f"an evaluator is named {name!r} already", error_code="name_taken", pointer="/name")
