"""The server we ship, spoken to byte by byte: slow clients are cut off, and nobody hides a request in another's body.

What is hidden is a whole second request, in the bytes that one reader of a connection takes for a body and another for
a request. It must never be run: exactly one answer, or none, and nothing stored.
"""

import contextlib
import json
import resource
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.conftest import wait_until
from tests.web.conftest import Web
from web.app import BODY_TIMEOUT_S
from web.cli import HEADER_TIMEOUT_MS

#: What a slow machine may add to a limit.
SLACK_S = 5
LIMIT_BYTES = 20 * 2**20


class Answer(NamedTuple):
    """What came back on a connection."""

    raw: bytes
    #: Whether the server closed it.
    closed: bool
    seconds: float

    @property
    def statuses(self) -> list[int]:
        """The final statuses of all answers, in order."""
        heads = [line for line in self.raw.split(b"\r\n") if line.startswith(b"HTTP/1.")]
        heads += [part for line in self.raw.split(b"}HTTP/1.")[1:] for part in [b"HTTP/1." + line.split(b"\r\n")[0]]]
        return [int(head.split(b" ")[1]) for head in heads if b" 100 " not in head]


class Wire:
    """Raw connections to the server, and requests to send on them."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.web.port), timeout=60)

    def head(self, *lines: bytes, method: bytes = b"POST", target: bytes = b"/api/v1/ingest") -> bytes:
        """A request's head with a key, and the blank line after it."""
        fixed = (b"Host: a", b"X-Ingate-Key: " + self.web.key.encode(), b"Content-Type: application/json")
        return b"\r\n".join([method + b" " + target + b" HTTP/1.1", *fixed, *lines, b"", b""])

    def whole(self, request_id: str, *lines: bytes) -> bytes:
        """A request to ingest one exchange."""
        body = exchange(request_id)
        return self.head(b"Content-Length: %d" % len(body), *lines) + body

    def ask(self, data: bytes, *, wait: float = 0.5) -> Answer:
        """Send bytes; return what comes until the server closes, or is silent for `wait` after it answered."""
        with self.open() as connection:
            began, came, closed = time.monotonic(), b"", False
            try:
                connection.sendall(data)
                while True:
                    if came:
                        connection.settimeout(wait)
                    part = connection.recv(65536)
                    if not part:
                        closed = True
                        break
                    came += part
            except TimeoutError:
                pass
            except OSError:
                closed = True
            return Answer(came, closed, time.monotonic() - began)

    def stored(self, request_id: str) -> bool:
        """Whether an exchange was accepted."""
        return self.web.http.get(f"/api/v1/ingest/{request_id}").status_code == 200


@pytest.fixture
def wire(web: Web) -> Iterator[Wire]:
    yield Wire(web)
    assert web.alive()
    assert "Traceback" not in web.output()


def exchange(request_id: str) -> bytes:
    return json.dumps({"prompt": "x", "request_id": request_id}).encode()


def new_id() -> str:
    return uuid.uuid4().hex


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def test_an_exchange_is_accepted_over_the_wire(wire: Wire) -> None:
    first, second = new_id(), new_id()

    answer = wire.ask(wire.whole(first) + wire.whole(second))

    assert answer.statuses == [202, 202]
    assert wire.stored(first)
    assert wire.stored(second)


# Request smuggling. `own` is the body that the sender means, `hidden` the request in its shadow.
Attack = Callable[[Wire, bytes, bytes], bytes]


def _te(value: bytes) -> Attack:
    """Content-Length covers all, Transfer-Encoding ends before the hidden request."""

    def made(wire: Wire, own: bytes, hidden: bytes) -> bytes:
        body = chunked(own) + hidden
        return wire.head(b"Content-Length: %d" % len(body), b"Transfer-Encoding: " + value) + body

    return made


def _te_alone(value: bytes) -> Attack:
    def made(wire: Wire, own: bytes, hidden: bytes) -> bytes:
        return wire.head(b"Transfer-Encoding: " + value) + chunked(own) + hidden

    return made


def _lengths(*values: str) -> Attack:
    """Of the lengths, `own` ends before the hidden request, `all` after it."""

    def made(wire: Wire, own: bytes, hidden: bytes) -> bytes:
        known = {"own": len(own), "all": len(own) + len(hidden)}
        lines = [b"Content-Length: " + value.format(**known).encode("latin-1") for value in values]
        return wire.head(*lines) + own + hidden

    return made


def _line(line: bytes) -> Attack:
    """A line that only some read as Transfer-Encoding, beside a Content-Length that covers all."""

    def made(wire: Wire, own: bytes, hidden: bytes) -> bytes:
        body = chunked(own) + hidden
        return wire.head(b"Content-Length: %d" % len(body), line) + body

    return made


def _size(size: bytes) -> Attack:
    """A chunk whose size is no size, or a lie."""

    def made(wire: Wire, own: bytes, hidden: bytes) -> bytes:
        return wire.head(b"Transfer-Encoding: chunked") + size + b"\r\n" + own + b"\r\n0\r\n\r\n" + hidden

    return made


def _te_first(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    body = chunked(own) + hidden
    return wire.head(b"Transfer-Encoding: chunked", b"Content-Length: %d" % len(body)) + body


def _old_version(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    head = wire.head(b"Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0")
    return head + chunked(own) + hidden


def _bare_lf_chunks(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    return wire.head(b"Transfer-Encoding: chunked") + b"%x\n%s\n0\n\n" % (len(own), own) + hidden


def _trailer(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    return wire.head(b"Transfer-Encoding: chunked") + chunked(own)[:-2] + b"Content-Length: 9\r\nx\n\n" + hidden


def _body_of_get(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    return wire.head(b"Content-Length: %d" % len(hidden), method=b"GET", target=b"/healthz") + hidden


def _body_of_nothing(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    return wire.head(b"Content-Length: %d" % len(hidden), target=b"/api/v1/nothing") + hidden


def _after_too_large(wire: Wire, own: bytes, hidden: bytes) -> bytes:
    return wire.head(b"Content-Length: %d" % (LIMIT_BYTES + 1)) + hidden


#: Name, how it is made, and the only answers that are right.
ATTACKS: dict[str, tuple[Attack, list[list[int]]]] = {
    # Here our reading and the standard's (RFC 9112, 6.3) are one: chunked holds, and the connection is closed.
    "both, chunked last": (_te(b"chunked"), [[202]]),
    "both, chunked first": (_te_first, [[202]]),
    "both, capitals": (_te(b"CHUNKED"), [[202]]),
    "both, not final": (_te(b"chunked, identity"), [[400]]),
    "both, identity": (_te(b"identity"), [[400]]),
    "both, unknown": (_te(b"xchunked"), [[400]]),
    "both, vertical tab": (_te(b"\x0bchunked"), [[400]]),
    "both, two codings": (_te(b"gzip, chunked"), [[400]]),
    "both, chunked twice": (_te(b"chunked, chunked"), [[400]]),
    "both, two lines": (_te(b"identity\r\nTransfer-Encoding: chunked"), [[400]]),
    "both, quoted": (_te(b'"chunked"'), [[400]]),
    "two codings": (_te_alone(b"gzip, chunked"), [[400]]),
    "chunked twice": (_te_alone(b"chunked\r\nTransfer-Encoding: chunked"), [[400]]),
    "space before the colon": (_line(b"Transfer-Encoding : chunked"), [[400]]),
    "folded line": (_line(b"Transfer-Encoding:\r\n chunked"), [[400]]),
    "folded line of another": (_line(b"X-A: b\r\n Transfer-Encoding: chunked"), [[400]]),
    "bare CR": (_line(b"X-A: b\rTransfer-Encoding: chunked"), [[400]]),
    "NUL": (_line(b"X-A: b\0\r\nTransfer-Encoding: chunked"), [[400]]),
    "underscore": (_line(b"Transfer_Encoding: chunked"), [[400]]),  # for the app it is a body that is no JSON
    "lengths differ": (_lengths("{own}", "{all}"), [[400]]),
    "lengths differ, long one first": (_lengths("{all}", "{own}"), [[400]]),
    "length twice": (_lengths("{all}", "{all}"), [[400]]),  # taken as one, RFC 9110 8.6: trailing garbage
    "length list": (_lengths("{own}, {all}"), [[400]]),
    "length list of equals": (_lengths("{own}, {own}"), [[400]]),
    "negative length": (_lengths("-1"), [[400]]),
    "signed length": (_lengths("+{own}"), [[400]]),
    "hexadecimal length": (_lengths("0x10"), [[400]]),
    "empty length": (_lengths(""), [[400]]),
    "huge length": (_lengths("99999999999999999999999"), [[400]]),
    "length with an exponent": (_lengths("1e3"), [[400]]),
    "length in foreign digits": (_lengths("\u00b2"), [[400]]),
    "chunk size of letters": (_size(b"xyz"), [[400]]),
    "chunk size below zero": (_size(b"-1"), [[400]]),
    "chunk size with 0x": (_size(b"0x5"), [[400]]),
    "chunk size beyond 64 bits": (_size(b"f" * 17), [[400]]),
    "no chunk size": (_size(b""), [[400]]),
    "chunk size after a space": (_size(b" 5"), [[400]]),
    "chunk longer than it says": (_size(b"5"), [[400]]),
    "long chunk extension": (_size(b"5;" + b"x" * 100_000), [[400]]),
    "chunk lines of bare LF": (_bare_lf_chunks, [[400]]),
    "trailer of bare LF": (_trailer, [[400], [202, 400]]),
    "chunks in HTTP/1.0": (_old_version, [[400]]),
    "body of a GET": (_body_of_get, [[200]]),
    "body for nobody": (_body_of_nothing, [[404]]),
    "after what is too large": (_after_too_large, [[413]]),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_request_hidden_in_a_body_is_never_run(wire: Wire, attack: str) -> None:
    own, hidden = new_id(), new_id()
    made, right = ATTACKS[attack]

    answer = wire.ask(made(wire, exchange(own), wire.whole(hidden)))

    assert answer.statuses in right, answer.raw
    assert not wire.stored(hidden)
    assert wire.stored(own) is (answer.statuses[0] == 202)


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name.startswith("both")])
def test_with_two_lengths_the_connection_is_closed_after_the_answer(wire: Wire, attack: str) -> None:
    answer = wire.ask(ATTACKS[attack][0](wire, exchange(new_id()), wire.whole(new_id())))

    assert answer.closed
    assert answer.seconds < SLACK_S


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\x00\xffGARBAGE / nope\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a/<script>\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: " + b"x" * 2**20 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n", 431),
        (b"GET /" + b"x" * 2**20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    ],
)
def test_what_is_no_request_of_ours_is_refused(wire: Wire, data: bytes, status: int) -> None:
    answer = wire.ask(data)

    assert answer.statuses == [status], answer.raw
    assert answer.closed or status not in (400, 431)


@pytest.mark.parametrize(
    "path",
    [b"//", b"//healthz", b"///healthz", b"//api/v1/logs", b"/%2fapi/v1/logs", b"//static/app.css", b"//evil.example/",
     b"/\\\\evil.example", b"/..//../etc/passwd", b"/static//app.css", b"/static/../../etc/passwd", b"/healthz/.",
     b"/%2e%2e/healthz", b"/healthz%00", b"/healthz;a=b"],
)  # fmt: skip
def test_a_path_is_right_or_not_found(wire: Wire, path: bytes) -> None:
    answer = wire.ask(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")

    assert answer.statuses == [404]


def test_http_2_is_not_spoken(wire: Wire) -> None:
    answer = wire.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")

    assert (answer.raw, answer.closed) == (b"", True)


@pytest.mark.parametrize("protocol", [b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", b"websocket", b"TLS/1.0"])
def test_an_upgrade_is_not_made(wire: Wire, protocol: bytes) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n"

    assert wire.ask(head + head).statuses == [200, 200]


def test_http_1_0_is_answered_and_closed(wire: Wire) -> None:
    answer = wire.ask(b"GET /healthz HTTP/1.0\r\n\r\n")

    assert (answer.statuses, answer.closed) == ([200], True)


def test_garbage_behind_a_request_ends_the_connection_after_its_answer(wire: Wire) -> None:
    request_id = new_id()

    answer = wire.ask(wire.whole(request_id) + b"\x00\xffGARBAGE / nope\r\n\r\n")

    assert (answer.statuses, answer.closed, wire.stored(request_id)) == ([202, 400], True, True)


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(wire: Wire) -> None:
    answer = wire.ask(wire.head(b"Content-Length: %d" % (100 * 2**20)))

    assert (answer.statuses, answer.closed) == ([413], True)
    assert b"application/problem+json" in answer.raw


def test_a_body_without_end_is_refused_at_the_limit(wire: Wire) -> None:
    piece, sent = b"%x\r\n" % 2**20 + b"x" * 2**20 + b"\r\n", 0
    with wire.open() as connection:
        connection.sendall(wire.head(b"Transfer-Encoding: chunked"))
        # Until the server hangs up.
        with contextlib.suppress(OSError):
            while sent < 10 * LIMIT_BYTES:
                connection.sendall(piece)
                sent += 2**20

    # Beyond the limit is only what the kernel's buffers of both ends hold.
    assert sent < 2 * LIMIT_BYTES


def test_a_body_that_breaks_off_is_not_stored(wire: Wire) -> None:
    request_id = new_id()
    with wire.open() as connection:
        connection.sendall(wire.whole(request_id)[:-1])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    assert not wire.stored(request_id)


def test_whoever_asks_may_send_is_told_so(wire: Wire) -> None:
    request_id = new_id()
    head, _, body = wire.whole(request_id, b"Expect: 100-continue").partition(b"\r\n\r\n")
    with wire.open() as connection:
        connection.sendall(head + b"\r\n\r\n")
        told = connection.recv(65536)
        connection.sendall(body)
        answered = connection.recv(65536)

    assert told.startswith(b"HTTP/1.1 100 Continue")
    assert answered.startswith(b"HTTP/1.1 202 ")


def _drip(wire: Wire, start: bytes, drop: bytes, answers: dict[str, Answer], name: str) -> None:
    """Send a start, then a drop every half second until the server hangs up."""
    began, came = time.monotonic(), b""
    with wire.open() as connection:
        connection.sendall(start)
        connection.settimeout(0.5)
        closed = False
        while not closed and time.monotonic() - began < BODY_TIMEOUT_S + 2 * SLACK_S:
            try:
                part = connection.recv(65536)
                came, closed = came + part, not part
            except TimeoutError:
                try:
                    connection.sendall(drop)
                except OSError:
                    closed = True
            except OSError:
                closed = True
    answers[name] = Answer(came, closed, time.monotonic() - began)


def test_a_slow_client_is_cut_off(wire: Wire) -> None:
    # All at once, since each takes as long as its limit.
    head = wire.head(b"Content-Length: 100000")
    form = head.replace(b"/api/v1/ingest", b"/sign-in").replace(b"json", b"x-www-form-urlencoded") + b"key="
    slow = {
        "nothing": (b"", b""),
        "half a request line": (b"GET /heal", b""),
        "half a head": (head[:-4], b""),
        "a head that drips": (head[:-2], b"X-A: b\r\n"),
        "idle after a request": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        "no body": (head, b""),
        "a body that drips": (head, b" "),
        "chunks that drip": (wire.head(b"Transfer-Encoding: chunked"), b"1\r\n \r\n"),
        "a chunk without end": (wire.head(b"Transfer-Encoding: chunked") + b"f" * 16 + b"\r\n", b" "),
        "a form that drips": (form, b"x"),
        "a body that nobody reads": (wire.head(b"Content-Length: 1000", target=b"/healthz", method=b"GET"), b" "),
        "a body for nobody": (wire.head(b"Content-Length: 1000", target=b"/api/v1/nothing"), b" "),
    }  # fmt: skip
    answers: dict[str, Answer] = {}
    threads = [threading.Thread(target=_drip, args=(wire, *two, answers, name)) for name, two in slow.items()]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {name: answer.closed for name, answer in answers.items()} == dict.fromkeys(slow, True)
    limit = HEADER_TIMEOUT_MS / 1000 + SLACK_S
    for name in ("nothing", "half a request line", "half a head", "a head that drips", "idle after a request"):
        assert answers[name].seconds < limit, name
    for name in ("no body", "a body that drips", "chunks that drip", "a chunk without end", "a form that drips"):
        assert answers[name].statuses == [408], name
        assert BODY_TIMEOUT_S - 1 < answers[name].seconds < BODY_TIMEOUT_S + SLACK_S, name
    assert answers["a body that nobody reads"].statuses == [200]
    assert answers["a body for nobody"].statuses == [404]


@pytest.fixture
def many_files() -> Iterator[int]:
    """As many open files as this process may have, up to what the test wants; how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3000 if hard == resource.RLIM_INFINITY else min(3000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield min(2000, wanted - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_idle_connections_keep_nobody_out(wire: Wire, many_files: int) -> None:
    idle = [wire.open() for _ in range(many_files)]
    request_id = new_id()

    answer = wire.ask(wire.whole(request_id))

    assert answer.statuses == [202]
    assert answer.seconds < HEADER_TIMEOUT_MS / 1000 / 2, "it waited until the idle ones were cut off"
    for connection in idle:
        connection.close()
    wait_until(wire.web.alive)
