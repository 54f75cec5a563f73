"""Rows of figures as a table and as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Row
from benchmarks.running import ROOT

_PROCESSES = ("web", "worker", "queue", "database", "evals", "load")


class _Column(NamedTuple):
    title: str
    width: int
    #: Raises KeyError where the row has no such figure.
    text: Callable[[Row], str]


def _cpu(process: str) -> Callable[[Row], str]:
    return lambda row: f"{row['cpu_us'][process]:,.0f}"


def _pair(row: Row, name: str) -> str:
    values = row[f"{name}_p50_ms"], row[f"{name}_p99_ms"]
    return "/".join(f"{value:.1f}" if value < 100 else f"{value:,.0f}" for value in values)


_COLUMNS = (
    _Column("bodies", 12, lambda row: f"{row['bodies']}"),
    _Column("bytes", 7, lambda row: f"{row['item_bytes']:,}"),
    _Column("accepted/s", 11, lambda row: f"{row['accepted_per_s']:,.0f}"),
    _Column("evaluated/s", 12, lambda row: f"{row['evaluated_per_s']:,.0f}"),
    _Column("MB/s", 7, lambda row: f"{row['mb_per_s']:.1f}"),
    _Column("accept ms", 13, lambda row: _pair(row, "accept")),
    _Column("evaluated ms", 15, lambda row: _pair(row, "evaluated")),
    _Column("receipt ms", 13, lambda row: _pair(row, "receipt")),
    *(_Column(name, 9, _cpu(name)) for name in _PROCESSES),
    _Column("PSS MB", 7, lambda row: f"{row['pss_mb']:,.0f}"),
    _Column("disk B", 8, lambda row: f"{row['disk_bytes']:,.0f}"),
    _Column("start s", 8, lambda row: f"{row['start_s']:.2f}"),
)


def median(rows: Sequence[Row]) -> Row:
    """Return the median of each figure of a case that was run several times."""
    return {name: _median([row[name] for row in rows]) for name in rows[0]}


def show(rows: Sequence[Row]) -> None:
    """Print rows as a table, with the ratio to the same case on an empty store below those that have one."""
    head = "".join(f"{column.title:>{column.width}}" for column in _COLUMNS)
    for name in dict.fromkeys(_title(row) for row in rows):
        print(f"\n{name}\n{'load':8}{head}")
        for row in (row for row in rows if _title(row) == name):
            print(f"{row['load']:8}" + "".join(f"{_cell(column, row):>{column.width}}" for column in _COLUMNS))
    for ratio in ratios(rows):
        print(f"\n{ratio}")
    print("\nms: p50/p99. web to load: CPU microseconds an exchange. PSS: all of `ingate up`, highest of the run.")


def ratios(rows: Sequence[Row]) -> list[str]:
    """Say how fast each case is on a store that has exchanges already, compared with the same on an empty one."""
    rates = {(row["backend"], row["load"], row["bodies"], row["seeded"]): row.get("evaluated_per_s") for row in rows}
    return [
        f"{backend}, {load} of {bodies}: {rate / rates[backend, load, bodies, False]:.0%} of the rate on an empty store"
        for (backend, load, bodies, seeded), rate in rates.items()
        if seeded and rate and rates.get((backend, load, bodies, False))
    ]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON, with the machine and the commit they are of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "commit": _commit(), "rows": rows}, indent=1) + "\n")


def machine() -> str:
    """Name what this runs on."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = f"{os.cpu_count()} cores {models[0] if models else platform.machine()}"
    return f"{cpu}, {memory:.0f} GiB, Python {platform.python_version()}"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _title(row: Row) -> str:
    return f"{row['backend']}, on what was there" if row["seeded"] else f"{row['backend']}, empty"


def _cell(column: _Column, row: Row) -> str:
    try:
        return column.text(row)
    except KeyError:
        return ""


def _median(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _median([value[name] for value in values]) for name in values[0]}
    return values[0] if isinstance(values[0], str | bool) else statistics.median(values)
