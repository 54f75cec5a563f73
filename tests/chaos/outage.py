"""What a queue that is away costs an accept, and what a large backlog costs the queue: for `python -m tests.chaos`."""

import threading
import time
from collections import Counter
from typing import NamedTuple

import httpx

from tests.chaos.campaign import percentile
from tests.chaos.exchanges import Exchanges
from tests.chaos.system import System, running

#: Exchanges of one statement that makes the backlog.
_CHUNK = 100_000


class Phase(NamedTuple):
    """Accepts under one condition."""

    name: str
    answers: Counter[str]
    p50_ms: float
    p99_ms: float


class Backlog(NamedTuple):
    """How the work on a backlog went."""

    exchanges: int
    #: The most memory that the queue server took, in bytes, and what it took empty.
    queue_bytes: int
    queue_empty_bytes: int
    most_messages: int
    evaluated: int
    seconds: float


def outage(backend: str, seconds: float, rate: float) -> list[Phase]:
    """Send single exchanges at a rate: as ever, with the queue gone, as ever again, with the queue full."""
    with running(backend) as system:
        exchanges = Exchanges("outage")
        _phase(system, exchanges, "warming up", min(seconds, 10), rate)
        phases = [_phase(system, exchanges, "the queue answers", seconds, rate)]
        system.queue.kill()
        phases.append(_phase(system, exchanges, "the queue is gone", seconds, rate))
        system.queue.start()
        phases.append(_phase(system, exchanges, "the queue answers again", seconds, rate))
        system.queue.limit(1)
        phases.append(_phase(system, exchanges, "the queue is full", seconds, rate))
        system.queue.limit(0)
        system.drain(exchanges, 300)
        return phases


def _phase(system: System, exchanges: Exchanges, name: str, seconds: float, rate: float, clients: int = 4) -> Phase:
    count, lock = round(seconds * rate), threading.Lock()
    began, numbers = time.monotonic(), iter(range(count))
    answers: Counter[str] = Counter()
    latencies: list[float] = []

    def client() -> None:
        with httpx.Client(base_url=system.url, headers=system.headers, timeout=30, trust_env=False) as http:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                item = exchanges.item(number) | {"request_id": f"{name}-{number}".replace(" ", "-")}
                asked = time.monotonic()
                status = str(http.post("/api/v1/ingest", json=item).status_code)
                with lock:
                    answers[status] += 1
                    latencies.append((time.monotonic() - asked) * 1000)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies.sort()
    return Phase(name, answers, percentile(latencies, 0.5), percentile(latencies, 0.99))


def backlog(backend: str, exchanges: int, seconds: float) -> Backlog:
    """Let workers begin on a backlog, and watch the queue meanwhile."""
    with running(backend, processes=("web", "worker")) as system:
        worker = system.processes["worker"]
        worker.stop()
        empty = system.queue.memory()
        _fill(system, exchanges)
        worker.start()
        memory = messages = 0
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            memory = max(memory, system.queue.memory())
            messages = max(messages, system.queue.waiting())
            time.sleep(0.05)
        evaluated = int(system.database.query("SELECT count(*) FROM finished")[0][0])
        return Backlog(exchanges, memory, empty, messages, evaluated, seconds)


def _fill(system: System, exchanges: int) -> None:
    """Copy one accepted exchange until the backlog is there: sending as many would take an hour."""
    answer = httpx.post(
        f"{system.url}/api/v1/ingest", json=Exchanges("backlog").item(0), headers=system.headers, trust_env=False
    )
    answer.raise_for_status()
    columns = (
        "project_id, digest, key_id, kind, received_at, started_at, provider, path, method, status_code, latency_ms"
    )
    for start in range(0, exchanges, _CHUNK):
        end = min(start + _CHUNK, exchanges)
        numbers = f"WITH RECURSIVE n (i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {end})"
        system.database.write(
            f"""INSERT INTO exchange (request_id, {columns}) {numbers}
                SELECT 'backlog-copy-' || i, {columns} FROM n, exchange WHERE request_id = 'backlog-0'""",
            """INSERT INTO payload (exchange_id, codec, data)
               SELECT e.id, p.codec, p.data FROM exchange e, payload p
                WHERE p.exchange_id = (SELECT id FROM exchange WHERE request_id = 'backlog-0')
                  AND NOT EXISTS (SELECT 1 FROM payload q WHERE q.exchange_id = e.id)""",
            """INSERT INTO pending (exchange_id, step, attempts, due_at, leased_until)
               SELECT e.id, 0, 0, 0, 0 FROM exchange e
                WHERE NOT EXISTS (SELECT 1 FROM pending q WHERE q.exchange_id = e.id)""",
        )
