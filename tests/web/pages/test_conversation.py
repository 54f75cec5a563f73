"""Conversations and bodies as their pages show them."""

import json

import msgspec

from app.shapes.conversation import Call, Message, Result, Text, Thinking
from web.pages.bodies import SHOWN_BYTES, body_of
from web.pages.conversation import FIRST_CARDS, LAST_CARDS, conversation_of


def said(*parts: object, role: str = "assistant") -> Message:
    return Message(role=role, parts=parts, source="request")  # type: ignore[arg-type]


def test_result_is_shown_with_its_call() -> None:
    result = Result(call_id="1", parts=(Text(text="18 degrees"),))

    shown = conversation_of([said(Call(id="1", name="weather", arguments='{"a":1}')), said(result, role="tool")], False)

    (card,) = shown.cards
    assert [piece.kind for piece in card.pieces] == ["tool_call"]
    assert card.pieces[0].shown.text == '{\n  "a": 1\n}'
    assert card.pieces[0].inner[0].part == result


def test_result_without_its_call_is_a_card_of_its_own() -> None:
    shown = conversation_of([said(Result(call_id="2"), role="tool"), said(Call(id="1"))], False)

    assert [card.message.role for card in shown.cards] == ["tool", "assistant"]


def test_thoughts_of_their_own_stay_apart() -> None:
    shown = conversation_of([said(Thinking(text="so."), Thinking(text="What?"), Text(text="42"))], False)

    assert [piece.shown.text for piece in shown.cards[0].pieces] == ["so.", "What?", "42"]


def test_long_conversation_keeps_both_ends() -> None:
    messages = [said(Text(text=str(number))) for number in range(2000)]

    shown = conversation_of(messages, False)

    assert (len(shown.cards), shown.total) == (FIRST_CARDS + LAST_CARDS, 2000)
    assert shown.hidden == 2000 - len(shown.cards)
    assert shown.cards[-1].pieces[0].shown.text == "1999"
    assert len(conversation_of(messages, True).cards) == 2000


def test_body_is_readable_and_bounded() -> None:
    body = body_of(msgspec.Raw(json.dumps({"text": "é\x00\u202e", "data": "A" * 5000, "more": "y " * 99_999}).encode()))

    assert body is not None
    assert body.shown.text.startswith('{\n  "text": "é\\u0000\\u202e",\n  "data": "(5\u202f000 characters of base64)"')
    assert (body.shown.shown_bytes, body.shown.cut, body.shortened) == (SHOWN_BYTES, True, 1)


def test_stream_is_shown_as_text() -> None:
    body = body_of(msgspec.Raw(b'"data: {}\\n\\ndata: [DONE]\\n"'))

    assert body is not None
    assert (body.kind, body.shown.text) == ("text", "data: {}\n\ndata: [DONE]\n")
