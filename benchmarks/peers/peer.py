"""One peer: how it is installed and started, how it is sent exchanges, and when it has stored them."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.extraction import extract
from benchmarks import load, running

PLACE = running.ROOT / "build" / "peers"
SPANS = Path(__file__).with_name("spans.py")
#: Importing a peer alone takes many seconds.
START_S = 180.0
#: Of nothing new in the peer's database.
PATIENCE_S = 120.0


class Peer(NamedTuple):
    """What there is to know about a peer. `{port}`, `{other_port}` and `{folder}` stand for its own ones."""

    #: On the package index, and its folder below build/peers/.
    package: str
    command: Sequence[str]
    environ: dict[str, str]
    #: What its OTLP endpoint wants beside the content type.
    headers: dict[str, str]
    #: SQLite, in its folder; its table `spans` has a row for each exchange.
    file: str
    #: Of batches, and of single requests: where it was fastest, of 1 to 32.
    batch_connections: int
    single_connections: int


PEERS = (
    Peer(
        package="arize-phoenix",
        command=("phoenix", "serve"),
        environ={
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": "{port}",
            "PHOENIX_GRPC_PORT": "{other_port}",
            "PHOENIX_WORKING_DIR": "{folder}",
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        headers={},
        file="phoenix.db",
        batch_connections=4,
        single_connections=4,
    ),
    Peer(
        package="mlflow",
        command=(
            "mlflow", "server", "--host", "127.0.0.1", "--port", "{port}",
            "--backend-store-uri", "sqlite:///{folder}/mlflow.db", "--default-artifact-root", "{folder}/artifacts",
        ),
        environ={"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        headers={"x-mlflow-experiment-id": "0"},
        file="mlflow.db",
        batch_connections=4,
        single_connections=1,
    ),
)  # fmt: skip


class Sent(NamedTuple):
    """What one run of requests came to."""

    stored_per_s: float
    latencies_ms: list[float]


class Running:
    """A peer that takes requests."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._peer, self._file = peer, folder / peer.file
        self.port = running.free_port()
        own = {"port": self.port, "other_port": running.free_port(), "folder": folder}
        program, *arguments = (word.format(**own) for word in peer.command)
        environ = {name: value.format(**own) for name, value in peer.environ.items()}
        self._log = folder / "peer.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(_bin(peer) / program), *arguments],
                cwd=folder,
                env={**os.environ, **environ},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_accepting(self, request: bytes) -> None:
        """Send a request until it is accepted."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if load.run(self.port, [request], 1).statuses[200]:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self._peer.package} did not start: {self._log.read_text(errors='replace')[-3000:]}")

    def send(self, requests: Sequence[bytes], exchanges: int, connections: int) -> Sent:
        """Send requests and wait until all their exchanges are stored."""
        wanted = self.stored() + exchanges
        began = time.perf_counter()
        sent = load.run(self.port, requests, connections)
        if set(sent.statuses) != {200}:
            log = self._log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self._peer.package} refused some: {dict(sent.statuses)}\n{log}")
        self._wait_until_stored(wanted)
        return Sent(exchanges / (time.perf_counter() - began), sent.latencies_ms)

    def stored(self) -> int:
        """Return how many exchanges its database has."""
        with contextlib.closing(self._connection()) as connection:
            return int(connection.execute("SELECT count(*) FROM spans").fetchone()[0])

    def disk_bytes(self) -> int:
        """Return the size of its database."""
        with contextlib.closing(self._connection()) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        wal = self._file.with_name(f"{self._file.name}-wal")
        return self._file.stat().st_size + (wal.stat().st_size if wal.exists() else 0)

    def stop(self) -> None:
        """End it and whatever it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)

    def _wait_until_stored(self, wanted: int) -> None:
        last, moved_at = self.stored(), time.monotonic()
        while last < wanted:
            time.sleep(0.05)
            now = self.stored()
            if now > last:
                last, moved_at = now, time.monotonic()
            if time.monotonic() - moved_at > PATIENCE_S:
                raise TimeoutError(f"{self._peer.package}: {wanted - last} exchanges are not in its database")

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=30)


def install(peer: Peer) -> str:
    """Make the peer's environment unless it is there; return the version in it."""
    if not (_bin(peer) / peer.command[0]).exists():
        print(f"… installing {peer.package}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(PLACE / peer.package)], check=True)
        subprocess.run([str(_bin(peer) / "pip"), "install", "--quiet", peer.package], check=True)
    asks = f"import importlib.metadata; print(importlib.metadata.version({peer.package!r}))"
    return subprocess.check_output([str(_bin(peer) / "python"), "-c", asks], text=True).strip()


def requests(peer: Peer, items: Sequence[bytes], size: int) -> list[bytes]:
    """Return exchanges as requests of so many spans."""
    headers = {"Content-Type": "application/x-protobuf", **peer.headers}
    command = [str(_bin(peer) / "python"), str(SPANS), str(size)]
    encoded = subprocess.run(command, input=b"\n".join(map(_line, items)), capture_output=True, check=True).stdout
    return [load.request("/v1/traces", headers, body) for body in _framed(encoded)]


@contextlib.contextmanager
def running_peer(peer: Peer) -> Iterator[Running]:
    """Run a peer on a fresh SQLite file."""
    with running.scratch() as folder:
        one = Running(peer, folder)
        try:
            yield one
        finally:
            one.stop()


def _bin(peer: Peer) -> Path:
    return PLACE / peer.package / "bin"


def _line(item: bytes) -> bytes:
    """Return an exchange as spans.py wants it."""
    sent, found = msgspec.json.decode(item), extract(item)
    tokens = found.token_count
    end_ns = time.time_ns()
    attributes = {
        "input.value": json.dumps(sent["request_body"]),
        "input.mime_type": "application/json",
        "output.value": json.dumps(sent["response_body"]),
        "output.mime_type": "application/json",
        "llm.model_name": found.model,
        "llm.provider": found.provider,
        "llm.token_count.prompt": tokens and tokens.prompt,
        "llm.token_count.completion": tokens and tokens.completion,
        "llm.token_count.total": tokens and tokens.total,
        "user.id": sent["tags"]["user_id"],
        "session.id": sent["tags"]["session_id"],
    }
    start_ns = end_ns - int(sent["latency_ms"] * 1e6)
    return json.dumps({"start_ns": start_ns, "end_ns": end_ns, "attributes": attributes}).encode()


def _framed(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : end]
        at = end
