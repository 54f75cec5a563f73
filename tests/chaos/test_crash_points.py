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
PATIENCE_S = 300
#: Points that are passed only after a lease or a backoff.
PATIENT = ("sweep", "put off", "park")
#: Points that only an exchange passes that was tried before.
SINGLE = ("extract: moved", "extract: committed", "extract: passed", "log", "evaluate")


def plan(process: str, *, patient: bool = False) -> list[Crash]:
    """The points of a process: those that an exchange reaches by itself, or those that something must go wrong for."""
    return [
        Crash(point=name)
        for name, point in POINTS.items()
        if point.process == process and name.startswith(PATIENT) == patient
    ]


def test_every_point_is_survived(backend: str) -> None:
    # The last of the accept first: what comes before the commit lets nothing through to the workers.
    web, worker, patient = plan("web")[::-1], plan("worker"), plan("worker", patient=True)
    own = {
        "web": {"crashes": web},
        "worker-1": {"crashes": worker[:13]},
        "worker-2": {"crashes": patient + worker[13:]},
    }
    exchanges = Exchanges("points")

    with running(backend, processes=tuple(own), own=own, lease_ms=LEASE_MS) as system:
        load = send_until_all_happened(system, exchanges, web + worker + patient)
        system.drain(exchanges, 120)
        report = system.report(exchanges, load)

    assert report.violations == [], system.output()
    assert report.stored == report.acked == report.evaluated + report.parked > report.parked > 0


def send_until_all_happened(system: System, exchanges: Exchanges, crashes: list[Crash]) -> Load:
    """Send a little, again and again, with a poison or a hiccup for as long as it is needed to pass a point."""
    load, rng, sent = system.load(exchanges), random.Random(1), 0
    deadline = time.monotonic() + PATIENCE_S
    while missing := [crash.point for crash in crashes if not mark(Path(system.folder), crash).exists()]:
        assert time.monotonic() < deadline, f"never passed: {missing}\n{system.output()}"
        if any(point.startswith(PATIENT) for point in missing):
            exchanges.poisons[sent] = "raise"
        if any(point.startswith(SINGLE) for point in missing):
            exchanges.hiccups.add(sent + 1)
        load.send(mixed(sent, sent + 50, rng, singles=0.5), clients=2).join(60)
        sent += 50
        time.sleep(0.05)
    return load
