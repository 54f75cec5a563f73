"""The item's bytes exactly as received, compressed. Lists never read them; one exchange or one chunk at a time does."""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path

import zstandard

from app.errors import Unreadable
from app.store import database

#: Codecs of payload.data: zstd alone, and with the first dictionary.
ZSTD, ZSTD_1 = 1, 2
#: From here on a dictionary gives nothing, and level 1 gives the same ratio in a quarter of the time.
LARGE_BYTES = 16_384
LEVEL, LARGE_LEVEL = 3, 1
#: Made by benchmarks/dictionary.py, never changed: what was stored needs it.
_DICTIONARY = Path(__file__).parent / "payload_1.zdict"


def pack(raw: bytes) -> tuple[int, bytes]:
    """Compress an item; return the codec and the bytes."""
    codec = ZSTD if len(raw) > LARGE_BYTES else ZSTD_1
    return codec, _compressor(codec).compress(raw)


def unpack(codec: int, data: bytes) -> bytes:
    """Return the item's bytes as received."""
    if codec not in (ZSTD, ZSTD_1):
        raise ValueError(f"unknown payload codec {codec}")
    return bytes(_decompressor(codec).decompress(data))


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


class _Local(threading.local):
    """A thread's own: they are not safe to share, and making one costs more than a small item."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}


_local = _Local()


def _compressor(codec: int) -> zstandard.ZstdCompressor:
    found = _local.compressors.get(codec)
    if found is None:
        if codec == ZSTD:
            found = zstandard.ZstdCompressor(level=LARGE_LEVEL)
        else:
            # The codec says which dictionary it is.
            found = zstandard.ZstdCompressor(level=LEVEL, dict_data=_dictionary(), write_dict_id=False)
        _local.compressors[codec] = found
    return found


def _decompressor(codec: int) -> zstandard.ZstdDecompressor:
    found = _local.decompressors.get(codec)
    if found is None:
        found = zstandard.ZstdDecompressor(dict_data=_dictionary() if codec == ZSTD_1 else None)
        _local.decompressors[codec] = found
    return found


@functools.cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    dictionary = zstandard.ZstdCompressionDict(_DICTIONARY.read_bytes())
    dictionary.precompute_compress(level=LEVEL)
    return dictionary
