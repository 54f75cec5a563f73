"""What befalls a running system: one function per fault, and a schedule that spreads them over the load."""

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from tests.chaos.load import Load
from tests.chaos.servers import Postgresql, Sqlite, hold
from tests.chaos.system import System

#: How long processes may take to stop when they are asked to.
WEB_STOP_S, WORKER_STOP_S = 10.0, 25.0
#: The database is away for at most this long; a client waits longer.
MAX_DOWN_S = 5.0
SCRAMBLED = 100


class Victims:
    """The exchanges that were in a worker's hands when it was killed, and when that was."""

    def __init__(self, system: System) -> None:
        self._system = system
        #: Time of the kill in ms since 1970, by exchange, step and attempt.
        self._killed_at: dict[tuple[int, int, int], float] = {}

    def kill(self) -> None:
        """Kill every worker and take down what they held."""
        for worker in self._system.workers():
            worker.kill()
        killed_at = time.time() * 1000
        # A lease without an error is a claim; with one, it is a backoff, and nobody holds it.
        held = self._system.database.query(
            f"""SELECT exchange_id, step, attempts FROM pending
                 WHERE leased_until > {round(killed_at)} AND last_error IS NULL"""
        )
        for row in held:
            # What an earlier kill left behind is leased until its time, too.
            self._killed_at.setdefault((row[0], row[1], row[2]), killed_at)

    def recoveries_s(self) -> list[float]:
        """Return how long after its last kill each of them was evaluated, in ascending order."""
        last: dict[int, float] = {}
        for (exchange_id, _, _), killed_at in self._killed_at.items():
            last[exchange_id] = max(killed_at, last.get(exchange_id, 0.0))
        rows = self._system.database.query("SELECT exchange_id, evaluated_at FROM finished")
        return sorted((row[1] - last[row[0]]) / 1000 for row in rows if row[0] in last)


class Schedule:
    """Faults in a random order, one after the other as the load goes on."""

    def __init__(self, system: System, load: Load, counts: Mapping[str, int], rng: random.Random) -> None:
        self._system, self._load, self._rng = system, load, rng
        self.victims = Victims(system)
        self._order = [name for name, count in counts.items() for _ in range(count)]
        rng.shuffle(self._order)
        #: What has happened, by name.
        self.done: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until all have happened."""
        self._thread.join()

    def _run(self) -> None:
        total = sum(len(request.numbers) for request in self._load.requests)
        for position, name in enumerate(self._order, 1):
            while self._load.sending() and len(self._load.acked) < total * position / (len(self._order) + 1):
                time.sleep(0.02)
            try:
                FAULTS[name](self)
                self.done[name] += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the report must say it
                self._load.findings.append(f"{name}: {error!r}")

    def kill_web(self) -> None:
        """kill -9 of the web process."""
        self._system.processes["web"].kill()

    def roll_web(self) -> None:
        """SIGTERM, and a new one once it has ended."""
        self._roll("web", WEB_STOP_S)

    def roll_worker(self) -> None:
        """SIGTERM, and a new one once it has ended."""
        self._roll(self._rng.choice(self._system.workers()).name, WORKER_STOP_S)

    def restart_database(self) -> None:
        """An immediate stop of PostgreSQL, and a start after a while."""
        assert isinstance(self._system.database, Postgresql)
        self._system.database.restart(self._rng.uniform(0, MAX_DOWN_S))

    def lock_database(self) -> None:
        """Another program writes into the SQLite file for 3 s."""
        assert isinstance(self._system.database, Sqlite)
        hold(3, self._system.database.locked()).join()

    def scramble(self) -> None:
        """Messages that were not sent, in the wrong order."""
        self._system.scramble(self._rng, SCRAMBLED)

    def restart_queue(self) -> None:
        """kill -9 of the queue server, which comes back empty."""
        self._system.queue.restart()

    def flush_queue(self) -> None:
        """FLUSHALL."""
        self._system.queue.flush()

    def kill_worker(self) -> None:
        """kill -9 of every worker."""
        self.victims.kill()

    def _roll(self, name: str, patience_s: float) -> None:
        try:
            self._system.processes[name].roll(patience_s)
        except subprocess.TimeoutExpired:
            self._load.findings.append(f"{name} did not stop within {patience_s:g} s")
            self._system.processes[name].kill()


FAULTS: dict[str, Callable[[Schedule], None]] = {
    "web kill -9": Schedule.kill_web,
    "worker kill -9": Schedule.kill_worker,
    "queue kill -9, back empty": Schedule.restart_queue,
    "queue FLUSHALL": Schedule.flush_queue,
    "database restart, immediate": Schedule.restart_database,
    "database locked": Schedule.lock_database,
    "web SIGTERM": Schedule.roll_web,
    "worker SIGTERM": Schedule.roll_worker,
    "messages out of order": Schedule.scramble,
}
