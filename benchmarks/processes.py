"""What processes take, from /proc: CPU time, and memory as PSS (a page that n processes share counts 1/n for each)."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Reading PSS takes a millisecond or more for each process, so it is not done often.
_SAMPLE_S = 1.0


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for child in _all():
        with contextlib.suppress(OSError):
            children.setdefault(int(_stat(child)[1]), []).append(child)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def children(pid: int) -> list[int]:
    """Return the processes that a process started itself."""
    return [child for child in tree(pid) if _parent(child) == pid]


def command(pid: int) -> str:
    """Return a process's command line, or what it calls itself; "" when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def matching(wanted: Callable[[str], bool]) -> list[int]:
    """Return the processes of this machine whose command line is wanted."""
    return [pid for pid in _all() if wanted(command(pid))]


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have taken, and those of their children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICKS_PER_S


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the memory of processes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class PeakPss:
    """The largest memory of a process and all that descend from it, looked at every second while inside `with`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._bytes = 0

    def __enter__(self) -> "PeakPss":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> int:
        """Look now; return the most seen so far, in bytes."""
        self._bytes = max(self._bytes, pss_bytes(tree(self._pid)))
        return self._bytes

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            self.look()


def _all() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(_stat(pid)[1])
    return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name: state, parent, …; 11 to 14 are the CPU times."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
