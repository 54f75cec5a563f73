"""Clients that send until they are answered, and remember what they were told."""

import queue
import random
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import httpx

from tests.chaos.exchanges import Exchanges

BATCH = 100
#: A client waits this long before it sends again.
PAUSE_S = 0.1
#: Answers that are no answer to keep, before a client gives up.
MAX_STRANGE = 5


class Request(NamedTuple):
    """One call: a single exchange or a batch."""

    numbers: range
    single: bool
    #: Sends once and takes no answer for an answer.
    impatient: bool = False


class Load:
    """Sends the exchanges of a run from several threads."""

    def __init__(self, url: str, key: str, exchanges: Exchanges) -> None:
        self._url, self._headers, self._exchanges = url, {"X-Ingate-Key": key}, exchanges
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        #: Never more exchanges than this per second are begun; 0 knows no bound.
        self.rate = 0.0
        self._next_at = 0.0
        #: Numbers of the exchanges whose 202 was received.
        self.acked: set[int] = set()
        self.requests: list[Request] = []
        #: What was answered, by status or by the name of the error.
        self.answers: Counter[str] = Counter()
        #: Seconds that the slowest answer took, by status.
        self.slowest_s: dict[str, float] = {}
        #: Answers that should not be.
        self.findings: list[str] = []

    def send(self, requests: list[Request], clients: int = 4) -> "Load":
        """Send requests in the background; `join` waits for the end."""
        self.requests += requests
        for request in requests:
            self._requests.put(request)
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()
        return self

    def sending(self) -> bool:
        """Whether anything is still on its way."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self, seconds: float = 120) -> None:
        """Wait until everything is answered."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self.sending():
            self.findings.append(f"clients were not answered within {seconds:g} s: {dict(self.answers)}")

    def _client(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=20, trust_env=False) as http:
            while True:
                try:
                    request = self._requests.get_nowait()
                except queue.Empty:
                    return
                self._pace(len(request.numbers))
                self._send(http, request)

    def _pace(self, exchanges: int) -> None:
        if self.rate:
            with self._lock:
                at = max(self._next_at, time.monotonic())
                self._next_at = at + exchanges / self.rate
            time.sleep(max(0.0, at - time.monotonic()))

    def _send(self, http: httpx.Client, request: Request) -> None:
        items = [self._exchanges.item(number) for number in request.numbers]
        path, body = ("", items[0]) if request.single else ("/batch", {"exchanges": items})
        strange = tried = 0
        while strange < MAX_STRANGE:
            tried += 1
            began = time.monotonic()
            try:
                answer = http.post(f"/api/v1/ingest{path}", json=body)
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
            else:
                status = str(answer.status_code)
                self.answers[status] += 1
                self.slowest_s[status] = max(self.slowest_s.get(status, 0.0), time.monotonic() - began)
                if answer.status_code == 202:
                    self._received(request, answer.json(), first=tried == 1)
                    return
                if not _retryable(answer):
                    strange += 1
                    self.findings.append(f"answered {answer.status_code}: {answer.text[:200]}")
            if request.impatient:
                return
            time.sleep(PAUSE_S)

    def _received(self, request: Request, answer: dict[str, Any], *, first: bool) -> None:
        items = [answer] if request.single else answer["items"]
        for number, item in zip(request.numbers, items, strict=True):
            if not request.single and not item["accepted"]:
                self.findings.append(f"refused within a batch: {item}")
                continue
            if item["request_id"] != self._exchanges.request_id(number):
                self.findings.append(f"answered for {item['request_id']}, not {self._exchanges.request_id(number)}")
            if first and item.get("duplicate"):
                self.findings.append(f"a duplicate at first sight: {item}")
            self.acked.add(number)


def mixed(start: int, end: int, rng: random.Random, *, singles: float = 0.2, impatient: float = 0.0) -> list[Request]:
    """Cut exchanges into requests, in any order: a share of them single, the rest in batches."""
    edge = start + round((end - start) * singles)
    numbers = [range(number, number + 1) for number in range(start, edge)]
    numbers += [range(number, min(number + BATCH, end)) for number in range(edge, end, BATCH)]
    rng.shuffle(numbers)
    return [Request(one, one[0] < edge, rng.random() < impatient) for one in numbers]


def _retryable(answer: httpx.Response) -> bool:
    """Whether an answer is one that a client is told to wait after, and how long."""
    return (
        answer.status_code in (429, 503)
        and "Retry-After" in answer.headers
        and answer.headers["Content-Type"] == "application/problem+json"
        and bool(answer.json()["retryable"])
    )
