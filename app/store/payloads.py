"""The item's bytes exactly as received, compressed. Lists never read them; one exchange or one chunk at a time does."""

import threading
from collections.abc import Sequence

import zstandard

from app.errors import Unreadable
from app.store import database

#: Codec of payload.data: zstd without a dictionary.
ZSTD = 1
#: Above this size level 1 gives the same ratio in a quarter of the time.
_LARGE_BYTES = 16_384

_local = threading.local()


def pack(raw: bytes) -> tuple[int, bytes]:
    """Compress an item; return the codec and the bytes."""
    return ZSTD, _compressor(1 if len(raw) > _LARGE_BYTES else 3).compress(raw)


def unpack(codec: int, data: bytes) -> bytes:
    """Return the item's bytes as received."""
    if codec != ZSTD:
        raise ValueError(f"unknown payload codec {codec}")
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    return bytes(decompressor.decompress(bytes(data)))


def read(exchange_id: int) -> bytes:
    """Return one exchange's item as it was stored. Raises Unreadable."""
    try:
        return unpack(*packed([exchange_id])[exchange_id])
    except (KeyError, ValueError, zstandard.ZstdError) as error:
        raise Unreadable(f"the stored item cannot be read: {error!r}") from error


def packed(ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
    """Return codec and bytes of a chunk of exchanges, by exchange id; `unpack` takes each apart."""
    with database.session():
        rows = database.execute(
            f"SELECT exchange_id, codec, data FROM payload WHERE {database.in_list('exchange_id')}",
            [database.id_list(ids)],
        )
    return {row[0]: (row[1], row[2]) for row in rows}


def _compressor(level: int) -> zstandard.ZstdCompressor:
    # A compressor is not safe to share between threads, and making one costs more than a small item.
    compressors: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level)
    return compressors[level]
