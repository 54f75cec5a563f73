"""Words for the search index: the same on every database, because they are made here and not by its text parser.

Text is folded (case, accents) and cut into words. Scripts that write without spaces (Chinese, Japanese, Thai …) are cut
into pairs of neighbouring characters, so that any part of a run can be found.
"""

import re
import unicodedata

from app.errors import InvalidItem

#: Only so much of each text can be searched; the dashboard and docs say so.
MAX_CHARS = 100_000
#: Longer runs are data (base64, hashes), not words.
MAX_WORD_CHARS = 64

_WORD = re.compile(r"[^\W_]+")
#: A space for every byte that is in no word of ASCII text.
_ASCII = bytes(byte if byte < 128 and chr(byte).isalnum() else 0x20 for byte in range(256))
#: Thai, Lao, Myanmar, Khmer; kana, bopomofo, CJK ideographs and their extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words(*texts: str | None) -> list[str]:
    """Return the distinct words of texts, in the order they first appear."""
    found: dict[str, None] = {}
    for text in texts:
        folded = _folded(text[:MAX_CHARS]) if text else ""
        if folded.isascii():
            found.update(dict.fromkeys([word[:MAX_WORD_CHARS] for word in _split_ascii(folded)]))
            continue
        for word in _WORD.findall(folded):
            found.update(dict.fromkeys(_parts(word)))
            if _UNSPACED.match(word[-1]):
                found[word[-1]] = None  # the last of a run begins no pair, and must be found alone too
    return list(found)


def wanted(text: str) -> list[tuple[str, bool]]:
    """Return the words that a search text asks for, all of them wanted; True marks the beginning of a word (`refun*`).

    Raises InvalidItem when there is no word in it.
    """
    pieces: list[tuple[str, bool]] = []
    for match in _WORD.finditer(_folded(text)):
        prefix = text.endswith("*") and match.end() == len(_folded(text)) - 1
        parts = _parts(match.group())
        pieces += [(part, (prefix and part is parts[-1]) or _is_single(part)) for part in parts]
    if not pieces:
        raise InvalidItem(f"{text[:80]!r} has no word to search for", error_code="invalid_query", pointer="/q")
    return pieces


def _split_ascii(folded: str) -> list[str]:
    """Cut a folded text without a regular expression, in a tenth of the time."""
    return folded.encode().translate(_ASCII).decode().split()


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    for character in set(decomposed):
        if unicodedata.combining(character):
            decomposed = decomposed.replace(character, "")
        elif not character.isascii() and unicodedata.category(character)[0] in "PSZ":
            # Quotation marks and dashes: without them most texts are ASCII.
            decomposed = decomposed.replace(character, " ")
    return decomposed if decomposed.isascii() else unicodedata.normalize("NFC", decomposed)


def _parts(word: str) -> list[str]:
    if word.isascii():
        return [word[:MAX_WORD_CHARS]]
    parts, at = [], 0
    for run in _UNSPACED.finditer(word):
        parts += [word[at : run.start()][:MAX_WORD_CHARS]] * (run.start() > at)
        parts += [run.group()[i : i + 2] for i in range(max(1, len(run.group()) - 1))]
        at = run.end()
    return parts + [word[at:][:MAX_WORD_CHARS]] * (at < len(word))


def _is_single(part: str) -> bool:
    """One character of an unspaced script: found at the beginning of the pairs that hold it."""
    return len(part) == 1 and _UNSPACED.fullmatch(part) is not None
