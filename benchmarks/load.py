"""A closed-loop HTTP client that costs little: prepared requests over keep-alive connections, one process."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Result:
    """What one run of requests took."""

    seconds: float
    #: Answers by status.
    statuses: dict[int, int] = field(default_factory=dict)
    #: Latency of every request, in milliseconds, sorted.
    latencies_ms: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return the latency that `share` of the requests stay below, in milliseconds."""
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(share * len(self.latencies_ms)))]


def request(path: str, key: str, body: bytes, host: str = "127.0.0.1") -> bytes:
    """Return the bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Ingate-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(port: int, requests: Sequence[bytes], connections: int) -> Result:
    """Send all requests over so many connections, each waiting for its answer before the next."""
    return asyncio.run(_run(port, requests, connections))


async def _run(port: int, requests: Sequence[bytes], connections: int) -> Result:
    waiting = iter(requests)
    result = Result(0.0)
    started = time.perf_counter()
    await asyncio.gather(*(_connection(port, waiting, result) for _ in range(connections)))
    result.seconds = time.perf_counter() - started
    result.latencies_ms.sort()
    return result


async def _connection(port: int, waiting: Iterator[bytes], result: Result) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    for prepared in waiting:
        started = time.perf_counter()
        writer.write(prepared)
        status = await _answer(reader)
        result.latencies_ms.append((time.perf_counter() - started) * 1000)
        result.statuses[status] = result.statuses.get(status, 0) + 1
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head[9:12])
