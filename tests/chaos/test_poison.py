"""Exchanges that kill, choke or break whoever works on them end as failed, alone."""

import random

from tests.chaos.exchanges import Exchanges, poisons
from tests.chaos.injection import KINDS, tries
from tests.chaos.load import mixed
from tests.chaos.system import running

EXCHANGES, POISONS = 2_000, len(KINDS)


def test_poison_is_parked_alone_after_five_tries_at_most() -> None:
    rng = random.Random(5)
    exchanges = Exchanges("poison", poisons(POISONS, EXCHANGES, rng))
    assert set(exchanges.poisons.values()) == set(KINDS)

    with running(lease_ms=1_500) as system:
        load = system.load(exchanges)
        load.send(mixed(0, EXCHANGES, rng)).join()
        system.drain(exchanges, 90)
        report = system.report(exchanges, load)
        tried = tries(system.folder)

    assert report.violations == [], system.output()
    assert (report.parked, report.evaluated) == (POISONS, EXCHANGES - POISONS)
    assert len(tried) == POISONS
