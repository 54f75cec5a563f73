"""Rows of the log: what extraction found, as lists and filters need it."""

from collections.abc import Sequence

from app.exchange import TokenCount
from app.extraction import Extraction
from app.search import words
from app.store import bulk, database, pending, search
from app.store.models import Flag, Log, Step

PREVIEW_CHARS = 160

_COLUMNS = (
    "exchange_id", "project_id", "shape", "extraction", "reason", "provider", "model", "response_model",
    "finish_reason", "prompt_preview", "completion_preview", "prompt_tokens", "completion_tokens", "total_tokens",
    "flags",
)  # fmt: skip


def keep(chunk: Sequence[tuple[int, int, Extraction]]) -> list[int]:
    """Log (exchange id, project id, extraction) rows and move them on, in one transaction; return those that moved."""
    with database.transaction():
        moved = set(pending.advance([row[0] for row in chunk], Step.LOG))
        rows = [row for row in chunk if row[0] in moved]
        bulk.insert(Log, _COLUMNS, [_row(*row) for row in rows], ignore=True)
        search.insert([(exchange_id, words(f.prompt, f.completion, f.system)) for exchange_id, _, f in rows])
    return sorted(moved)


def preview(text: str | None) -> str | None:
    """The beginning of a text on one line; an ellipsis says that there is more."""
    if text is None:
        return None
    line = " ".join(text[: PREVIEW_CHARS * 4].split())
    return line if len(line) <= PREVIEW_CHARS and len(text) <= PREVIEW_CHARS * 4 else line[: PREVIEW_CHARS - 1] + "…"


def _row(exchange_id: int, project_id: int, found: Extraction) -> bulk.Row:
    tokens = found.token_count or TokenCount()
    return (
        exchange_id, project_id, found.shape, found.status, found.reason, found.provider, found.model,
        found.response_model, found.answered.finish_reason, preview(found.prompt), preview(found.completion),
        tokens.prompt, tokens.completion, tokens.total, _flags(found),
    )  # fmt: skip


def _flags(found: Extraction) -> int:
    return (
        Flag.STREAMED * found.answered.streamed
        | Flag.TRUNCATED * found.answered.truncated
        | Flag.ERROR * (found.answered.error is not None)
        | Flag.REFUSAL * bool(found.answered.refusal)
        | Flag.TOOLS * bool(found.answered.tool_calls)
    )
