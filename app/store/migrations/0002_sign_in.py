"""Signing people in: one-time links and sessions."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Create them."""
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES)


class Base(pw.Model):
    class Meta:
        legacy_table_names = False


class SignInLink(Base):
    digest = pw.BlobField(primary_key=True)
    project_id = pw.IntegerField()
    role = pw.TextField()
    expires_at = pw.BigIntegerField()


class LoginSession(Base):
    digest = pw.BlobField(primary_key=True)
    project_id = pw.IntegerField()
    role = pw.TextField()
    key_id = pw.IntegerField(null=True)
    created_at = pw.BigIntegerField()
    seen_at = pw.BigIntegerField()


TABLES = (SignInLink, LoginSession)
