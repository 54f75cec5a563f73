"""The guard for out-going requests: against listeners that must stay silent, and servers that answer badly.

Nothing here leaves the machine: a connection to anything but the loopback is recorded and refused.
"""

import contextlib
import gzip
import logging
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import AnswerTooLarge, BadAnswer, Blocked, NoAnswer, TooSlow, Unreachable
from app.evals import guard

#: Every host that must not be reached, as a URL writes it.
PRIVATE = [
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "0x7f.1", "0x7F.0.0.1", "0x7f000001", "0177.1",
    "0177.0.0.1", "017700000001", "2130706433", "127.0.0.1.", "127.0.0.01", "127.000.000.001", "2130706433.",
    "0", "00", "0x0", "0x", "0.0.0.0", "0.0.0.1", "localhost", "LOCALHOST",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:FFFF:127.0.0.1]",
    "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::a00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[febf::1]", "[fec0::1]",
    "[fc00::1]", "[fd00::2]", "[fd00:ec2::254]", "[ff02::1]", "[ff0e::1]", "[5f00::1]", "[100::1]", "[2001:2::1]",
    "[2001:10::1]", "[2001:db8::1]", "[3fff::1]", "[4000::1]",
    "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "168.63.129.16",
    "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.2", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "①②⑦.0.0.1", "127。0。0。1", "１２７.0.0.1", "%31%32%37.0.0.1", "user@127.0.0.1",
    "8.8.8.8@127.0.0.1", "8.8.8.8\\@127.0.0.1", "127.0.0.1\\", "127.0.0.1 ", " 127.0.0.1", "127.0.0.1\t", "[::1",
]  # fmt: skip
#: Those of them that a resolver could answer with.
ADDRESSES = [
    host.strip("[]") for host in PRIVATE if re.fullmatch(r"([1-9][0-9]*\.|0\.){3}[1-9][0-9]*|\[[0-9a-f:.]+\]", host)
]
PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
REQUEST_END = b"\r\n\r\n"


class Connections(list[tuple[Any, ...]]):
    """The address of every TCP connection that this process tried to make, and how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> Connections:
    connections, connect = Connections(), socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        connections.append(address)
        connections.timeouts.append(self.gettimeout())
        if address[0] not in ("::1", "0.0.0.0", "::") and not address[0].startswith(("127.", "::ffff:127.")):
            raise ConnectionRefusedError
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    return connections


class Canaries:
    """Listeners on every local address, on one port; nobody may come."""

    def __init__(self) -> None:
        self.listeners = [socket.create_server(("0.0.0.0", 0))]
        self.port = self.listeners[0].getsockname()[1]
        # Containers without IPv6 have nothing to listen on there.
        with contextlib.suppress(OSError):
            self.listeners.append(socket.create_server(("::", self.port), family=socket.AF_INET6))

    def visits(self) -> int:
        """Count who came. A connection that is made waits in the listener's backlog, so none can be missed."""
        count = 0
        for listener in self.listeners:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    count += 1
        return count


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canaries]:
    """The listeners, on a port that is open to requests, so that nothing but the check of addresses keeps us out."""
    canaries = Canaries()
    monkeypatch.setattr(guard, "PORTS", frozenset({80, 443, canaries.port}))
    yield canaries
    for listener in canaries.listeners:
        listener.close()


class Server(socketserver.ThreadingTCPServer):
    """A server on the loopback that does one thing to everybody, once the request's head is there."""

    def __init__(self, behave: Callable[[socket.socket], None], *, reads_head: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.behave = behave
        self.reads_head = reads_head
        self.requests: list[bytes] = []
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.allowed = [f"127.0.0.1:{self.port}"]

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Whoever was cut off by the guard gets an error here; that is what is tested.
        with request, contextlib.suppress(OSError):
            if self.reads_head:
                head = b""
                while REQUEST_END not in head:
                    head += request.recv(65536)
                self.requests.append(head)
            self.behave(request)

    def fetch(self, **options: Any) -> guard.Answer:
        return guard.fetch("GET", self.url, **{"allowed": self.allowed, "within_s": 5, **options})


@contextlib.contextmanager
def serving(behave: Callable[[socket.socket], None] | bytes, *, reads_head: bool = True) -> Iterator[Server]:
    does = (lambda connection: connection.sendall(behave)) if isinstance(behave, bytes) else behave
    with Server(does, reads_head=reads_head) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names stand for these addresses, look-up by look-up; return the names as they are looked up."""
    asked: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in (left.pop(0) if len(left) > 1 else left[0])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def answering(status: str = "200 OK", *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def test_an_answer_has_its_status_headers_and_body() -> None:
    with serving(answering("201 Created", "Content-Length: 2", "X-A: 1", "x-a: 2", body=b"ok")) as server:
        answer = guard.fetch("POST", server.url + "a?b=c", content=b"{}", headers={"X-B": "d"}, allowed=server.allowed)

    assert answer == guard.Answer(status=201, headers={"content-length": "2", "x-a": "1, 2"}, body=b"ok")
    head = server.requests[0].lower()
    assert head.startswith(b"post /a?b=c http/1.1\r\n")
    assert f"\r\nhost: 127.0.0.1:{server.port}\r\n".encode() in head
    assert b"\r\nx-b: d\r\n" in head
    assert b"\r\naccept-encoding: identity\r\n" in head
    assert b"\r\ncontent-length: 2\r\n" in head


def test_enough_private_forms_are_tried() -> None:
    assert len(set(PRIVATE)) == len(PRIVATE) >= 90
    assert len(ADDRESSES) >= 50


@pytest.mark.parametrize("host", PRIVATE)
def test_no_packet_reaches_a_private_host(host: str, canaries: Canaries, tried: Connections) -> None:
    with pytest.raises(Blocked) as error:
        guard.fetch("GET", f"http://{host}:{canaries.port}/")

    assert (error.value.code, error.value.retryable) in [("blocked_destination", False), ("invalid_url", False)]
    assert (canaries.visits(), tried) == (0, [])


@pytest.mark.parametrize("host", PRIVATE)
def test_no_redirect_leads_to_a_private_host(host: str, canaries: Canaries, tried: Connections) -> None:
    to = f"Location: http://{host}:{canaries.port}/"

    with serving(answering("302 Found", to, "Content-Length: 0")) as server:
        answer = server.fetch()

    assert answer.status == 302
    assert (canaries.visits(), tried) == (0, [("127.0.0.1", server.port)])


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_name_leads_to_a_private_address(
    address: str, canaries: Canaries, tried: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    for addresses in ([address], [address, *PUBLIC], [*PUBLIC, address]):
        resolving(monkeypatch, addresses)

        with pytest.raises(Blocked) as error:
            guard.fetch("GET", f"http://hook.example:{canaries.port}/")

        assert error.value.code == "blocked_destination"
        assert address not in error.value.detail
    assert (canaries.visits(), tried) == (0, [])


def test_a_name_that_is_rebound_is_looked_up_once_and_what_was_checked_is_connected_to(
    canaries: Canaries, tried: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, PUBLIC, ["127.0.0.1"])

    with pytest.raises(Unreachable):
        guard.fetch("GET", f"http://hook.example:{canaries.port}/")

    assert asked == ["hook.example"]
    assert [address[0] for address in tried] == PUBLIC
    assert canaries.visits() == 0


def test_canaries_would_notice(canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_is_public", lambda _: True)

    hosts = ["127.0.0.1", "0.0.0.0", "localhost", *(["[::1]", "[::ffff:127.0.0.1]"] if canaries.listeners[1:] else [])]

    for host in hosts:
        with pytest.raises(TooSlow):
            guard.fetch("GET", f"http://{host}:{canaries.port}/", within_s=0.1)

    assert canaries.visits() == len(hosts)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_proxies_of_the_environment_are_not_used(
    variable: str, canaries: Canaries, tried: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{canaries.port}")
    resolving(monkeypatch, PUBLIC)

    with pytest.raises(Unreachable):
        guard.fetch("GET", "https://hook.example/" if variable == "HTTPS_PROXY" else "http://hook.example/")

    assert canaries.visits() == 0
    assert [address[0] for address in tried] == PUBLIC


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
        "198.17.255.255", "198.20.0.0", "223.255.255.255", "[2606:4700:4700::1111]", "[2a00:1450:4001:800::200e]",
        "[64:ff9b::808:808]", "[2001:200::1]", "hook.example", "hook.example.", "a_b.example", "xn--bcher-kva.example",
        "bücher.example", "1a",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
def test_a_public_host_passes_the_check_without_a_look_up(
    scheme: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, [])

    guard.check_url(f"{scheme}://{host}/score?x={{}}#f")
    guard.check_url(f"{scheme}://{host}:80")
    guard.check_url(f"{scheme}://{host}:443")

    assert asked == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "invalid_url"), ("hook.example", "invalid_url"), ("//hook.example/", "invalid_url"),
        ("/etc/passwd", "invalid_url"), ("http:", "invalid_url"), ("http://", "invalid_url"),
        ("http:///x", "invalid_url"),
        ("file:///etc/passwd", "invalid_url"), ("gopher://hook.example/", "invalid_url"),
        ("ftp://hook.example/", "invalid_url"), ("ws://hook.example/", "invalid_url"),
        ("javascript:alert(1)", "invalid_url"), ("http+unix://%2Frun%2Fdocker.sock/", "invalid_url"),
        ("http://user@hook.example/", "invalid_url"), ("http://user:secret@hook.example/", "invalid_url"),
        ("http://:secret@hook.example/", "invalid_url"), ("http://hook.example:x/?q=secret", "invalid_url"),
        ("http://hook example/", "invalid_url"), ("http://hook..example/", "invalid_url"),
        ("http://hook%2eexample/", "invalid_url"), ("http://hook.example\\@x/", "invalid_url"),
        ("http://hook.example\r\nX: y/", "invalid_url"), ("http://hook.example/\x00", "invalid_url"),
        ("http://\ud800.example/", "invalid_url"), ("http://" + "a" * 64 + ".example/", "invalid_url"),
        ("http://" + "a." * 130 + "example/", "invalid_url"), ("http://hook.example/" + "a" * 70_000, "invalid_url"),
        ("http://999.1.1.1/", "invalid_url"), ("http://[::g]/", "invalid_url"), ("http://$/", "invalid_url"),
        ("http://hook.example:25/", "blocked_destination"), ("https://hook.example:8443/", "blocked_destination"),
        ("http://hook.example:0/", "blocked_destination"), ("http://hook.example:-1/", "blocked_destination"),
        ("http://hook.example:65616/", "blocked_destination"), ("http://8.8.8.8:22/", "blocked_destination"),
        ("http://127.0.0.1/", "blocked_destination"), ("http://127.1/", "blocked_destination"),
        ("http://hook.1/", "blocked_destination"), ("http://hook.0x7f/", "blocked_destination"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_allowed_is_refused_without_a_look_up(
    url: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, PUBLIC)

    for check in (guard.check_url, lambda url: guard.fetch("GET", url)):
        with pytest.raises(Blocked) as error:
            check(url)

        assert error.value.code == code
        assert "secret" not in str(error.value)
    assert asked == []


@pytest.mark.parametrize(
    ("entry", "host", "port"),
    [
        ("127.0.0.1:{port}", "127.0.0.1", None),
        ("127.0.0.0/8:{port}", "127.0.0.1", None),
        ("127.0.0.1:{port}", "judge.example", None),
        ("judge.example:{port}", "judge.example", None),
        ("JUDGE.example.:{port}", "judge.EXAMPLE", None),
        ("judge.example:{port}", "judge.example.", None),
        ("judge.example", "judge.example", 80),
        ("127.0.0.1", "judge.example", 443),
        ("127.0.0.0/8", "127.0.0.1", 80),
        ("[::ffff:0:0/96]:{port}", "[::ffff:127.0.0.1]", None),
    ],
)
def test_what_the_allow_list_names_is_reached(
    entry: str, host: str, port: int | None, tried: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answering("204 No Content")) as server:
        resolving(monkeypatch, ["::ffff:127.0.0.1" if "ffff" in host else "127.0.0.1"])
        allowed = ["unrelated:1", entry.format(port=server.port)]
        url = f"http://{host}:{port or server.port}/"

        guard.check_url(url, allowed)
        if port is None:
            assert guard.fetch("GET", url, allowed=allowed, within_s=5).status == 204
        else:
            # Whether somebody listens on these ports of this machine is not ours to know.
            with contextlib.suppress(Unreachable, BadAnswer, TooSlow):
                guard.fetch("GET", url, allowed=allowed, within_s=1)

    assert [address[1] for address in tried] == [port or server.port]


@pytest.mark.parametrize(
    "entry",
    [
        "127.0.0.1", "127.0.0.1:80", "127.0.0.1:1", "127.0.0.2:{port}", "10.0.0.0/8:{port}", "judge.example",
        "judge.example:80", "other.example:{port}", "example:{port}", "[::1]:{port}", "::1", "0.0.0.0",
    ],
)  # fmt: skip
def test_what_the_allow_list_names_otherwise_is_not_reached(
    entry: str, tried: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answering("204 No Content")) as server:
        resolving(monkeypatch, ["127.0.0.1"])

        for host in ("judge.example", "127.0.0.1"):
            with pytest.raises(Blocked):
                guard.fetch("GET", f"http://{host}:{server.port}/", allowed=[entry.format(port=server.port)])

    assert tried == []


@pytest.mark.parametrize(
    "entry",
    ["", " ", "http://x", "a b", "x:", "x:port", "x:1:2", "[::1", "::1]:80", "x:123456", "[]", "10.0.0.1/8", "*.x"],
)
def test_an_entry_of_the_allow_list_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="expected a host"):
        guard.check_url("http://hook.example/", [entry])


def test_the_next_address_of_a_name_is_tried(tried: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering("204 No Content")) as server:
        resolving(monkeypatch, ["127.0.0.9", "127.0.0.1"])

        answer = guard.fetch("GET", f"http://two.example:{server.port}/", allowed=[f"two.example:{server.port}"])

    assert answer.status == 204
    assert [address[0] for address in tried] == ["127.0.0.9", "127.0.0.1"]


def test_a_name_with_many_addresses_is_tried_a_few_times(tried: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, [f"93.184.215.{number}" for number in range(200)])

    with pytest.raises(Unreachable):
        guard.fetch("GET", "http://many.example/")

    assert len(tried) == guard.MAX_ATTEMPTS
    for done, timeout in enumerate(tried.timeouts):
        assert timeout is not None
        assert timeout <= guard.CONNECT_S / (guard.MAX_ATTEMPTS - done)


def test_redirects_are_not_followed_even_to_where_they_may_lead() -> None:
    with serving(lambda connection: connection.sendall(redirect)) as server:
        redirect = answering("307 Temporary Redirect", f"Location: {server.url}", "Content-Length: 0")

        answer = server.fetch()

    assert (answer.status, answer.headers["location"]) == (307, server.url)
    assert len(server.requests) == 1


def test_no_cookie_is_kept() -> None:
    with serving(answering("204 No Content", "Set-Cookie: a=b")) as server:
        server.fetch()
        server.fetch()

    assert all(b"cookie" not in head.lower() for head in server.requests)


def stay(connection: socket.socket) -> None:
    """Say nothing more, until the other side leaves."""
    connection.settimeout(8)
    connection.recv(1)


def forever(connection: socket.socket, start: bytes, piece: bytes, pause_s: float = 0.0) -> None:
    """Send on and on, but not so long that a guard without limits would hang the test."""
    connection.sendall(start)
    until = time.monotonic() + 8
    while time.monotonic() < until:
        connection.sendall(piece)
        time.sleep(pause_s)


@pytest.mark.parametrize(
    "start",
    [
        answering("200 OK", "Content-Length: 10000000000"),
        answering("200 OK"),
        answering("500 Internal Server Error", "Transfer-Encoding: chunked"),
    ],
    ids=["declared", "endless", "chunked"],
)
def test_an_answer_that_is_too_large_is_cut_without_being_held(start: bytes) -> None:
    piece = (b"10000\r\n" if b"chunked" in start else b"") + b"x" * 0x10000 + (b"\r\n" if b"chunked" in start else b"")

    with serving(lambda connection: forever(connection, start, piece)) as server:
        tracemalloc.start()
        with pytest.raises(AnswerTooLarge) as error:
            server.fetch()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert (error.value.code, error.value.retryable) == ("answer_too_large", False)
    assert peak < 8 * guard.MAX_ANSWER_BYTES


def test_an_answer_of_just_the_limit_is_taken() -> None:
    body = b"x" * guard.MAX_ANSWER_BYTES

    with serving(answering("200 OK", f"Content-Length: {len(body)}", body=body)) as server:
        assert server.fetch().body == body


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "zstd", "identity, gzip"])
def test_a_decompression_bomb_is_not_opened(encoding: str) -> None:
    bomb = gzip.compress(bytes(2**20)) * 200
    head = answering("200 OK", f"Content-Encoding: {encoding}", f"Content-Length: {len(bomb)}")

    with serving(head + bomb) as server, pytest.raises(BadAnswer, match="content encoding") as error:
        server.fetch()

    assert (error.value.code, error.value.retryable) == ("bad_answer", False)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (answering("200 OK", "Content-Length: 1000"), b"x"),
        (answering("200 OK", "Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
        (b"", answering("100 Continue")),
    ],
    ids=["status line", "headers", "body", "chunks", "informational"],
)
def test_an_answer_that_drips_ends_in_time(start: bytes, piece: bytes) -> None:
    with (
        serving(lambda connection: forever(connection, start, piece, 0.05)) as server,
        pytest.raises(TooSlow) as error,
    ):
        server.fetch(within_s=0.3)

    assert (error.value.code, error.value.retryable) == ("too_slow", True)


def test_silence_ends_in_time() -> None:
    with serving(stay) as server, pytest.raises(TooSlow):
        server.fetch(within_s=0.2)


def test_a_server_that_reads_slowly_ends_in_time() -> None:
    tired, over = threading.Event(), threading.Event()

    def read(connection: socket.socket) -> None:
        until = time.monotonic() + 4
        while not over.wait(0.05) and time.monotonic() < until:
            connection.recv(65536)
        if not over.is_set():
            tired.set()

    with serving(read, reads_head=False) as server:
        with pytest.raises(TooSlow):
            guard.fetch("POST", server.url, content=b"x" * 2**25, allowed=server.allowed, within_s=0.3)

        assert not tired.is_set()
        over.set()


def test_a_tls_handshake_that_is_not_answered_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "CONNECT_S", 0.2)

    def stay_after_hello(connection: socket.socket) -> None:
        connection.recv(65536)
        stay(connection)

    with serving(stay_after_hello, reads_head=False) as server, pytest.raises(TooSlow):
        guard.fetch("GET", server.url.replace("http", "https"), allowed=server.allowed)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"\x00\xff" * 500 + b"\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 99999 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    ],
)
def test_what_is_not_http_is_a_bad_answer(raw: bytes) -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(raw)
        stay(connection)

    with serving(send) as server, pytest.raises(BadAnswer) as error:
        server.fetch()

    assert (error.value.code, error.value.retryable) == ("bad_answer", False)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n",
        answering("200 OK", "Content-Length: 9", body=b"x"),
        answering("200 OK", "Transfer-Encoding: chunked", body=b"9\r\nx"),
    ],
)
def test_an_answer_that_breaks_off_can_be_tried_again(raw: bytes) -> None:
    with serving(raw) as server, pytest.raises(Unreachable) as error:
        server.fetch()

    assert (error.value.code, error.value.retryable) == ("unreachable", True)


def test_nobody_listening_can_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(Unreachable) as error:
        guard.fetch("GET", f"http://127.0.0.1:{port}/", allowed=[f"127.0.0.1:{port}"])

    assert error.value.retryable


@settings(max_examples=100, deadline=None)
@given(
    raw=st.binary(max_size=300)
    | st.lists(
        st.sampled_from([
            b"HTTP/1.1 ", b"HTTP/1.0 ", b"200", b" OK", b"100", b"101", b"304", b"\r\n", b"\n", b"\r\n\r\n", b"X:",
            b" ", b"Content-Length:", b"Transfer-Encoding:", b"chunked", b"5", b"0", b"\x00", b"\xff",
            b"Connection: upgrade",
        ]),
        max_size=20,
    ).map(b"".join)
)  # fmt: skip
def test_any_bytes_are_an_answer_or_one_of_our_errors(raw: bytes) -> None:
    with serving(raw) as server, contextlib.suppress(NoAnswer):
        assert isinstance(server.fetch(), guard.Answer)


@settings(deadline=None)
@given(url=st.text() | st.text().map("http://{}".format) | st.text("[]:@%.0x1a/").map("http://{}".format))
def test_any_url_passes_the_check_or_is_refused(url: str) -> None:
    with contextlib.suppress(Blocked):
        guard.check_url(url)


@settings(max_examples=50, deadline=None)
@given(rest=st.text(max_size=50))
def test_any_path_and_query_are_sent_or_refused(rest: str) -> None:
    with serving(answering("204 No Content")) as server, contextlib.suppress(Blocked):
        assert guard.fetch("GET", server.url + rest, allowed=server.allowed, within_s=5).status == 204


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of hook.example, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    path = tmp_path_factory.mktemp("tls") / "hook.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=hook.example", "-addext", "subjectAltName=DNS:hook.example", "-keyout", path, "-out", path],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@contextlib.contextmanager
def serving_tls(certificate: Path) -> Iterator[tuple[Server, list[str | None]]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names: list[str | None] = []
    context.sni_callback = lambda _connection, name, _context: names.append(name)

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            server.requests.append(secured.recv(65536))
            secured.sendall(answering("204 No Content"))

    with serving(behave, reads_head=False) as server:
        yield server, names


def test_tls_and_host_keep_the_name_although_the_address_is_connected_to(
    certificate: Path, tried: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(guard, "_tls", lambda: trusting)
    resolving(monkeypatch, ["127.0.0.1"])

    with serving_tls(certificate) as (server, names):
        url, allowed = f"https://hook.example:{server.port}/", [f"hook.example:{server.port}"]
        answer = guard.fetch("GET", url, allowed=allowed)

    assert answer.status == 204
    assert names == ["hook.example"]
    assert f"Host: hook.example:{server.port}\r\n".encode() in server.requests[0]
    assert tried == [("127.0.0.1", server.port)]


@pytest.mark.parametrize(("host", "trusted"), [("hook.example", False), ("other.example", True)])
def test_a_certificate_that_is_not_valid_is_a_bad_answer(
    host: str, trusted: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trusted:
        trusting = ssl.create_default_context(cafile=certificate)
        monkeypatch.setattr(guard, "_tls", lambda: trusting)
    resolving(monkeypatch, ["127.0.0.1"])

    with serving_tls(certificate) as (server, _), pytest.raises(BadAnswer, match=r"certificate of .+ is not valid"):
        guard.fetch("GET", f"https://{host}:{server.port}/", allowed=[f"{host}:{server.port}"])

    assert server.requests == []


def test_a_server_that_does_not_speak_tls_is_a_bad_answer() -> None:
    with serving(answering("204 No Content"), reads_head=False) as server, pytest.raises(BadAnswer, match="TLS"):
        guard.fetch("GET", server.url.replace("http", "https"), allowed=server.allowed)


def test_a_server_that_leaves_the_tls_handshake_can_be_tried_again() -> None:
    def leave(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with serving(leave, reads_head=False) as server, pytest.raises(Unreachable):
        guard.fetch("GET", server.url.replace("http", "https"), allowed=server.allowed)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that does not answer until the test is over; the names it was asked for."""
    over, asked = threading.Event(), []

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(guard, "_look_ups", threading.BoundedSemaphore(2))
    yield asked
    over.set()
    for thread in threading.enumerate():
        if thread.name == "look-up":
            thread.join()


def test_a_look_up_that_hangs_ends_in_time(hanging: list[str]) -> None:
    with pytest.raises(TooSlow):
        guard.fetch("GET", "http://hook.example/", within_s=0.1)

    assert hanging == ["hook.example"]


def test_look_ups_that_hang_do_not_pile_up(hanging: list[str]) -> None:
    for number in range(5):
        with pytest.raises(TooSlow):
            guard.fetch("GET", f"http://hook{number}.example/", within_s=0.05)

    assert hanging == ["hook0.example", "hook1.example"]


def test_a_name_without_address_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    for _ in range(guard.MAX_LOOK_UPS + 1):
        with pytest.raises(Unreachable, match="no address") as error:
            guard.fetch("GET", "http://hook.example/")

    assert error.value.retryable


@pytest.mark.parametrize(
    "headers",
    [
        {"X: y": "secret"}, {"": "secret"}, {"X": "secret\r\nHost: x"}, {"X": "secret\n"}, {"X": "secret\x00"},
        {"X": " secret"}, {"X": "secret "}, {"X": "sécret"}, {"Ü": "secret"}, {"Host": "secret"}, {"HOST": "secret"},
        {"Content-Length": "1"}, {"Transfer-Encoding": "chunked"}, {"Accept-Encoding": "gzip"}, {"Connection": "close"},
        {"Upgrade": "x"}, {"User-Agent": "x"}, {"Expect": "100-continue"}, {"TE": "trailers"},
    ],
)  # fmt: skip
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str], tried: Connections) -> None:
    for check in (guard.check_headers, lambda headers: guard.fetch("GET", "http://8.8.8.8/", headers=headers)):
        with pytest.raises(Blocked) as error:
            check(headers)

        assert error.value.code == "invalid_header"
        assert "cret" not in str(error.value)
    assert tried == []


@pytest.mark.parametrize("headers", [{}, {"X": ""}, {"authorization": "Bearer a b\tc"}, {"X-!#$%&'*+.^_`|~9": "~!"}])
def test_headers_that_can_be_sent_are(headers: dict[str, str]) -> None:
    with serving(answering("204 No Content")) as server:
        server.fetch(headers=headers)

    for name, value in headers.items():
        assert f"\r\n{name}: {value}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize(
    "raw", [b"", b"garbage\r\n\r\n", answering("200 OK", "Content-Encoding: br"), answering("204 No Content")]
)
def test_no_query_and_no_header_is_in_an_error_or_a_log(raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret, told = "s3" + "cret", ""

    with serving(raw) as server:
        url = f"{server.url}p/{secret}?q={secret}"
        try:
            guard.fetch("POST", url, headers={"X-Key": secret}, content=secret.encode(), allowed=server.allowed)
        except NoAnswer as error:
            told = "".join(traceback.format_exception(error))

    assert secret in server.requests[0].decode()
    assert secret not in told
    assert secret not in caplog.text
