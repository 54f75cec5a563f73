"""Calls to copy: a recorded request as a curl command that is safe to paste, and a first exchange to send."""

import re
import shlex

import msgspec

from app.exchange import Item, present
from app.extraction import Extraction

#: A longer body does not belong on a command line.
MAX_BODY_BYTES = 64 * 1024

_HOSTS = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}
_PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
}
_BEARER = '-H "Authorization: Bearer ${}"'
_KEYS = {
    "openai": [_BEARER.format("OPENAI_API_KEY")],
    "anthropic": ['-H "x-api-key: $ANTHROPIC_API_KEY"', "-H 'anthropic-version: 2023-06-01'"],
}
_JSON = "-H 'Content-Type: application/json'"
_CONTINUED = " \\\n  "

_FIRST = """{
  "provider": "openai",
  "path": "/v1/chat/completions",
  "status_code": 200,
  "latency_ms": 432,
  "request_body": {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Name one city for March."}]
  },
  "response_body": {
    "choices": [{"message": {"content": "Seville."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 17, "completion_tokens": 13, "total_tokens": 30}
  }
}"""


def first_curl(base_url: str) -> str:
    """Return a command that sends a first exchange here."""
    url = shlex.quote(f"{base_url}/api/v1/ingest")
    return _CONTINUED.join([f"curl {url}", '-H "X-Ingate-Key: $INGATE_KEY"', _JSON, f"-d '{_FIRST}'"])


def curl_of(found: Extraction) -> str | None:
    """Return the command that sends a recorded request to its provider again; None without a request body."""
    item = found.item
    if item is None or not present(item.request_body):
        return None
    provider = found.provider or ""
    method = (item.method or "POST").upper()
    lines = [f"curl {shell_word(_url(item, found))}"]
    if method != "POST":
        lines.append(f"-X {shell_word(method)}")
    lines += [*_KEYS.get(provider, [_BEARER.format("API_KEY")]), _JSON, _data(bytes(item.request_body))]
    return _CONTINUED.join(lines)


def shell_word(text: str) -> str:
    """Quote a word for bash and zsh; what a terminal would act on while pasting is escaped."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = "".join(_escaped(character) for character in text)
    return f"$'{escaped}'"


def _url(item: Item, found: Extraction) -> str:
    path = item.path or _PATHS.get(found.shape or "", "/")
    if re.match(r"https?://", path, re.IGNORECASE):
        return path
    if re.match(r"[^/]*[.:][^/]*/", path):
        return f"https://{path}"
    return _HOSTS.get(found.provider or "", "https://api.example.com") + "/" + path.lstrip("/")


def _data(body: bytes) -> str:
    if len(body) > MAX_BODY_BYTES:
        return "--data-binary @request_body.json"
    try:
        # JSON on one line holds no control character.
        text = msgspec.json.format(body, indent=-1).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode("utf-8", "replace")
    return f"--data-raw {shell_word(text)}"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "replace"))
