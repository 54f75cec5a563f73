"""A process that is killed between any two statements loses nothing and doubles nothing."""

import random
import time
from pathlib import Path

import pytest

from tests.chaos.exchanges import Exchanges
from tests.chaos.injection import Crash, mark
from tests.chaos.load import Load, mixed
from tests.chaos.points import POINTS
from tests.chaos.system import System, running

pytestmark = pytest.mark.backend

#: Longer than a process takes to start, so that the one that is next finds something to do.
LEASE_MS = 1_500
PATIENCE_S = 120


def plan(process: str) -> tuple[Crash, ...]:
    """Every point of a process, the last of the journey first: while the web dies, the workers have poison to park."""
    return tuple(Crash(point=name) for name, point in reversed(POINTS.items()) if point.process == process)


def test_every_point_is_survived(backend: str) -> None:
    worker = plan("worker")
    own = {
        "web": {"crashes": plan("web")},
        "worker-1": {"crashes": worker[::2]},
        "worker-2": {"crashes": worker[1::2]},
    }
    exchanges = Exchanges("points", {number: "raise" for number in range(0, 1_000, 50)})

    with running(backend, processes=tuple(own), own=own, lease_ms=LEASE_MS) as system:
        load = send_until_all_happened(system, exchanges, plan("web") + worker)
        system.drain(exchanges, 60)
        report = system.report(exchanges, load)

    assert report.violations == [], system.output()
    assert report.stored == report.acked == report.evaluated + report.parked > 0


def send_until_all_happened(system: System, exchanges: Exchanges, crashes: tuple[Crash, ...]) -> Load:
    """Send a little, again and again, for as long as a point has not been passed."""
    load, rng, sent = system.load(exchanges), random.Random(1), 0
    deadline = time.monotonic() + PATIENCE_S
    while missing := [crash.point for crash in crashes if not mark(Path(system.folder), crash).exists()]:
        assert time.monotonic() < deadline, f"never passed: {missing}\n{system.output()}"
        load.send(mixed(sent, sent + 50, rng, singles=0.5), clients=2).join(60)
        sent += 50
        time.sleep(0.05)
    return load
