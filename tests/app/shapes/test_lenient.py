"""Typed reading of bodies that break their type."""

import pytest

from app.shapes.lenient import Form, Reader, document_of


class _Inner(Form):
    count: int | None = None
    text: str | None = None


class _Outer(Form):
    name: str | None = None
    inner: _Inner | None = None
    many: list[str | _Inner] | None = None


READER = Reader(_Outer)


def test_well_formed_body_is_read() -> None:
    found = READER.read(b'{"name": "n", "inner": {"count": 1}, "many": ["a", {"text": "b"}], "unknown": {}}')

    assert found == _Outer(name="n", inner=_Inner(count=1), many=["a", _Inner(text="b")])


def test_only_the_broken_field_is_lost() -> None:
    found = READER.read(b'{"name": {}, "inner": {"count": [], "text": "t"}, "many": [1.5, null, {"count": true}]}')

    assert found == _Outer(inner=_Inner(text="t"), many=[_Inner()])


@pytest.mark.parametrize(
    ("sent", "read"), [(b'"12"', 12), (b"12.0", 12), (b"12.5", None), (b'"x"', None), (b"1e999", None)]
)
def test_numbers_written_otherwise_are_read(sent: bytes, read: int | None) -> None:
    found = READER.read(b'{"name": [], "inner": {"count": ' + sent + b"}}")

    assert found.inner == _Inner(count=read)


def test_one_object_stands_for_a_list_of_one() -> None:
    assert READER.read(b'{"many": {"text": "t"}}').many == [_Inner(text="t")]


def test_document_is_read_like_its_bytes() -> None:
    assert READER.read({"name": 5, "inner": {"count": "1"}}) == _Outer(name="5", inner=_Inner(count=1))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b"\xff", b"NaN", b"[" * 10_000])
def test_what_is_no_object_reads_as_the_empty_form(raw: bytes) -> None:
    assert READER.read(raw) == _Outer()


def test_number_beyond_any_range_loses_no_neighbour() -> None:
    raw = b'{"name": "n", "inner": {"count": ' + b"9" * 5000 + b', "text": "\\ud800"}, "many": [1e999, "a"]}'

    assert READER.read(raw) == _Outer(name="n", inner=_Inner(text="\ufffd"), many=["a"])


def test_document_too_deep_is_none() -> None:
    assert document_of(b"[" * 600 + b"]" * 600) is None
