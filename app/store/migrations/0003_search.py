"""The search index over prompt, completion and system text."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Create it. Words come folded and cut from app/search.py, so the tokenizers here only split at spaces."""
    for sql in _SQLITE if isinstance(db, pw.SqliteDatabase) else _POSTGRESQL:
        db.execute_sql(sql)  # type: ignore[no-untyped-call]  # Peewee's is untyped


_SQLITE = (
    """CREATE VIRTUAL TABLE search USING fts5(words, content='', detail=none, columnsize=0,
                                              tokenize='unicode61 remove_diacritics 0')""",
    "INSERT INTO search (search, rank) VALUES ('automerge', 8), ('crisismerge', 32)",
)
_POSTGRESQL = (
    "CREATE TABLE search (exchange_id bigint PRIMARY KEY, words tsvector NOT NULL)",
    "CREATE INDEX search_words ON search USING gin (words)",
)
