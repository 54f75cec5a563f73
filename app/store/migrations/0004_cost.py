"""Cost: what a log row costs and by which price; own prices; reprocessing."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:
    """Add the columns, all of them null until a row is logged or reprocessed, and the tables."""
    migrator.migrate(*(migrator.add_column("log", name, field) for name, field in _COLUMNS.items()))
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES)
    for sql in _SQL + (_SQLITE if isinstance(db, pw.SqliteDatabase) else ()):
        db.execute_sql(sql)  # type: ignore[no-untyped-call]  # Peewee's is untyped


_COLUMNS = {
    "cached_tokens": pw.BigIntegerField(null=True),
    "cache_creation_tokens": pw.BigIntegerField(null=True),
    "reasoning_tokens": pw.BigIntegerField(null=True),
    "cost_usd": pw.DoubleField(null=True),
    "unpriced": pw.TextField(null=True),
    "matched_model": pw.TextField(null=True),
    "price_source": pw.TextField(null=True),
    "price_version": pw.TextField(null=True),
    "cost_lines": pw.TextField(null=True),
    "words_digest": pw.BigIntegerField(null=True),
    "extractor_version": pw.IntegerField(null=True),
}
_SQL = ("CREATE INDEX log_unpriced ON log (project_id, exchange_id) WHERE unpriced IS NOT NULL",)
#: SQLite's search index cannot forget words that are not given back to it: see app/store/search.py.
_SQLITE = ("CREATE TABLE search_generation (exchange_id INTEGER PRIMARY KEY, generation INTEGER NOT NULL)",)


class Base(pw.Model):
    class Meta:
        legacy_table_names = False


class Price(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    provider = pw.TextField(null=True)
    model = pw.TextField()
    valid_from = pw.BigIntegerField(null=True)
    rates = pw.TextField()
    created_at = pw.BigIntegerField()


class ReprocessRun(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    query = pw.TextField()
    since = pw.BigIntegerField(null=True)
    until = pw.BigIntegerField(null=True)
    dry_run = pw.BooleanField()
    state = pw.TextField()
    total = pw.IntegerField()
    processed = pw.IntegerField()
    failed = pw.IntegerField()
    changed = pw.IntegerField()
    fields = pw.TextField()
    cost_before = pw.DoubleField()
    cost_after = pw.DoubleField()
    cursor = pw.BigIntegerField()
    created_at = pw.BigIntegerField()
    finished_at = pw.BigIntegerField(null=True)
    due_at = pw.BigIntegerField(null=True)


TABLES = (Price, ReprocessRun)
