"""Keys, cards and addresses are replaced wherever they stand in a text; ordinary texts stay the very same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.masking import Mask, mask_text
from tests.secrets import planted

ALL = Mask.SECRETS | Mask.CARDS | Mask.EMAILS
SECRETS = planted()
CARDS = [
    "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4222222222222", "5555555555554444",
    "2223003122003222", "378282246310005", "3782 822463 10005", "30569309025904", "6011111111111117",
    "3530111333300000",
]  # fmt: skip
AROUND = ["{}", "it is {}.", '"{}"', "'{}',", "a\n{}\nb", "({})", "\\n{}\\n", "\\u00e9{}", "é{}é", "x={}"]
ORDINARY = [
    "The sky is blue; a task-list, a disk-image and a desk-top are not keys. Use sk-learn or sk- as you like.",
    "Bearer of good news, a basic understanding of tokens=5 and keys. Authorization: Bearer <token>",
    "See https://example.org/search?q=monkey&page=2&keyword=token#key=1 and http://localhost:8080/a@b",
    "In 2024 it cost 1 234 567.89; call +44 20 7946 0958; id 550e8400-e29b-41d4-a716-446655440000.",
    "timestamp 1732492800123, ns 1732492800123456789, pi 3.2409699419045226, batch 4111111111111112",
    "git commit da39a3ee5e6b4b0d3255bfef95601890afd80709 sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b",
    "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012 msg_01XFDUDYJgAACzvnptvVoYEL call_abc123DEF456ghi789JKL toolu_01A09q90qw",
    "password: ask your admin; the sk-ant- prefix; AKIA; ghp_; eyJ; -----BEGIN PUBLIC KEY-----",
    "postgresql://localhost/app, https://user@host/path, mailto:someone, @handle, npm i @scope/pkg@1.2.3",
    "日本の児童文学 Frühling im Café, ünïcödé sk-é, data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACN",
    "",
]


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("around", AROUND)
def test_a_secret_is_replaced_in_a_text(kind: str, around: str) -> None:
    text, secret = SECRETS[kind]

    masked = mask_text(around.replace("{}", text))

    assert secret not in masked
    assert "<" in masked
    assert masked.startswith(around.split("{}", maxsplit=1)[0])


@pytest.mark.parametrize("number", CARDS)
def test_a_card_is_replaced(number: str) -> None:
    assert mask_text(f"card {number}, please", Mask.CARDS) == "card <masked:card>, please" or len(number) < 14
    assert number not in mask_text(f"card {number}, please", Mask.CARDS)


@pytest.mark.parametrize("number", CARDS)
def test_a_number_with_a_wrong_check_digit_is_no_card(number: str) -> None:
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)

    assert mask_text(wrong, Mask.CARDS) == wrong


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to jane.doe+x@mail.example.co.uk!", "write to <masked:email>!"),
        ("<a@b.example>", "<<masked>>"),
        ("a@b.co", "<*>"),
        ("2026 4111 1111 1111 1111", "2026 <masked:card>"),
    ],
)
def test_what_stands_around_stays(text: str, masked: str) -> None:
    assert mask_text(text, ALL) == masked


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays_the_very_same(text: str) -> None:
    assert mask_text(text, Mask.SECRETS | Mask.CARDS) == text


def test_only_what_is_asked_for_is_masked() -> None:
    text = f"{SECRETS['groq_key'][0]} 4111111111111111 jane@example.org"

    assert mask_text(text, Mask(0)) == text
    assert mask_text(text, Mask.CARDS) == text.replace("4111111111111111", "<masked:card>")
    assert mask_text(text, ALL) == "<masked:groq_key> <masked:card> <masked:email>"


def test_a_key_that_is_cut_at_the_end_of_its_block_is_masked_too() -> None:
    cut = SECRETS["private_key"][0][:90]

    assert mask_text(cut) == "<masked:private_key>"


def test_a_set_is_written_as_its_names() -> None:
    assert Mask.of(["emails", "secrets"]).names == ["secrets", "emails"]
    assert Mask.of([]) == Mask(0)


PARTS = st.one_of(
    st.sampled_from(
        [text for text, _ in SECRETS.values()] + CARDS + ["a@b.co", "\\n", '\\"', "key=", "Bearer ", "://u:"]
    ),
    st.text(max_size=8),
    st.characters(),
)


@given(st.lists(PARTS, max_size=6).map("".join))
def test_masking_again_changes_nothing(text: str) -> None:
    once = mask_text(text, ALL)

    assert mask_text(once, ALL) == once
    assert len(once) <= len(text)
