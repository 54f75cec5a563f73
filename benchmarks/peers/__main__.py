"""`make bench-peers`: exchanges a second that are stored, batch of 100 and single, and what they take, side by side."""

import argparse
import itertools
import json
import time
import uuid

from benchmarks import bodies, load, report
from benchmarks.cases import LOADS, Case
from benchmarks.measure import Row, measure
from benchmarks.peers.peer import PEERS, PLACE, Peer, install, requests, running_peer
from benchmarks.processes import PeakPss
from benchmarks.running import Backend

INGATE = "Ingate"
#: A peer's first requests are its slowest.
WARM_UP = 300


def main() -> None:
    """Measure all and print the table and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--batched", type=int, default=2_000, help="exchanges that a peer is sent in batches of 100")
    parser.add_argument("--singles", type=int, default=300, help="exchanges that a peer is sent one by one")
    parser.add_argument("--peers", nargs="+", choices=[peer.package for peer in PEERS], help="default: all")
    options = parser.parse_args()
    kind = "small" if bodies.recordings() is None else "recordings"
    chosen = [peer for peer in PEERS if not options.peers or peer.package in options.peers]
    rows = [_ingate(kind), *(_peer(peer, kind, options.batched, options.singles) for peer in chosen)]
    _show(rows)
    (PLACE / "results.json").write_text(
        json.dumps({"machine": report.machine(), "bodies": kind, "rows": rows}, indent=1)
    )


def _ingate(kind: str) -> Row:
    print(f"… {INGATE}", flush=True)
    batch, single = (measure(Case(name, kind, 5_000), Backend(INGATE)) for name in ("batch", "single"))
    return {
        "name": INGATE,
        "batch_per_s": batch["evaluated_per_s"],
        "single_per_s": single["evaluated_per_s"],
        "accept_p50_ms": single["accept_p50_ms"],
        "accept_p99_ms": single["accept_p99_ms"],
        "pss_mb": max(batch["pss_mb"], single["pss_mb"]),
        "disk_bytes": batch["disk_bytes"],
        "start_s": batch["start_s"],
    }


def _peer(peer: Peer, kind: str, batched: int, singles: int) -> Row:
    name = f"{peer.package} {install(peer)}"
    print(f"… {name}", flush=True)
    run = uuid.uuid4().hex[:8]
    items = iter([bodies.encoded(number, run, kind) for number in range(1 + WARM_UP + batched + singles)])
    batch_size = LOADS["batch"].items
    parts = ((1, 1), (WARM_UP, batch_size), (batched, batch_size), (singles, 1))
    first, warm_up, in_batches, alone = (
        requests(peer, list(itertools.islice(items, count)), size) for count, size in parts
    )
    began = time.perf_counter()
    with running_peer(peer) as one, PeakPss(one.process.pid) as pss:
        one.wait_until_accepting(first[0])
        start_s = time.perf_counter() - began
        one.send(warm_up, WARM_UP, 1)
        disk = one.disk_bytes()
        batch = one.send(in_batches, batched, peer.batch_connections)
        single = one.send(alone, singles, peer.single_connections)
        return {
            "name": name,
            "batch_per_s": batch.stored_per_s,
            "single_per_s": single.stored_per_s,
            "accept_p50_ms": load.percentile(single.latencies_ms, 0.5),
            "accept_p99_ms": load.percentile(single.latencies_ms, 0.99),
            "pss_mb": pss.look() / 1e6,
            "disk_bytes": (one.disk_bytes() - disk) / (batched + singles),
            "start_s": start_s,
        }


def _show(rows: list[Row]) -> None:
    print(f"\n{'':24}{'batch of 100/s':>15}{'single/s':>10}{'accept ms':>13}{'PSS MB':>8}{'disk B':>8}{'start s':>9}")
    for row in rows:
        accept = f"{row['accept_p50_ms']:,.0f}/{row['accept_p99_ms']:,.0f}"
        print(
            f"{row['name']:24}{row['batch_per_s']:15,.0f}{row['single_per_s']:10,.0f}{accept:>13}"
            f"{row['pss_mb']:8,.0f}{row['disk_bytes']:8,.0f}{row['start_s']:9.1f}"
        )
    ours = rows[0]
    for row in rows[1:]:
        ratios = [f"{ours[figure] / row[figure]:,.0f} times" for figure in ("batch_per_s", "single_per_s")]
        print(f"{INGATE} to {row['name']}: {ratios[0]} in batches, {ratios[1]} single", flush=True)


if __name__ == "__main__":
    main()
