"""`make fuzz`: Atheris on the three readers, whatever the bodies are. A finding is an exception or a second of silence.

Not run by pytest; a finding becomes a case in tests/exchanges. Seeds are the cases of tests/exchanges.
"""

import json
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["app"]):
    from app.extraction import conversation, extract

PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", None)
#: Inputs stay small, so that slowness means a loop and not a long input.
MAX_BYTES = 8192
SLOW_S = 1.0


def read(data: bytes) -> None:
    """Read an input as an item, as bodies of an item, and as the text of a stream."""
    provider = atheris.FuzzedDataProvider(data)
    path = PATHS[provider.ConsumeIntInRange(0, len(PATHS) - 1)]
    as_bodies = provider.ConsumeBool()
    rest = provider.ConsumeBytes(MAX_BYTES)
    started = time.monotonic()
    if as_bodies:
        request, _, response = rest.partition(b"\x00")
        for raw in (_spliced(path, request, response), _as_text(path, response)):
            _whole(raw)
    else:
        _whole(rest)
    if time.monotonic() - started > SLOW_S:
        raise TimeoutError(f"{time.monotonic() - started:.1f} s for {len(rest)} bytes")


def _whole(raw: bytes) -> None:
    found = extract(raw)
    json.dumps(found.metadata())
    conversation(raw)


def _spliced(path: str | None, request: bytes, response: bytes) -> bytes:
    return b'{"path":%s,"request_body":%s,"response_body":%s}' % (json.dumps(path).encode(), request, response)


def _as_text(path: str | None, response: bytes) -> bytes:
    return json.dumps({"path": path, "response_body": response.decode("utf-8", "replace")}).encode()


def seeds(folder: Path) -> None:
    """Write the recorded-like cases as inputs: first byte the path, second that they are bodies."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = Path(__file__).resolve().parents[1] / "exchanges"
    for number, file in enumerate(sorted(cases.glob("*/*/item.json"))):
        item = json.loads(file.read_text())
        bodies = [json.dumps(item.get(name)).encode() for name in ("request_body", "response_body")]
        # FuzzedDataProvider takes integers and booleans from the end of the input.
        (folder / str(number)).write_bytes(bodies[0] + b"\x00" + bodies[1] + b"\x01" + bytes([number % 3]))


if __name__ == "__main__":
    corpus = next((Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")), None)
    if corpus is not None:
        seeds(corpus)
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
