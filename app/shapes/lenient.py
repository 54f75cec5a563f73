"""Typed reading of bodies whose senders break the type now and then.

A body is decoded into its Struct in one step. Where a vendor breaks a type, the body is read once more, field
by field: what fits is kept, a number written as text is read, and only the field that does not fit is lost.
"""

import sys
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import inspect

from app import decoding

T = TypeVar("T", bound=msgspec.Struct)

#: A body as it is handed to a reader: its JSON bytes, or the document that a stream was folded into.
Source = bytes | msgspec.Raw | dict[str, Any]

#: What decoding can raise on any bytes: not JSON, another type, not UTF-8, nested too deep.
UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Form(msgspec.Struct, gc=False):
    """Base of the typed forms of bodies. Every field of a form has a default: anything may be missing."""


class Reader(Generic[T]):
    """Reads bodies as one form; what cannot be read at all is the empty form."""

    def __init__(self, form: type[T]) -> None:
        self._form = form
        self._kind = inspect.type_info(form)
        self._decoder = msgspec.json.Decoder(form)

    def read(self, source: Source) -> T:
        """Return the form, never an exception."""
        try:
            if isinstance(source, dict):
                return msgspec.convert(source, self._form)
            return decoding.decode(source, self._decoder)
        except UNREADABLE:
            return self._salvaged(source)

    def _salvaged(self, source: Source) -> T:
        document = source if isinstance(source, dict) else document_of(source)
        found = _read(document, self._kind)
        return self._form() if found is _LOST else found


_ANYTHING = msgspec.json.Decoder()


def document_of(source: bytes | msgspec.Raw) -> Any:
    """Decode without a type; None when the bytes are not JSON or nested too deep."""
    raw = bytes(source)
    try:
        decoding.check_depth(raw)
        return _decoded(raw)
    except UNREADABLE:
        return None


def _decoded(raw: bytes) -> Any:
    try:
        return decoding.decode(raw, _ANYTHING)
    except msgspec.ValidationError:  # a number such as 1e999, which msgspec does not hold
        return decoding.strict_decoder().decode(decoding.repaired(raw).decode())


_LOST: Final = object()


def _read(value: Any, kind: inspect.Type) -> Any:
    """Return the value as the type asks for it, or _LOST. It recurses along the type, not along the value."""
    return _READERS[type(kind)](value, kind)


def _struct(value: Any, kind: inspect.StructType) -> Any:
    if not isinstance(value, dict):
        return _LOST
    fields = ((f.name, _read(value[f.encode_name], f.type)) for f in kind.fields if f.encode_name in value)
    return kind.cls(**{name: found for name, found in fields if found is not _LOST})


def _list(value: Any, kind: inspect.ListType) -> Any:
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return _LOST
    found = (_read(member, kind.item_type) for member in value)
    return [member for member in found if member is not _LOST]


def _union(value: Any, kind: inspect.UnionType) -> Any:
    # Exact JSON types come first, so that text is not read as a number, nor an object as a list of one.
    exact = [t for t in kind.types if isinstance(value, _JSON_TYPE[type(t)])]
    for member in (*exact, *kind.types):
        found = _read(value, member)
        if found is not _LOST:
            return found
    return _LOST


def _int(value: Any, kind: inspect.IntType) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return _LOST
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return _LOST
    if isinstance(value, float) and number != value:
        return _LOST
    lowest, highest = (
        -sys.maxsize if kind.ge is None else kind.ge,
        sys.maxsize if kind.le is None else kind.le,
    )
    return number if lowest <= number <= highest else _LOST


def _str(value: Any, _: inspect.Type) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) <= sys.maxsize else _LOST
    return value if isinstance(value, str) else _LOST


def _bool(value: Any, _: inspect.Type) -> Any:
    return value if isinstance(value, bool) else _LOST


def _dict(value: Any, _: inspect.Type) -> Any:
    return value if isinstance(value, dict) else _LOST


def _none(value: Any, _: inspect.Type) -> Any:
    return None if value is None else _LOST


def _any(value: Any, _: inspect.Type) -> Any:
    return value


_READERS: dict[type[inspect.Type], Any] = {
    inspect.StructType: _struct,
    inspect.ListType: _list,
    inspect.UnionType: _union,
    inspect.IntType: _int,
    inspect.StrType: _str,
    inspect.BoolType: _bool,
    inspect.DictType: _dict,
    inspect.NoneType: _none,
    inspect.AnyType: _any,
}
_JSON_TYPE: dict[type[inspect.Type], type] = {
    inspect.StructType: dict,
    inspect.ListType: list,
    inspect.IntType: int,
    inspect.StrType: str,
    inspect.BoolType: bool,
    inspect.DictType: dict,
    inspect.NoneType: type(None),
    inspect.AnyType: object,
}
