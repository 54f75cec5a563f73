"""What `make bench` measures, as data: each case is a way of sending and a kind of exchanges."""

from typing import NamedTuple


class Load(NamedTuple):
    """A way of sending."""

    #: Exchanges of one request; 1 is POST /api/v1/ingest, more a batch.
    items: int
    connections: int
    #: Requests due in a second, whatever the answers do (open loop); None: the next when there is an answer.
    rate: float | None = None
    #: One exchange at a time, each after a pause and after the one before is evaluated.
    lone: bool = False


class Case(NamedTuple):
    """A row of the table."""

    #: A name in LOADS.
    load: str
    #: A kind of `bodies.KINDS`.
    bodies: str
    exchanges: int


LOADS = {
    "batch": Load(items=100, connections=8),
    "single": Load(items=1, connections=32),
    "rate": Load(items=1, connections=64, rate=300),
    "lone": Load(items=1, connections=1, lone=True),
}
CASES = (
    Case("batch", "recordings", 10_000),
    Case("batch", "small", 10_000),
    Case("batch", "texts", 10_000),
    Case("batch", "large", 2_000),
    Case("single", "recordings", 4_000),
    Case("single", "small", 4_000),
    Case("rate", "small", 3_000),
    Case("lone", "small", 100),
)
