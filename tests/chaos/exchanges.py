"""What is sent: numbered exchanges like real ones, some of them poison, and the evaluators that score them."""

import hashlib
import random
from typing import Any

from benchmarks import bodies
from tests.chaos.injection import HICCUP, KINDS, POISON

#: A word that every prompt has.
WORD = "chaos"
#: Evaluators of every run. One has a filter, one a sample.
EVALUATORS: tuple[dict[str, Any], ...] = (
    {"name": "books", "type": "contains", "config": {"values": ["book", "shelf"]}},
    {"name": "short", "type": "max_length", "config": {"characters": 200}},
    {"name": "fast", "type": "latency_max", "config": {"milliseconds": 2000}},
    {"name": "claude", "type": "status_code", "config": {"expected": ["2xx"]}, "filter": "model:claude*"},
    {"name": "some", "type": "token_max", "config": {"tokens": 500}, "sample_rate": 0.5},
)


class Exchanges:
    """The exchanges of one run, by number."""

    def __init__(self, run: str, poisons: dict[int, str] | None = None) -> None:
        self.run = run
        #: Which exchanges are poison, and of what kind.
        self.poisons = poisons or {}
        #: Which exchanges cannot be read the first time, so that they take the steps one by one.
        self.hiccups: set[int] = set()

    def request_id(self, number: int) -> str:
        """Return the request id that the client gives it."""
        return f"{self.run}-{number}"

    def item(self, number: int) -> dict[str, Any]:
        """Return it as a client sends it; always the same."""
        item = bodies.item(number, self.run)
        asked = item["request_body"]
        asked.get("messages", asked.get("input"))[-1]["content"] += f" {WORD}"
        if number in self.poisons:
            item["tags"] = {"note": f"{POISON.decode()}{self.poisons[number]} {number};"}
        elif number in self.hiccups:
            item["tags"] = {"note": f"{HICCUP.decode()}{number};"}
        return item

    def scored_by(self, number: int, evaluators: dict[str, int]) -> set[int]:
        """Return which evaluators score it, of those with these names and ids."""
        wanted = {"books", "short", "fast"}
        if "claude" in self.item(number)["request_body"]["model"]:
            wanted.add("claude")
        # The rule of the product's sample, said once more.
        digest = hashlib.blake2b(f"{evaluators['some']}:{self.request_id(number)}".encode(), digest_size=8).digest()
        if int.from_bytes(digest, "big") < 2**63:
            wanted.add("some")
        return {evaluators[name] for name in wanted}


def poisons(count: int, among: int, rng: random.Random) -> dict[int, str]:
    """Choose which exchanges are poison: of every kind in turn."""
    return {number: KINDS[n % len(KINDS)] for n, number in enumerate(sorted(rng.sample(range(among), count)))}
