"""Errors as providers send them: `{"error": {…}}`, `{"error": "…"}`, `{"message": …}`, a list, HTML."""

from collections.abc import Iterable
from typing import Any

import msgspec

from app.shapes.reading import ProviderError

#: An error page is kept to this length: it is a hint, the raw body stays.
MAX_MESSAGE = 2000

#: Where vendors put the parts, in the order of preference.
_MESSAGES = ("message", "detail", "error_message", "error_description", "msg", "title")
_CODES = ("code", "error_code", "status_code")


def declared(document: dict[str, Any]) -> bool:
    """Whether a body or a chunk says that it is an error."""
    return bool(
        document.get("error")
        or document.get("type") == "error"
        or document.get("object") == "error"
        or (document.get("success") is False and document.get("errors"))
    )


def error_in(document: dict[str, Any]) -> ProviderError | None:
    """Return the error that a body or a chunk declares as such; None where it declares none."""
    return refused(document) if declared(document) else None


def error_of(member: Any) -> ProviderError | None:
    """Return the error in an `error` member; None where it is null or says nothing."""
    return error_in({"error": member}) if member else None


def refused(document: Any) -> ProviderError | None:
    """Return the error in the body of a refused call (status 400 and above): whatever is there says why."""
    document = _first_member(document)
    if isinstance(document, str):
        return ProviderError(message=document.strip()[:MAX_MESSAGE]) if document.strip() else None
    if not isinstance(document, dict):
        return None
    error = document.get("error") or _first_member(document.get("errors"))
    return _of_member(error, document) if error else _of_object(document)


def _first_member(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _of_member(error: Any, document: dict[str, Any]) -> ProviderError | None:
    if isinstance(error, dict):
        return _of_object(error)
    message = error if isinstance(error, str) else _first(document, _MESSAGES)
    return ProviderError(type=_declared_type(document), code=_first(document, _CODES), message=message)


def _of_object(error: dict[str, Any]) -> ProviderError | None:
    found = ProviderError(type=_declared_type(error), code=_first(error, _CODES), message=_first(error, _MESSAGES))
    return None if found == ProviderError() else found


def _declared_type(error: dict[str, Any]) -> str | None:
    found = _first(error, ("type",))
    return None if found == "error" else found


def _first(document: dict[str, Any], keys: Iterable[str]) -> str | None:
    """Return the first of the keys that holds text or a number."""
    for key in keys:
        value = document.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, (dict, list)) and value and key in _MESSAGES:
            return msgspec.json.encode(value)[:MAX_MESSAGE].decode("utf-8", "ignore")
    return None
