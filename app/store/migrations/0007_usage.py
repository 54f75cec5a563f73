"""Usage: roll-ups by hour and day, by day and user, by session."""

from typing import Any

import peewee as pw

from app.store import usage


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Create them, and fill them from what is logged."""
    if not isinstance(db, pw.SqliteDatabase):
        for model in TABLES:
            model._meta.without_rowid = False
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES)
    # Not a copy of its SQL: a later migration that changes these tables rebuilds them, and this one then need not.
    usage.rebuild()


class Table(pw.Model):
    class Meta:
        legacy_table_names = False


# Keys come first: in another order SQLite's integrity_check takes every value of such a table for null (3.40).
class ByCall(Table):
    project_id = pw.IntegerField()
    start = pw.BigIntegerField()
    provider = pw.TextField()
    model = pw.TextField()
    status_class = pw.SmallIntegerField()
    key_id = pw.IntegerField()


class ByUser(Table):
    project_id = pw.IntegerField()
    start = pw.BigIntegerField()
    user_id = pw.TextField()


class BySession(Table):
    project_id = pw.IntegerField()
    session_id = pw.TextField()
    first_at = pw.BigIntegerField()
    last_at = pw.BigIntegerField()


class Measured(Table):
    requests = pw.BigIntegerField()
    errors = pw.BigIntegerField()
    metered = pw.BigIntegerField()
    prompt_tokens = pw.DoubleField()
    completion_tokens = pw.DoubleField()
    priced = pw.BigIntegerField()
    cost_pico = pw.DoubleField()
    timed = pw.BigIntegerField()
    latency_us = pw.DoubleField()


class Usage(ByCall, Measured):
    total_tokens = pw.DoubleField()
    cached_tokens = pw.DoubleField()
    cache_creation_tokens = pw.DoubleField()
    reasoning_tokens = pw.DoubleField()
    unpriced = pw.BigIntegerField()
    latencies = pw.DecimalField(max_digits=1000, decimal_places=0)


class UsageHour(Usage):
    class Meta:
        primary_key = pw.CompositeKey("project_id", "start", "provider", "model", "status_class", "key_id")
        without_rowid = True


class UsageDay(Usage):
    class Meta:
        primary_key = pw.CompositeKey("project_id", "start", "provider", "model", "status_class", "key_id")
        without_rowid = True


class UsageDayUser(ByUser, Measured):
    class Meta:
        primary_key = pw.CompositeKey("project_id", "start", "user_id")
        without_rowid = True


class Session(BySession, Measured):
    class Meta:
        primary_key = pw.CompositeKey("project_id", "session_id")
        indexes = ((("project_id", "first_at", "session_id"), False),)
        without_rowid = True


TABLES = (UsageHour, UsageDay, UsageDayUser, Session)
