"""The database: migrated once, equal to the models, and unavailable rather than wrong when it does not answer."""

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import psycopg
import pytest
from playhouse.migrations import Runner

from app.errors import StoreUnavailable
from app.store import database, keys
from app.store.models import ALL, db
from tests.conftest import ROOT, SERVER_DATABASE_URL, scratch_database
from tests.helpers import accept, item, sql

pytestmark = pytest.mark.backend


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[str]:
    """A database without tables that this process is connected to; its URL."""
    with scratch_database(tmp_path / "empty.db") as url:
        database.connect(url)
        yield url
        database.close()


def test_a_fresh_database_misses_every_migration(empty: str) -> None:
    names = sorted(path.stem for path in database.MIGRATIONS.glob("[0-9]*.py"))

    assert database.missing_migrations() == names
    assert database.migrate() == names
    assert database.missing_migrations() == []


def test_a_database_that_was_not_migrated_is_unavailable(empty: str) -> None:
    for use in (lambda: keys.verify("sk-ingate-x"), lambda: accept(item()), lambda: sql("SELECT nothing FROM nowhere")):
        with pytest.raises(StoreUnavailable):
            use()


def test_migrating_again_does_nothing(store: str) -> None:
    accept(item())

    assert database.migrate() == []
    assert sql("SELECT count(*) FROM exchange") == [(1,)]


def test_processes_that_migrate_at_the_same_time_do_not_disturb_each_other(empty: str) -> None:
    code = "import sys; from app.store import database as d; d.connect(sys.argv[1]); print(len(d.migrate()))"
    command = [sys.executable, "-c", code, empty]

    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [(process.communicate(timeout=60)[0].strip(), process.returncode) for process in started]

    every = len(list(database.MIGRATIONS.glob("[0-9]*.py")))
    assert sorted(answers) == [("0", 0)] * 3 + [(str(every), 0)]


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.__name__)
def test_the_tables_that_migrations_create_are_the_models(store: str, model: Any) -> None:
    meta = model._meta

    with database.session():
        columns = {column.name: column for column in db.get_columns(meta.table_name)}
        keys = list(db.get_primary_keys(meta.table_name))
        indexes = {(tuple(i.columns), i.unique) for i in db.get_indexes(meta.table_name)}

    assert list(columns) == [field.column_name for field in meta.sorted_fields]
    assert {name: column.null for name, column in columns.items()} == {
        field.column_name: field.null for field in meta.sorted_fields
    }
    assert keys == [field.column_name for field in meta.get_primary_keys()]
    wanted = {(tuple(meta.fields[name].column_name for name in names), unique) for names, unique in meta.indexes}
    wanted |= {((f.column_name,), f.unique) for f in meta.sorted_fields if (f.index or f.unique) and not f.primary_key}
    assert wanted <= indexes


def test_the_types_of_the_migrations_are_those_of_the_models(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in ALL:
        monkeypatch.setattr(model._meta, "without_rowid", False)
    with db.atomic():
        db.create_tables(ALL)
        from_models = {m: [(c.name, c.data_type) for c in db.get_columns(m._meta.table_name)] for m in ALL}
        db.drop_tables(ALL)
    database.migrate()

    from_migrations = {m: [(c.name, c.data_type) for c in db.get_columns(m._meta.table_name)] for m in ALL}

    assert from_migrations == from_models
    db.close()


def test_the_code_before_a_migration_can_still_insert(empty: str, tmp_path: Path) -> None:
    """Old processes run on until the new ones have taken over: what is new in a table may be left out."""
    known: dict[str, set[str]] = {}
    for path in sorted(database.MIGRATIONS.glob("[0-9]*.py")):
        shutil.copy(path, tmp_path)
        Runner(db.obj, str(tmp_path)).up()
        tables = {name: db.get_columns(name) for name in db.get_tables()}

        added = [(t, c) for t, columns in tables.items() for c in columns if t in known and c.name not in known[t]]

        assert [(table, c.name) for table, c in added if not c.null and c.default is None] == []
        known = {name: {c.name for c in columns} for name, columns in tables.items()}
    db.close()


def test_a_transaction_that_fails_leaves_nothing(store: str) -> None:
    def work() -> None:
        with database.transaction():
            database.execute("INSERT INTO project (name, created_at) VALUES (?, ?)", ["p", 1])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()

    assert sql("SELECT count(*) FROM project") == [(0,)]


def test_sessions_nest_and_every_thread_has_its_own(store: str) -> None:
    seen = []

    def look() -> None:
        with database.session(), database.session():
            seen.append(database.execute("SELECT 1"))

    with database.session():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        look()

    assert seen == [[(1,)]] * 2
    assert db.is_closed()


def test_the_database_keeps_the_time_in_milliseconds(store: str) -> None:
    assert abs(database.now() - time.time() * 1000) < 60_000


@pytest.mark.parametrize("ids", [[], [1], [1, 3, 2**62], list(range(40_000))])
def test_a_list_of_ids_of_any_length_is_one_parameter(store: str, ids: list[int]) -> None:
    condition = database.in_list("n")

    found = sql(
        f"SELECT n FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) AS t WHERE {condition} ORDER BY n",
        database.id_list(ids),
    )

    assert found == [(n,) for n in (1, 2, 3) if n in ids]


def test_a_database_that_can_be_written_says_so(store: str) -> None:
    database.check_writable()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////nowhere/at/all/ingate.db",
        "postgresql://nobody@127.0.0.1:1/none",
        "postgres://nobody@127.0.0.1:1/none",
    ],
)
def test_a_database_that_is_not_there_is_unavailable_and_the_secret_stays_secret(url: str) -> None:
    database.connect(url.replace("nobody", "nobody:hunter2"))

    for ask in (database.now, database.check_writable, database.missing_migrations, database.migrate):
        with pytest.raises(StoreUnavailable) as error:
            ask()

        assert "hunter2" not in error.value.detail
        assert error.value.retryable
    database.close()


def test_more_threads_than_connections_are_unavailable_rather_than_stuck(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    database.close()
    database.connect(store, max_connections=1)
    found: list[type] = []

    def ask() -> None:
        try:
            database.now()
        except StoreUnavailable as error:
            found.append(type(error))

    with database.session():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(10)

    assert found == [StoreUnavailable]
    database.now()


@pytest.mark.skipif(bool(SERVER_DATABASE_URL), reason="only SQLite has one lock for all writers")
def test_a_locked_sqlite_is_unavailable_and_then_works_again(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0)
    database.close()
    database.connect(store)
    other = peewee.SqliteDatabase(store.removeprefix("sqlite:///"))
    other.execute_sql("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnavailable):
        database.check_writable()

    other.rollback()
    other.close()
    database.check_writable()


@pytest.mark.skipif(bool(SERVER_DATABASE_URL), reason="only SQLite has one lock for all writers")
def test_the_accept_asks_often_for_the_write_lock_and_waits_for_all_else_as_ever(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    real = peewee.SqliteDatabase.begin
    monkeypatch.setattr(peewee.SqliteDatabase, "begin", lambda *given: (tries.append(1), real(*given))[1])
    other = peewee.SqliteDatabase(store.removeprefix("sqlite:///"), check_same_thread=False, thread_safe=False)
    other.execute_sql("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.rollback)
    release.start()

    database.check_writable()

    release.join()
    other.close()
    assert len(tries) > 10
    with database.session():
        assert database.execute("PRAGMA busy_timeout") == [(database.BUSY_TIMEOUT_S * 1000,)]


@pytest.mark.skipif(not SERVER_DATABASE_URL, reason="only a PostgreSQL fails over to read-only")
def test_a_read_only_database_is_unavailable(store: str) -> None:
    with database.session():
        database.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="read-only"):
            database.check_writable()

    with pytest.raises(StoreUnavailable, match="read-only"):
        keys.create(name="app", role="member", actor="tests")

    database.close()
    database.connect(store)
    database.check_writable()


@pytest.mark.skipif(not SERVER_DATABASE_URL, reason="needs a server that can end connections")
def test_connections_that_the_server_ended_are_replaced(store: str) -> None:
    database.now()
    name = store.rsplit("/", 1)[1]
    with psycopg.connect(SERVER_DATABASE_URL, autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    # Whether the first call notices in time or fails is the driver's luck; no call after it fails.
    with contextlib.suppress(StoreUnavailable):
        database.now()
    assert database.now() > 0


@pytest.mark.parametrize(("relaxed", "full", "synchronous_commit"), [(False, 2, "on"), (True, 1, "off")])
def test_accepting_commits_survive_a_power_cut_and_workers_commits_need_not(
    store: str, relaxed: bool, full: int, synchronous_commit: str
) -> None:
    database.close()
    database.connect(store, relaxed=relaxed)

    if not database.is_sqlite():
        assert sql("SHOW synchronous_commit") == [(synchronous_commit,)]
        return
    assert sql("PRAGMA journal_mode") == [("wal",)]
    assert sql("PRAGMA synchronous") == [(full,)]
