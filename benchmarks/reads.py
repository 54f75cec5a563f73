"""`python -m benchmarks.reads`: what reads take over HTTP on a seeded database (see benchmarks/seed.py).

One keep-alive connection to a web process of its own; p50 and p95 in milliseconds as the client sees them, the web
process's CPU time, and the statements of one request, which an app in this process counts.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from app.settings import Settings
from app.store import database, keys, sessions
from app.store.database import execute
from benchmarks.report import machine
from benchmarks.seed import DAYS, MODELS, WORDS, _Vocabulary

RESULTS = Path("benchmarks/reads.json")
#: Goals of the p95 in milliseconds, by what a read's name begins with.
GOALS = {"list": 10, "search": 20}


def main() -> None:
    """Measure every read and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=30, help="of each read")
    arguments.add_argument("--only", default="", help="only reads whose name holds this")
    arguments.add_argument("--output", type=Path, default=RESULTS)
    wanted = arguments.parse_args()
    settings = Settings.from_environ()
    database.connect(settings.database_url)
    with database.session():
        database.migrate()
        key, token = keys.create(name="benchmark", role="owner", actor="benchmark")
        link = sessions.create_link("owner")
        reads = {name: path for name, path in _reads().items() if wanted.only in name}
    try:
        rows = _measure(reads, token, link, wanted.requests)
        _count(rows, settings, reads, token)
    finally:
        database.connect(settings.database_url)
        keys.revoke(key.id, actor="benchmark")
        database.close()
    _show(rows)
    backend = "SQLite" if settings.database_url.startswith("sqlite") else "PostgreSQL"
    wanted.output.write_text(json.dumps({"machine": machine(), "backend": backend, "rows": rows}, indent=1) + "\n")


def _reads() -> dict[str, str]:
    """Return every read's path by its name; those of the dashboard do not begin with /api."""
    highest, project_id = execute("SELECT max(id), min(project_id) FROM exchange")[0]
    request_id, user, session, batch = execute(
        """SELECT e.request_id, e.user_id, e.session_id, b.batch_id FROM exchange e JOIN batch b ON b.id = e.batch
            WHERE e.id > ? AND e.user_id IS NOT NULL ORDER BY e.id LIMIT 1""",
        [highest // 3],
    )[0]
    evaluator = execute("SELECT min(id) FROM evaluator WHERE project_id = ?", [project_id])[0][0]
    causes = execute("SELECT min(fingerprint) FROM failure WHERE project_id = ?", [project_id])[0][0]
    words = _Vocabulary(random.Random(0)).words
    now = dt.datetime.fromtimestamp(database.now() / 1000, dt.UTC)
    days = [f"{now - dt.timedelta(days=n):%Y-%m-%dT%H:%M:%SZ}" for n in range(DAYS)]
    common, second, some, few, rare = words[0], words[1], words[300], words[5_000], words[WORDS - 1]
    queries = {
        "list": "",
        "list model": f"model:{MODELS[0][1]}",
        "list rare model": f"model:{MODELS[-1][1]}",
        "list absent model": "model:nothing",
        "list model glob": "model:gpt-4*",
        "list rare model glob": "model:o3*",
        "list two models": "model:gpt-4o,o3",
        "list not model": "-model:gpt-4o-mini",
        "list provider": "provider:mistral",
        "list status": "status:429",
        "list rare status": "status:404",
        "list absent status": "status:418",
        "list status 5xx": "status:5xx",
        "list user": f"user:{user}",
        "list absent user": "user:nobody",
        "list session": f"session:{session}",
        "list not user": f"-user:{user}",
        "list batch": f"batch:{batch}",
        "list id": f"id:{request_id}",
        "list cost": "cost:>0.01",
        "list high cost": "cost:>1",
        "list low cost": "cost:<0.00001",
        "list latency": "latency:>10s",
        "list high latency": "latency:>60s",
        "list tokens": "tokens:>20k",
        "list high tokens": "tokens:>1000k",
        "list finish": "finish:content_filter",
        "list path": "path:*/embeddings",
        "list is:error": "is:error",
        "list is:failed": "is:failed",
        "list is:discarded": "is:discarded",
        "list is:pending": "is:pending",
        "list is:odd": "is:odd",
        "list is:refusal": "is:refusal",
        "list is:unpriced": "is:unpriced",
        "list is:ok": "is:ok",
        "list model and error": f"model:{MODELS[1][1]} is:error",
        "list rare model and status": f"model:{MODELS[-1][1]} status:429",
        "list user and model": f"user:{user} model:gpt-4o",
        "list user and provider, nothing": f"user:{user} provider:nothing",
        "search common word": common,
        "search two common words": f"{common} {second}",
        "search word in 1 of 100": some,
        "search word in 1 of 2,000": few,
        "search rare word": rare,
        "search absent word": "quixotic",
        "search prefix": f"{common[:4]}*",
        "search rare prefix": f"{rare[:5]}*",
        "search common and rare": f"{common} {rare}",
        "search not common": f"-{common}",
        "search common, model": f"{common} model:{MODELS[-1][1]}",
        "search common, status": f"{common} status:429",
        "search common, user": f"{common} user:{user}",
        "search some, error": f"{some} is:error",
        "search rare, model": f"{rare} model:gpt-4o*",
    }
    logs = "/api/v1/logs"
    found = {name: f"{logs}?{urllib.parse.urlencode({'q': q})}" for name, q in queries.items()}
    window = urllib.parse.urlencode({"from": days[15], "to": days[14]})
    deep = f"cursor={highest // 2}"
    found |= {
        "list deep page": f"{logs}?{deep}",
        "list deep page, model": f"{logs}?q=model:gpt-4o&{deep}",
        "list deep page, error": f"{logs}?q=is:error&{deep}",
        "list last page": f"{logs}?cursor=60",
        "list limit 200": f"{logs}?limit=200",
        "list from": f"{logs}?from={days[1]}",
        "list to": f"{logs}?to={days[20]}",
        "list from, to": f"{logs}?{window}",
        "list from, to, status": f"{logs}?{window}&q=status:404",
        "list from, to, not model": f"{logs}?{window}&q=-model:gpt*",
        "list future": f"{logs}?from=2100-01-01T00:00:00Z",
        "search from, to": f"{logs}?{window}&q={common}",
        "search from, to, rare": f"{logs}?{window}&q={rare}",
        "one exchange": f"{logs}/{request_id}",
        "one exchange, no bodies": f"{logs}/{request_id}?bodies=false",
        "receipt": f"/api/v1/ingest/{request_id}",
        "batches": "/api/v1/batches",
        "one batch": f"/api/v1/batches/{batch}",
        "one batch, a state": f"/api/v1/batches/{batch}?state=failed",
        "evals": "/api/v1/evals",
        "scores of an evaluator": f"/api/v1/evals/{evaluator}/scores",
        "failures": "/api/v1/failures",
        "one cause": f"/api/v1/failures/{causes}",
        "unpriced": "/api/v1/unpriced",
        "metrics": "/metrics",
        "page exchanges": "/exchanges",
        "page exchanges, model": "/exchanges?model=gpt-4o&t=24h",
        "page exchanges, search": f"/exchanges?q={common}",
        "page one exchange": f"/exchanges/{request_id}",
        "page batches": "/batches",
        "page evals": "/evals",
        "page one eval": f"/evals/{evaluator}",
        "page failures": "/failures",
        "page jobs": "/jobs",
    }
    return found


def _measure(reads: dict[str, str], token: str, link: str, requests: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="ingate-reads-") as folder:
        port = 18_000 + os.getpid() % 2000
        environ = {**os.environ, "PORT": str(port), "INGATE_LOG_LEVEL": "error", "DATABASE_URL": _url()}
        log = (Path(folder) / "web.log").open("wb")
        with subprocess.Popen(
            [sys.executable, "-m", "web", "web"], env=environ | {"INGATE_DATA": folder}, stdout=log, stderr=log
        ) as process:
            try:
                _wait_for(port)
                return list(_rows(port, process.pid, reads, token, link, requests))
            finally:
                process.send_signal(signal.SIGINT)


def _url() -> str:
    return Settings.from_environ().database_url


def _rows(port: int, pid: int, reads: dict[str, str], token: str, link: str, requests: int) -> Iterator[dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    signed_in = _get(connection, f"/sign-in?token={link}", {})
    headers = {"X-Ingate-Key": token, "Cookie": (signed_in.getheader("Set-Cookie") or "").partition(";")[0]}
    for name, path in reads.items():
        answer = _get(connection, path, headers)
        took, cpu = [], _cpu_s(pid)
        while len(took) < requests and sum(took) < 5_000:
            started = time.perf_counter()
            _get(connection, path, headers)
            took.append((time.perf_counter() - started) * 1000)
        cpu_ms = (_cpu_s(pid) - cpu) * 1000 / len(took)
        took.sort()
        goal = next((goal for start, goal in GOALS.items() if name.startswith(start)), None)
        yield {
            "read": name, "status": answer.status, "rows": answer.rows, "p50_ms": took[len(took) // 2],  # type: ignore[attr-defined]
            "p95_ms": took[int(len(took) * 0.95)], "cpu_ms": cpu_ms, "goal_ms": goal,
        }  # fmt: skip
        if answer.status != 200:
            # The web process ends a statement that takes too long, and the connection with it.
            connection.close()


def _get(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    is_list = body.startswith(b'{"data":')
    answer.rows = len(json.loads(body)["data"]) if is_list else None  # type: ignore[attr-defined]
    return answer


def _cpu_s(pid: int) -> float:
    """CPU time of a process and its children, in seconds."""
    total, children = 0.0, [pid]
    while children:
        current = children.pop()
        try:
            fields = Path(f"/proc/{current}/stat").read_text().rsplit(")", 1)[1].split()
            children += [int(c) for c in Path(f"/proc/{current}/task/{current}/children").read_text().split()]
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _count(rows: list[dict[str, Any]], settings: Settings, reads: dict[str, str], token: str) -> None:
    """Add how many statements each read of the API costs."""
    from web.app import create_app

    counts: dict[str, int] = {}

    async def count() -> None:
        app = create_app(settings)
        async with app.test_app() as running:
            client = running.test_client()
            for name, path in reads.items():
                if not path.startswith("/api"):
                    continue
                headers = {"X-Ingate-Key": token}
                await client.get("/api/v1/project", headers=headers)  # who calls is known from here on
                statements: list[int] = []
                kind = type(database.db.obj)
                real = kind.cursor

                def counted(self: Any, *args: Any) -> Any:
                    statements.append(1)  # noqa: B023 - used in this turn of the loop only
                    return real(self, *args)  # noqa: B023

                with mock.patch.object(kind, "cursor", counted):
                    await client.get(path, headers=headers)
                counts[name] = len(statements)

    asyncio.run(count())
    for row in rows:
        row["statements"] = counts.get(row["read"])


def _show(rows: list[dict[str, Any]]) -> None:
    print(f"{'read':34} {'status':>6} {'rows':>5} {'p50 ms':>9} {'p95 ms':>9} {'cpu ms':>8} {'statements':>10}")
    for row in rows:
        missed = "  <- goal " + str(row["goal_ms"]) if row["goal_ms"] and row["p95_ms"] > row["goal_ms"] else ""
        found = "" if row["rows"] is None else row["rows"]
        statements = "" if row["statements"] is None else row["statements"]
        print(
            f"{row['read']:34} {row['status']:>6} {found:>5} {row['p50_ms']:9.1f} {row['p95_ms']:9.1f}"
            f" {row['cpu_ms']:8.1f} {statements:>10}{missed}"
        )


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return
        time.sleep(0.05)
    raise TimeoutError("the web process did not start")


if __name__ == "__main__":
    main()
