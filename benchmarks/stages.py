"""`python -m benchmarks.stages`: CPU and wall time of one exchange, stage by stage, in this one process and without a
queue: intake, the accept's transaction, then the steps as a worker runs them. What is indented is part of the line
above it, measured by itself; the rest of a step is SQL and moving rows.

On a SQLite file of its own or, with DATABASE_URL, in a database of its own on that server, whose CPU time is not seen.
"""

import argparse
import contextlib
import cProfile
import gc
import os
import pstats
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from app import evals, intake, pricing, scoring
from app.extraction import Extraction, extract
from app.masking import mask_text
from app.search import words
from app.store import database, evaluators, keys, payloads
from app.store.accept import Submission, store
from app.store.evaluators import Definition, EvaluatorRow
from app.store.models import Kind
from benchmarks import bodies, running

T = TypeVar("T")

BATCH = 100
LIMITS = intake.Limits(item_bytes=4 << 20, batch_items=BATCH)


def main() -> None:
    """Take exchanges through everything and print what each stage took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--bodies", choices=bodies.KINDS, default="small")
    parser.add_argument("--exchanges", type=int, default=3_000)
    parser.add_argument("--profile", action="store_true", help="print where the time goes, by function")
    options = parser.parse_args()
    with running.scratch() as folder, _store(folder) as url, _profiled(options.profile):
        _run(url, [bodies.encoded(number, "stages", options.bodies) for number in range(options.exchanges)])


def _run(url: str, items: Sequence[bytes]) -> None:
    clock = _Clock(len(items))
    project_id, project_evaluators = _evaluators()
    requests = [b'{"exchanges":[' + b",".join(chunk) + b"]}" for chunk in _chunks(items)]

    read = clock.each("intake", requests, lambda body: intake.read_batch(body, LIMITS, intake.Defaults()))
    submissions = [Submission(project_id, None, Kind.LIVE, entries, True) for entries in read]
    ids = clock.each("accept: commit", submissions, lambda submission: store([submission])[1])
    packed = clock.each("  compress", items, payloads.pack)

    # A worker's commits are relaxed.
    database.connect(url, relaxed=True)
    for name, actor in _actors().items():
        clock.each(f"step {name}", ids, actor.fn)
    clock.total()

    clock.each("  read payloads", ids, payloads.packed)
    raws = clock.each("  decompress", packed, lambda one: payloads.unpack(*one))
    found = clock.each("  extract", raws, extract)
    clock.each("  price", found, _price)
    texts = [[text for text in (one.prompt, one.completion, one.system) if text] for one in found]
    clock.each("  mask texts", texts, lambda some: [mask_text(text) for text in some])
    clock.each("  search words", texts, lambda some: words(*some))
    clock.each(f"  {len(project_evaluators)} scores", found, lambda one: _score(project_evaluators, one))


class _Clock:
    """Prints what each exchange took, in microseconds."""

    def __init__(self, exchanges: int) -> None:
        self._exchanges = exchanges
        self._cpu_s = self._wall_s = 0.0
        print(f"{'stage':20} {'CPU us':>8} {'wall us':>8}")

    def each(self, name: str, ones: Sequence[Any], work: Callable[[Any], T]) -> list[T]:
        """Do the work of a stage for each, and return what came of it."""
        # What earlier stages left behind is not this one's to collect.
        gc.collect()
        gc.freeze()
        cpu, wall = time.process_time(), time.perf_counter()
        done = [work(one) for one in ones]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if not name.startswith(" "):
            self._cpu_s, self._wall_s = self._cpu_s + cpu, self._wall_s + wall
        self._show(name, cpu, wall)
        return done

    def total(self) -> None:
        """Print the sum of the stages, parts of one left out."""
        self._show("all of it", self._cpu_s, self._wall_s)

    def _show(self, name: str, cpu_s: float, wall_s: float) -> None:
        print(f"{name:20} {cpu_s / self._exchanges * 1e6:8.1f} {wall_s / self._exchanges * 1e6:8.1f}")


@contextlib.contextmanager
def _store(folder: Path) -> Iterator[str]:
    with running.database(os.environ.get("DATABASE_URL", "")) as own_url:
        url = own_url or f"sqlite:///{folder / 'ingate.db'}"
        database.connect(url)
        database.migrate()
        try:
            yield url
        finally:
            database.close()


@contextlib.contextmanager
def _profiled(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    with cProfile.Profile() as profile:
        yield
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


def _evaluators() -> tuple[int, list[EvaluatorRow]]:
    keys.create(name="benchmark", role="owner", actor="benchmark")
    with database.session():
        project_id = keys.default_project()
    for one in running.EVALS:
        evaluators.create(
            project_id, Definition(one["name"], one["type"], evals.check_config(one["type"], one["config"]))
        )
    return project_id, evaluators.enabled([project_id])[project_id]


def _actors() -> dict[str, Any]:
    """The steps in order. Whatever they send is dropped here: the next one is called."""
    from actors.broker import broker
    from actors.worker import evaluate, extract, log

    broker.enqueue = lambda message, **_: message
    return {"extract": extract, "log": log, "evaluate": evaluate}


def _price(found: Extraction) -> pricing.Cost:
    return pricing.cost(found, status_code=200, at_ms=time.time_ns() // 1_000_000)


def _score(project_evaluators: Sequence[EvaluatorRow], found: Extraction) -> None:
    facts = scoring.evidence(found, status_code=200, latency_ms=800)
    for evaluator in project_evaluators:
        scoring.score(evaluator, 0, facts)


def _chunks(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


if __name__ == "__main__":
    main()
