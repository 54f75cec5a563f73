"""What the queue and the database can do to an Ingate: be full, be locked, be away. Nothing accepted is lost by it."""

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.check import Report
from tests.chaos.exchanges import Exchanges
from tests.chaos.load import Load, mixed
from tests.chaos.servers import Postgresql, Sqlite, hold
from tests.chaos.system import System, running
from tests.conftest import wait_until

LEASE_MS = 2_000
#: The product waits 5 s for a lock; the machine may be slow.
GIVEN_UP_S = 5 + 3


@pytest.mark.backend
def test_a_full_queue_changes_no_answer_and_is_worked_off_when_there_is_room(backend: str) -> None:
    with running(backend, lease_ms=LEASE_MS) as system:
        exchanges, load = fresh(system, "full")
        system.queue.limit(1)

        load.send(mixed(0, 500, random.Random(1))).join()

        assert set(load.answers) == {"202"}
        system.queue.limit(0)
        assert_sound(system, exchanges, load)


def test_workers_whose_clocks_are_off_by_ten_minutes_double_nothing() -> None:
    own = {"worker-early": {"skew_s": -600.0}, "worker-late": {"skew_s": +600.0}}
    with running(processes=("web", *own), own=own, lease_ms=LEASE_MS) as system:
        exchanges, load = fresh(system, "skew")

        load.send(mixed(0, 1_000, random.Random(2))).join()

        assert_sound(system, exchanges, load)


def test_a_locked_sqlite_is_waited_for_and_after_5_s_the_client_is_told_to() -> None:
    with running(lease_ms=LEASE_MS) as system:
        assert isinstance(system.database, Sqlite)
        exchanges, load = fresh(system, "locked")
        locked = hold(3, system.database.locked())

        load.send(mixed(0, 300, random.Random(3))).join()
        locked.join()

        assert set(load.answers) == {"202"}
        locked = hold(7, system.database.locked())
        load.send(mixed(300, 600, random.Random(4))).join()
        locked.join()
        assert set(load.answers) == {"202", "503"}
        assert 4 < load.slowest_s["503"] < GIVEN_UP_S
        assert_sound(system, exchanges, load)


@pytest.mark.backend
def test_a_postgresql_that_is_away_for_5_s_is_answered_503_until_it_is_back(backend: str) -> None:
    if backend != "postgresql":
        pytest.skip("runs where DATABASE_URL names a PostgreSQL")
    with running(backend, lease_ms=LEASE_MS) as system:
        assert isinstance(system.database, Postgresql)
        exchanges, load = fresh(system, "away")
        load.rate = 100
        load.send(mixed(0, 800, random.Random(5)))

        system.database.restart(down_s=5)

        load.join()
        assert set(load.answers) == {"202", "503"}
        assert_sound(system, exchanges, load)


def test_a_full_disk_is_answered_503_and_what_was_accepted_stays_readable(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=24) as disk, running(data=disk, lease_ms=LEASE_MS) as system:
        assert isinstance(system.database, Sqlite)
        exchanges, load = fresh(system, "disk")
        load.send(mixed(0, 200, random.Random(6))).join()
        ballast = fill(disk)

        load.send(mixed(200, 400, random.Random(7)))
        wait_until(lambda: load.answers["503"] > 0, why=system.output)

        assert system.get(f"/api/v1/logs/{exchanges.request_id(0)}").status_code == 200
        ballast.unlink()
        load.join()
        assert set(load.answers) == {"202", "503"}
        assert_sound(system, exchanges, load)
        assert system.database.is_whole()


def fresh(system: System, run: str) -> tuple[Exchanges, Load]:
    """Return exchanges of a run and the clients that send them."""
    exchanges = Exchanges(run)
    return exchanges, system.load(exchanges)


def assert_sound(system: System, exchanges: Exchanges, load: Load) -> Report:
    """Everything sent was accepted, and everything accepted is evaluated."""
    system.drain(exchanges, 60)
    report = system.report(exchanges, load)
    assert report.violations == [], system.output()
    assert report.acked == report.evaluated == sum(len(request.numbers) for request in load.requests)
    return report


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """A disk of its own in memory."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        # Lazily: the processes that were killed a moment ago may not have ended yet.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte; return the file that does."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(bytes(1)):
            pass
    return ballast
