"""Masking: what a project has replaced in its items before they are stored, and which exchanges it was done to."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Add the columns: null is nothing, as for all that is there already."""
    migrator.migrate(
        migrator.add_column("project", "masking", pw.SmallIntegerField(null=True)),
        migrator.add_column("exchange", "masking", pw.SmallIntegerField(null=True)),
    )
