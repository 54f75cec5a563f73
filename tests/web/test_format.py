"""How values are written on pages."""

import re

import pytest

from app.store.models import Flag
from tests.conftest import ROOT
from web import format as formats


def test_hidden_characters_are_shown() -> None:
    assert formats.visible("a\x00\x1b[31m\r\nb\u202ec\ud800\x85") == "a␀␛[31m\nb⟨U+202E⟩c\ufffd⟨U+0085⟩"


def test_text_that_hides_nothing_stays_as_it_is() -> None:
    assert formats.visible("مرحبا 👩‍👩‍👧 \t\n") == "مرحبا 👩‍👩‍👧 \t\n"


@pytest.mark.parametrize(
    ("usd", "written"),
    [(None, "–"), (0, "$0.00"), (1.035e-05, "$0.0000103"), (0.0108, "$0.0108"), (1234.5, "$1\u202f234.50")],
)
def test_cost_never_has_an_exponent(usd: float | None, written: str) -> None:
    assert formats.cost(usd) == written


@pytest.mark.parametrize(("share", "written"), [(0, "0 %"), (0.001, "< 1 %"), (0.999, "> 99 %"), (1, "100 %")])
def test_share_is_not_rounded_to_all_or_nothing(share: float, written: str) -> None:
    assert formats.percent(share) == written


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//host", "https://a b", "https://a\nb", None]
)
def test_only_web_addresses_become_links(url: str | None) -> None:
    assert formats.web_url(url) is None


def test_time_is_utc_and_exact_on_hover() -> None:
    assert formats.when(1_700_000_000_007) == (
        '<time datetime="2023-11-14T22:13:20.007Z" title="2023-11-14 22:13:20.007 UTC">14 Nov 22:13:20</time>'
    )


def test_every_flag_has_a_picture_of_its_own() -> None:
    template = (ROOT / "templates" / "exchanges" / "_flags.html").read_text()
    shown = dict(re.findall(r'"(\w+)": "([\w-]+)"', template))

    assert set(shown) == {flag.name.lower() for flag in Flag}
    assert len(set(shown.values())) == len(shown)
    icons = (ROOT / "static" / "icons.svg").read_text()
    assert [icon for icon in shown.values() if f'id="{icon}"' not in icons] == []
