"""An item is masked as JSON: it stays valid, only the texts with a match change, and nothing survives an escape."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exchange import parse_item
from app.extraction import extract
from app.masked_items import mask_item, mask_json, mask_value
from app.masking import Mask
from app.shapes.conversation import Call, Message, Result, Text
from tests.helpers import encoded, item
from tests.secrets import planted

ALL = Mask.SECRETS | Mask.CARDS | Mask.EMAILS
SECRETS = planted()
KEY, _ = SECRETS["openai_project_key"]


def masked(**changes: Any) -> Any:
    """The members of an item after masking."""
    return json.loads(mask_item(json.dumps(item(**changes)).encode(), ALL))


def test_a_secret_in_a_body_is_masked_and_the_rest_of_the_bytes_stays() -> None:
    raw = b'{ "prompt" : "use %s now",\n"n":1.10, "t": "\\ud800 \\/ \\u00e9" }' % KEY.encode()

    assert mask_item(raw, ALL) == raw.replace(KEY.encode(), b"<masked:openai_key>")


def test_an_item_without_a_match_is_the_very_same() -> None:
    raw = encoded(metadata={"n": 1732492800123, "text": 'a\n"b" é \\ud800'})

    assert mask_item(raw, ALL) is raw
    assert mask_item(encoded(prompt=KEY), Mask(0)) == encoded(prompt=KEY)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("slashes", [False, True])
def test_a_secret_survives_in_no_depth_of_json_in_json(kind: str, depth: int, slashes: bool) -> None:
    text, secret = SECRETS[kind]
    document: Any = {"a": [f'first\n{text}\n"last"']}
    for _ in range(depth):
        document = {"body": _dumps(document, slashes), "n": 4111111111111111}

    found = json.loads(mask_json(_dumps(document, slashes).encode(), ALL))

    for _ in range(depth):
        assert found["n"] == "<masked:card>"
        found = json.loads(found["body"])
    assert found["a"][0].startswith("first\n")
    assert found["a"][0].endswith('\n"last"')
    assert secret not in found["a"][0]


def _dumps(document: Any, slashes: bool) -> str:
    text = json.dumps(document)
    return text.replace("/", "\\/") if slashes else text


@pytest.mark.parametrize("write", [lambda c: f"\\u{ord(c):04x}", lambda c: f"\\u{ord(c):04X}" if c in "-_." else c])
def test_a_secret_in_unicode_escapes_is_masked(write: Any) -> None:
    escaped = "".join(map(write, KEY))

    assert json.loads(mask_item(f'{{"prompt": "my {escaped}"}}'.encode(), ALL)) == {"prompt": "my <masked:openai_key>"}


def test_a_card_that_is_a_number_becomes_a_text() -> None:
    body = {"card": 4111111111111111, "cards": [378282246310005, 1], "other": 4111111111111112, "x": 1.5e3}

    assert masked(request_body=body)["request_body"] == {
        "card": "<masked:card>", "cards": ["<masked:card>", 1], "other": 4111111111111112, "x": 1.5e3,
    }  # fmt: skip


def test_names_of_members_are_masked_and_stay_different() -> None:
    found = masked(metadata={"jane.doe@example.org": 1, "john.doe@example.org": {"jane.doe@example.org": 2}, KEY: 3})

    assert found["metadata"] == {
        "<masked:email>": 1,
        "<masked:email>#2": {"<masked:email>": 2},
        "<masked:openai_key>": 3,
    }


def test_equal_names_in_one_object_are_both_masked() -> None:
    raw = f'{{"prompt": "{KEY}", "prompt": "x {KEY}"}}'.encode()

    assert mask_item(raw, ALL) == b'{"prompt": "<masked:openai_key>", "prompt": "x <masked:openai_key>"}'


def test_a_name_says_what_its_value_is() -> None:
    secret = SECRETS["aws_secret"][1]

    found = masked(metadata={"SecretAccessKey": secret, "other": secret})

    assert found["metadata"] == {"SecretAccessKey": "<masked:aws_secret>", "other": secret}


def test_what_is_no_free_text_stays() -> None:
    fields = {"request_id": "jane@example.org", "token_count": 4111111111111111, "started_at": "2026-01-01T00:00:00Z"}

    assert masked(prompt=KEY, **fields) == {**item(prompt="<masked:openai_key>"), **fields}


def test_a_masked_item_keeps_to_the_limits_of_its_fields() -> None:
    short = "a@bc.de " * 8
    raw = encoded(provider=short, method="a@bc.de", model="a@bc.de", tags={"to": short * 4, "a@bc.de": "x"})

    kept = parse_item(mask_item(raw, ALL))

    assert kept.provider == "<*> " * 8
    assert kept.tags == {"to": "<*> " * 32, "<*>": "x"}


CHUNKS = {
    "openai_chat": lambda text: {"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]},
    "openai_responses": lambda text: {"type": "response.output_text.delta", "output_index": 0, "delta": text},
    "anthropic_messages": lambda text: {
        "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text},
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", CHUNKS)
@pytest.mark.parametrize("form", ["events", "list", "text of a list", "list of texts", "list of lines", "envelopes"])
def test_a_secret_in_the_pieces_of_a_stream_is_masked(shape: str, form: str) -> None:
    pieces = ["It is ", *(KEY[at : at + 5] for at in range(0, len(KEY), 5)), ", so", " there"]
    chunks = [CHUNKS[shape](piece) for piece in pieces]
    body: Any = chunks
    if form == "events":
        body = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks) + "data: [DONE]\n\n"
    elif form == "text of a list":
        body = json.dumps(chunks)
    elif form == "list of texts":
        body = [json.dumps(chunk) for chunk in chunks]
    elif form == "list of lines":
        body = [f"data: {json.dumps(chunk)}" for chunk in chunks]
    elif form == "envelopes":
        body = [{"chunk": {"bytes": base64.b64encode(json.dumps(chunk).encode()).decode()}} for chunk in chunks]
    raw = encoded(path="/v1/x", response_body=body)

    found = extract(mask_item(raw, ALL))

    assert extract(raw).completion == f"It is {KEY}, so there"
    assert found.completion == "It is <masked:openai_key>, so there"
    assert found.shape == shape


def test_streams_that_run_side_by_side_are_told_apart() -> None:
    def chunk(index: int, text: str) -> dict[str, Any]:
        return {"choices": [{"index": index, "delta": {"content": text}}]}

    halves = [(0, "a " + KEY[:20]), (1, "b "), (0, KEY[20:]), (1, "c")]
    found = masked(response_body=[chunk(*half) for half in halves])

    texts = [(0, "a <masked:openai_key>"), (1, "b "), (0, ""), (1, "c")]
    assert found["response_body"] == [chunk(*text) for text in texts]


def test_every_text_of_a_value_is_masked() -> None:
    messages = [
        Message(role="user", parts=(Text(text=f"my {KEY}"),), source="request"),
        Message(
            role=KEY, parts=(Call(name="f", arguments={"key": KEY}), Result(parts=(Text(text=KEY),))), source="request"
        ),
    ]

    assert KEY not in repr(mask_value(messages))
    assert mask_value(messages)[0].parts == (Text(text="my <masked:openai_key>"),)
    assert mask_value({"a": [1, None, KEY]}) == {"a": [1, None, "<masked:openai_key>"]}


PIECES = st.sampled_from(
    # A secret glued to other letters is none; these stand by themselves.
    [f" {text} " for text, _ in SECRETS.values()]
    + ["4111111111111111", "a@bc.de", '"', "\\", "{", "data: {", "delta", ":"]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=4).map("".join)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(4111111111111111) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3) | inner.map(json.dumps),
    max_leaves=8,
)


@given(DOCUMENTS, st.booleans(), st.booleans())
def test_any_document_stays_json_of_the_same_form(document: Any, ascii_only: bool, slashes: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    raw = (text.replace("/", "\\/") if slashes else text).encode("utf-8", "surrogatepass")

    kept = mask_json(raw, ALL)

    assert _form(json.loads(kept)) == _form(document)
    assert mask_json(kept, ALL) == kept
    for text, secret in SECRETS.values():
        assert not _holds(json.loads(kept), text), secret


@given(DOCUMENTS)
def test_unmatched_bytes_stay(document: Any) -> None:
    raw = json.dumps(document).encode("utf-8", "surrogatepass")

    assert mask_json(raw, Mask(0)) is raw


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        return [_form(member) for member in value.values()]
    if isinstance(value, list):
        return [_form(member) for member in value]
    return None if isinstance(value, str) or value == 4111111111111111 else value


def _holds(value: Any, secret: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(name, secret) or _holds(member, secret) for name, member in value.items())
    if isinstance(value, list):
        return any(_holds(member, secret) for member in value)
    return isinstance(value, str) and secret in value
