"""`make chaos`: the long campaign, and how soon what a killed worker held is evaluated. Exit code 1 on any violation.

Everything runs on this machine, on servers of the harness's own. PostgreSQL is left out where it is not installed.
"""

import signal
import sys

import click

from tests.chaos import outage
from tests.chaos.campaign import Campaign, Result, percentile, run
from tests.chaos.servers import Postgresql

BACKENDS = ("sqlite", "postgresql")
#: Of the recovery run: a light load, and kills so far apart that each finds the one before recovered.
RECOVERY_RATE, RECOVERY_EVERY_S = 150.0, 40.0


@click.group()
def main() -> None:
    """Kill Ingate in many ways and compare what it promised with what it stored."""
    # Ended from outside, it must not leave behind what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


@main.command()
@click.option("--exchanges", default=100_000, show_default=True)
@click.option("--backend", type=click.Choice([*BACKENDS, "both"]), default="both", show_default=True)
@click.option("--seed", default=1, show_default=True, help="The same seed draws the same exchanges, faults and order.")
@click.option("--rate", default=400.0, show_default=True, help="Exchanges a second; 0 sends as fast as it goes.")
@click.option("--web-kills", default=20, show_default=True)
@click.option("--worker-kills", default=20, show_default=True)
@click.option("--queue-kills", default=8, show_default=True)
@click.option("--flushes", default=2, show_default=True)
@click.option("--database-restarts", default=5, show_default=True, help="PostgreSQL only; SQLite is locked as often.")
@click.option("--poisons", default=20, show_default=True)
def campaign(
    exchanges: int, backend: str, seed: int, rate: float, web_kills: int, worker_kills: int, queue_kills: int,
    flushes: int, database_restarts: int, poisons: int,
) -> None:  # fmt: skip
    """Send, break, drain, check."""
    sound = True
    for one in _backends(backend):
        database = "database restart, immediate" if one == "postgresql" else "database locked"
        faults = {
            "web kill -9": web_kills, "worker kill -9": worker_kills, "queue kill -9, back empty": queue_kills,
            "queue FLUSHALL": flushes, database: database_restarts, "web SIGTERM": 5, "worker SIGTERM": 5,
            "messages out of order": 10,
        }  # fmt: skip
        result = run(
            Campaign(
                backend=one,
                exchanges=exchanges,
                seed=seed,
                faults=faults,
                poisons=poisons,
                rate=rate,
                load_s=exchanges / 20 + 300,
                drain_s=exchanges / 20 + 600,
            )
        )
        sound = _show(one, result) and sound
    sys.exit(0 if sound else 1)


@main.command()
@click.option("--kills", default=10, show_default=True)
@click.option("--backend", type=click.Choice([*BACKENDS, "both"]), default="both", show_default=True)
@click.option("--seed", default=1, show_default=True)
def recovery(kills: int, backend: str, seed: int) -> None:
    """Kill workers under a light load and measure how soon what they held is evaluated."""
    sound = True
    for one in _backends(backend):
        exchanges = round(RECOVERY_RATE * RECOVERY_EVERY_S * kills)
        faults = {"worker kill -9": kills}
        result = run(Campaign(backend=one, exchanges=exchanges, seed=seed, faults=faults, rate=RECOVERY_RATE,
                              load_s=exchanges / RECOVERY_RATE * 3, drain_s=300))  # fmt: skip
        sound = _show(one, result) and sound
    sys.exit(0 if sound else 1)


@main.command(name="outage")
@click.option("--seconds", default=60.0, show_default=True, help="Of each of the four phases.")
@click.option("--rate", default=100.0, show_default=True, help="Single exchanges a second.")
@click.option("--backend", type=click.Choice([*BACKENDS, "both"]), default="both", show_default=True)
def measure_outage(seconds: float, rate: float, backend: str) -> None:
    """Take the queue away, then fill it, and measure what the accept does meanwhile."""
    sound = True
    for one in _backends(backend):
        phases = outage.outage(one, seconds, rate)
        usual = phases[0].p99_ms
        for phase in phases:
            click.echo(
                f"{one:12} {phase.name:24} {dict(phase.answers)} p50 {phase.p50_ms:.1f} ms, p99 {phase.p99_ms:.1f} ms "
                f"({phase.p99_ms / usual:.2f} of the usual)"
            )
            sound = sound and set(phase.answers) == {"202"}
    sys.exit(0 if sound else 1)


@main.command(name="backlog")
@click.option("--exchanges", default=1_000_000, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--backend", type=click.Choice([*BACKENDS, "both"]), default="sqlite", show_default=True)
def measure_backlog(exchanges: int, seconds: float, backend: str) -> None:
    """Let workers begin on a backlog and measure what the queue holds meanwhile."""
    for one in _backends(backend):
        found = outage.backlog(one, exchanges, seconds)
        click.echo(
            f"{one:12} {found.exchanges} pending: the queue took {found.queue_bytes / 1e6:.1f} MB at most "
            f"({found.queue_empty_bytes / 1e6:.1f} empty), {found.most_messages} messages; "
            f"{found.evaluated} evaluated in {found.seconds:g} s"
        )


def _backends(wanted: str) -> list[str]:
    chosen = list(BACKENDS) if wanted == "both" else [wanted]
    if "postgresql" in chosen and (missing := Postgresql.missing()):
        click.echo(f"PostgreSQL is left out: {missing}", err=True)
        chosen.remove("postgresql")
    return chosen


def _show(backend: str, result: Result) -> bool:
    report = result.report
    rows: list[tuple[str, object]] = [
        ("backend", backend), *result.faults.items(), ("answers", result.answers),
        ("acknowledged", report.acked), ("stored", report.stored), ("lost", report.lost),
        ("doubled rows", report.doubled_rows), ("doubled scores", report.doubled_scores),
        ("evaluated", report.evaluated), ("parked", report.parked), ("pending", report.pending),
        ("in hand at a kill", len(result.recoveries_s)),
        ("recovery p50/p99/max, s", _spread(result.recoveries_s)),
        ("received to evaluated p50/p99/max, s", _spread(result.journeys_s)),
        ("load, s", f"{result.load_s:.1f}"), ("drain, s", f"{result.drain_s:.1f}"),
    ]  # fmt: skip
    for name, value in rows:
        click.echo(f"{name:38} {value}")
    for violation in report.violations:
        click.echo(f"VIOLATION  {violation}")
    click.echo("")
    return not report.violations


def _spread(ascending: list[float]) -> str:
    return " / ".join(f"{percentile(ascending, share):.1f}" for share in (0.5, 0.99, 1.0))


if __name__ == "__main__":
    main()
