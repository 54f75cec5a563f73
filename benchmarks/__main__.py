"""`make bench`: accepted/s and evaluated/s, batch of 100 and single, on SQLite and, where DATABASE_URL and REDIS_URL
are set, on those servers too (in a database of its own; Redis number 15 must be empty).

Every exchange is unique; five static evaluators score each. `accepted/s` counts 202s, `evaluated/s` ends when the last
accepted exchange is evaluated. The load runs on the same machine.
"""

import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import bodies, load

BATCHED, BATCH, BATCH_CONNECTIONS = 10_000, 100, 8
SINGLES, SINGLE_CONNECTIONS = 3_000, 32
LONE = 100
EVALS = [
    {"name": "polite", "type": "not_contains", "config": {"values": ["damn", "stupid"]}},
    {"name": "books", "type": "contains", "config": {"values": ["book", "shelf"]}},
    {"name": "short", "type": "max_length", "config": {"characters": 400}},
    {"name": "fast", "type": "latency_max", "config": {"milliseconds": 3000}},
    {"name": "ok", "type": "status_code", "config": {"expected": ["2xx"]}},
]
RESULTS = Path("benchmarks/results.json")


def main() -> None:
    """Run everything and print the table."""
    backends = [("SQLite + Valkey", "", "")]
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        backends.append(("PostgreSQL + Redis", os.environ["DATABASE_URL"], os.environ["REDIS_URL"]))
    rows = []
    for name, database_url, redis_url in backends:
        with _ingate(database_url, redis_url) as (port, key):
            for evaluator in EVALS:
                _call(port, key, "/api/v1/evals", evaluator)
            rows += [{"backend": name, **row} for row in (_batches(port, key), _singles(port, key), _lone(port, key))]
    _show(rows)
    RESULTS.write_text(json.dumps({"machine": _machine(), "rows": rows}, indent=1) + "\n")


def _batches(port: int, key: str) -> dict[str, Any]:
    run = uuid.uuid4().hex[:8]
    requests = []
    for start in range(0, BATCHED, BATCH):
        items = b",".join(bodies.encoded(number, run) for number in range(start, start + BATCH))
        requests.append(load.request("/api/v1/ingest/batch", key, b'{"exchanges":[' + items + b"]}"))
    return _measured(f"batch of {BATCH}, c={BATCH_CONNECTIONS}", port, key, requests, BATCH, BATCH_CONNECTIONS)


def _singles(port: int, key: str) -> dict[str, Any]:
    run = uuid.uuid4().hex[:8]
    requests = [load.request("/api/v1/ingest", key, bodies.encoded(number, run)) for number in range(SINGLES)]
    return _measured(f"single, c={SINGLE_CONNECTIONS}", port, key, requests, 1, SINGLE_CONNECTIONS)


def _lone(port: int, key: str) -> dict[str, Any]:
    """One exchange at a time, each from the request to its evaluated receipt."""
    run = uuid.uuid4().hex[:8]
    took = []
    for number in range(LONE):
        started = time.perf_counter()
        _call(port, key, "/api/v1/ingest", bodies.item(number, run))
        receipt = _call(port, key, f"/api/v1/ingest/{run}-{number}?wait=10")
        assert receipt["status"] == "evaluated", receipt
        took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return {"load": "lone, sent to evaluated", "p50_ms": took[LONE // 2], "p99_ms": took[int(LONE * 0.99)]}


def _measured(name: str, port: int, key: str, requests: list[bytes], items: int, connections: int) -> dict[str, Any]:
    started = time.perf_counter()
    result = load.run(port, requests, connections)
    assert set(result.statuses) == {202}, result.statuses
    while _call(port, key, "/api/v1/logs?q=is:pending&limit=1")["data"]:
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    sent = items * len(requests)
    return {
        "load": name,
        "accepted_per_s": sent / result.seconds,
        "evaluated_per_s": sent / seconds,
        "p50_ms": result.percentile(0.5),
        "p99_ms": result.percentile(0.99),
    }


@contextlib.contextmanager
def _ingate(database_url: str, redis_url: str) -> Iterator[tuple[int, str]]:
    key = f"sk-ingate-{uuid.uuid4().hex}"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ingate-bench-") as folder, _database(database_url) as own_url:
        environ = {
            **os.environ,
            "INGATE_DATA": folder,
            "PORT": str(port),
            "INGATE_BOOTSTRAP_KEY": key,
            "DATABASE_URL": own_url,
            "REDIS_URL": f"{redis_url.rstrip('/').rsplit('/', 1)[0]}/15" if redis_url else "",
            "INGATE_LOG_LEVEL": "error",
        }
        log = (Path(folder) / "up.log").open("wb")
        with subprocess.Popen([sys.executable, "-m", "web", "up"], env=environ, stdout=log, stderr=log) as process:
            try:
                _wait(port)
                yield port, key
            finally:
                process.send_signal(signal.SIGINT)


@contextlib.contextmanager
def _database(server_url: str) -> Iterator[str]:
    if not server_url:
        yield ""
        return
    name = f"ingate_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server_url.partition('?')[0].rsplit('/', 1)[0]}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError("Ingate did not start")


def _call(port: int, key: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Ingate-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.loads(answer.read()))


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def _show(rows: list[dict[str, Any]]) -> None:
    print(f"{'backend':20} {'load':24} {'accepted/s':>11} {'evaluated/s':>12} {'p50 ms':>8} {'p99 ms':>8}")
    for row in rows:
        rates = [f"{row[name]:,.0f}" if name in row else "" for name in ("accepted_per_s", "evaluated_per_s")]
        latencies = f"{row['p50_ms']:8.1f} {row['p99_ms']:8.1f}"
        print(f"{row['backend']:20} {row['load']:24} {rates[0]:>11} {rates[1]:>12} {latencies}")


if __name__ == "__main__":
    main()
