"""Multi-row statements for the hot path: the text is compiled once per shape of call, then only parameters travel."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import peewee as pw

from app.store.database import execute, execute_many

#: SQLite takes at most 32,766 parameters a statement, PostgreSQL 65,535.
_MAX_PARAMETERS = 30_000

Row = tuple[Any, ...]


def insert(model: type[pw.Model], columns: Sequence[str], rows: Sequence[Row], *, ignore: bool = False) -> None:
    """Insert rows; with `ignore`, those whose key is there already are left out."""
    if not rows:
        return
    sql = _insert_sql(model, tuple(columns), 1, ignore, ())
    execute_many(sql, rows)


def insert_returning(
    model: type[pw.Model], columns: Sequence[str], rows: Sequence[Row], returning: Sequence[str]
) -> list[Row]:
    """Insert rows, leave out those whose key is there already, and return what was inserted."""
    found: list[Row] = []
    step = _MAX_PARAMETERS // len(columns)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        sql = _insert_sql(model, tuple(columns), len(part), True, tuple(returning))
        found += execute(sql, [value for row in part for value in row])
    return found


def update(model: type[pw.Model], keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Update rows, each given as the values of `keys` and then those of `columns`."""
    if not rows:
        return
    changes = ", ".join(f"{_quoted(model, column)} = ?" for column in columns)
    where = " AND ".join(f"{_quoted(model, key)} = ?" for key in keys)
    ordered = [(*row[len(keys) :], *row[: len(keys)]) for row in rows]
    execute_many(f'UPDATE "{model._meta.table_name}" SET {changes} WHERE {where}', ordered)


@lru_cache(maxsize=2048)
def _insert_sql(
    model: type[pw.Model], columns: tuple[str, ...], rows: int, ignore: bool, returning: tuple[str, ...]
) -> str:
    names = ", ".join(_quoted(model, column) for column in columns)
    values = ", ".join(["(" + ", ".join("?" * len(columns)) + ")"] * rows)
    sql = f'INSERT INTO "{model._meta.table_name}" ({names}) VALUES {values}'
    if ignore:
        sql += " ON CONFLICT DO NOTHING"
    if returning:
        sql += " RETURNING " + ", ".join(_quoted(model, column) for column in returning)
    return sql


def _quoted(model: type[pw.Model], column: str) -> str:
    return f'"{model._meta.fields[column].column_name}"'
