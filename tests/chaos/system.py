"""An Ingate under test: real processes of the product on servers of its own, and everything that can befall them."""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import httpx
import msgspec
from dramatiq.brokers.redis import RedisBroker

from app.settings import Settings
from tests.chaos import check, injection
from tests.chaos.exchanges import EVALUATORS, Exchanges
from tests.chaos.injection import Injection
from tests.chaos.load import Load
from tests.chaos.processes import Process, Supervisor
from tests.chaos.servers import Postgresql, Queue, Sqlite, queue_binary
from tests.conftest import ROOT, free_port, wait_until
from web import cli

#: What a launched process loads instead of what the product's commands name.
_LAUNCHED = {cli.WEB_APP: "tests.chaos.web_process:create_app", cli.WORKER_MODULE: "tests.chaos.worker_process"}
STEPS = ("evaluate", "log", "extract")


class System:
    """An Ingate that `running` has started."""

    def __init__(
        self, folder: Path, database: Sqlite | Postgresql, queue: Queue, injections: dict[str, Injection]
    ) -> None:
        self.folder, self.database, self.queue = folder, database, queue
        self._key = f"sk-ingate-{uuid.uuid4().hex}"
        self.headers = {"X-Ingate-Key": self._key}
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "INGATE_DATA": str(folder),
            "DATABASE_URL": database.url,
            "REDIS_URL": queue.url,
            "INGATE_BOOTSTRAP_KEY": self._key,
            "INGATE_LOG_LEVEL": "warning",
            "PORT": str(port),
        }
        settings = Settings.from_environ(self._environ)
        commands = {"web": cli.web_command(settings), "evals": cli.evals_command()}
        self.processes = {
            name: self._process(name, commands.get(name, cli.worker_command(settings)), one)
            for name, one in injections.items()
        }
        self._supervisor = Supervisor(list(self.processes.values()))

    def prepare(self) -> None:
        """Make the tables and the key."""
        words = [sys.executable, "-m", "web", "migrate"]
        subprocess.run(words, cwd=ROOT, env=self._environ, check=True, timeout=60, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        """Start every process, wait until the web answers, and define the evaluators."""
        self._supervisor.start()
        wait_until(self.answers, seconds=60, why=self.output)
        with httpx.Client(base_url=self.url, headers=self.headers, trust_env=False) as http:
            for evaluator in EVALUATORS:
                http.post("/api/v1/evals", json=evaluator).raise_for_status()

    def stop(self) -> None:
        """End every process."""
        self._supervisor.stop()

    def answers(self) -> bool:
        """Whether the web process answers."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/healthz", trust_env=False, timeout=5).status_code == 200
        return False

    def load(self, exchanges: Exchanges) -> Load:
        """Return clients for the exchanges of a run."""
        return Load(self.url, self._key, exchanges)

    def get(self, path: str) -> httpx.Response:
        """Read from the API."""
        return httpx.get(self.url + path, headers=self.headers, trust_env=False, timeout=30)

    def workers(self) -> list[Process]:
        """The processes that extract, log and evaluate."""
        return [process for name, process in self.processes.items() if name.startswith("worker")]

    def scramble(self, rng: random.Random, count: int) -> None:
        """Send random exchanges to the steps in the wrong order, three times each."""
        newest = self.database.query("SELECT coalesce(max(id), 0) FROM exchange")[0][0]
        ids = [rng.randint(1, newest) for _ in range(count)] if newest else []
        broker = RedisBroker(url=self.queue.url)
        for step in STEPS:
            broker.declare_queue(step)
            for _ in range(3):
                rng.shuffle(ids)
                message: Any = dramatiq.Message(
                    queue_name=step, actor_name=step, args=(list(ids),), kwargs={}, options={}
                )
                broker.enqueue(message)
        broker.close()

    def unfinished(self, exchanges: Exchanges) -> int:
        """How many of a run's exchanges have not come to rest."""
        rows = self.database.query(
            f"""SELECT count(*) FROM pending p JOIN exchange e ON e.id = p.exchange_id
                 WHERE e.request_id LIKE '{exchanges.run}-%'"""
        )
        return int(rows[0][0])

    def drain(self, exchanges: Exchanges, seconds: float, *, enough: Callable[[], bool] = lambda: False) -> float:
        """Wait until everything has come to rest, but no longer than it may take; return the seconds."""
        began = time.monotonic()
        while time.monotonic() < began + seconds and not enough():
            if self.unfinished(exchanges) == 0:
                break
            time.sleep(0.1)
        return time.monotonic() - began

    def report(self, exchanges: Exchanges, load: Load) -> check.Report:
        """Compare what was answered with what is stored."""
        return check.check(self.database, exchanges, load, injection.tries(self.folder))

    def output(self) -> str:
        """The end of what the processes printed."""
        return "\n".join(f"--- {name}\n{process.output()[-2000:]}" for name, process in self.processes.items())

    def _process(self, name: str, command: list[str], one: Injection) -> Process:
        words = [_LAUNCHED.get(word, word) for word in command]
        environ = {**self._environ, injection.VARIABLE: msgspec.json.encode(one).decode()}
        return Process(name, [sys.executable, "-m", *words], environ, self.folder / f"{name}.log")


@contextlib.contextmanager
def running(
    backend: str = "sqlite",
    *,
    data: Path | None = None,
    processes: tuple[str, ...] = ("web", "worker"),
    own: dict[str, dict[str, Any]] | None = None,
    **injected: Any,
) -> Iterator[System]:
    """Run an Ingate on servers of its own and leave nothing behind.

    data: folder of the database, where it must be a certain one. own: what is injected into one process only, by name.
    """
    # A stack, so that each thing goes however another one's end goes.
    with contextlib.ExitStack() as ends:
        name = ends.enter_context(tempfile.TemporaryDirectory(prefix="ingate-chaos-", ignore_cleanup_errors=True))
        folder = Path(name)
        database = Sqlite(data or folder) if backend == "sqlite" else Postgresql()
        ends.callback(database.remove)
        queue = Queue(queue_binary(redis_wanted=backend != "sqlite"), folder)
        own = own or {}
        injections = {one: Injection(folder=name, **{**injected, **own.get(one, {})}) for one in processes}
        system = System(folder, database, queue, injections)
        database.start()
        ends.callback(database.stop)
        queue.start()
        ends.callback(queue.end)
        system.prepare()
        ends.callback(system.stop)
        system.start()
        yield system
