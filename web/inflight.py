"""A common bound of the memory that the bodies of requests hold, from the first byte read to the answer.

Every limit of one request is far below what a machine has; many requests at a time are what this is for. Counted on
the event loop only, so that no lock is needed.
"""

from typing import Any

from quart import Quart, Request, request
from quart.wrappers.request import Body

from app.errors import Overloaded

#: Of a web process. While other requests hold this much, no request may hold more than it does.
MAX_BYTES = 64 << 20

_held_bytes = 0


class Held:
    """What one request holds."""

    def __init__(self) -> None:
        self._bytes = 0

    def take(self, size: int) -> None:
        """Hold more. Raises Overloaded, and holds nothing more, when the others hold too much."""
        global _held_bytes  # noqa: PLW0603 - the one count that all requests have in common
        if _held_bytes - self._bytes > MAX_BYTES:
            raise Overloaded("too many bodies are on their way at a time")
        self._bytes += size
        _held_bytes += size

    def release(self) -> None:
        """Hold nothing any more."""
        global _held_bytes  # noqa: PLW0603 - see take
        _held_bytes -= self._bytes
        self._bytes = 0


class CountedBody(Body):
    """A body that is refused, and forgotten, when it would hold too much."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.held = Held()
        self._ended = False

    def append(self, data: bytes) -> None:
        """Keep what has come, unless it is too much or the request has been answered."""
        if self._ended:
            return
        try:
            self.held.take(len(data))
        except Overloaded as error:
            self._must_raise = error
            self.end()
            self.set_complete()
            return
        super().append(data)

    def end(self) -> None:
        """Give up what is held, and take nothing more."""
        self._ended = True
        self.clear()
        self.held.release()


class CountedRequest(Request):
    """A request whose body is counted."""

    body_class: type[Body] = CountedBody


def hold(size: int) -> None:
    """Count what the current request holds beside its body. Raises Overloaded."""
    request.body.held.take(size)  # type: ignore[attr-defined]  # every request of the app is a CountedRequest


def register(app: Quart) -> None:
    """Count the bodies of an app's requests."""
    app.request_class = CountedRequest

    @app.teardown_request
    async def end(error: BaseException | None) -> None:  # noqa: ARG001 - Quart's signature
        request.body.end()  # type: ignore[attr-defined]  # see hold
