"""What must never be stored: credentials in the headers that a client sends along with an exchange."""

import re
from typing import Any

import msgspec

_CREDENTIAL = re.compile(
    r"authorization|cookie|secret|password|credential|signature|(^|[-_])token($|[-_])|api[-_]?key|[-_]key$|^key$",
    re.IGNORECASE,
)
_HEADERS = ("request_headers", "response_headers")
_DOCUMENT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_credential(header: str) -> bool:
    """Whether a header's name says that its value is a credential."""
    return bool(_CREDENTIAL.search(header))


def without_credentials(raw: bytes, *headers: dict[str, Any] | None) -> bytes:
    """Return the item's bytes without its credential headers; the very same bytes when it has none."""
    if not any(is_credential(name) for group in headers if group for name in group):
        return raw
    document = _DOCUMENT.decode(raw)
    for field in _HEADERS:
        if field in document:
            kept = {k: v for k, v in _DOCUMENT.decode(document[field]).items() if not is_credential(k)}
            document[field] = msgspec.Raw(msgspec.json.encode(kept))
    return msgspec.json.encode(document)
