"""One contract for all shapes: every case of tests/exchanges is read as its expected.json says."""

from typing import Any

import msgspec
import pytest

from app.extraction import Extraction, conversation, extract
from app.shapes import SHAPES, buckets
from tests.app.shapes.cases import FOLDER, Case, cases

CASES = cases()
TEXT_FIELDS = ("model", "request_model", "response_model", "prompt", "completion", "system", "provider", "reason")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_is_read_as_expected(case: Case) -> None:
    extraction = extract(case.raw)

    seen = {**msgspec.to_builtins(extraction, builtin_types=(msgspec.Raw,)), **_derived(case, extraction)}

    assert _restricted(seen, case.expected) == case.expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conversation_holds_the_text_and_the_calls_that_were_extracted(case: Case) -> None:
    extraction = extract(case.raw)

    messages = [m for m in conversation(case.raw) if m.role == "assistant" and m.source != "request" and not m.index]

    parts = [part for message in messages for part in message.parts]
    text = "".join(part.text for part in parts if part.kind == "text").replace("\x00", "\ufffd")
    assert text == (extraction.completion or "")
    assert [part.name for part in parts if part.kind == "tool_call"] == [
        call.name for call in extraction.answered.tool_calls
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_present_field_names_its_source(case: Case) -> None:
    extraction = extract(case.raw)

    present = {key for key in ("model", "prompt", "completion", "token_count") if getattr(extraction, key) is not None}
    assert set(extraction.sources) == present


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bodies_sent_as_text_are_read_the_same(case: Case) -> None:
    bodies = {key: case.item[key] for key in ("request_body", "response_body") if key in case.item}
    as_text = {
        key: body if isinstance(body, str) else msgspec.json.encode(body).decode() for key, body in bodies.items()
    }

    extraction, again = extract(case.raw), extract(msgspec.json.encode({**case.item, **as_text}))

    assert again.metadata() == extraction.metadata()
    assert [getattr(again, key) for key in TEXT_FIELDS] == [getattr(extraction, key) for key in TEXT_FIELDS]


@pytest.mark.parametrize("shape", [shape.name for shape in SHAPES])
def test_each_shape_has_cases_of_its_own(shape: str) -> None:
    assert len(list((FOLDER / shape).iterdir())) >= 20


def _derived(case: Case, extraction: Extraction) -> dict[str, Any]:
    """What is not a field of the extraction: built only if the case asks for it."""
    tokens, usage = extraction.answered.tokens, extraction.answered.usage
    messages = msgspec.to_builtins(conversation(case.raw))
    return {
        "metadata": extraction.metadata(),
        "buckets": msgspec.to_builtins(buckets(tokens, usage)),
        "conversation": messages,
        "conversation_last": messages[-1] if messages else None,
        "conversation_tail": messages[-len(case.expected.get("conversation_tail", [])) :],
    }


def _restricted(seen: Any, expected: Any) -> Any:
    """Return what is seen of the keys that are expected; lists and free objects are compared whole."""
    if isinstance(seen, dict) and isinstance(expected, dict):
        return {key: _restricted(seen.get(key), value) for key, value in expected.items()}
    if isinstance(seen, (list, tuple)) and isinstance(expected, list) and len(seen) == len(expected):
        return [_restricted(*pair) for pair in zip(seen, expected, strict=True)]
    return seen
