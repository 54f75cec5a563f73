"""A campaign: a load, faults in between, a drain, and the check of what is left."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.check import Report
from tests.chaos.exchanges import Exchanges, poisons
from tests.chaos.faults import Schedule
from tests.chaos.load import mixed
from tests.chaos.system import running


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What is to happen."""

    backend: str
    exchanges: int
    seed: int
    #: How often each fault happens, by its name in `faults.FAULTS`.
    faults: Mapping[str, int]
    poisons: int = 0
    #: Exchanges per second; 0 sends as fast as it goes.
    rate: float = 0.0
    clients: int = 4
    processes: tuple[str, ...] = ("web", "worker", "evals")
    #: What every process does to itself, as fields of an Injection.
    injected: Mapping[str, Any] = field(default_factory=dict)
    #: Patience with the load, and with the drain after it.
    load_s: float = 120.0
    drain_s: float = 120.0


@dataclass(kw_only=True)
class Result:
    """What happened."""

    report: Report
    faults: Mapping[str, int]
    answers: Mapping[str, int]
    recoveries_s: list[float]
    load_s: float
    drain_s: float
    #: From received to evaluated, in ascending order.
    journeys_s: list[float]
    output: str


def run(campaign: Campaign) -> Result:
    """Run it."""
    rng = random.Random(campaign.seed)
    exchanges = Exchanges(f"chaos-{campaign.seed}", poisons(campaign.poisons, campaign.exchanges, rng))
    with running(campaign.backend, processes=campaign.processes, **campaign.injected) as system:
        load = system.load(exchanges)
        load.rate = campaign.rate
        began = time.monotonic()
        load.send(mixed(0, campaign.exchanges, rng, impatient=0.02), clients=campaign.clients)
        schedule = Schedule(system, load, campaign.faults, rng)
        schedule.start()
        load.join(campaign.load_s)
        schedule.join()
        load_s = time.monotonic() - began
        drain_s = system.drain(exchanges, campaign.drain_s)
        journeys = system.database.query(
            f"""SELECT f.evaluated_at - e.received_at FROM finished f JOIN exchange e ON e.id = f.exchange_id
                 WHERE e.request_id LIKE '{exchanges.run}-%'"""
        )
        return Result(
            report=system.report(exchanges, load),
            faults=dict(schedule.done),
            answers=dict(load.answers),
            recoveries_s=schedule.victims.recoveries_s(),
            load_s=load_s,
            drain_s=drain_s,
            journeys_s=sorted(row[0] / 1000 for row in journeys),
            output=system.output(),
        )


def percentile(ascending: list[float], share: float) -> float:
    """Return the value below which a share of the values lies; 0 of none."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))] if ascending else 0.0
