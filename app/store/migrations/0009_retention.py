"""Retention: how far each project's is."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Create the table."""
    with db.bind_ctx([Retention]):
        db.create_tables([Retention])


class Retention(pw.Model):
    project_id = pw.IntegerField(primary_key=True)
    cut = pw.BigIntegerField()
    started_at = pw.BigIntegerField()
    finished_at = pw.BigIntegerField(null=True)
    leased_until = pw.BigIntegerField()
    exchanges = pw.BigIntegerField()
    batches = pw.BigIntegerField()

    class Meta:
        legacy_table_names = False
