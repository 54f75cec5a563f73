"""The models and providers that a project's log names: for people to choose from, and for globs to be held against."""

from typing import Literal, NamedTuple

from app.store import database

#: Names of a column that are looked at.
MAX_NAMES = 200

#: The columns that have an index by project.
Named = Literal["model", "provider"]


class Known(NamedTuple):
    """What a project's log holds, for people to choose from."""

    models: list[str]
    providers: list[str]


class Names(NamedTuple):
    """Different values of a column, in order, and whether there are more."""

    names: list[str]
    more: bool


def known(project_id: int) -> Known:
    """Return the models and providers of a project's log, in order."""
    with database.session():
        return Known(known_names("model", project_id).names, known_names("provider", project_id).names)


def known_names(column: Named, project_id: int) -> Names:
    """Return the first MAX_NAMES of a project's models or providers, inside the caller's session."""
    # One jump in the index per value: DISTINCT would read every row.
    rows = database.execute(
        f"""WITH RECURSIVE value (v) AS (
                SELECT (SELECT min({column}) FROM log WHERE project_id = ?)
                UNION ALL
                SELECT (SELECT min({column}) FROM log WHERE project_id = ? AND {column} > value.v)
                  FROM value WHERE value.v IS NOT NULL
            ) SELECT v FROM value WHERE v IS NOT NULL LIMIT {MAX_NAMES + 1}""",
        [project_id, project_id],
    )
    names = [row[0] for row in rows]
    return Names(names[:MAX_NAMES], len(names) > MAX_NAMES)
