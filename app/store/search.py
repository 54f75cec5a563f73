"""The search index behind two functions: SQLite FTS5 (contentless, no positions) or a PostgreSQL tsvector with GIN."""

from collections.abc import Sequence
from typing import Any

from app.search import wanted
from app.store.database import execute_many, is_sqlite


def insert(rows: Sequence[tuple[int, list[str]]]) -> None:
    """Index the words of exchanges, inside the caller's transaction."""
    if not rows:
        return
    if is_sqlite():
        execute_many("INSERT INTO search (rowid, words) VALUES (?, ?)", [(i, " ".join(words)) for i, words in rows])
    else:
        execute_many(
            "INSERT INTO search (exchange_id, words) VALUES (?, array_to_tsvector(?)) ON CONFLICT DO NOTHING", rows
        )


def condition(text: str) -> tuple[str, list[Any]]:
    """Return the SQL condition over exchange `e` that all words of a text are in it. Raises InvalidItem."""
    pieces = wanted(text)
    if is_sqlite():
        query = " AND ".join(f'"{word}"' + "*" * prefix for word, prefix in pieces)
        return "e.id IN (SELECT rowid FROM search WHERE search MATCH ?)", [query]
    query = " & ".join(f"'{word}'" + ":*" * prefix for word, prefix in pieces)
    return "e.id IN (SELECT exchange_id FROM search WHERE words @@ ?::tsquery)", [query]
