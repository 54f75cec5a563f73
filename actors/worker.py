"""What a worker process loads: every actor declared on the broker, and the sweep beside them."""

from actors.broker import broker
from actors.evaluate import evaluate
from actors.extract import extract
from actors.log import log
from actors.run import run
from actors.sweep import Sweep

broker.add_middleware(Sweep())

__all__ = ["broker", "evaluate", "extract", "log", "run"]
