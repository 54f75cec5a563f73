"""The parts that all shapes share: media by reference, unknown parts, results joined to their calls."""

import pytest

from app.shapes.conversation import (
    MAX_JSON,
    Audio,
    Call,
    File,
    Image,
    Message,
    Place,
    Result,
    media,
    named_results,
    other,
)

PLACE = Place("/request_body").at("messages", 0, "a/b~c")


def test_place_is_a_json_pointer() -> None:
    assert PLACE.pointer == "/request_body/messages/0/a~1b~0c"


def test_place_inside_a_stream_points_at_the_body() -> None:
    assert Place("/response_body", exact=False).at("choices", 0).pointer == "/response_body"


def test_data_url_is_a_reference_with_type_and_size() -> None:
    assert media(Image, "data:image/png;base64,aGVsbG8=", PLACE) == Image(
        media_type="image/png", size=5, ref=PLACE.pointer
    )


def test_data_url_without_base64_is_measured() -> None:
    assert media(File, "data:text/plain;charset=utf-8,a%20b", PLACE).size == 3


def test_bare_base64_is_a_reference_with_size() -> None:
    assert media(Audio, "aGVsbG8", PLACE, media_type="audio/wav") == Audio(
        media_type="audio/wav", size=5, ref=PLACE.pointer
    )


def test_web_address_is_its_own_reference() -> None:
    assert media(Image, "https://x.example/i.png", PLACE) == Image(ref="https://x.example/i.png")


@pytest.mark.parametrize("url", ["gs://bucket/x", "file:///etc/passwd", "javascript://x"])
def test_other_address_is_a_name_and_no_reference(url: str) -> None:
    assert media(File, url, PLACE) == File(name=url)


@pytest.mark.parametrize("data", [None, "", 5, {}])
def test_media_without_data_have_no_reference(data: object) -> None:
    assert media(File, data, PLACE, name="file_1") == File(name="file_1")


def test_unknown_part_is_shown_without_data_and_signatures() -> None:
    part = other({"type": "new", "bytes": "A" * 300, "signature": "secret", "url": "data:image/png;base64,AAAA"})

    assert part.type == "new"
    assert "secret" not in part.json
    assert "AAAA" not in part.json
    assert part.size > 300


def test_large_unknown_part_is_shortened() -> None:
    part = other({"type": "new", "rows": [{"text": "long words " * 100, "more": list(range(100))}] * 1000})

    assert len(part.json) <= MAX_JSON + 1
    assert part.size > 1_000_000


def test_deep_unknown_part_is_shortened() -> None:
    value: object = "bottom"
    for _ in range(400):
        value = [value]

    assert "bottom" not in other(value).json


def test_result_takes_the_name_of_its_call() -> None:
    call = Message(role="assistant", parts=(Call(id="c1", name="weather"),), source="request")
    result = Message(role="tool", parts=(Result(call_id="c1"), Result(call_id="c2")), source="request")

    named = named_results([call, result])

    assert [part.name for part in named[1].parts if isinstance(part, Result)] == ["weather", None]


def test_result_takes_the_name_of_the_call_before_it() -> None:
    turns = [Call(id="c1", name="weather"), Result(call_id="c1"), Call(id="c1", name="time"), Result(call_id="c1")]

    named = named_results(Message(role="assistant", parts=(part,), source="request") for part in turns)

    assert [part.name for turn in named for part in turn.parts if isinstance(part, Result)] == ["weather", "time"]
