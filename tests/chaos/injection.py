"""What a launched process does to itself: dies at a crash point, delivers often, reads another clock, carries a mutant.

The harness puts an Injection into the environment; the launched modules `web_process` and `worker_process` import the
real ones and call `install`. Everything is done by wrapping names: a name that is gone stops the start.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec
import peewee

from tests.chaos import mutants
from tests.chaos.patching import patch
from tests.chaos.points import POINTS, Point

VARIABLE = "CHAOS_INJECTION"
#: What a poison has somewhere in its bytes, before its kind.
POISON = b"chaos-poison:"
#: What an exchange has that cannot be read the first time, before its name.
HICCUP = b"chaos-hiccup:"
#: Memory that a process may have on top of what it has when it starts, so that a greedy exchange ends in MemoryError.
SPARE_BYTES = 512 << 20


class Crash(msgspec.Struct, kw_only=True, frozen=True):
    """An end at a crash point, once in the life of an Injection's folder."""

    point: str
    #: Which time through the point.
    nth: int = 1
    #: Pause at the point before the end, so that others see what was told before.
    hold_s: float = 0.0
    #: kill: SIGKILL of the whole process group; refuse: the database fails there instead.
    action: str = "kill"


class Injection(msgspec.Struct, kw_only=True, frozen=True):
    """What a launched process does to itself."""

    #: Where marks are left: what happened already, and which poison was tried.
    folder: str
    #: One after the other: the first one that has no mark is armed when the process starts.
    crashes: tuple[Crash, ...] = ()
    mutant: str = ""
    #: How often each message is put into the queue.
    deliveries: int = 1
    #: How far this process's clock is off.
    skew_s: float = 0.0
    #: Replaces the product's lease, backoff and heartbeat, so that a test need not wait 30 s; 0 keeps them.
    lease_ms: int = 0


def install() -> None:
    """Do to this process what the environment says."""
    injection = msgspec.json.decode(os.environ[VARIABLE], type=Injection)
    if injection.lease_ms:
        _shorten(injection.lease_ms)
    if injection.skew_s:
        _skew(injection.skew_s)
    if injection.deliveries > 1:
        _deliver(injection.deliveries)
    _take_poison(Path(injection.folder))
    if injection.mutant:
        mutants.MUTANTS[injection.mutant]()
    armed = next((c for c in injection.crashes if not mark(injection.folder, c).exists()), None)
    if armed is not None:
        _arm(armed, mark(injection.folder, armed))


def mark(folder: str | Path, crash: Crash) -> Path:
    """The file that says that a crash happened."""
    return Path(folder) / f"crashed at {crash.point.replace('/', '-')}"


def tries(folder: str | Path) -> dict[str, int]:
    """How often each poison was worked on, by its kind and name."""
    found = {}
    for path in Path(folder).glob("poison *"):
        found[path.name.removeprefix("poison ")] = path.stat().st_size
    return found


def _arm(crash: Crash, marked: Path) -> None:
    point, passes = POINTS[crash.point], iter(range(1, sys.maxsize))

    def through() -> None:
        if next(passes) != crash.nth:
            return
        time.sleep(crash.hold_s)
        marked.touch()
        if crash.action == "refuse":
            raise peewee.OperationalError("injected: the database went away")
        os.killpg(0, signal.SIGKILL)

    def wrap(real: Any) -> Any:
        @wraps(real)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            here = _is_here(point, args)
            if here and point.when == "before":
                through()
            result = real(*args, **kwargs)
            if here and point.when == "after":
                through()
            return result

        return wrapped

    patch(point.target, wrap)


def _is_here(point: Point, args: tuple[Any, ...]) -> bool:
    if point.model and args[0].__name__ != point.model:
        return False
    if not point.within:
        return True
    frame: Any = sys._getframe(1)
    while frame is not None:
        if f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}" == point.within:
            return True
        frame = frame.f_back
    return False


def _shorten(lease_ms: int) -> None:
    from actors.broker import broker
    from app.store import pending

    patch("app.store.pending.HEAD_START_MS", lambda real: real * lease_ms // pending.LEASE_MS)
    for target in ("app.store.pending.LEASE_MS", "app.store.accept.LEASE_MS"):
        patch(target, lambda _: lease_ms)
    patch("app.store.pending.BACKOFF_MS", lambda real: tuple(min(ms, lease_ms) for ms in real))
    broker.heartbeat_timeout = lease_ms


def _skew(seconds: float) -> None:
    real = time.time

    def skewed() -> float:
        return real() + seconds

    # Who did `from time import time` has its own name for it.
    for module in [module for module in sys.modules.values() if getattr(module, "time", None) is real]:
        module.time = skewed  # type: ignore[attr-defined]


def _deliver(times: int) -> None:
    def wrap(real: Any) -> Any:
        def enqueue(*args: Any, **kwargs: Any) -> Any:
            return [real(*args, **kwargs) for _ in range(times)][-1]

        return enqueue

    patch("dramatiq.brokers.redis.RedisBroker.enqueue", wrap)


def _take_poison(folder: Path) -> None:
    """Make marked exchanges deadly to whoever extracts them."""

    def wrap(real: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def extract(raw: bytes) -> Any:
            if (name := _named(raw, HICCUP)) and not (folder / f"hiccup {name}").exists():
                (folder / f"hiccup {name}").touch()
                _raise()
            if name := _named(raw, POISON):
                with (folder / f"poison {name}").open("ab") as tried:
                    tried.write(b".")
                _KINDS[name.partition(" ")[0]]()
            return real(raw)

        return extract

    patch("actors.reading.extract", wrap)


def _named(raw: bytes, marker: bytes) -> str:
    start = raw.find(marker)
    return raw[start + len(marker) : raw.index(b";", start)].decode() if start >= 0 else ""


def _kill() -> None:
    os.killpg(0, signal.SIGKILL)


def _recurse() -> None:
    _recurse()


def _raise() -> None:
    raise ValueError("injected: this exchange cannot be read")


def _eat() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_BYTES, hard))
    try:
        eaten = []
        while True:
            eaten.append(bytes(64 << 20))
    finally:
        eaten.clear()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, hard))


_KINDS = {"kill": _kill, "recurse": _recurse, "raise": _raise, "eat": _eat}
KINDS = tuple(_KINDS)
