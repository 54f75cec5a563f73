"""The short campaign: a few of every fault over a mixed load. `make chaos` runs the long one."""

import pytest

from tests.chaos.campaign import Campaign, run

pytestmark = pytest.mark.backend

EXCHANGES, POISONS, SEED = 3_000, 2, 7
FAULTS = {
    "web kill -9": 4,
    "worker kill -9": 4,
    "queue kill -9, back empty": 3,
    "queue FLUSHALL": 1,
    "web SIGTERM": 1,
    "worker SIGTERM": 1,
    "messages out of order": 3,
}


def test_kills_of_everything_lose_nothing_and_double_nothing(backend: str) -> None:
    faults = FAULTS | ({"database restart, immediate": 2} if backend == "postgresql" else {})
    campaign = Campaign(
        backend=backend,
        exchanges=EXCHANGES,
        seed=SEED,
        faults=faults,
        poisons=POISONS,
        rate=250,
        injected={"lease_ms": 1_500, "deliveries": 3},
    )

    result = run(campaign)

    assert result.report.violations == [], result.output
    assert result.faults == faults
    assert result.report.parked == POISONS
    assert result.report.evaluated == result.report.stored - POISONS
