"""`make bench`: how much this machine takes, case by case, on SQLite and the bundled queue server and, where
DATABASE_URL and REDIS_URL are set, on those servers too, in a database of its own. docs/benchmarks.md explains.
"""

import argparse
import os
from pathlib import Path

from benchmarks import bodies, report
from benchmarks.cases import CASES, LOADS
from benchmarks.measure import Row, measure
from benchmarks.running import Backend

RESULTS = Path("benchmarks/results.json")
SQLITE, POSTGRESQL = "SQLite + Valkey", "PostgreSQL + Redis"


def main() -> None:
    """Run the chosen cases, print the table and write it as JSON."""
    options = _options()
    cases = [case for case in CASES if case.load in options.load and case.bodies in options.bodies]
    if bodies.recordings() is None:
        print("recordings: left out, there is no folder of them; INGATE_RECORDINGS names one")
        cases = [case for case in cases if case.bodies != "recordings"]
    rows: list[Row] = []
    for backend in _backends(options):
        for case in cases:
            wanted = case._replace(exchanges=options.exchanges or case.exchanges)
            print(f"… {backend.name}: {wanted.load} of {wanted.exchanges:,} {wanted.bodies}", flush=True)
            rows.append(report.median([measure(wanted, backend) for _ in range(options.repeat)]))
    report.show(rows)
    report.write(options.output, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--backend", choices=("sqlite", "postgresql"), nargs="+", default=("sqlite", "postgresql"))
    parser.add_argument("--load", choices=LOADS, nargs="+", default=tuple(LOADS))
    parser.add_argument("--bodies", choices=bodies.KINDS, nargs="+", default=bodies.KINDS)
    parser.add_argument("--exchanges", type=int, help="of each case; default: what the case says")
    parser.add_argument("--repeat", type=int, default=1, help="run each case so often; the table has the medians")
    parser.add_argument("--data", type=Path, help="run on this data folder too, whose SQLite has exchanges; adds to it")
    parser.add_argument("--database-url", default="", help="the same for a PostgreSQL database that has exchanges")
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"JSON of the figures; default: {RESULTS}")
    return parser.parse_args()


def _backends(options: argparse.Namespace) -> list[Backend]:
    found = []
    server_url, redis_url = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if "sqlite" in options.backend:
        found.append(Backend(SQLITE))
        if options.data:
            found.append(Backend(SQLITE, seeded=True, data=options.data.resolve()))
    if "postgresql" in options.backend and server_url and redis_url:
        found.append(Backend(POSTGRESQL, server_url, redis_url))
        if options.database_url:
            found.append(Backend(POSTGRESQL, options.database_url, redis_url, seeded=True))
    return found


if __name__ == "__main__":
    main()
