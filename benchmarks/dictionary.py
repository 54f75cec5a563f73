"""`python -m benchmarks.dictionary RECORDINGS`: trains the dictionary that small payloads are compressed with.

RECORDINGS is a folder of `*.jsonl` files, an exchange a line. Nothing that anybody said gets into the dictionary: prose
is replaced by common words and ids by random ones before training, so that what is left is the form of the API's
bodies. Prints the mean compressed size of exchanges of the files that were left out of the training, for each file.

A dictionary is never changed, because stored payloads need it: a better one is a new file and a new codec
(app/store/payloads.py).
"""

import json
import random
import re
import string
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zstandard

from app.store.payloads import LARGE_BYTES, LEVEL

SIZE = 32 << 10
#: Words of the language that most prompts are in; they stand for all prose.
_PROSE = [
    "the", "of", "and", "a", "to", "in", "is", "you", "that", "it", "for", "on", "are", "as", "with", "be", "this",
    "have", "from", "or", "an", "by", "not", "what", "all", "were", "when", "we", "there", "can", "your", "which",
    "their", "if", "will", "how", "use", "tool", "answer", "question", "please", "provide", "user", "information",
    "based", "context",
]  # fmt: skip
_WORD = re.compile(r"^[a-z0-9_./-]{1,40}$")
_ID = re.compile(r"^(?:chatcmpl|msg|resp|call|toolu|srvtoolu|rs|fc|req|gen|ctc|ws)[-_]")
_NUMBER = re.compile(r"[0-9a-f-]{16,}")
_PREFIX = re.compile(r"^[a-z]+[-_](?:[a-z]+_)?")
_IDS = frozenset(
    {"id", "call_id", "item_id", "tool_call_id", "system_fingerprint", "signature", "encrypted_content", "obfuscation"}
)
_rng = random.Random(1)


def main() -> None:
    """Compare, then write the dictionary of all files."""
    files = {path.stem: path for path in sorted(Path(sys.argv[1]).glob("*.jsonl")) if ".expected" not in path.name}
    items = {name: list(_items(path)) for name, path in files.items()}
    print(f"{'left out':24} {'exchanges':>9} {'bytes':>8} {'zstd':>8} {'with dictionary':>16}")
    for name, held_out in items.items():
        dictionary = _trained(item for other, group in items.items() if other != name for item in group)
        raws = [raw for item in held_out if len(raw := _encoded(item)) <= LARGE_BYTES]
        sizes = [len(raws), _mean(map(len, raws)), _mean(_compressed(raws, None)), _mean(_compressed(raws, dictionary))]
        print(f"{name:24} {sizes[0]:9} {sizes[1]:8} {sizes[2]:8} {sizes[3]:16}")
    Path("build").mkdir(exist_ok=True)
    Path("build/payload.zdict").write_bytes(_trained(item for group in items.values() for item in group).as_bytes())


def _items(path: Path) -> Iterable[dict[str, Any]]:
    with path.open() as lines:
        for row in map(json.loads, lines):
            yield {
                "request_id": f"{_rng.getrandbits(128):032x}",
                **{name: row[name] for name in ("provider", "method", "status_code")},
                "path": _NUMBER.sub("id", row["path"]),
                "latency_ms": round(_rng.random() * 5000, 1),
                "request_body": row["request_body"],
                "response_body": row["response_body"],
                "tags": {"user_id": f"user-{_rng.randrange(10_000)}", "session_id": f"s-{_rng.randrange(100_000)}"},
            }


def _trained(items: Iterable[dict[str, Any]]) -> zstandard.ZstdCompressionDict:
    bodies = ("request_body", "response_body")
    forms = [_encoded({**item, **{name: _form(item[name]) for name in bodies}}) for item in items]
    return zstandard.train_dictionary(SIZE, [raw for raw in forms if len(raw) <= LARGE_BYTES], level=LEVEL)


def _form(value: Any, key: str = "") -> Any:
    """What is left of a body without what is said in it."""
    match value:
        case dict():
            return {name: _form(member, name) for name, member in value.items() if len(name) <= 40}
        case list():
            return [_form(member, key) for member in value]
        case str():
            return _text_form(value, key)
        case bool() | None:
            return value
        case _:
            return value if abs(value) < 10 else _rng.randrange(10, max(11, int(abs(value)) * 2))


def _text_form(text: str, key: str) -> str:
    if text.startswith(("data:", "event:")):
        return "\n".join(map(_line_form, text.split("\n")))
    if key in _IDS or _ID.match(text):
        known = _PREFIX.match(text)
        prefix = known.group() if known else ""
        return prefix + "".join(_rng.choices(string.ascii_letters + string.digits, k=min(64, len(text) - len(prefix))))
    return text if _WORD.match(text) else " ".join(_rng.choices(_PROSE, k=max(1, min(40, len(text) // 6))))


def _line_form(line: str) -> str:
    field, _, data = line.partition(": ")
    if field != "data" or not data.startswith("{"):
        return line if field == "event" or data == "[DONE]" else ""
    try:
        return f"data: {json.dumps(_form(json.loads(data)), separators=(',', ':'))}"
    except ValueError:
        return "data: "


def _compressed(raws: Iterable[bytes], dictionary: zstandard.ZstdCompressionDict | None) -> Iterable[int]:
    compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary)
    return (len(compressor.compress(raw)) for raw in raws)


def _encoded(item: dict[str, Any]) -> bytes:
    return json.dumps(item).encode()


def _mean(sizes: Iterable[int]) -> int:
    found = list(sizes)
    return sum(found) // max(1, len(found))


if __name__ == "__main__":
    main()
