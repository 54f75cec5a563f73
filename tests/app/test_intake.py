"""Requests as they are read: what is refused as a whole, what is refused alone, and bytes that stay what they are."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import IngateError, InvalidItem, InvalidRequest, TooLarge
from app.intake import Accepted, Defaults, Limits, Refused, read_batch, read_single
from app.masking import Mask
from tests.helpers import encoded, item
from tests.secrets import planted

LIMITS = Limits(item_bytes=1 << 20, batch_items=1000)
NOTHING = Defaults()

ANY_TEXT = st.text(st.characters(categories=None), max_size=20)
#: Any JSON value a client may write, lone surrogates and huge numbers included.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*item(), "model", "prompt", "tags", "token_count", "metadata", "started_at", "request_id"])


def single(body: bytes, defaults: Defaults = NOTHING) -> Accepted:
    return read_single(body, LIMITS, defaults)


def batch(body: bytes, defaults: Defaults = NOTHING) -> list[Accepted | Refused]:
    return read_batch(body, LIMITS, defaults)


def test_a_single_item_is_accepted_as_the_bytes_that_came() -> None:
    raw = encoded(request_id="a", tags={"user_id": "u", "session_id": "s", "team": "x"})

    accepted = single(raw)

    assert (accepted.request_id, accepted.user_id, accepted.session_id) == ("a", "u", "s")
    assert (accepted.raw, accepted.tags) == (raw, '{"team": "x"}')


def test_white_space_and_bom_around_a_request_do_not_belong_to_it() -> None:
    raw = encoded(request_id="a")

    dressed = single(b"\xef\xbb\xbf \r\n\t" + raw + b"\n \n")

    assert (dressed.raw, dressed.digest) == (raw, single(raw).digest)


def test_an_item_has_the_same_digest_alone_and_in_a_batch() -> None:
    raw = encoded()

    (entry,) = batch(b'{ "exchanges" :\n[ ' + raw + b" ] }")

    assert isinstance(entry, Accepted)
    assert (entry.raw, entry.digest) == (raw, single(raw).digest)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \n\t ", "empty_body"),
        (b"\xef\xbb\xbf", "empty_body"),
        (b"{", "malformed_json"),
        (b'{"prompt": "x",}', "malformed_json"),
        (b'{"prompt": "x"} {}', "malformed_json"),
        (b'{"prompt": "x", "request_body": NaN}', "malformed_json"),
        (b'{"prompt": "x", "latency_ms": -Infinity}', "malformed_json"),
        (b"{'prompt': 'x'}", "malformed_json"),
        (b'{"prompt": "x", "request_body": "\\q"}', "malformed_json"),
        (b'{"prompt": "x", "request_body": "\t"}', "malformed_json"),
        (b'{"prompt": "x", "request_body": 01}', "malformed_json"),
        (b'{"prompt": "\xff"}', "invalid_utf8"),
        (b'{"prompt": "\xed\xa0\xbd"}', "invalid_utf8"),
        ('{"prompt": "x"}'.encode("utf-16"), "invalid_utf8"),
        (b'{"prompt": "x", "request_body": ' + b"[" * 600 + b"]" * 600 + b"}", "too_deep"),
        (b"[" * 200_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
    ],
)
def test_what_is_not_json_refuses_the_whole_request(body: bytes, code: str) -> None:
    for read in (single, batch):
        with pytest.raises(InvalidRequest) as error:
            read(body)

        assert error.value.code == code


@pytest.mark.parametrize(
    ("body", "offset"), [(b'{"prompt": nul}', 11), ('{"prompt": "é" 2}'.encode(), 16), (rb'{"a": "\ud800" "b"}', 15)]
)
def test_the_place_of_malformed_json_is_given_in_bytes(body: bytes, offset: int) -> None:
    with pytest.raises(InvalidRequest, match=f"at byte {offset}$"):
        single(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"7", b'"text"', b"null", b"{}", b'{"items": []}', b'{"exchanges": {}}', b'{"exchanges": null}',
        rb'["\ud800"]', rb'{"exchanges": "\ud800"}', rb'{"items": ["\ud800"]}',
    ],
)  # fmt: skip
def test_a_batch_of_another_form_is_refused_with_its_place(body: bytes) -> None:
    with pytest.raises(InvalidItem) as error:
        batch(body)

    assert (error.value.code, error.value.pointer) == ("wrong_shape", "/exchanges")


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(InvalidItem) as error:
        batch(b'{"exchanges": []}')

    assert error.value.code == "empty_batch"


def test_a_batch_beyond_the_limit_is_refused_with_the_limits_name() -> None:
    with pytest.raises(TooLarge, match=r"3 items.*at most 2 \(INGATE_MAX_BATCH_ITEMS\)"):
        read_batch(b'{"exchanges": [1, 2, 3]}', Limits(item_bytes=100, batch_items=2), NOTHING)


def test_an_item_beyond_the_limit_is_refused_alone() -> None:
    body = json.dumps({"exchanges": [{"prompt": "x" * 200}, {"prompt": "y"}]}).encode()

    large, small = read_batch(body, Limits(item_bytes=100, batch_items=10), NOTHING)

    assert isinstance(large, Refused)
    assert (large.error.code, isinstance(small, Accepted)) == ("item_too_large", True)


def test_one_bad_item_does_not_touch_its_neighbours() -> None:
    items: list[Any] = [item(request_id=f"r{n}") for n in range(5)]
    items[1], items[3] = item(request_id="r1", status_code="200"), "no object"

    entries = batch(json.dumps({"exchanges": items}).encode())

    assert [isinstance(entry, Accepted) for entry in entries] == [True, False, True, False, True]
    assert [entry.position for entry in entries] == [0, 1, 2, 3, 4]
    assert [entry.request_id for entry in entries] == ["r0", "r1", "r2", None, "r4"]


def test_the_last_of_two_exchanges_keys_counts_for_either_reader() -> None:
    plain, lone = encoded(request_id="last"), rb'{"prompt": "\ud800", "request_id": "last"}'

    for raw in (plain, lone):
        (entry,) = batch(b'{"exchanges": [{"prompt": "first"}], "x": {"exchanges": [1]}, "exchanges": [' + raw + b"]}")

        assert isinstance(entry, Accepted)
        assert (entry.raw, entry.request_id) == (raw, "last")


def test_lone_surrogates_keep_the_exact_bytes_of_every_item() -> None:
    raws = [
        rb'{ "prompt":"\ud83d" }',
        encoded(prompt="ünïcödé"),
        rb'{"request_body":["\udc00", 1.0e5 ,{}]}',
        b'{"prompt": "]},{"}',
    ]

    entries = batch(b' {"a":[{}],\t"exchanges"\n:\r[\n' + b" ,\t".join(raws) + b'\n], "z" : "\\ud800"}')

    assert [entry.raw for entry in entries if isinstance(entry, Accepted)] == raws


def test_nul_and_lone_surrogates_in_tags_become_the_replacement_character() -> None:
    accepted = single(rb'{"prompt": "x", "tags": {"user_id": "a\u0000", "t": "\ud83d\u0000"}}')

    assert (accepted.user_id, accepted.tags) == ("a\ufffd", '{"t": "\ufffd\ufffd"}')


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-02T03:04:05.678", 1767323045678),
        ("2026-01-02T05:04:05.678+02:00", 1767323045678),
        ("1969-12-31T23:59:59.999Z", -1),
        ("9999-12-31T23:59:59.999999Z", 253402300799999),
    ],
)
def test_started_at_is_utc_where_it_has_no_zone(text: str, milliseconds: int) -> None:
    assert single(encoded(started_at=text)).started_at == milliseconds


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_moment_that_no_calendar_shows_is_refused(text: str) -> None:
    with pytest.raises(InvalidItem) as error:
        single(encoded(started_at=text))

    assert (error.value.code, error.value.pointer) == ("out_of_range", "/started_at")


def test_the_items_own_user_and_session_win_over_the_headers() -> None:
    defaults = Defaults(user_id="header", session_id="header")

    own, other = single(encoded(tags={"user_id": "own"}), defaults), single(encoded(), defaults)

    assert (own.user_id, own.session_id) == ("own", "header")
    assert (other.user_id, other.session_id) == ("header", "header")


def test_an_idempotency_key_gives_items_without_ids_stable_ones() -> None:
    body = json.dumps({"exchanges": [item(), item(), item(request_id="own")]}).encode()

    first, again, other = (batch(body, Defaults(idempotency_key=key)) for key in ("k", "k", "l"))

    ids = [entry.request_id for entry in first]
    assert ids == [entry.request_id for entry in again]
    assert len(set(ids)) == 3
    assert ids[2] == "own"
    assert not set(ids[:2]) & {entry.request_id for entry in other}


def test_without_an_idempotency_key_ids_are_new_each_time() -> None:
    assert single(encoded()).request_id != single(encoded()).request_id


def test_credentials_are_gone_and_the_digest_is_of_what_came() -> None:
    one, two = (
        single(encoded(request_headers={"Authorization": secret, "Accept": "*/*"})) for secret in ("one", "two")
    )

    assert b"one" not in one.raw
    assert one.raw == two.raw
    assert one.digest != two.digest


@given(st.dictionaries(FIELDS | ANY_TEXT, JSON, max_size=6))
def test_any_object_is_accepted_with_its_very_bytes_or_refused(fields: dict[str, Any]) -> None:
    raw = json.dumps(fields).encode()

    first, second = batch(b'{"exchanges": [' + raw + b", " + raw + b"]}")

    for entry in (first, second):
        assert isinstance(entry, Refused) or entry.raw == raw
    assert type(first) is type(second)


@given(st.lists(JSON | st.dictionaries(FIELDS, JSON, min_size=1, max_size=3), min_size=1, max_size=4), st.booleans())
def test_items_of_any_batch_are_cut_out_exactly(values: list[Any], ascii_only: bool) -> None:
    if not ascii_only:
        values = json.loads(json.dumps(values).encode().replace(b"\\ud", b"\\u0"))
    raws = [json.dumps(value, ensure_ascii=ascii_only).encode() for value in values]

    entries = batch(b'{"exchanges":[' + b"\n ,".join(raws) + b"]}")

    assert [e.position for e in entries] == list(range(len(raws)))
    assert all(e.raw == raw for e, raw in zip(entries, raws, strict=True) if isinstance(e, Accepted))


@given(st.data())
def test_a_damaged_request_is_read_or_refused_by_name(data: st.DataObject) -> None:
    body = bytearray(b'{"exchanges": [' + encoded(tags={"a": "\ud800"}, request_headers={"Cookie": "c"}) + b"]}")
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b'"\\{}[]:,u0e-.\x00\xff nt'))

    for read in (single, batch):
        with contextlib.suppress(IngateError):
            read(bytes(body))


KEY = planted()["anthropic_key"][0]
EVERYTHING = Mask.SECRETS | Mask.CARDS | Mask.EMAILS


def test_a_masked_item_is_stored_masked_and_known_by_the_bytes_that_came() -> None:
    raw = encoded(request_id="jane@example.org", prompt=f"use {KEY}", tags={"user_id": "jane@example.org", "to": KEY})

    plain = read_single(raw, LIMITS, NOTHING)
    masked = read_single(raw, LIMITS, NOTHING, EVERYTHING)

    assert masked.digest == plain.digest
    assert (plain.raw, plain.masking) == (raw, Mask(0))
    assert KEY.encode() not in masked.raw
    assert (masked.request_id, masked.masking) == ("jane@example.org", EVERYTHING)
    assert masked.item.prompt == "use <masked:anthropic_key>"
    assert (masked.user_id, masked.tags) == ("<masked:email>", '{"to": "<masked:anthropic_key>"}')


def test_what_the_requests_headers_say_is_masked_too() -> None:
    defaults = Defaults(user_id="jane@example.org", session_id=KEY)

    masked = read_single(encoded(), LIMITS, defaults, EVERYTHING)

    assert (masked.user_id, masked.session_id) == ("<masked:email>", "<masked:anthropic_key>")


def test_what_is_said_of_a_refused_item_is_masked() -> None:
    raw = encoded(tags={"jane@example.org/x": 5})

    (refused,) = read_batch(b'{"exchanges": [' + raw + b"]}", LIMITS, NOTHING, Mask.EMAILS)

    assert isinstance(refused, Refused)
    assert refused.error.pointer == "/tags/<masked:email>~1x"


TELLING = st.sampled_from([KEY, "a@b.co", "4111111111111111", f"{KEY} jane@example.org"])


@given(st.dictionaries(FIELDS, JSON | TELLING | st.dictionaries(TELLING, TELLING), min_size=1, max_size=4))
def test_masking_never_decides_whether_an_item_is_accepted(fields: dict[str, Any]) -> None:
    body = b'{"exchanges": [' + json.dumps(fields).encode() + b"]}"

    (plain,), (masked,) = (read_batch(body, LIMITS, NOTHING, masking) for masking in (Mask(0), EVERYTHING))

    assert type(plain) is type(masked)
    if isinstance(plain, Accepted) and isinstance(masked, Accepted):
        assert plain.digest == masked.digest
