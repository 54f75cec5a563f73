"""The header lines of a request in plain values: what the doors, and Quart's routes, read keys and bodies by."""

from collections.abc import Iterable


class Headers:
    """The header lines of an ASGI scope; values are read as Latin-1."""

    __slots__ = ("_first", "_lines")

    def __init__(self, lines: Iterable[tuple[bytes, bytes]]) -> None:
        self._lines = list(lines)
        # Of equal names the first one counts.
        self._first = dict(reversed(self._lines))

    def get(self, name: str) -> str | None:
        """Return the value of a header; None where it is not sent."""
        value = self._first.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    def all(self, name: str) -> list[str]:
        """Return the values of all lines of a header, in their order."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self._lines if key == wanted]
