"""Every error Ingate raises on purpose; web/errors.py holds the one table that turns them into HTTP.

IngateError
 ├─ InvalidRequest      the request cannot be read: nothing in it is kept
 ├─ InvalidItem         JSON, but not what is taken; in a batch it refuses one item, its neighbours are not touched
 ├─ Conflict            what is asked contradicts what is stored
 ├─ TooLarge            a limit is passed; the error names the limit
 ├─ Unsupported         a content type or encoding that is not taken
 ├─ Unauthenticated     no key, or one that is not valid
 ├─ Forbidden           the key's role does not reach
 ├─ NotFound            no such thing in this project
 ├─ RateLimited         too often: trying again later helps
 ├─ Overloaded          more is asked at a time than memory is there for: trying again later helps
 ├─ Unreadable          what is stored cannot be read back
 ├─ StoreUnavailable    the database cannot be reached or written: trying again can help
 ├─ NoAnswer            a request of ours got no answer that can be used
 │   ├─ Blocked         it was not sent: the destination, the URL or a header is not one Ingate makes requests with
 │   ├─ Unreachable     no connection, or it broke off: trying again can help
 │   ├─ TooSlow         no whole answer in time: trying again can help
 │   ├─ AnswerTooLarge  more came than is read
 │   └─ BadAnswer       not HTTP, not TLS that can be verified, or an encoding that was not asked for
 └─ SettingError        an environment variable holds a value that cannot be used
"""

from typing import ClassVar


class IngateError(Exception):
    """Base of all errors that are meant for a caller: a stable code and a sentence."""

    error_code: ClassVar[str] = "error"
    #: Whether the same call can succeed later without a change by the caller.
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, error_code: str | None = None, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        #: Overrides the class's code where one class covers several reasons.
        self.code = error_code or self.error_code
        #: RFC 6901 pointer into the item or body, where a place is known.
        self.pointer = pointer


class InvalidRequest(IngateError):
    """The request cannot be read as what the route takes."""

    error_code = "invalid_request"


class InvalidItem(IngateError):
    """What was sent is JSON, but not what is taken; in a batch only the one item is refused."""

    error_code = "invalid_item"


class Conflict(IngateError):
    """What is asked contradicts what is stored."""

    error_code = "conflict"


class TooLarge(IngateError):
    """A size limit is passed."""

    error_code = "too_large"


class Unsupported(IngateError):
    """The content type or content encoding is not taken here."""

    error_code = "unsupported_media_type"


class Unauthenticated(IngateError):
    """No key was sent, or it is unknown, revoked or expired."""

    error_code = "missing_key"


class Forbidden(IngateError):
    """The key is valid, but its role does not reach."""

    error_code = "role_required"


class NotFound(IngateError):
    """There is no such thing in the caller's project."""

    error_code = "not_found"


class RateLimited(IngateError):
    """Somebody does something too often; after `retry_after_s` seconds it is allowed again."""

    error_code = "rate_limited"
    retryable = True

    def __init__(self, detail: str, *, retry_after_s: int, limit: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.limit = limit


class Overloaded(IngateError):
    """More is asked for at a time than there is memory for; the same call can succeed in a moment."""

    error_code = "overloaded"
    retryable = True


class Unreadable(IngateError):
    """What is stored cannot be read back: it is damaged, or of a newer version than this code."""

    error_code = "unreadable"


class StoreUnavailable(IngateError):
    """The database cannot be reached or written right now; the same call can succeed later."""

    error_code = "store_unavailable"
    retryable = True


class NoAnswer(IngateError):
    """A request of ours, to an address that a person typed in, got no answer that can be used."""

    error_code = "no_answer"


class Blocked(NoAnswer):
    """The request was not sent: its destination, its URL or a header is not one Ingate makes requests with."""

    error_code = "blocked_destination"


class Unreachable(NoAnswer):
    """The host has no address, there is no connection, or it broke off; the same call can succeed later."""

    error_code = "unreachable"
    retryable = True


class TooSlow(NoAnswer):
    """There was no whole answer in time; the same call can succeed later."""

    error_code = "too_slow"
    retryable = True


class AnswerTooLarge(NoAnswer):
    """The answer is larger than what is read."""

    error_code = "answer_too_large"


class BadAnswer(NoAnswer):
    """The answer is not HTTP, not TLS that can be verified, or in a content encoding that was not asked for."""

    error_code = "bad_answer"


class SettingError(IngateError):
    """An environment variable holds a value that cannot be used; the start stops here."""

    error_code = "setting"
