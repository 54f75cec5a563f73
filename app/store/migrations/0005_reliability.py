"""Accounting, the failure inbox, and runs that can fail."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:
    """Add the tally with its triggers, and what groups failures."""
    migrator.migrate(
        *(migrator.add_column("failure", name, field) for name, field in _FAILURE.items()),
        *(migrator.add_column(table, name, field) for table in _RUNS for name, field in _RUN.items()),
    )
    with db.bind_ctx([Tally]):
        db.create_tables([Tally])
    for sql in _SQL + (_SQLITE if isinstance(db, pw.SqliteDatabase) else _POSTGRESQL):
        db.execute_sql(sql)  # type: ignore[no-untyped-call]  # Peewee's is untyped


#: Defaults are the database's own: code from before this migration inserts rows without these columns.
_FAILURE = {
    "fingerprint": pw.TextField(default="unknown", constraints=[pw.SQL("DEFAULT 'unknown'")]),
    "shape": pw.TextField(null=True),
    "provider": pw.TextField(null=True),
    "discarded_at": pw.BigIntegerField(null=True),
}
_RUNS = ("eval_run", "reprocess_run")
_RUN = {
    "attempts": pw.SmallIntegerField(default=0, constraints=[pw.SQL("DEFAULT 0")]),
    "fingerprint": pw.TextField(null=True),
    "error": pw.TextField(null=True),
    "reason": pw.TextField(null=True),
    "traceback": pw.TextField(null=True),
}


class Tally(pw.Model):
    project_id = pw.IntegerField()
    shard = pw.SmallIntegerField()
    accepted = pw.BigIntegerField()
    evaluated = pw.BigIntegerField()
    expired = pw.BigIntegerField()

    class Meta:
        legacy_table_names = False
        primary_key = pw.CompositeKey("project_id", "shard")


_SQL = (
    "CREATE INDEX failure_fingerprint ON failure (project_id, fingerprint, exchange_id)",
    """INSERT INTO tally (project_id, shard, accepted, evaluated, expired)
       SELECT e.project_id, 0, count(*), count(f.exchange_id), 0
         FROM exchange e LEFT JOIN finished f ON f.exchange_id = e.id GROUP BY e.project_id""",
)
_SQLITE = (
    *(
        f"""CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN
                INSERT INTO tally (project_id, shard, accepted, evaluated, expired)
                SELECT project_id, 0, {counts} FROM exchange WHERE id = {row}
                ON CONFLICT (project_id, shard) DO UPDATE SET accepted = accepted + excluded.accepted,
                    evaluated = evaluated + excluded.evaluated, expired = expired + excluded.expired;
            END"""
        for name, event, table, counts, row in (
            ("exchange_accepted", "INSERT", "exchange", "1, 0, 0", "NEW.id"),
            ("exchange_evaluated", "INSERT", "finished", "0, 1, 0", "NEW.exchange_id"),
            ("exchange_unevaluated", "DELETE", "finished", "0, -1, 0", "OLD.exchange_id"),
        )
    ),
    """CREATE TRIGGER exchange_expired AFTER DELETE ON exchange BEGIN
            UPDATE tally SET expired = expired + 1 WHERE project_id = OLD.project_id AND shard = 0;
       END""",
)
#: A shard for each of a few connections: they would wait for each other's commits at one row of a project.
_POSTGRESQL = tuple(
    sql
    for name, event, table, counts, rows in (
        ("exchange_accepted", "INSERT", "exchange", "count(*), 0, 0", "changed"),
        ("exchange_evaluated", "INSERT", "finished", "0, count(*), 0", "exchange JOIN changed ON exchange_id = id"),
        ("exchange_unevaluated", "DELETE", "finished", "0, -count(*), 0", "exchange JOIN changed ON exchange_id = id"),
        ("exchange_expired", "DELETE", "exchange", "0, 0, count(*)", "changed"),
    )
    for sql in (
        f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO tally (project_id, shard, accepted, evaluated, expired)
                SELECT project_id, pg_backend_pid() %% 16, {counts} FROM {rows} GROUP BY project_id ORDER BY project_id
                ON CONFLICT (project_id, shard) DO UPDATE SET accepted = tally.accepted + excluded.accepted,
                    evaluated = tally.evaluated + excluded.evaluated, expired = tally.expired + excluded.expired;
                RETURN NULL;
            END $$""",
        f"""CREATE TRIGGER {name} AFTER {event} ON {table}
            REFERENCING {"NEW" if event == "INSERT" else "OLD"} TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION {name}()""",
    )
)
