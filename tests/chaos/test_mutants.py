"""The proof of the harness: with one promise of the product broken, the check that is green turns red."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.chaos.check import MAX_TRIES, Report
from tests.chaos.exchanges import Exchanges
from tests.chaos.injection import Crash, tries
from tests.chaos.load import Request
from tests.chaos.mutants import MUTANTS
from tests.chaos.system import running

LEASE_MS = 1_000
#: The unbroken product comes to rest in any case; the broken one is given up after this long.
PATIENCE_S, MUTANT_PATIENCE_S = 60, 8
AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The smallest story that a mutant does not survive, and what the check then says."""

    crash: Crash | None = None
    poisons: Mapping[int, str] = field(default_factory=dict)
    violation: str


SCENARIOS = {
    # Killed between the answer and the commit.
    "answers_before_commit": Scenario(
        crash=Crash(point="accept: before commit", hold_s=0.5), violation="acknowledged but not stored"
    ),
    # Killed between the commit and the message.
    "never_sweeps": Scenario(crash=Crash(point="accept: announced"), violation="still pending"),
    # Killed between the commit and the answer, so that the client sends again what is stored.
    "inserts_regardless": Scenario(crash=Crash(point="accept: committed"), violation="answered 500"),
    # An exchange that kills whoever works on it.
    "counts_after_the_work": Scenario(poisons={3: "kill"}, violation="poison tried too often"),
    # The database goes away at the commit, so that the client sends again what is not stored.
    "remembers_before_the_write": Scenario(
        crash=Crash(point="accept: before commit", action="refuse"), violation="acknowledged but not stored"
    ),
}


@pytest.fixture(scope="module")
def reports() -> dict[str, tuple[Report, Report]]:
    """What the check says about each story, without the mutant and with it; they mostly wait, so they play at once."""
    with ThreadPoolExecutor(AT_ONCE) as stage:
        plays = {name: [stage.submit(play, SCENARIOS[name], one) for one in ("", name)] for name in MUTANTS}
        return {name: (unbroken.result(), broken.result()) for name, (unbroken, broken) in plays.items()}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_check_is_green_without_the_mutant_and_red_with_it(
    reports: dict[str, tuple[Report, Report]], mutant: str
) -> None:
    unbroken, broken = reports[mutant]

    assert unbroken.violations == []
    assert any(found.startswith(SCENARIOS[mutant].violation) for found in broken.violations), broken


def play(scenario: Scenario, mutant: str) -> Report:
    """Send one exchange alone and four together, let happen what happens, and check."""
    crashes = [] if scenario.crash is None else [scenario.crash]
    exchanges = Exchanges("mutant", dict(scenario.poisons))
    with running(own={"web": {"crashes": crashes}}, mutant=mutant, lease_ms=LEASE_MS) as system:
        load = system.load(exchanges)
        load.send([Request(range(1), single=True), Request(range(1, 5), single=False)], clients=1).join(30)
        system.drain(
            exchanges,
            MUTANT_PATIENCE_S if scenario.crash and mutant else PATIENCE_S,
            enough=lambda: any(times > MAX_TRIES for times in tries(system.folder).values()),
        )
        return system.report(exchanges, load)
