"""The recorded-like cases of tests/exchanges: `item.json` (and `response.sse`, its response as a stream's text)
beside `expected.json`, which names only what the case is about.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "exchanges"


class Case(NamedTuple):
    """One exchange and what must be read from it."""

    name: str
    item: dict[str, Any]
    expected: dict[str, Any]

    @property
    def raw(self) -> bytes:
        """The item as a client sends it."""
        return json.dumps(self.item).encode()


def cases() -> list[Case]:
    """Read all cases."""
    return [_case(path.parent) for path in sorted(FOLDER.glob("*/*/item.json"))]


def _case(folder: Path) -> Case:
    item = json.loads((folder / "item.json").read_text(encoding="utf-8"))
    stream = folder / "response.sse"
    if stream.exists():
        item["response_body"] = stream.read_bytes().decode()
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return Case(f"{folder.parent.name}/{folder.name}", item, expected)
