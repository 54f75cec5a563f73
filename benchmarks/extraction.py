"""`python -m benchmarks.extraction`: what reading and pricing one exchange costs, in microseconds.

Extraction against a bare `msgspec.json.decode` of the same bytes; pricing with warm look-ups, as the log step has them.
"""

import json
import platform
import time
from collections.abc import Callable
from typing import Any

import msgspec

from app import pricing
from app.extraction import extract
from benchmarks import bodies

ROUNDS, WARM_UP = 3000, 300


def main() -> None:
    """Measure every case and print the table."""
    print(f"Python {platform.python_version()}, {platform.machine()}, {ROUNDS} rounds each")
    print(f"{'case':28} {'bytes':>8} {'mean us':>9} {'p99 us':>9} {'decode us':>10} {'ratio':>6} {'pricing us':>11}")
    for name, item in _cases().items():
        _show(name, json.dumps(item).encode())


def _cases() -> dict[str, dict[str, Any]]:
    plain = {name: bodies.item(number, "bench") for number, name in enumerate(("chat", "responses", "messages"))}
    cases = {f"{name}, plain": item for name, item in plain.items()}
    for number, name in enumerate(plain):
        cases[f"{name}, plain 30 KB"] = bodies.item(number, "bench", "large")
    return cases | {"chat, 200 events": _streamed(plain["chat"])}


def _streamed(item: dict[str, Any]) -> dict[str, Any]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": item["response_body"]["model"]}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": f" word{n}"}) for n in range(197))]
    chunks += [chunk({}, "stop"), {**base, "choices": [], "usage": item["response_body"]["usage"]}]
    text = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks)
    return {**item, "response_body": f"{text}data: [DONE]\n\n"}


def _show(name: str, raw: bytes) -> None:
    found, now = extract(raw), time.time_ns() // 1_000_000
    mean, p99 = _measured(lambda: extract(raw))
    decode, _ = _measured(lambda: msgspec.json.decode(raw))
    price, _ = _measured(lambda: pricing.cost(found, status_code=200, at_ms=now))
    print(f"{name:28} {len(raw):8} {mean:9.1f} {p99:9.1f} {decode:10.1f} {mean / decode:6.1f} {price:11.1f}")


def _measured(work: Callable[[], object]) -> tuple[float, float]:
    """Return mean and 99th percentile in microseconds."""
    for _ in range(WARM_UP):
        work()
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        work()
        took.append((time.perf_counter_ns() - started) / 1000)
    took.sort()
    return sum(took) / ROUNDS, took[int(ROUNDS * 0.99)]


if __name__ == "__main__":
    main()
