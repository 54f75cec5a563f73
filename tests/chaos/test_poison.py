"""Exchanges that kill, choke or break whoever works on them end as failed, alone."""

import random

import pytest

from tests.chaos.check import MAX_TRIES
from tests.chaos.exchanges import Exchanges, poisons
from tests.chaos.injection import KINDS, tries
from tests.chaos.load import mixed
from tests.chaos.system import running

pytestmark = pytest.mark.backend

EXCHANGES, POISONS = 2_000, 5


def test_poison_is_parked_alone_after_five_tries(backend: str) -> None:
    rng = random.Random(5)
    exchanges = Exchanges("poison", poisons(POISONS, EXCHANGES, rng))
    assert set(exchanges.poisons.values()) == set(KINDS)

    with running(backend, lease_ms=1_500) as system:
        load = system.load(exchanges)
        load.send(mixed(0, EXCHANGES, rng)).join()
        system.drain(exchanges, 90)
        report = system.report(exchanges, load)
        tried = tries(system.folder)

    assert report.violations == [], system.output()
    assert (report.parked, report.evaluated) == (POISONS, EXCHANGES - POISONS)
    assert set(tried.values()) == {MAX_TRIES}
