"""The load generator counts every answer, and measures from when a request was due."""

import http.server
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks import load


class _Server(http.server.ThreadingHTTPServer):
    """Answers 202 and keeps what it was sent."""

    daemon_threads = True
    pause_s = 0.0
    closes = False
    answers = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[bytes] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.server.pause_s)
        self.close_connection = self.server.closes or not self.server.answers
        if self.server.answers:
            self.send_response(202)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _requests(*bodies: bytes) -> list[bytes]:
    return [load.request("/", {"X-Ingate-Key": "key"}, body) for body in bodies]


def test_every_request_arrives_once_and_is_counted(server: _Server) -> None:
    bodies = [f"body {number}".encode() for number in range(200)]

    result = load.run(server.server_port, _requests(*bodies), connections=8)

    assert result.statuses == Counter({202: 200})
    assert len(result.latencies_ms) == 200
    assert sorted(server.received) == sorted(bodies)


def test_a_body_larger_than_the_buffers_arrives_whole(server: _Server) -> None:
    bodies = [bytes([number]) * 20_000_000 for number in range(3)]

    load.run(server.server_port, _requests(*bodies), connections=2)

    assert sorted(server.received) == bodies


def test_in_an_open_loop_a_latency_counts_from_when_the_request_was_due(server: _Server) -> None:
    server.pause_s = 0.05

    result = load.run(server.server_port, _requests(*[b"x"] * 5), connections=1, rate=100)

    # The fifth is due after 40 ms and waits for four that take 50 ms each.
    assert max(result.latencies_ms) >= 5 * 50 - 40


def test_a_connection_that_the_server_ended_while_idle_is_replaced(server: _Server) -> None:
    server.closes = True

    result = load.run(server.server_port, _requests(*[b"x"] * 5), connections=1, rate=10)

    assert result.statuses == Counter({202: 5})


def test_a_connection_that_ends_without_an_answer_is_an_error(server: _Server) -> None:
    server.answers = False

    with pytest.raises(ConnectionError):
        load.run(server.server_port, _requests(b"x"), connections=1)


def test_percentile_is_the_value_that_so_many_stay_below() -> None:
    assert load.percentile(range(100), 0.5) == 50
    assert load.percentile(range(100), 0.99) == 99
    assert load.percentile([7], 0.99) == 7
