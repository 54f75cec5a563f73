"""The one way Ingate makes a request to an address that a person typed in. Evaluators call it from worker threads.

It promises that no packet reaches a destination that is not public, unless the caller's allow-list names it: a name is
looked up once, every address it has is checked, and the connection goes to one of those checked, so a name that points
elsewhere a moment later (DNS rebinding) changes nothing. TLS and the Host header keep the name. Time and size are
bounded whatever the other side does. Redirects are answers like any other: they are returned, never followed.

It stands on two public interfaces: httpcore2's NetworkBackend, because what is checked must be what is connected to,
and httpx2's URL, so that a URL is read once and by one reader. httpcore2 does not read proxies from the environment,
follow redirects, keep cookies or decompress; here all four must not happen. The kept libraries for this were read
first: httpx-secure 2.0 probes addresses, denied ones too, by TCP before it decides; ssrfguard 0.4 is sound, but knows
no deadline, no end of a look-up and no single allowed port, quotes URLs in its errors, and would leave the backend,
where the deadline lives, to be written all the same.
"""

import functools
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import httpcore2
import httpx2
import msgspec

import app
from app.errors import AnswerTooLarge, BadAnswer, Blocked, TooSlow, Unreachable

#: Look-up, connection and TLS handshake together.
CONNECT_S = 5.0
#: From the call to the last byte of the answer.
TOTAL_S = 10.0
#: Of an answer's body; nothing is ever decompressed. Its headers have h11's own limit, 100 KiB.
MAX_ANSWER_BYTES = 2**20
#: Ports that need no entry in the allow-list.
PORTS = frozenset({80, 443})
#: Addresses of one name that are tried, each with its share of CONNECT_S; all of them are checked.
MAX_ATTEMPTS = 4
#: getaddrinfo cannot be stopped. A look-up that hangs is left behind in its thread, which ends when the system's
#: resolver gives up; at most so many are left at a time, and further requests wait for one to end or are too slow.
MAX_LOOK_UPS = 16

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, of any status, redirects included. Header names are in lower case; equal ones are joined."""

    status: int
    headers: dict[str, str]
    body: bytes


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    allowed: Sequence[str] = (),
    within_s: float = TOTAL_S,
) -> Answer:
    """Make one request and return its answer; blocks for `within_s` seconds at most.

    Each entry of `allowed` is a host, a host:port, or a network with or without a port ("ollama", "localhost:11434",
    "10.0.0.0/8", "[fd00::/8]:8080"). An entry lifts the check of addresses; without a port it is good for 80 and 443.
    An entry that is a name is trusted wherever its DNS points.

    Raises Blocked, Unreachable, TooSlow, AnswerTooLarge or BadAnswer. Their texts name the host at most, never the
    rest of the URL or a header, which may hold secrets.
    """
    backend = _Backend(allowed, answer_by=time.monotonic() + within_s)
    parsed = _checked_url(url, allowed)
    headers = headers or {}
    check_headers(headers)
    sent = [
        (b"Host", parsed.netloc),
        (b"User-Agent", f"Ingate/{app.__version__}".encode()),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
        *((name.encode(), value.encode()) for name, value in headers.items()),
    ]
    host = parsed.raw_host.decode()
    target = httpcore2.URL(scheme=parsed.raw_scheme, host=host, port=parsed.port, target=parsed.raw_path)
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=_tls(), network_backend=backend) as pool,
            pool.stream(method, target, headers=sent, content=content) as response,
        ):
            return _answer(response, host)
    # The causes are cut off, since they may quote what must not be logged.
    except httpcore2.NetworkError:
        raise Unreachable(f"the connection to {host} broke off") from None
    except httpcore2.RemoteProtocolError:
        if backend.ended:
            raise Unreachable(f"{host} closed the connection before its answer was complete") from None
        raise BadAnswer(f"what {host} answered is not HTTP/1.1") from None


def check_url(url: str, allowed: Sequence[str] = ()) -> None:
    """Check all that can be known of a URL without looking its host up, for instance when a config is saved.

    Raises Blocked. A URL that passes can still be refused by `fetch`, which knows the addresses.
    """
    _checked_url(url, allowed)


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that headers can be sent, and are not those that belong to the connection. Raises Blocked."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise Blocked("a header holds characters that cannot be sent", error_code="invalid_header")
        if name.lower() in _OWN_HEADERS:
            raise Blocked(f"the header {name.lower()} is set by Ingate", error_code="invalid_header")


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "user-agent"}
)
_NAME = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
#: Resolvers read hosts like 127.1, 0x7f.1 or 2130706433 as addresses; no name ends in a number.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")


def _checked_url(url: str, allowed: Sequence[str]) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        # Their messages quote the URL.
        raise Blocked("the URL cannot be read", error_code="invalid_url") from None
    if parsed.scheme not in ("http", "https"):
        raise Blocked("the URL must begin with http:// or https://", error_code="invalid_url")
    if parsed.userinfo:
        raise Blocked("the URL must not hold a user name or password; use a header", error_code="invalid_url")
    host, port, places = parsed.raw_host.decode(), _port(parsed), _places(tuple(allowed))
    address = _literal(host)
    if address is not None:
        _check(host, port, address, places)
    elif _NUMERIC.fullmatch(host):
        raise Blocked("an address must be written in full and in decimal numbers")
    elif not _NAME.fullmatch(host):
        raise Blocked("the URL's host is neither a name nor an address", error_code="invalid_url")
    elif port not in PORTS and all(place.port != port for place in places):
        raise _blocked(host, port)
    return parsed


def _port(url: httpx2.URL) -> int:
    return url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _Place(NamedTuple):
    """An entry of an allow-list: one name or one network, on one port or on those that are always open."""

    where: str | _Network
    port: int | None

    def covers(self, host: str, port: int, address: _Address) -> bool:
        if port != self.port and (self.port is not None or port not in PORTS):
            return False
        return _plain(host) == self.where if isinstance(self.where, str) else address in self.where


@functools.lru_cache(maxsize=256)
def _places(allowed: tuple[str, ...]) -> list[_Place]:
    return [_place(entry) for entry in allowed]


def _place(entry: str) -> _Place:
    whole = _network(entry)
    if whole is not None:
        return _Place(whole, None)
    written = _ENTRY.fullmatch(entry)
    host = _plain(written["inside"] or written["host"]) if written else ""
    where = _network(host) or (host if _NAME.fullmatch(host) else None)
    if written is None or where is None:
        raise ValueError(f"{entry!r}: expected a host, a host:port, a network or a network:port")
    return _Place(where, int(written["port"]) if written["port"] else None)


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


_ENTRY = re.compile(r"(?:\[(?P<inside>[^\[\]]+)\]|(?P<host>[^\[\]:\s]+))(?::(?P<port>[0-9]{1,5}))?")


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


def _check(host: str, port: int, address: _Address, places: Iterable[_Place]) -> None:
    public = port in PORTS and _is_public(address)
    if not public and not any(place.covers(host, port, address) for place in places):
        raise _blocked(host, port)


def _blocked(host: str, port: int) -> Blocked:
    # The address of a name is not told, so that nobody can read the internal DNS here.
    return Blocked(
        f"requests to {host} on port {port} are not allowed: only those to public addresses on ports 80 and 443 are, "
        "and those that the allow-list names"
    )


def _is_public(address: _Address) -> bool:
    """Whether packets to an address leave for the public internet.

    The standard library's `is_global` answers another question (is the prefix routed?) and differs between patch
    releases of Python, so these are IANA's special-purpose registries, and of IPv6 only what is given out at all.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address in _NAT64:
        # In a network of IPv6 alone, DNS64 gives every IPv4 host such an address; what counts is where it leads.
        return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GIVEN_OUT and not any(address in network for network in _NOT_PUBLIC)


_GIVEN_OUT = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host; Linux connects to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT, and Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata and agents, on a public number
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocols, and Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # IETF protocols; Teredo carries IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries IPv4 addresses
        "3fff::/20",  # documentation
    )
)


class _Backend(httpcore2.NetworkBackend):
    """Connects one request, to nothing but checked addresses, and hands out the stream that knows its deadline.

    httpcore2's own timeouts are each for one operation, so the `timeout` arguments are not looked at.
    """

    def __init__(self, allowed: Sequence[str], *, answer_by: float) -> None:
        self._places = _places(tuple(allowed))
        self._connect_by = min(answer_by, time.monotonic() + CONNECT_S)
        self._answer_by = answer_by
        self._stream: _Stream | None = None

    @property
    def ended(self) -> bool:
        """Whether the other side has closed the connection."""
        return self._stream is not None and self._stream.ended

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        found = _look_up(host, port, self._connect_by)
        # All of them, before the first connection: a name that is public and private at once is being rebound.
        for _, end in found:
            _check(host, port, ipaddress.ip_address(end[0]), self._places)
        tries = found[:MAX_ATTEMPTS]
        for done, (family, end) in enumerate(tries):
            share = _left(self._connect_by, host) / (len(tries) - done)
            connection = _connection(family, end, share)
            if connection is not None:
                self._stream = _Stream(connection, host, connect_by=self._connect_by, answer_by=self._answer_by)
                return self._stream
        raise Unreachable(f"no connection to {host} on port {port}")


def _look_up(host: str, port: int, until: float) -> list[tuple[int, Any]]:
    """Return the family and the socket address of all that a host stands for, addresses as they are."""
    if not _look_ups.acquire(timeout=_left(until, host)):
        raise TooSlow(f"{host} was not looked up in time: too many look-ups are hanging")
    answer: Future[list[tuple[int, Any]]] = Future()

    def run() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.set_result([(family, end) for family, _, _, _, end in found])
        except OSError as error:
            answer.set_exception(error)
        finally:
            _look_ups.release()

    # A daemon, so that a look-up that hangs does not hold up the end of the process.
    threading.Thread(target=run, name="look-up", daemon=True).start()
    try:
        return answer.result(timeout=_left(until, host))
    except TimeoutError:
        raise TooSlow(f"{host} was not looked up in time") from None
    except OSError:
        raise Unreachable(f"{host} has no address") from None


_look_ups = threading.BoundedSemaphore(MAX_LOOK_UPS)


def _connection(family: int, end: Any, within_s: float) -> socket.socket | None:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(within_s)
        connection.connect(end)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        return None
    return connection


class _Stream(httpcore2.NetworkStream):
    """A connection whose every operation ends when the whole request must: a byte a second gains nothing."""

    def __init__(self, connection: socket.socket, host: str, *, connect_by: float, answer_by: float) -> None:
        self._connection = connection
        self._host = host
        self._connect_by = connect_by
        self._answer_by = answer_by
        self.ended = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        try:
            self._connection.settimeout(_left(self._answer_by, self._host))
            data = self._connection.recv(max_bytes)
        except TimeoutError:
            raise _too_slow(self._host) from None
        except OSError as error:
            raise httpcore2.ReadError from error
        self.ended = not data
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        try:
            while buffer:
                self._connection.settimeout(_left(self._answer_by, self._host))
                buffer = buffer[self._connection.send(buffer) :]
        except TimeoutError:
            raise _too_slow(self._host) from None
        except OSError as error:
            # httpcore still reads after this: who refuses early may have said why.
            raise httpcore2.WriteError from error

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        try:
            self._connection.settimeout(_left(self._connect_by, self._host))
            self._connection = ssl_context.wrap_socket(self._connection, server_hostname=server_hostname)
        except TimeoutError:
            raise _too_slow(self._host) from None
        except ssl.SSLCertVerificationError as error:
            raise BadAnswer(f"the certificate of {self._host} is not valid: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise BadAnswer(f"{self._host} does not speak TLS: {error.reason}") from None
        except OSError:
            raise Unreachable(f"{self._host} closed the connection during the TLS handshake") from None
        return self


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context(trust_env=False)


def _left(until: float, host: str) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise _too_slow(host)
    return left


def _too_slow(host: str) -> TooSlow:
    return TooSlow(f"{host} did not answer in time")


def _answer(response: httpcore2.Response, host: str) -> Answer:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadAnswer(f"{host} answered in a content encoding, although none was asked for")
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the answer of {host} is larger than {MAX_ANSWER_BYTES} bytes")
    return Answer(status=response.status, headers=headers, body=bytes(body))
