"""Rows of the log: what extraction found, as lists and filters need it."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec

from app.exchange import TokenCount
from app.extraction import VERSION, Extraction
from app.masking import finds_in, mask_text
from app.pricing import Cost, Line
from app.search import words
from app.shapes import buckets
from app.store import bulk, database, search, usage
from app.store.exchanges import Subject
from app.store.models import Flag, Log

PREVIEW_CHARS = 160

#: Unpriced exchanges that the worklist looks at, and the groups that it shows.
MAX_UNPRICED = 10_000
_MAX_GROUPS = 500

_COLUMNS = (
    "exchange_id", "project_id", "shape", "extraction", "reason", "provider", "model", "response_model",
    "finish_reason", "prompt_preview", "completion_preview", "prompt_tokens", "completion_tokens", "total_tokens",
    "flags", "cached_tokens", "cache_creation_tokens", "reasoning_tokens", "cost_usd", "unpriced", "matched_model",
    "price_source", "price_version", "cost_lines", "words_digest", "extractor_version",
)  # fmt: skip
#: What identifies a row, and never changes.
_KEYS = 2
_COST_USD, _WORDS_DIGEST = _COLUMNS.index("cost_usd"), _COLUMNS.index("words_digest")
#: A row in which nothing else differs says the same as before.
_VERSIONS = frozenset({"extractor_version", "price_version"})
_COUNTED = itemgetter(*map(_COLUMNS.index, usage.LOG_COLUMNS))
_NO_COUNT = TokenCount()
_LINES = msgspec.json.Decoder(tuple[Line, ...])


class Entry(NamedTuple):
    """An exchange that is ready for the log."""

    subject: Subject
    found: Extraction
    cost: Cost

    @property
    def exchange_id(self) -> int:
        """Whose row it will be."""
        return self.subject.id


class LogRow(NamedTuple):
    """What is written of an exchange: its row, its words for the search index, and what it counts as."""

    columns: bulk.Row
    words: list[str]
    #: What it counts as, from the row as it is stored.
    call: usage.Call


class Changes(NamedTuple):
    """What reading a chunk of exchanges again changes."""

    #: Rows of which more than the versions differs.
    changed: int
    #: How many rows differ, by column; `search_words` stands for the words of the search index.
    fields: dict[str, int]
    #: The costs that are known, added up.
    cost_before: float
    cost_after: float


class Priced(NamedTuple):
    """The cost of an exchange as it was logged, and the version of the extraction that it was logged by."""

    cost: Cost
    extractor_version: int | None


def prepared(chunk: Iterable[Entry]) -> dict[int, LogRow]:
    """Return what is to be written of exchanges, by id; no key or token is in it."""
    entries = list(chunk)
    # One look at all texts together first: there is almost never anything to mask.
    found = finds_in(text for entry in entries for text in _texts(entry))
    return {e.exchange_id: _row(e, _masked if found and finds_in(_texts(e)) else _as_it_is) for e in entries}


def insert(chunk: Sequence[LogRow], *, new: bool = False) -> None:
    """Log exchanges, inside the transaction that moves them on; `usage.add` ends it. What is there stays as it is.

    new: nothing can be there, because they have never been tried.
    """
    bulk.insert(Log, _COLUMNS, [row.columns for row in chunk], ignore=not new)
    search.insert([(row.columns[0], row.words) for row in chunk], new=new)


def indexed_words(found: Extraction) -> list[str]:
    """Return the words that the search index has of an exchange which is read so."""
    return words(_masked(found.prompt), _masked(found.completion), _masked(found.system))


def rewrite(chunk: Sequence[Entry], *, dry_run: bool) -> Changes:
    """Bring logged exchanges up to date, inside the caller's transaction, and say what that changes.

    dry_run: only say it.
    """
    before = _stored([entry.exchange_id for entry in chunk])
    entries = [entry for entry in chunk if entry.exchange_id in before]
    rows = [(before[i], row) for i, row in prepared(entries).items()]
    differing = [_differing(old, new.columns) for old, new in rows]
    fields = Counter(name for names in differing for name in names)
    if not dry_run:
        stale = [new.columns for (_, new), names in zip(rows, differing, strict=True) if names]
        bulk.update(Log, _COLUMNS[:1], _COLUMNS[_KEYS:], [(row[0], *row[_KEYS:]) for row in stale])
        search.replace(
            [(new.columns[0], new.words) for old, new in rows if old[_WORDS_DIGEST] != new.columns[_WORDS_DIGEST]]
        )
        usage.add(
            [new.call for _, new in rows],
            gone=[usage.Call(entry.subject, *_COUNTED(old)) for entry, (old, _) in zip(entries, rows, strict=True)],
        )
    return Changes(
        changed=sum(not names <= _VERSIONS for names in differing),
        fields=dict(fields),
        cost_before=sum(old[_COST_USD] or 0.0 for old, _ in rows),
        cost_after=sum(new.columns[_COST_USD] or 0.0 for _, new in rows),
    )


def priced(exchange_id: int) -> Priced | None:
    """Return an exchange's cost as it was logged; None before it is."""
    with database.session():
        rows = database.execute(
            """SELECT cost_usd, unpriced, matched_model, price_source, price_version, cost_lines, extractor_version
                 FROM log WHERE exchange_id = ?""",
            [exchange_id],
        )
    if not rows:
        return None
    usd, unpriced, model, source, version, lines, extractor = rows[0]
    cost = Cost(
        usd=usd, unpriced=unpriced, matched_model=model, price_source=source, price_version=version,
        lines=_LINES.decode(lines) if lines else (),
    )  # fmt: skip
    return Priced(cost, extractor)


class Unpriced(NamedTuple):
    """Exchanges that have no cost for the same reason."""

    provider: str | None
    model: str | None
    reason: str
    exchanges: int
    first_seen: int
    last_seen: int


def unpriced(project_id: int) -> tuple[list[Unpriced], bool]:
    """Group a project's newest MAX_UNPRICED unpriced exchanges by what is missing, the most frequent first.

    The second value says whether there are older ones, which were not looked at.
    """
    newest = """SELECT exchange_id, provider, coalesce(response_model, model) AS model, unpriced
                  FROM log WHERE project_id = ? AND unpriced IS NOT NULL ORDER BY exchange_id DESC LIMIT ?"""
    with database.session():
        rows = database.execute(
            f"""SELECT n.provider, n.model, n.unpriced, count(*), min(e.received_at), max(e.received_at)
                  FROM ({newest}) AS n JOIN exchange e ON e.id = n.exchange_id
                 GROUP BY n.provider, n.model, n.unpriced ORDER BY 4 DESC, 6 DESC LIMIT {_MAX_GROUPS}""",
            [project_id, MAX_UNPRICED],
        )
        older = database.execute(f"{newest} OFFSET ?", [project_id, 1, MAX_UNPRICED])
    return [Unpriced(*row) for row in rows], bool(older)


def preview(text: str | None) -> str | None:
    """The beginning of a text on one line; an ellipsis says that there is more."""
    if text is None:
        return None
    line = " ".join(text[: PREVIEW_CHARS * 4].split())
    return line if len(line) <= PREVIEW_CHARS and len(text) <= PREVIEW_CHARS * 4 else line[: PREVIEW_CHARS - 1] + "…"


def _row(entry: Entry, mask: Callable[[str | None], str | None]) -> LogRow:
    subject, found, cost = entry
    tokens, told = found.token_count or _NO_COUNT, found.answered.usage
    # Whole texts are masked, before they are cut: half of a key is not told apart.
    prompt, completion, system, reason, provider, model, response_model, finish_reason, unpriced, matched_model = map(
        mask, _texts(entry)
    )
    indexed = words(prompt, completion, system)
    columns = (
        subject.id, subject.project_id, found.shape, found.status, reason, provider, model, response_model,
        finish_reason, preview(prompt), preview(completion), tokens.prompt, tokens.completion, tokens.total,
        _flags(found), told.cached_tokens, told.cache_creation_tokens, told.reasoning_tokens, cost.usd, unpriced,
        matched_model, cost.price_source, cost.price_version,
        msgspec.json.encode(cost.lines).decode() if cost.lines else None, search.digest(indexed), VERSION,
    )  # fmt: skip
    return LogRow(columns, indexed, usage.Call(subject, *_COUNTED(columns)))


def _texts(entry: Entry) -> tuple[str | None, ...]:
    """All that clients and providers wrote."""
    found, cost = entry.found, entry.cost
    return (
        found.prompt, found.completion, found.system, found.reason, found.provider, found.model, found.response_model,
        found.answered.finish_reason, cost.unpriced, cost.matched_model,
    )  # fmt: skip


def _masked(text: str | None) -> str | None:
    return text and mask_text(text)


def _as_it_is(text: str | None) -> str | None:
    return text


def _differing(old: bulk.Row, new: bulk.Row) -> set[str]:
    names = {name for name, was, now in zip(_COLUMNS, old, new, strict=True) if was != now}
    return {"search_words" if name == "words_digest" else name for name in names}


def _stored(ids: Sequence[int]) -> dict[int, bulk.Row]:
    names = ", ".join(_COLUMNS)
    where = database.in_list("exchange_id")
    return {row[0]: row for row in database.execute(f"SELECT {names} FROM log WHERE {where}", [database.id_list(ids)])}


def _flags(found: Extraction) -> int:
    counts = buckets(found.answered.tokens, found.answered.usage)
    return (
        Flag.STREAMED * found.answered.streamed
        | Flag.TRUNCATED * found.answered.truncated
        | Flag.ERROR * (found.answered.error is not None)
        | Flag.REFUSAL * bool(found.answered.refusal)
        | Flag.TOOLS * bool(found.answered.tool_calls)
        | Flag.ODD * (counts is not None and counts.odd)
    )
