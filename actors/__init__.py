"""The stages of the pipeline as Dramatiq actors; importing this package declares all of them on the broker."""

from actors.broker import broker
from actors.evaluate import evaluate
from actors.extract import extract
from actors.log import log
from actors.run import run
from actors.sweep import Sweep

broker.add_middleware(Sweep())

__all__ = ["broker", "evaluate", "extract", "log", "run"]
