"""What must never be stored: credentials in the headers that a client sends along with an exchange."""

import json
import re
from typing import Any

from app import decoding

_CREDENTIAL = re.compile(
    r"authorization|cookie|secret|password|credential|signature|(^|[-_])token($|[-_])|api[-_]?key|[-_]key$|^key$",
    re.IGNORECASE,
)
_HEADERS = ("request_headers", "response_headers")


def is_credential(header: str) -> bool:
    """Whether a header's name says that its value is a credential."""
    return bool(_CREDENTIAL.search(header))


def without_credentials(raw: bytes, *headers: dict[str, Any] | None) -> bytes:
    """Return the item's bytes without its credential headers; all other bytes stay as they are.

    `headers` are those that were read. Where a key is there twice they are the last ones, and the first must go too.
    """
    suspicious = any(is_credential(name) for group in headers if group for name in group)
    if not suspicious and not any(raw.count(f'"{field}"'.encode()) > 1 for field in _HEADERS):
        return raw
    text, parts, kept_to = raw.decode("utf-8"), [], 0
    for field, start, end in decoding.members(text):
        if field in _HEADERS and text[start] == "{":
            parts += [text[kept_to:start], _without_credentials(text[start:end])]
            kept_to = end
    return "".join([*parts, text[kept_to:]]).encode("utf-8")


def _without_credentials(headers: str) -> str:
    members = list(decoding.members(headers))
    kept = [f"{json.dumps(name)}: {headers[start:end]}" for name, start, end in members if not is_credential(name)]
    return headers if len(kept) == len(members) else "{" + ", ".join(kept) + "}"
