"""`ingate up`: what ends is started again, with a pause and the reason."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.conftest import wait_until
from web import up
from web.up import Child

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
IGNORES = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)",
]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Child]]:
    """Children that are gone when the test ends."""
    monkeypatch.setattr(up, "PAUSE_S", 0.1)
    made: list[Child] = []
    yield made
    up._stop(made, 0.05)


def child(children: list[Child], command: list[str]) -> Child:
    made = Child("web", command, pause_s=0.1)
    children.append(made)
    made.start()
    return made


def ended(one: Child) -> bool:
    return one.process is not None and one.process.poll() is not None


def test_a_child_that_runs_is_left_alone(children: list[Child], capsys: pytest.CaptureFixture[str]) -> None:
    one = child(children, SLEEPS)
    process = one.process

    for _ in range(5):
        one.look_after()

    assert one.process is process
    assert one.running()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("code", "reason"), [("raise SystemExit(3)", "exit code 3"), ("pass", "exit code 0")])
def test_a_child_that_ends_is_started_again_and_the_reason_is_told(
    children: list[Child], capsys: pytest.CaptureFixture[str], code: str, reason: str
) -> None:
    one = child(children, [sys.executable, "-c", code])
    first = one.process
    wait_until(lambda: ended(one))

    one.look_after()
    assert not one.running()
    wait_until(lambda: (one.look_after(), one.process is not first)[1])

    assert f"web ended ({reason}); starting it again in 0.1 s" in capsys.readouterr().err


def test_a_killed_child_is_told_by_its_signal(children: list[Child], capsys: pytest.CaptureFixture[str]) -> None:
    one = child(children, SLEEPS)
    assert one.process is not None
    os.kill(one.process.pid, signal.SIGKILL)
    wait_until(lambda: ended(one))

    one.look_after()

    assert "killed by SIGKILL" in capsys.readouterr().err


def test_the_pause_doubles_while_a_child_keeps_ending(children: list[Child], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "MAX_PAUSE_S", 0.4)
    one = child(children, [sys.executable, "-c", "raise SystemExit(1)"])
    pauses = []

    for _ in range(4):
        wait_until(lambda: ended(one))
        pauses.append(one.pause_s)
        one.look_after()
        one.start_again_at = 0.0
        one.start()

    assert pauses == [0.1, 0.2, 0.4, 0.4]


def test_the_pause_is_short_again_after_a_child_was_well(
    children: list[Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child(children, [sys.executable, "-c", "raise SystemExit(1)"])
    one.pause_s = 30.0
    one.started -= up.WELL_S + 1
    wait_until(lambda: ended(one))

    one.look_after()

    assert one.start_again_at - time.monotonic() < 1


def test_stopping_ends_children_in_time_and_kills_those_that_do_not(
    children: list[Child], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = child(children, SLEEPS), child(children, IGNORES)
    wait_until(lambda: all(one.running() for one in children))
    time.sleep(0.3)  # until the signal is ignored; its process cannot tell us
    started = time.monotonic()

    up._stop(children, 0.5)

    assert time.monotonic() - started < 5
    assert not good.running()
    assert not bad.running()
    assert "web did not stop in 0.5 s: killed" in capsys.readouterr().err


def test_a_grandchild_does_not_outlive_its_parent(children: list[Child]) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    code = f"import subprocess, time; child = subprocess.Popen({sleep}); time.sleep(600)"
    one = child(children, [sys.executable, "-c", code])
    assert one.process is not None
    group = one.process.pid
    wait_until(lambda: len(members(group)) == 2)

    up._stop(children, 0.5)

    wait_until(lambda: not members(group))


def members(group: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(path.parent.name)
    return found


def test_a_data_folder_has_one_ingate(tmp_path: Path) -> None:
    with up._alone(tmp_path) as first, up._alone(tmp_path) as second:
        assert (first, second) == (True, False)

    with up._alone(tmp_path) as again:
        assert again


def test_the_bundled_queue_runs_only_where_no_other_is_named(tmp_path: Path) -> None:
    own = up._queue(Settings.from_environ({"INGATE_DATA": str(tmp_path)}))
    other = up._queue(Settings.from_environ({"INGATE_DATA": str(tmp_path), "REDIS_URL": "redis://host"}))

    assert [one.name for one in own] == ["queue"]
    assert other == []


def test_what_a_killed_child_left_behind_is_killed_before_it_starts_again(children: list[Child]) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    code = f"import subprocess, time; child = subprocess.Popen({sleep}); time.sleep(600)"
    one = child(children, [sys.executable, "-c", code])
    assert one.process is not None
    group = one.process.pid
    wait_until(lambda: len(members(group)) == 2)
    os.kill(group, signal.SIGKILL)
    wait_until(lambda: ended(one))

    one.look_after()

    wait_until(lambda: not members(group))


def test_a_port_that_another_program_has_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        code = up.run(Settings.from_environ({"INGATE_DATA": str(tmp_path), "PORT": str(port)}))

    assert (code, capsys.readouterr().err) == (
        1,
        f"PORT={port}: another program listens there; choose another one\n",
    )
