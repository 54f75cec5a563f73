"""What must not be seen: keys and tokens, payment cards, e-mail addresses; found and replaced in a text. Pure.

Keys and tokens never show in a derived column, the search index, a log line or a page, whatever a project's setting is;
app/masked_items.py replaces what the setting names in the item itself, before it is stored.

A mask is never longer than what it replaces, so that no limit of a field is broken, and is itself never matched.
"""

import base64
import binascii
import functools
from collections.abc import Callable, Iterable, Iterator
from enum import IntFlag
from typing import Any, NamedTuple

import re2

_SHORT_CHARS = 64


class Mask(IntFlag):
    """What is masked: a set, kept as its bits."""

    SECRETS = 1
    CARDS = 2
    EMAILS = 4

    @classmethod
    def of(cls, names: Iterable[str]) -> "Mask":
        """Return the set that is written as these names."""
        return functools.reduce(cls.__or__, (cls[name.upper()] for name in names), cls(0))

    @property
    def names(self) -> list[str]:
        """The set as the API writes it."""
        return [mask.name.lower() for mask in Mask if mask in self and mask.name]


def mask_text(text: str, masks: Mask = Mask.SECRETS) -> str:
    """Return the text with what the masks match replaced."""
    return _remembered(text, masks) if len(text) <= _SHORT_CHARS else _mask_text(text, masks)


def finds(data: bytes, masks: Mask) -> bool:
    """Whether there may be something to mask: one quick look, which almost always ends the matter."""
    quick = _quick(masks, b"@" in data)
    return quick is not None and quick.search(data) is not None


def finds_in(texts: Iterable[str | None], masks: Mask = Mask.SECRETS) -> bool:
    """Whether there may be something to mask in one of many texts: one quick look at all of them together.

    Every pattern takes the line feed between two texts for the end of a text.
    """
    return finds("\n".join(filter(None, texts)).encode("utf-8", "surrogatepass"), masks)


class Found(NamedTuple):
    """Something to mask: where it is, and what takes its place."""

    start: int
    end: int
    label: bytes


def find(data: bytes, masks: Mask) -> Iterator[Found]:
    """Yield what the masks match, in order."""
    patterns, searched, at = _patterns(masks), _combined(masks), 0
    while (match := searched.search(data, at)) is not None:
        group = next(number for number in range(1, len(patterns) + 1) if match.span(number)[0] >= 0)
        pattern, (start, end) = patterns[group - 1], match.span(group)
        # Where the form deceived, another may begin inside of it.
        at = match.start() + 1
        if pattern.check is None or pattern.check(data[start:end]):
            yield Found(start, end, _label(pattern.kind, data[start:end]))
            at = end


class _Pattern(NamedTuple):
    """One kind of secret; what the regular expression's only group matches is replaced."""

    kind: str
    regex: str
    #: Whether a match really is one, where the form alone does not say it.
    check: Callable[[bytes], bool] | None = None


def _has_digit(found: bytes) -> bool:
    return any(byte in b"0123456789" for byte in found)


def _is_basic(found: bytes) -> bool:
    """Whether it is `user:password` in base64."""
    try:
        return b":" in base64.b64decode(found.replace(b"\\", b""), validate=True)
    except binascii.Error:
        return False


def _is_card(found: bytes) -> bool:
    """Luhn's check."""
    digits = [byte - 0x30 for byte in reversed(found) if byte in b"0123456789"]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


# A text may be JSON inside JSON: there a slash comes with backslashes, and the letter of an escape (`\n`) may stand
# before a secret without being part of it.
_START = r"(?:\\[bfnrt]|\\u[0-9a-fA-F]{4}|\b)"
_SLASH = r"\\*/"
_SAYS = r"""[\s\\"':=>]{1,12}"""
_GAP = r"(?:\s|\\+[nrt]){0,8}"
_BASE64 = rf"(?:[A-Za-z0-9+=]|{_SLASH})"
_PRIVATE_KEY = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_WORD = "[A-Za-z0-9_-]"


def _token(kind: str, regex: str, check: Callable[[bytes], bool] | None = None) -> _Pattern:
    """Something that its own beginning tells apart."""
    return _Pattern(kind, f"{_START}({regex})", check)


def _card(regex: str) -> _Pattern:
    """A number of a payment card that is no part of another number."""
    return _Pattern("card", rf"(?:\\[bfnrt]|\\u[0-9a-fA-F]{{4}}|^|[^0-9A-Za-z_.\\])({regex})\b", _is_card)


_SECRETS = (
    # Providers of models.
    _token("anthropic_key", rf"sk-ant-{_WORD}{{16,}}"),
    _token("ingate_key", rf"sk-ingate-{_WORD}{{16,}}"),
    _token("openrouter_key", r"sk-or-v1-[0-9a-f]{32,}"),
    _token("openai_key", rf"sk-(?:proj|svcacct|admin|None)-{_WORD}{{20,}}"),
    _token("api_key", r"sk-[A-Za-z0-9]{20,}", _has_digit),
    _token("google_key", rf"AIza{_WORD}{{35}}"),
    _token("google_token", rf"(?:ya29\.|1{_SLASH}{_SLASH}0|GOCSPX-){_WORD}{{20,}}"),
    _token("huggingface_token", r"(?:hf|api_org)_[A-Za-z0-9]{30,}"),
    _token("groq_key", r"gsk_[A-Za-z0-9]{30,}"),
    _token("xai_key", r"xai-[A-Za-z0-9]{40,}"),
    _token("perplexity_key", r"pplx-[A-Za-z0-9]{40,}"),
    _token("replicate_token", r"r8_[A-Za-z0-9]{30,}"),
    _token("nvidia_key", rf"nvapi-{_WORD}{{40,}}"),
    # Clouds, forges, services.
    _token("aws_key_id", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _token("github_token", r"gh[opsru]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}"),
    _token("gitlab_token", rf"gl(?:pat|ptt|dt|rt|cbt|soat|ft)-{_WORD}{{20,}}"),
    _token("slack_token", r"(?:xox[abeoprs]|xapp)-[A-Za-z-]{0,20}[0-9][A-Za-z0-9-]{8,}"),
    _token("stripe_key", r"(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}"),
    _token("npm_token", r"npm_[A-Za-z0-9]{36,}"),
    _token("pypi_token", rf"pypi-{_WORD}{{50,}}"),
    _token("sendgrid_key", rf"SG\.{_WORD}{{16,}}\.{_WORD}{{16,}}"),
    _token("twilio_key", r"SK[0-9a-f]{32}\b"),
    _token("telegram_token", rf"[0-9]{{8,10}}:{_WORD}{{35}}\b"),
    _token("digitalocean_token", r"do[oprt]_v1_[0-9a-f]{64}\b"),
    _token("jwt", rf"eyJ{_WORD}{{10,}}(?:\.{_WORD}{{4,}}){{2,4}}"),
    # What stands before or after them tells these apart.
    _Pattern(
        "private_key",
        # Its head, header lines and runs of base64; its end, where that was not cut off.
        rf"(-----BEGIN {_PRIVATE_KEY}(?:{_GAP}[A-Za-z-]{{3,20}}: [A-Za-z0-9 ,.()/-]{{1,99}})*"
        rf"(?:{_GAP}{_BASE64}{{16,}})+(?:(?:{_GAP}{_BASE64}{{1,15}})?{_GAP}-----END {_PRIVATE_KEY})?)",
    ),
    _Pattern(
        "aws_secret",
        rf"(?i:(?:aws|secret)[a-z0-9_.-]{{0,30}}key){_SAYS}((?:[A-Za-z0-9+]|{_SLASH}){{40}})(?:[^A-Za-z0-9/+=]|$)",
    ),
    _Pattern("aws_token", rf"(?i:(?:security|session)_?token){_SAYS}({_BASE64}{{80,}})"),
    _Pattern("bearer", rf"(?i:\bbearer)(?:[ \t]|\\+t)+((?:[A-Za-z0-9._~+=-]|{_SLASH}){{12,}})", _has_digit),
    _Pattern("basic", rf"(?i:\bbasic)(?:[ \t]|\\+t)+({_BASE64}{{8,}})", _is_basic),
    _Pattern("password", rf"""[A-Za-z]:{_SLASH}{_SLASH}[^\s:/?#@"'\\<>]*:([^\s/?#@"'\\<>]{{3,}})@"""),
    _Pattern(
        "password",
        r"""(?i:(?:account|shared_?access)_?(?:key|signature)\s*=\s*|;\s*(?:password|pwd)\s*=\s*)([^\s;"'\\<>]{3,})""",
    ),
    _Pattern(
        "parameter",
        r"(?:[?&]|&amp;)(?i:(?:[a-z0-9]{1,20}[-_]){0,4}(?:apikey|key|token|sig|signature|password|passwd|pwd|secret))"
        r"""=([^\s&#"'\\<>]{6,})""",
    ),
)
_CARDS = (
    # By issuer and length, in one piece or in the usual groups: most numbers of such a length are no cards.
    _card(
        r"4[0-9]{12}(?:[0-9]{3}){0,2}|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
        r"|35[0-9]{14}|6(?:011|22[0-9]|4[4-9][0-9]|5[0-9]{2})[0-9]{12,15}"
    ),
    _card(r"[2-6][0-9]{3} [0-9]{4} [0-9]{4} [0-9]{4}(?: [0-9]{3})?"),
    _card(r"[2-6][0-9]{3}-[0-9]{4}-[0-9]{4}-[0-9]{4}(?:-[0-9]{3})?"),
    _card(r"3[0-9]{3}(?: [0-9]{6} [0-9]{4,5}|-[0-9]{6}-[0-9]{4,5})"),
)
_EMAILS = (
    _token("email", r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}\b"),
)
_OF = {Mask.SECRETS: _SECRETS, Mask.CARDS: _CARDS, Mask.EMAILS: _EMAILS}


def _mask_text(text: str, masks: Mask) -> str:
    data = text.encode("utf-8", "surrogatepass")
    masked = _masked(data, masks)
    return text if masked is data else masked.decode("utf-8", "surrogatepass")


#: Names of models, providers, paths and the like come again and again.
_remembered = functools.lru_cache(maxsize=8192)(_mask_text)


def _masked(data: bytes, masks: Mask) -> bytes:
    """Replace until nothing is found: a replaced text may let its neighbour be seen."""
    if not finds(data, masks):
        return data
    while (masked := _once(data, masks)) != data:
        data = masked
    return data


def _once(data: bytes, masks: Mask) -> bytes:
    pieces, kept_to = [], 0
    for found in find(data, masks):
        pieces += [data[kept_to : found.start], found.label]
        kept_to = found.end
    return b"".join([*pieces, data[kept_to:]])


def _label(kind: str, secret: bytes) -> bytes:
    length = len(secret.decode("utf-8", "replace"))
    label = next(text for text in (f"<masked:{kind}>", "<masked>", "<*>") if len(text) <= max(length, 3))
    return label.encode()


@functools.cache
def _patterns(masks: Mask) -> tuple[_Pattern, ...]:
    return tuple(pattern for mask, patterns in _OF.items() if mask in masks for pattern in patterns)


@functools.cache
def _combined(masks: Mask) -> Any:
    return _compiled("|".join(pattern.regex for pattern in _patterns(masks)), groups=True)


@functools.cache
def _quick(masks: Mask, at_sign: bool) -> Any:
    """One expression for all; None where there is nothing to look for."""
    sought = _patterns(masks if at_sign else masks & ~Mask.EMAILS)
    return _compiled("|".join(pattern.regex for pattern in sought), groups=False) if sought else None


def _compiled(regex: str, *, groups: bool) -> Any:
    options = re2.Options()
    # Bytes, so that lone surrogates and cut characters are no obstacle; all of the patterns are ASCII.
    options.encoding = re2.Options.Encoding.LATIN1
    options.never_capture = not groups
    options.max_mem = 32 << 20
    return re2.compile(regex.encode(), options)
