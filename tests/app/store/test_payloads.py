"""Bytes in, the same bytes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store import payloads
from tests.helpers import accept, encoded


@given(st.binary(max_size=2000), st.sampled_from([1, 40]))
def test_packed_bytes_come_back(raw: bytes, times: int) -> None:
    assert payloads.unpack(*payloads.pack(raw * times)) == raw * times


def test_an_unknown_codec_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown payload codec 9"):
        payloads.unpack(9, b"")


@pytest.mark.backend
@pytest.mark.usefixtures("store")
def test_a_chunk_is_read_by_exchange() -> None:
    ids = accept(encoded(prompt="one"), encoded(prompt="two"))

    packed = payloads.packed([*ids, 10**9])

    assert [payloads.unpack(*packed[i]) for i in ids] == [encoded(prompt="one"), encoded(prompt="two")]
    assert set(packed) == set(ids)
