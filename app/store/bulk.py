"""Multi-row statements for the hot path: the text is compiled once per shape of call, then only parameters travel."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import peewee as pw

from app.store.database import copy, execute, execute_many, is_sqlite

#: SQLite takes at most 32,766 parameters a statement.
_MAX_PARAMETERS = 30_000

Row = tuple[Any, ...]


def insert(model: type[pw.Model], columns: Sequence[str], rows: Sequence[Row], *, ignore: bool = False) -> None:
    """Insert rows; with `ignore`, those whose key is there already are left out."""
    if not rows:
        return
    if ignore or is_sqlite():
        execute_many(_insert_sql(model, tuple(columns), _values(len(columns), 1), ignore, ()), rows)
    else:
        copy(model._meta.table_name, columns, rows)


def insert_returning(
    model: type[pw.Model], columns: Sequence[str], rows: Sequence[Row], returning: Sequence[str]
) -> list[Row]:
    """Insert rows, leave out those whose key is there already, and return what was inserted."""
    if not rows:
        return []
    if not is_sqlite():
        # One parameter a column, so that the text of the statement never varies and is planned once.
        sql = _insert_sql(model, tuple(columns), _arrays(model, tuple(columns)), True, tuple(returning))
        return execute(sql, [array(values) for values in zip(*rows, strict=True)])
    found: list[Row] = []
    step = _MAX_PARAMETERS // len(columns)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        sql = _insert_sql(model, tuple(columns), _values(len(columns), len(part)), True, tuple(returning))
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
    model: type[pw.Model], columns: tuple[str, ...], source: str, ignore: bool, returning: tuple[str, ...]
) -> str:
    names = ", ".join(_quoted(model, column) for column in columns)
    sql = f'INSERT INTO "{model._meta.table_name}" ({names}) {source}'
    if ignore:
        sql += " ON CONFLICT DO NOTHING"
    if returning:
        sql += " RETURNING " + ", ".join(_quoted(model, column) for column in returning)
    return sql


@lru_cache(maxsize=2048)
def _values(columns: int, rows: int) -> str:
    return "VALUES " + ", ".join(["(" + ", ".join("?" * columns) + ")"] * rows)


@lru_cache
def _arrays(model: type[pw.Model], columns: tuple[str, ...]) -> str:
    context = model._meta.database.get_sql_context()
    types = [model._meta.fields[column].ddl_datatype(context).sql for column in columns]
    return f"SELECT * FROM unnest({', '.join(f'?::{kind}[]' for kind in types)})"


def array(values: Iterable[Any]) -> str:
    """Write values as PostgreSQL writes an array; the driver's own way takes five times as long."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case bool():
            return "1" if value else "0"
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case _:
            return str(value)


def _quoted(model: type[pw.Model], column: str) -> str:
    return f'"{model._meta.fields[column].column_name}"'
