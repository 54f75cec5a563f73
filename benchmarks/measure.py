"""Runs one case against an Ingate of its own and returns its figures; what each means is in docs/benchmarks.md."""

import datetime as dt
import random
import statistics
import time
import uuid
from collections.abc import Iterable
from typing import Any

from benchmarks import bodies, load
from benchmarks.cases import LOADS, Case, Load
from benchmarks.processes import PeakPss
from benchmarks.running import Backend, Ingate, ingate

#: A row of figures, by name; a figure that a case does not have is not there.
Row = dict[str, Any]

WARM_UP = 200
#: So many receipts say how long it took from accepted to evaluated.
SAMPLE = 500
PAUSES_S = (0.05, 0.15)


def measure(case: Case, backend: Backend) -> Row:
    """Run a case once."""
    run = uuid.uuid4().hex[:8]
    items = [bodies.encoded(number, run, case.bodies) for number in range(case.exchanges)]
    with ingate(backend) as running:
        running.add_evaluators()
        warm_up = [bodies.encoded(number, f"warm-{run}", case.bodies) for number in range(WARM_UP)]
        _send(running, _requests(running, warm_up, LOADS["batch"]), LOADS["batch"])
        running.wait_until_idle()
        disk, cpu = running.disk_bytes(), running.cpu_s()
        with PeakPss(running.process.pid) as pss:
            figures = (_lone if LOADS[case.load].lone else _loaded)(running, case, run, items)
            pss_bytes = pss.look()
        cpu = {kind: taken - cpu.get(kind, 0.0) for kind, taken in running.cpu_s().items()}
        cpu["load"] = figures.pop("load_cpu_s")
        if not LOADS[case.load].lone:
            numbers = random.sample(range(case.exchanges), min(SAMPLE, case.exchanges))
            figures |= _percentiles("evaluated", [_evaluated_ms(running, f"{run}-{number}") for number in numbers])
        return {
            "backend": backend.name,
            "seeded": backend.seeded,
            **case._asdict(),
            "item_bytes": round(statistics.mean(map(len, items))),
            **figures,
            "cpu_us": {kind: taken / case.exchanges * 1e6 for kind, taken in cpu.items()},
            "pss_mb": pss_bytes / 1e6,
            "disk_bytes": (running.disk_bytes() - disk) / case.exchanges,
            "start_s": running.start_s,
        }


def _loaded(running: Ingate, case: Case, _: str, items: list[bytes]) -> Row:
    """Send everything as the load says, and wait until it is evaluated."""
    requests = _requests(running, items, LOADS[case.load])
    before = running.account().evaluated
    began = time.perf_counter()
    sent = _send(running, requests, LOADS[case.load])
    running.wait_until_evaluated(before + case.exchanges)
    seconds = time.perf_counter() - began
    return {
        "accepted_per_s": case.exchanges / sent.seconds,
        "evaluated_per_s": case.exchanges / seconds,
        "mb_per_s": sum(map(len, items)) / seconds / 1e6,
        **_percentiles("accept", sent.latencies_ms),
        "load_cpu_s": sent.cpu_s,
    }


def _lone(running: Ingate, _: Case, run: str, items: list[bytes]) -> Row:
    """Send one exchange at a time, each when the one before is evaluated and a pause is over."""
    accept, receipt, evaluated, cpu_s = [], [], [], 0.0
    for number, item in enumerate(items):
        time.sleep(random.uniform(*PAUSES_S))
        requests = _requests(running, [item], LOADS["lone"])
        began = time.perf_counter()
        sent = _send(running, requests, LOADS["lone"])
        evaluated.append(_evaluated_ms(running, f"{run}-{number}"))
        receipt.append((time.perf_counter() - began) * 1000)
        accept += sent.latencies_ms
        cpu_s += sent.cpu_s
    return {
        **_percentiles("accept", accept),
        **_percentiles("evaluated", evaluated),
        **_percentiles("receipt", receipt),
        "load_cpu_s": cpu_s,
    }


def _requests(running: Ingate, items: list[bytes], way: Load) -> list[bytes]:
    if way.items == 1:
        return [running.request("/api/v1/ingest", item) for item in items]
    chunks = [items[start : start + way.items] for start in range(0, len(items), way.items)]
    joined = [b'{"exchanges":[' + b",".join(chunk) + b"]}" for chunk in chunks]
    return [running.request("/api/v1/ingest/batch", body) for body in joined]


def _send(running: Ingate, requests: list[bytes], way: Load) -> load.Result:
    sent = load.run(running.port, requests, way.connections, way.rate)
    if set(sent.statuses) != {202}:
        raise RuntimeError(f"not every request was accepted, so these are no figures: {dict(sent.statuses)}")
    return sent


def _evaluated_ms(running: Ingate, request_id: str) -> float:
    """How long an exchange took from its accept to its last score, by the database's clock."""
    receipt = running.call(f"/api/v1/ingest/{request_id}?wait=30")
    times = [dt.datetime.fromisoformat(text) for text in (receipt["received_at"], receipt["steps"]["eval"]["at"])]
    return (times[1] - times[0]) / dt.timedelta(milliseconds=1)


def _percentiles(name: str, values_ms: Iterable[float]) -> Row:
    return {f"{name}_p{share:g}_ms": load.percentile(values_ms, share / 100) for share in (50, 99)}
