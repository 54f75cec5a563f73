"""What a worker process loads: every actor declared on the broker, and the sweep and retention beside them."""

from actors.broker import broker, settings
from actors.evaluate import evaluate
from actors.extract import extract
from actors.log import log
from actors.reprocess import reprocess
from actors.retention import Retention
from actors.run import run
from actors.sweep import Sweep
from app import price_list  # noqa: F401 - loaded now, so that no exchange waits for it

broker.add_middleware(Sweep())
broker.add_middleware(Retention(settings.retention_days))

__all__ = ["broker", "evaluate", "extract", "log", "reprocess", "run"]
