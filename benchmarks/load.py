"""An HTTP client that costs little, because it shares the machine with what it measures: prepared requests over
keep-alive connections, one thread, plain sockets. (asyncio's streams take more than twice the CPU time.)

Closed loop: a connection sends its next request once it has its answer. Open loop (`rate`): requests are due at fixed
times, whatever the server does, and a latency counts from when its request was due.
"""

import contextlib
import select
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: No answer for this long, and the run is over.
PATIENCE_S = 60.0


class Result(NamedTuple):
    """What one run of requests took."""

    #: From the first request to the last answer.
    seconds: float
    #: CPU time of this client.
    cpu_s: float
    #: Answers by status.
    statuses: Counter[int]
    #: Of every request, in milliseconds.
    latencies_ms: list[float]


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return the bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that `share` of them stay below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run(port: int, requests: Sequence[bytes], connections: int, rate: float | None = None) -> Result:
    """Send all requests over so many connections; `rate` is the requests that are due in a second.

    Raises TimeoutError when the server stops answering, ConnectionError when it closes a connection without an answer.
    """
    with select.epoll() as events:
        free = [_Connection(port, events) for _ in range(min(connections, len(requests)))]
        busy: dict[int, _Connection] = {}
        try:
            return _run(requests, rate, events, free, busy)
        finally:
            for connection in [*free, *busy.values()]:
                connection.close()


def _run(
    requests: Sequence[bytes],
    rate: float | None,
    events: select.epoll,
    free: "list[_Connection]",
    busy: "dict[int, _Connection]",
) -> Result:
    statuses: Counter[int] = Counter()
    latencies_ms: list[float] = []
    begun, cpu_began, began = 0, time.thread_time(), time.perf_counter()
    while len(latencies_ms) < len(requests):
        now = time.perf_counter()
        while free and begun < len(requests) and (rate is None or began + begun / rate <= now):
            connection = free.pop()
            busy[connection.number] = connection
            connection.begin(requests[begun], now if rate is None else began + begun / rate)
            begun += 1
        until_due_s = began + begun / rate - now if rate and free and begun < len(requests) else PATIENCE_S
        # epoll itself waits in whole milliseconds, which are late for a request that is due.
        if not any(select.select([events], [], [], until_due_s)) and until_due_s >= PATIENCE_S:
            raise TimeoutError(f"no answer within {PATIENCE_S:g} s, after {len(latencies_ms)} of {len(requests)}")
        for number, _ in events.poll(0):
            if number not in busy:
                # A server ends connections that were idle for some seconds.
                free[:] = [one.renewed() if one.number == number else one for one in free]
            elif (status := busy[number].go_on()) is not None:
                connection = busy.pop(number)
                latencies_ms.append((time.perf_counter() - connection.due) * 1000)
                statuses[status] += 1
                free.append(connection)
    return Result(time.perf_counter() - began, time.thread_time() - cpu_began, statuses, latencies_ms)


class _Connection:
    """One connection and the request that is on it."""

    def __init__(self, port: int, events: select.epoll) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self.number = self._socket.fileno()
        self._port, self._events = port, events
        events.register(self.number, select.EPOLLIN)
        #: When its request was due, or sent in a closed loop, by time.perf_counter().
        self.due = 0.0
        self._unsent = memoryview(b"")
        self._received = b""

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def renewed(self) -> "_Connection":
        """Close it and return another in its place."""
        self.close()
        return _Connection(self._port, self._events)

    def begin(self, data: bytes, due: float) -> None:
        """Send a request, or what the socket takes of it."""
        self.due, self._received = due, b""
        sent = self._socket.send(data)
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._events.modify(self.number, select.EPOLLIN | select.EPOLLOUT)

    def go_on(self) -> int | None:
        """Send or receive more; the status once the answer is whole."""
        if self._unsent:
            with contextlib.suppress(BlockingIOError):
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if not self._unsent:
                self._events.modify(self.number, select.EPOLLIN)
        with contextlib.suppress(BlockingIOError):
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionError("the server closed a connection")
            self._received += received
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return None
        return int(head[9:12])
