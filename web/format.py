"""How values are written on pages: times, numbers, sizes, states; and strangers' texts, so that nothing in them hides.

Everything here is a filter or a global of the templates. Times are UTC and say so.
"""

import datetime as dt
import math
import re
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup
from quart import Quart

from app.store.models import Flag
from web.query import shown

#: Separates thousands: narrow, and no line breaks there.
THIN_SPACE = "\u202f"
NOTHING = "–"

#: Controls except tab and line feed; the C1 set; what turns the direction of text around it; lone surrogates.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Mark(NamedTuple):
    """A state as people see it: never by colour alone."""

    icon: str
    #: good, bad, warn, busy or quiet.
    tone: str
    word: str


STATES = {
    "accepted": Mark("circle-dashed", "busy", "accepted"),
    "extracted": Mark("circle-dashed", "busy", "extracted"),
    "logged": Mark("circle-dashed", "busy", "logged"),
    "evaluated": Mark("circle-check", "good", "evaluated"),
    "failed": Mark("circle-x", "bad", "failed"),
    "discarded": Mark("circle-minus", "quiet", "discarded"),
    "rejected": Mark("ban", "bad", "refused"),
    "duplicate": Mark("copy-check", "quiet", "duplicate"),
    "pending": Mark("circle-dashed", "busy", "pending"),
    "done": Mark("circle-check", "good", "done"),
    "running": Mark("circle-dashed", "busy", "running"),
    "valid": Mark("circle-check", "good", "valid"),
    "revoked": Mark("circle-slash", "quiet", "revoked"),
    "expired": Mark("clock", "quiet", "expired"),
    "enabled": Mark("circle-check", "good", "on"),
    "disabled": Mark("circle-minus", "quiet", "off"),
    "passed": Mark("circle-check", "good", "passed"),
    "not_passed": Mark("circle-x", "bad", "not passed"),
    "truncated": Mark("scissors", "warn", "truncated"),
    "unscored": Mark("circle-alert", "warn", "no score"),
}

_STATUS_WORDS = {
    200: "OK",
    400: "bad request",
    401: "no access",
    403: "forbidden",
    404: "not found",
    408: "timeout",
    413: "too large",
    422: "invalid",
    429: "rate limited",
    502: "bad gateway",
    503: "unavailable",
    504: "timeout",
    529: "overloaded",
}
_CLASS_WORDS = {2: "success", 3: "redirect", 4: "client error", 5: "server error"}


def visible(text: Any) -> str:
    """Show what would hide: control characters as pictures, marks that reorder text by their number."""
    plain = str(text).replace("\r\n", "\n")
    return _HIDDEN.sub(_glyph, plain) if _HIDDEN.search(plain) else plain


def when(milliseconds: int | None, style: str = "short") -> Markup:
    """Write a time as a <time> element: `short` for lists (the day, then the second), `exact` to the millisecond."""
    if milliseconds is None:
        return Markup(NOTHING)  # noqa: S704 - a constant
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    exact = f"{moment:%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03d} UTC"
    text = exact if style == "exact" else f"{moment.day} {_MONTHS[moment.month - 1]} {moment:%H:%M:%S}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(shown(milliseconds), exact, text)


def number(value: float | None) -> str:
    """Write a whole number with thin separators."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", THIN_SPACE)


def duration(milliseconds: float | None) -> str:
    """Write a duration with the unit that reads best."""
    if milliseconds is None:
        return NOTHING
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds / 60_000:,.1f} min".replace(",", THIN_SPACE)


def size(count: int | None) -> str:
    """Write a number of bytes."""
    if count is None:
        return NOTHING
    value, units = float(count), ["B", "KB", "MB", "GB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 10 else f"{value:.1f} {units[0]}"


def cost(usd: float | None) -> str:
    """Write an amount in US dollars, small ones with enough digits to tell them apart."""
    if usd is None:
        return NOTHING
    # Three digits that count, and never an exponent.
    decimals = 2 if usd <= 0 else max(2, 2 - math.floor(math.log10(usd)))
    return f"${usd:,.{decimals}f}".replace(",", THIN_SPACE)


def score(value: float | None) -> str:
    """Write a score from 0 to 1."""
    return NOTHING if value is None else f"{value:.2f}"


def percent(share: float | None) -> str:
    """Write a share from 0 to 1, never rounded to all or nothing when it is neither."""
    if share is None:
        return NOTHING
    rounded = round(share * 100)
    if rounded in (0, 100) and share not in (0, 1):
        return "< 1 %" if rounded == 0 else "> 99 %"
    return f"{rounded} %"


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def state(name: str) -> Mark:
    """How a state is shown; an unknown one by its own name."""
    return STATES.get(name) or Mark("circle-question-mark", "quiet", name)


def status_mark(code: int | None) -> Mark:
    """How the provider's answer is shown."""
    if code is None:
        return Mark("circle-minus", "quiet", "no status")
    tone, icon = ("good", "circle-check") if code < 400 else ("bad", "circle-x")
    return Mark(icon, tone, _STATUS_WORDS.get(code) or _CLASS_WORDS.get(code // 100, ""))


def pretty(value: Any) -> str:
    """Write a decoded JSON value for reading."""
    return visible(msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8", "replace"))


def flag_names(flags: int | None) -> list[str]:
    """Return the names of the flags of a log row."""
    return [flag.name.lower() for flag in Flag if (flags or 0) & flag]


def quoted(text: str) -> str:
    """Write a text as the filter language takes it."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def web_url(url: str | None) -> str | None:
    """The URL when a link may lead there: another scheme could run script."""
    return url if url and re.match(r"https?://[^\s]+\Z", url, re.IGNORECASE) else None


def register(app: Quart) -> None:
    """Give the templates these filters and globals."""
    for function in (
        visible,
        when,
        number,
        duration,
        size,
        cost,
        score,
        percent,
        plural,
        pretty,
        flag_names,
        quoted,
        web_url,
    ):
        app.jinja_env.filters[function.__name__] = function
    app.jinja_env.globals |= {"state": state, "status_mark": status_mark}
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True


def _glyph(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if code >= 0xD800 else f"⟨U+{code:04X}⟩"
