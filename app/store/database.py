"""The one database: SQLite or PostgreSQL, chosen by URL, behind Peewee. All SQL of Ingate lives in this package.

A process calls `connect` once; after that every function of the package works inside `session()` (reads) or
`transaction()` (writes), on any thread. Driver errors that waiting can cure leave as StoreUnavailable.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import peewee
from playhouse.migrations import Runner
from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase
from playhouse.postgres_ext import PooledPsycopg3Database
from psycopg.errors import ReadOnlySqlTransaction, UndefinedColumn, UndefinedTable

from app.errors import StoreUnavailable
from app.latencies import Packed
from app.store.models import db

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 30
#: A server that does not acknowledge what was sent to it for this long is gone, whatever the kernel would wait.
SILENCE_S = 10
#: PostgreSQL's advisory lock that migrations take; any number that nothing else uses.
MIGRATION_LOCK = 7_274_011_881


def connect(
    url: str, *, relaxed: bool = False, statement_timeout_s: int = STATEMENT_TIMEOUT_S, max_connections: int = 20
) -> None:
    """Bind the models to the database at `url`; connections open when they are first used, those of before close.

    relaxed: commits may be lost in a power cut (never torn). For workers only: the sweep repeats what they lose.
    statement_timeout_s: PostgreSQL ends a statement that takes longer, waiting for locks included.
    """
    close()
    if urlsplit(url).scheme == "sqlite":
        db.initialize(_sqlite(url, relaxed, max_connections))
    else:
        db.initialize(_postgresql(url, relaxed, statement_timeout_s, max_connections))


def close() -> None:
    """Close every connection of this process."""
    if db.obj is not None:
        db.obj.close_all()


def is_sqlite() -> bool:
    """Whether the bound database is SQLite."""
    return isinstance(db.obj, peewee.SqliteDatabase)


@contextmanager
def session() -> Iterator[None]:
    """Borrow a connection for the current thread; nested calls share the outer one.

    Raises StoreUnavailable when the database cannot be reached, is locked too long, is full, read-only or not migrated.
    """
    if not db.is_closed():
        yield
        return
    try:
        db.connect()
        yield
    except (peewee.OperationalError, peewee.InterfaceError, MaxConnectionsExceeded) as error:
        # A server that restarted has closed the others too: each would fail one caller more.
        db.obj.close_idle()
        raise StoreUnavailable(f"the database does not answer: {type(error).__name__}") from error
    except peewee.ProgrammingError as error:
        # What SQLite says as an OperationalError.
        if isinstance(error.orig, (UndefinedColumn, UndefinedTable)):  # type: ignore[attr-defined]  # Peewee sets it
            raise StoreUnavailable("the database has not been migrated") from error
        raise
    except peewee.InternalError as error:
        # A PostgreSQL that fails over is read-only for a while.
        if isinstance(error.orig, ReadOnlySqlTransaction):  # type: ignore[attr-defined]  # Peewee sets it
            raise StoreUnavailable("the database is read-only") from error
        raise
    finally:
        if not db.is_closed():
            db.close()


@contextmanager
def transaction() -> Iterator[None]:
    """One write transaction; on SQLite it takes the write lock at once, so that it cannot fail half-way."""
    with session(), db.atomic():
        yield


def now_sql() -> peewee.SQL:
    """The database's own clock, in ms since 1970 UTC, the same throughout a statement: workers' clocks may differ."""
    if is_sqlite():
        return peewee.SQL("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")
    return peewee.SQL("(extract(epoch FROM statement_timestamp()) * 1000)::bigint")


def now() -> int:
    """Read the database's clock, in milliseconds since 1970 UTC."""
    with session():
        return int(execute(f"SELECT {now_sql().sql}")[0][0])


def in_list(column: str) -> str:
    """An `IN` over one parameter that holds any number of integers, so that the statement's text never varies."""
    if is_sqlite():
        return f"{column} IN (SELECT value FROM json_each(?))"
    return f"{column} = ANY(?)"


def id_list(ids: Sequence[int]) -> Any:
    """The parameter for `in_list`."""
    return "[" + ",".join(map(str, ids)) + "]" if is_sqlite() else list(ids)


def execute(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement whose parameters are written `?`, and return its rows, if it has any."""
    cursor = db.execute_sql(sql if is_sqlite() else sql.replace("?", "%s"), params)
    return list(cursor.fetchall()) if cursor.description else []


def execute_planned(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement as `execute` does, but have PostgreSQL plan it for these very parameters.

    What it has run a few times it plans for any: a model that half of all exchanges have as one that none has.
    """
    if is_sqlite():
        return execute(sql, params)
    with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # what Peewee's own execute_sql uses
        return list(db.cursor().execute(sql.replace("?", "%s"), params, prepare=False).fetchall())


def execute_many(sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run one statement once per row of parameters; PostgreSQL gets them all before it answers."""
    with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # what Peewee's own execute_sql uses
        db.cursor().executemany(sql if is_sqlite() else sql.replace("?", "%s"), rows)


def copy(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows into a table of PostgreSQL by COPY: a third of what INSERT costs."""
    names = ", ".join(f'"{column}"' for column in columns)
    with peewee.__exception_wrapper__, db.cursor().copy(f'COPY "{table}" ({names}) FROM STDIN') as writer:  # type: ignore[attr-defined]  # what Peewee's own execute_sql uses
        for row in rows:
            writer.write_row(row)


def migrate() -> list[str]:
    """Apply the migrations that are missing, one process at a time; return their names."""
    with session():
        runner = Runner(db.obj, str(MIGRATIONS))
        if is_sqlite():
            with db.atomic():
                return list(runner.up())
        # Building an index of a large table takes its time.
        execute("SET statement_timeout = 0")
        execute("SELECT pg_advisory_lock(?)", [MIGRATION_LOCK])
        try:
            return list(runner.up())
        finally:
            execute("SELECT pg_advisory_unlock(?)", [MIGRATION_LOCK])


def missing_migrations() -> list[str]:
    """Names of the migrations that this code has and the database has not."""
    with session():
        return [m.name for m in Runner(db.obj, str(MIGRATIONS)).status() if not m.applied and m.path]


def check_writable() -> None:
    """Raise StoreUnavailable unless a write transaction can be opened."""
    with transaction():
        if not is_sqlite() and execute("SHOW transaction_read_only") == [("on",)]:
            raise StoreUnavailable("the database is read-only")


def _sqlite(url: str, relaxed: bool, max_connections: int) -> peewee.Database:
    path = unquote(url.removeprefix("sqlite://").removeprefix("/"))
    path = "/" + path.lstrip("/") if url.startswith("sqlite:////") else path
    kind = PooledSqliteDatabase if relaxed else _Eager
    # For new files only: there it is settled with the first page, later it would wait for the write lock.
    vacuum = [] if Path(path).exists() else [("auto_vacuum", "incremental")]
    database = kind(
        path,
        max_connections=max_connections,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,
        lock_type="IMMEDIATE",
        returning_clause=True,
        pragmas=[
            *vacuum,
            ("journal_mode", "wal"),
            ("synchronous", "normal" if relaxed else "full"),
            ("busy_timeout", BUSY_TIMEOUT_S * 1000),
            ("temp_store", "memory"),
            ("cache_size", -16_000),
        ],
    )
    database.register_function(Packed.one, "latencies_of", 1, deterministic=True)
    database.register_function(Packed.add, "latencies_add", 2, deterministic=True)
    database.register_aggregate(Packed.Sum, "latencies_sum", 1)
    bound: peewee.Database = database
    return bound


class _Eager(PooledSqliteDatabase):  # type: ignore[misc]  # Peewee's pool has no types
    """SQLite whose write lock is asked for every millisecond: the accept goes before the workers.

    SQLite's own way is to sleep up to 100 ms between two tries, in which one worker after the other takes the lock.
    """

    def begin(self, lock_type: str | None = None) -> None:
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        connection = self.connection()
        connection.execute("PRAGMA busy_timeout = 1")
        try:
            while True:
                try:
                    super().begin(lock_type)
                except peewee.OperationalError as error:
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise
                else:
                    return
        finally:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")


def _postgresql(url: str, relaxed: bool, statement_timeout_s: int, max_connections: int) -> peewee.Database:
    options = f"-c statement_timeout={statement_timeout_s * 1000} -c idle_in_transaction_session_timeout=30000"
    database: peewee.Database = PooledPsycopg3Database(
        url.replace("postgres://", "postgresql://", 1),
        max_connections=max_connections,
        timeout=BUSY_TIMEOUT_S,
        connect_timeout=BUSY_TIMEOUT_S,
        tcp_user_timeout=SILENCE_S * 1000,
        keepalives_idle=SILENCE_S,
        keepalives_interval=2,
        keepalives_count=3,
        application_name="ingate",
        options=options + (" -c synchronous_commit=off" if relaxed else ""),
    )
    return database
