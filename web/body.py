"""Reading a request body: media type, content encoding, and the size limit before and after decompression."""

import asyncio
import io
import zlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import zstandard
from quart import current_app, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout
from werkzeug.http import parse_options_header
from werkzeug.sansio.utils import get_content_length

from app.errors import InvalidRequest, TooLarge, Unsupported
from app.exchange import invalid_field
from web import inflight
from web.headers import Headers
from web.strict import Receive
from web.threads import in_thread

T = TypeVar("T")

#: Windows beyond this are refused: a decompressor allocates its window before it gives a byte.
_MAX_ZSTD_WINDOW = 1 << 27
#: Bodies of routes that manage something are small.
_MAX_SMALL_BYTES = 1 << 20


class Disconnected(Exception):
    """The client hung up, or what came is not framed as HTTP: there is nobody to answer."""


async def json_body(
    headers: Headers, read: Callable[[], Awaitable[bytes]], max_bytes: int, hold: Callable[[int], None]
) -> bytes:
    """Return the decompressed body of a JSON request, of which `read` gives the bytes that come.

    hold: counts bytes that are held beside those.

    Raises Unsupported, TooLarge (naming the limit), InvalidRequest or Overloaded, and what `read` raises.
    """
    _check_media_type(headers.get("Content-Type") or "")
    encoding = (headers.get("Content-Encoding") or "identity").strip().lower()
    if encoding not in (*_DECODERS, "identity", ""):
        raise Unsupported(
            f"Content-Encoding {encoding[:80]!r} is not taken; send gzip, zstd or none",
            error_code="unsupported_encoding",
        )
    try:
        body = await read()
    except RequestEntityTooLarge:
        raise _too_large(max_bytes) from None
    declared = _declared(headers)
    if declared is not None and len(body) < declared:
        raise InvalidRequest(f"the body ends after {len(body)} of {declared} bytes", error_code="truncated_body")
    # Decompression takes milliseconds from some size on: not on the event loop.
    decoded = await in_thread(_DECODERS[encoding], body, max_bytes) if encoding in _DECODERS else body
    if len(decoded) > max_bytes:
        raise _too_large(max_bytes)
    if decoded is not body:
        hold(len(decoded))
    return decoded


async def arriving(
    headers: Headers, receive: Receive, max_bytes: int, timeout_s: float, hold: Callable[[int], None]
) -> bytes:
    """Return the bytes of a body as Quart does; `hold` counts them as they come.

    Raises RequestEntityTooLarge at its declared length, before it comes, or where it passes the limit, RequestTimeout
    when it drips, Overloaded, and Disconnected.
    """
    if (_declared(headers) or 0) > max_bytes:
        raise RequestEntityTooLarge
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                parts.append(message.get("body", b""))
                hold(len(parts[-1]))
                size, more = size + len(parts[-1]), message.get("more_body", False)
                if size > max_bytes:
                    raise RequestEntityTooLarge
    except TimeoutError:
        raise RequestTimeout from None
    return b"".join(parts)


async def read_json(kind: type[T]) -> T:
    """Return the small JSON body of a request that manages something, as the type it must have.

    Raises InvalidItem with the pointer when a field is wrong, and what `json_body` raises.
    """
    max_bytes = min(_MAX_SMALL_BYTES, current_app.config["SETTINGS"].max_request_bytes)
    raw = await json_body(Headers(request.scope["headers"]), _data, max_bytes, inflight.hold)
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"not JSON: {error}", error_code="malformed_json") from None


async def _data() -> bytes:
    return bytes(await request.get_data(cache=False, as_text=False))  # type: ignore[arg-type]  # as_text is False


def _declared(headers: Headers) -> int | None:
    """The length that the body should have; None for chunks, which end by themselves."""
    return get_content_length(headers.get("Content-Length"), headers.get("Transfer-Encoding"))


def _check_media_type(content_type: str) -> None:
    if content_type == "application/json":
        return
    mimetype, parameters = parse_options_header(content_type)
    mimetype = mimetype.lower()
    if mimetype != "application/json" and not (mimetype.startswith("application/") and mimetype.endswith("+json")):
        raise Unsupported(f"Content-Type {mimetype[:80]!r} is not taken; send application/json")
    charset = parameters.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise Unsupported(f"charset {charset[:40]!r} is not taken; JSON is UTF-8")


def _gzip(body: bytes, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=31)
    try:
        decoded = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise _bad_encoding(f"not gzip: {error}") from None
    if len(decoded) <= max_bytes and (not decompressor.eof or decompressor.unused_data):
        raise _bad_encoding("the gzip stream is cut off" if not decompressor.eof else "data after the gzip stream")
    return decoded


def _zstd(body: bytes, max_bytes: int) -> bytes:
    source = io.BytesIO(body)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW)
    try:
        expected = zstandard.frame_content_size(body)
        with decompressor.stream_reader(source, read_across_frames=False, read_size=65536) as reader:
            decoded: bytes = reader.read(max_bytes + 1)
    except zstandard.ZstdError as error:
        raise _bad_encoding(f"not zstd: {error}") from None
    if len(decoded) <= max_bytes:
        _check_zstd_end(body, decoded, expected)
    return decoded


def _check_zstd_end(body: bytes, decoded: bytes, expected: int) -> None:
    """The stream reader is silent about a cut frame and about what follows it; a second, bounded pass is not."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW).decompressobj()
    decompressor.decompress(body)
    if not decompressor.eof or expected not in (-1, len(decoded)):
        raise _bad_encoding("the zstd frame is cut off")
    if decompressor.unused_data:
        raise _bad_encoding("data after the zstd frame")


def _bad_encoding(detail: str) -> InvalidRequest:
    return InvalidRequest(detail, error_code="bad_encoding")


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"a request takes at most {max_bytes} bytes after decompression (INGATE_MAX_REQUEST_BYTES)",
        error_code="request_too_large",
    )


_DECODERS = {"gzip": _gzip, "zstd": _zstd}
