"""The judge of the recorded exchanges, without a server: every judged field of every row must agree.

The recordings lie beside the repository; where they are not there, this is skipped.
"""

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from app.extraction import Extraction, extract

SHARED = Path(__file__).resolve().parents[4] / "shared"
RECORDINGS = SHARED / "exchanges"
JUDGE = SHARED / "tools" / "judge_extraction.py"

pytestmark = pytest.mark.skipif(
    not (RECORDINGS.is_dir() and JUDGE.is_file()), reason="the recorded exchanges are not beside the repository"
)


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    """The judge itself, so that its rules are not written twice."""
    spec = importlib.util.spec_from_file_location("judge_extraction", JUDGE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_judged_field_of_every_recording_agrees(judge: ModuleType) -> None:
    wrong: list[str] = []
    rows: Counter[str] = Counter()
    for name, row, expected in _rows():
        rows[row["shape"]] += 1
        seen = _log(extract(_item(judge, row)))

        wrong += [
            f"{name} {field}: expected {want!r:.100}, seen {got!r:.100}"
            for field, want, got in judge.judged(expected, seen)
            if want != got
        ]

    assert wrong == []
    assert len(rows) == 3


def test_every_recording_is_recognised_without_its_path(judge: ModuleType) -> None:
    wrong = [
        name
        for name, row, _ in _rows()
        if extract(_item(judge, {**row, "path": None, "provider": None})).shape != row["shape"]
    ]

    assert wrong == []


def test_provider_is_inferred_from_the_host(judge: ModuleType) -> None:
    seen: Counter[tuple[str, str | None]] = Counter()
    for _, row, _ in _rows():
        url = f"https://{row['host']}{row['path']}"
        seen[row["provider"], extract(_item(judge, {**row, "path": url, "provider": None})).provider] += 1

    differing = {recorded: inferred for recorded, inferred in seen if recorded != inferred}
    # Gateways and laptops are nobody's.
    assert set(differing.values()) <= {None, "ollama", "crusoe", "heroku"}


def _rows() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        references = path.with_name(f"{path.stem}.expected.jsonl")
        if not references.exists():
            continue
        expected = {row["line"]: row for row in _lines(references)}
        for number, row in enumerate(_lines(path), 1):
            if number in expected:
                yield f"{path.stem}:{number}", row, expected[number]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def _item(judge: ModuleType, row: dict[str, Any]) -> bytes:
    return json.dumps({key: row[key] for key in judge.SENT if row.get(key) is not None}).encode()


def _log(extraction: Extraction) -> dict[str, Any]:
    """Return what the API shows of an extraction, as far as it is judged."""
    fields = ("shape", "model", "request_model", "response_model", "prompt", "completion", "system")
    return {
        **{field: getattr(extraction, field) for field in fields},
        "token_count": msgspec.to_builtins(extraction.token_count),
        "usage": msgspec.to_builtins(extraction.usage),
        "metadata": extraction.metadata(),
    }
