"""A whole Ingate of real processes, on a store of its own or on one that is there already."""

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import redis

from actors.queues import WORKER_QUEUES
from benchmarks import bodies, load, processes

ROOT = Path(__file__).resolve().parents[1]
#: Five evaluators score each exchange.
EVALS: list[dict[str, Any]] = [
    {"name": "polite", "type": "not_contains", "config": {"values": ["damn", "stupid"]}},
    {"name": "books", "type": "contains", "config": {"values": ["book", "shelf"]}},
    {"name": "short", "type": "max_length", "config": {"characters": 400}},
    {"name": "fast", "type": "latency_max", "config": {"milliseconds": 3000}},
    {"name": "ok", "type": "status_code", "config": {"expected": ["2xx"]}},
]
#: Raised to be seen, not to be waited for: nothing here takes a tenth of it.
PATIENCE_S = 120.0
_POSTGRES_BACKGROUND = ("walwriter", "checkpointer", "background writer")


class Backend(NamedTuple):
    """Where an Ingate keeps its exchanges."""

    name: str
    #: A PostgreSQL server, or the database to go on with; "" is SQLite.
    database_url: str = ""
    #: A Redis server; "" is the bundled one.
    redis_url: str = ""
    #: Go on with what is there: in `database_url`, or in this data folder.
    seeded: bool = False
    data: Path | None = None


class Account(NamedTuple):
    """How many exchanges are where, as /metrics says."""

    evaluated: int
    failed: int
    pending: int


class Ingate:
    """A running Ingate and its key."""

    def __init__(self, environ: dict[str, str], data: Path) -> None:
        self.port = int(environ["PORT"])
        self.key = environ["INGATE_BOOTSTRAP_KEY"]
        self._database_url = environ["DATABASE_URL"]
        self._redis_url = environ["REDIS_URL"]
        self._file = data / "ingate.db"
        subprocess.run([sys.executable, "-m", "web", "migrate"], cwd=ROOT, env=environ, check=True, capture_output=True)
        began = time.perf_counter()
        self._log = data / "bench.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "web", "up"], cwd=ROOT, env=environ, stdout=log, stderr=log
            )
        self._accept_first(began)
        #: From the start of `ingate up`, on tables that are there, to its first 202.
        self.start_s = time.perf_counter() - began

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def request(self, path: str, body: bytes) -> bytes:
        """Return the bytes of a POST with its key."""
        return load.request(path, {"X-Ingate-Key": self.key, "Content-Type": "application/json"}, body)

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET, or POST a body; return the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._text(path, data))

    def add_evaluators(self) -> None:
        """Make the five evaluators, where they are not there yet."""
        there = {one["name"] for one in self.call("/api/v1/evals")["data"]}
        for evaluator in EVALS:
            if evaluator["name"] not in there:
                self.call("/api/v1/evals", evaluator)

    def account(self) -> Account:
        """Return how many exchanges are where."""
        found = dict(re.findall(r'^ingate_exchanges\{state="(\w+)"\} (\S+)$', self._text("/metrics"), re.MULTILINE))
        return Account(*(int(float(found[state])) for state in Account._fields))

    def wait_until_evaluated(self, exchanges: int) -> None:
        """Wait until so many exchanges are evaluated. It asks seldom, since asking costs.

        Raises RuntimeError when one has failed, TimeoutError when nothing moves.
        """
        began = moved_at = time.monotonic()
        first = last = self.account()
        while last.evaluated < exchanges:
            rate = (last.evaluated - first.evaluated) / (time.monotonic() - began + 1e-3)
            time.sleep(min(0.2, max(0.005, 0.3 * (exchanges - last.evaluated) / rate)) if rate else 0.01)
            now = self.account()
            if now.failed > first.failed:
                raise RuntimeError("an exchange has failed, so these are no figures")
            if now.evaluated > last.evaluated:
                moved_at = time.monotonic()
            if time.monotonic() - moved_at > PATIENCE_S:
                raise TimeoutError(f"nothing evaluated for {PATIENCE_S:g} s: {now}")
            last = now

    def wait_until_idle(self) -> None:
        """Wait until nothing is pending."""
        account = self.account()
        self.wait_until_evaluated(account.evaluated + account.pending)

    def disk_bytes(self) -> int:
        """Return the size of the database: SQLite's file and write-ahead log, or PostgreSQL's after VACUUM."""
        if self._database_url:
            with psycopg.connect(self._database_url, autocommit=True) as connection:
                connection.execute("VACUUM")
                row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
                return int(row[0]) if row else 0
        with contextlib.closing(sqlite3.connect(self._file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(file.stat().st_size for file in self._file.parent.glob("ingate.db*") if file.suffix != ".db-shm")

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU time that each kind of its processes has taken, servers on this machine included."""
        pids: dict[str, list[int]] = {"up": [self.process.pid]}
        for child in processes.children(self.process.pid):
            pids[_kind(processes.command(child))] = processes.tree(child)
        if self._database_url:
            name = self._database_url.partition("?")[0].rpartition("/")[2]
            pids["database"] = processes.matching(lambda command: _works_for(command, name))
        if self._redis_url:
            port = f":{re.search(r':([0-9]+)/', self._redis_url + '/')[1]}"  # type: ignore[index]
            pids["queue"] = processes.matching(lambda command: _is_redis(command, port))
        return {kind: processes.cpu_s(found) for kind, found in pids.items() if found}

    def _accept_first(self, began: float) -> None:
        first = self.request("/api/v1/ingest", bodies.encoded(0, uuid.uuid4().hex))
        while True:
            with contextlib.suppress(OSError):
                if load.run(self.port, [first], 1).statuses[202]:
                    return
            if self.process.poll() is not None or time.perf_counter() - began > PATIENCE_S:
                raise RuntimeError(f"Ingate did not start: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)

    def _text(self, path: str, data: bytes | None = None) -> str:
        headers = {"X-Ingate-Key": self.key, "Content-Type": "application/json"}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def ingate(backend: Backend) -> Iterator[Ingate]:
    """Run an Ingate; its store, where it is not one that was there, is gone afterwards."""
    with (
        _folder(backend) as data,
        contextlib.nullcontext(backend.database_url) if backend.seeded else database(backend.database_url) as own_url,
        _queue(backend.redis_url) as queue_url,
    ):
        environ = {
            **os.environ,
            "INGATE_DATA": str(data),
            "PORT": str(free_port()),
            "INGATE_BOOTSTRAP_KEY": f"sk-ingate-{uuid.uuid4().hex}",
            "DATABASE_URL": own_url,
            "REDIS_URL": queue_url,
            "INGATE_LOG_LEVEL": "error",
        }
        running = Ingate(environ, data)
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder below build/: what is measured is this disk, and /tmp may be in memory."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as folder:
        yield Path(folder)


@contextlib.contextmanager
def database(server_url: str) -> Iterator[str]:
    """A database of its own on a PostgreSQL server; "" when there is no server."""
    if not server_url:
        yield ""
        return
    name = f"ingate_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
    try:
        yield f"{server_url.partition('?')[0].rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _folder(backend: Backend) -> contextlib.AbstractContextManager[Path]:
    return contextlib.nullcontext(backend.data) if backend.data else scratch()


@contextlib.contextmanager
def _queue(server_url: str) -> Iterator[str]:
    """An empty database number of a Redis server, emptied afterwards; "" when there is no server."""
    if not server_url:
        yield ""
        return
    base = re.sub(r"/[0-9]*$", "", server_url)
    for number in range(1, 16):
        with redis.Redis.from_url(f"{base}/{number}") as client:
            # The tests take theirs in the same way.
            if client.set("ingate-tests", "1", nx=True) and client.dbsize() == 1:
                try:
                    yield f"{base}/{number}"
                finally:
                    client.flushdb()
                return
    raise RuntimeError("REDIS_URL: no empty database number from 1 to 15")


def _kind(command: str) -> str:
    if "granian" in command:
        return "web"
    if " -m actors " in command:
        return "worker" if f"--queues {WORKER_QUEUES[0]}" in command else "evals"
    return "queue"


def _works_for(command: str, name: str) -> bool:
    """Whether a process of PostgreSQL works for a database, or for all of them."""
    ours = f" {name} " in f"{command} " or command.endswith(_POSTGRES_BACKGROUND)
    return command.startswith("postgres: ") and ours


def _is_redis(command: str, port: str) -> bool:
    program, _, arguments = command.partition(" ")
    return Path(program).name in ("redis-server", "valkey-server") and port in arguments
