"""Laws that hold for any bodies, not only for the recorded ones."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.extraction import conversation, extract
from app.shapes import SHAPES
from tests.app.shapes.cases import Case, cases

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
}
STREAMS = [case for case in cases() if str(case.item.get("response_body"))[:1] in {"d", "e", ":"}]


def _words(value: Any) -> Iterator[str]:
    """Yield the keys and the short texts of a document."""
    if isinstance(value, str) and len(value) < 40:
        yield value
    for key, member in (
        value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
    ):
        yield from _words(key)
        yield from _words(member)


#: The words of all cases: random JSON made of them reaches into every branch.
WORDS = sorted({word for case in cases() for word in _words(case.item)} | set(PATHS))
words = st.sampled_from(WORDS)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6),
    max_leaves=30,
)


@pytest.mark.parametrize("shape", [shape.name for shape in SHAPES] + [None])
@given(request=documents, response=documents, status=st.sampled_from([None, 200, 400]), client=documents)
@settings(max_examples=200, deadline=None)
def test_any_json_is_read_without_an_exception(
    shape: str | None, request: Any, response: Any, status: int | None, client: Any
) -> None:
    item = {"path": shape and PATHS[shape], "status_code": status, "request_body": request, "response_body": response}

    _read_all(json.dumps({**item, "prompt": "p", "metadata": {"k": client}}).encode())


@pytest.mark.parametrize("shape", [shape.name for shape in SHAPES])
@given(chunks=st.lists(documents, max_size=6), ends=st.sampled_from(["\n\n", "\r\n\r\n", "\n", ""]))
@settings(max_examples=200, deadline=None)
def test_any_stream_is_read_without_an_exception(shape: str, chunks: list[Any], ends: str) -> None:
    text = "".join(f"data: {json.dumps(chunk)}{ends}" for chunk in chunks)

    _read_all(json.dumps({"path": PATHS[shape], "response_body": text}).encode())
    _read_all(json.dumps({"path": PATHS[shape], "response_body": chunks}).encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_without_an_exception(raw: bytes) -> None:
    _read_all(raw)
    _read_all(b'{"path": "/v1/messages", "request_body": ' + raw + b', "response_body": ' + raw + b"}")


@given(st.text(alphabet=st.characters(codec=None, categories=None), max_size=100))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_body_without_an_exception(text: str) -> None:
    _read_all(json.dumps({"request_body": text, "response_body": text, "path": "/chat/completions"}).encode())


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_stream_cut_into_pieces_is_read_the_same(case: Case, data: st.DataObject) -> None:
    text = case.item["response_body"]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    whole, joined = extract(case.raw), extract(_with_response(case, pieces))

    assert joined.metadata() == whole.metadata()
    assert joined.completion == whole.completion
    assert joined.token_count == whole.token_count


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
def test_every_prefix_of_a_stream_yields_a_prefix_of_its_text(case: Case) -> None:
    text, completion = case.item["response_body"], extract(case.raw).completion or ""

    for end in range(0, len(text), 7):
        prefix = extract(_with_response(case, text[:end])).completion or ""

        # Half of a surrogate pair is shown as U+FFFD until its other half is there.
        assert completion.startswith(prefix.rstrip("\ufffd"))


@pytest.mark.parametrize("case", [case for case in cases() if case.name.endswith("/chunk_list")], ids=lambda c: c.name)
def test_chunk_list_is_read_as_the_event_stream_of_the_same_chunks(case: Case) -> None:
    chunks = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in case.item["response_body"]]
    stream = _with_response(case, "".join(f"data: {chunk}\n\n" for chunk in chunks))

    as_list, as_stream = extract(case.raw), extract(stream)

    assert as_list.metadata() == as_stream.metadata()
    assert as_list.completion == as_stream.completion
    assert conversation(case.raw) == conversation(stream)


def test_deep_nesting_is_read_without_an_exception() -> None:
    deep = "[" * 5000 + "]" * 5000
    for path in PATHS.values():
        _read_all(
            json.dumps({"path": path, "request_body": deep, "response_body": f'data: {{"a": {deep}}}\n\n'}).encode()
        )
        _read_all(f'{{"path": "{path}", "request_body": {deep}, "response_body": {{"content": {deep}}}}}'.encode())


def _with_response(case: Case, body: Any) -> bytes:
    return json.dumps({**case.item, "response_body": body}).encode()


def _read_all(raw: bytes) -> None:
    extraction = extract(raw)
    extraction.metadata()
    conversation(raw)
    for field in ("model", "prompt", "completion", "system", "provider", "reason"):
        (getattr(extraction, field) or "").encode()
