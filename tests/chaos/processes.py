"""Processes that are started again whenever they end, each in a process group of its own, as a platform runs them."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import ROOT


class Process:
    """A process of the product, kept running."""

    def __init__(self, name: str, command: Sequence[str], environ: dict[str, str], log: Path) -> None:
        self.name = name
        self._command, self._environ, self._log = list(command), environ, log
        self._wanted = False
        self._lock = threading.Lock()
        #: How often it was started.
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and from now on whenever it has ended."""
        self._wanted = True
        self.look_after()

    def look_after(self) -> None:
        """Start it when it should run and does not; what is left of its group is killed first."""
        with self._lock:
            if not self._wanted or (self._process is not None and self._process.poll() is None):
                return
            self._kill_group()
            self.starts += 1
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, cwd=ROOT, env=self._environ, stdout=log, stderr=log, start_new_session=True
                )

    def kill(self) -> None:
        """kill -9 of its whole group."""
        with self._lock:
            self._kill_group()

    def roll(self, patience_s: float) -> float:
        """Ask it to stop, as a deploy does, and return the seconds until it ended; it is started again.

        Raises subprocess.TimeoutExpired when it did not end by itself.
        """
        process = self._process
        assert process is not None
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(patience_s)
        return time.monotonic() - asked

    def stop(self) -> None:
        """End it for good, at once."""
        with self._lock:
            self._wanted = False
            self._kill_group()
            if self._process is not None:
                self._process.wait()

    def output(self) -> str:
        """What it printed, over all its lives."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class Supervisor:
    """Looks after processes in a thread."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all of them."""
        for process in self._processes:
            process.start()
        self._thread.start()

    def stop(self) -> None:
        """End all of them."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for process in self._processes:
            process.stop()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            for process in self._processes:
                process.look_after()
