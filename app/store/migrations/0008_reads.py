"""What lists are read from: indexes of what people look for, newest first."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Create them; most of them hold few rows, and so cost the hot path next to nothing."""
    for sql in _SQL + (_SQLITE if isinstance(db, pw.SqliteDatabase) else _POSTGRESQL):
        db.execute_sql(sql)  # type: ignore[no-untyped-call]  # Peewee's is untyped


#: The values and flags are those of app/store/filtering.py.
_SQL = (
    "CREATE INDEX exchange_error ON exchange (project_id, id, status_code) WHERE status_code >= 400",
    "CREATE INDEX exchange_slow ON exchange (project_id, id, latency_ms) WHERE latency_ms >= 30000",
    "CREATE INDEX log_large ON log (project_id, exchange_id, total_tokens) WHERE total_tokens >= 32000",
    "CREATE INDEX log_costly ON log (project_id, exchange_id, cost_usd) WHERE cost_usd >= 0.1",
    "CREATE INDEX log_flagged ON log (project_id, exchange_id, flags) WHERE (flags & 46) <> 0",
)
#: SQLite's indexes end with the row's id in any case.
_SQLITE = (
    "CREATE INDEX exchange_user ON exchange (project_id, user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX exchange_session ON exchange (project_id, session_id) WHERE session_id IS NOT NULL",
    "CREATE INDEX search_generation_generation ON search_generation (generation)",
)
_POSTGRESQL = (
    "CREATE INDEX exchange_user ON exchange (project_id, user_id, id) WHERE user_id IS NOT NULL",
    "CREATE INDEX exchange_session ON exchange (project_id, session_id, id) WHERE session_id IS NOT NULL",
)
