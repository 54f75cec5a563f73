"""Server-sent events as recorders keep them."""

import pytest

from app.shapes.sse import Event, events, is_stream


def test_events_are_read_with_their_names() -> None:
    text = 'event: ping\ndata: {"a": 1}\n\ndata: [DONE]\n\n'

    assert list(events(text)) == [Event("ping", '{"a": 1}'), Event(None, "[DONE]")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one(end: str) -> None:
    text = "data: a\n\ndata: b\n\n".replace("\n", end)

    assert [event.data for event in events(text)] == ["a", "b"]


def test_mixed_line_ends_are_read() -> None:
    assert [event.data for event in events("data: a\r\n\r\ndata: b\n\ndata: c\r\r")] == ["a", "b", "c"]


def test_byte_order_mark_is_skipped() -> None:
    assert list(events("\ufeffdata: a\n\n")) == [Event(None, "a")]


def test_comments_and_other_fields_are_skipped() -> None:
    assert list(events(": hello\nid: 7\nretry: 10\ndata: a\n\n: alone\n\n")) == [Event(None, "a")]


def test_data_lines_of_one_event_are_joined_by_a_line_feed() -> None:
    assert list(events("data: a\ndata:  b\ndata\n\n")) == [Event(None, "a\n b\n")]


def test_only_one_space_after_the_colon_is_dropped() -> None:
    assert [event.data for event in events("data:a\n\ndata:  b \n\n")] == ["a", " b "]


def test_separators_inside_json_texts_do_not_split_lines() -> None:
    assert [event.data for event in events('data: "a\u2028b\x85c\x0b"\n\n')] == ['"a\u2028b\x85c\x0b"']


def test_last_event_is_read_without_a_blank_line() -> None:
    assert [event.data for event in events("data: a\n\ndata: b")] == ["a", "b"]


@pytest.mark.parametrize("text", ["data: x", "\ufeffevent: x", ": comment\n\ndata: x", "\n\ndata:x"])
def test_text_with_a_field_is_a_stream(text: str) -> None:
    assert is_stream(text)


@pytest.mark.parametrize("text", ["", "hello", "<html>data: x</html>", "see data: x"])
def test_other_text_is_no_stream(text: str) -> None:
    assert not is_stream(text)
