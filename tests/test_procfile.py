"""A platform in the manner of Heroku: the release command, then each process of the Procfile, restarted under load."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import (
    ROOT,
    SERVER_DATABASE_URL,
    SERVER_REDIS_URL,
    free_port,
    scratch_database,
    scratch_redis,
    wait_until,
)
from tests.helpers import item

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif(not (SERVER_DATABASE_URL and SERVER_REDIS_URL), reason="needs DATABASE_URL and REDIS_URL"),
]

KEY = f"sk-ingate-{uuid.uuid4().hex}"


class Platform:
    """Runs each Procfile process under honcho in a session of its own, as a dyno is."""

    def __init__(self, environ: dict[str, str], folder: Path) -> None:
        binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {**os.environ, **environ, "PATH": binaries}
        self.log = folder / "platform.log"
        self.dynos: dict[str, subprocess.Popen[bytes]] = {}
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{environ['PORT']}", headers={"X-Ingate-Key": KEY}, timeout=30
        )

    def run(self, *words: str) -> None:
        subprocess.run(self._honcho("run", *words), cwd=ROOT, env=self.environ, check=True, timeout=60)

    def start(self, name: str) -> None:
        with self.log.open("ab") as log:
            self.dynos[name] = subprocess.Popen(
                self._honcho("start", "--no-prefix", name),
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """Ask it to stop and give it the platform's 30 seconds; then it would be killed."""
        self.dynos[name].send_signal(signal.SIGTERM)
        self.dynos[name].wait(30)

    def answers(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    @staticmethod
    def _honcho(*words: str) -> list[str]:
        return [sys.executable, "-m", "honcho", *words]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    with scratch_database(folder / "unused.db") as database_url, scratch_redis() as redis_url:
        environ = {
            "DYNO": "web.1",
            "PORT": str(free_port()),
            "DATABASE_URL": database_url.replace("postgresql://", "postgres://"),
            "REDIS_URL": redis_url,
            "INGATE_BOOTSTRAP_KEY": KEY,
        }
        running = Platform(environ, folder)
        try:
            running.run(*release_command())
            for name in ("web", "worker", "evals"):
                running.start(name)
            wait_until(running.answers, seconds=60, why=running.log.read_text)
            yield running
        finally:
            for name in running.dynos:
                running.stop(name)
            running.http.close()


def release_command() -> list[str]:
    """The command that the platform runs before new code serves."""
    line = next(line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("release:"))
    return line.partition(":")[2].split()


def test_the_processes_of_the_procfile_take_an_exchange_to_its_end(platform: Platform) -> None:
    answer = platform.http.post("/api/v1/ingest", json=item(request_id="procfile-1"))

    assert answer.status_code == 202
    assert platform.http.get("/api/v1/ingest/procfile-1?wait=20").json()["status"] == "evaluated"


def test_a_rolling_restart_of_web_and_worker_loses_nothing(platform: Platform) -> None:
    sent = [f"rolling-{number}" for number in range(400)]
    sender = threading.Thread(target=lambda: [post(platform, request_id) for request_id in sent])

    sender.start()
    for name in ("web", "worker"):
        platform.stop(name)
        platform.start(name)
    sender.join(timeout=120)

    wait_until(lambda: not platform.http.get("/api/v1/logs?q=is:pending").json()["data"], seconds=60)
    states = {platform.http.get(f"/api/v1/ingest/{request_id}").json()["status"] for request_id in sent}
    assert states == {"evaluated"}


def post(platform: Platform, request_id: str) -> None:
    """Send until it is accepted, as a client with a retry policy does: the request id makes that safe."""

    def accepted() -> bool:
        try:
            return platform.http.post("/api/v1/ingest", json=item(request_id=request_id)).status_code == 202
        except httpx.TransportError:
            return False

    wait_until(accepted, seconds=60)


def test_sqlite_is_refused_on_a_dyno() -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "web", "migrate"],
        cwd=ROOT,
        env={**os.environ, "DYNO": "web.1", "DATABASE_URL": "", "REDIS_URL": SERVER_REDIS_URL},
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode != 0
    assert "DATABASE_URL" in refused.stderr
    assert "Traceback" not in refused.stderr
