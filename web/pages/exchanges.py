"""Pages of exchanges: the list with its filter, one exchange in full, and its bytes."""

from typing import Any, NamedTuple

from quart import Blueprint, Response, current_app, redirect, request

from app import extraction
from app.errors import NotFound
from app.extraction import Extraction
from app.masked_items import mask_item, mask_value
from app.masking import Mask
from app.store import exchanges, names, payloads, scores
from app.store.exchanges import ExchangeRow, Page, Progress, StepState
from app.store.names import Known
from app.store.scores import ScoreView
from web.exchanges import masked_header, stored_item
from web.pages.bodies import Body, body_of
from web.pages.conversation import Conversation, conversation_of
from web.pages.curl import curl_of, first_curl
from web.pages.filter import ListFilter, read_filter
from web.query import cursor
from web.render import HEADERS, render, wants_part
from web.routing import page
from web.sessions import Viewer, is_https
from web.threads import in_thread

routes = Blueprint("exchange_pages", __name__)

PAGE_ROWS = 50
TABS = ("conversation", "request", "response", "metadata")
_PENDING = frozenset({"accepted", "extracted", "logged"})


class Opened(NamedTuple):
    """One exchange as its page shows it, without keys and tokens; the fields of tabs that are not open are None."""

    row: ExchangeRow
    progress: Progress
    found: Extraction
    #: Why the item cannot be read, when it cannot.
    unreadable: str | None
    scores: list[ScoreView]
    raw_bytes: int
    #: Whether something is masked on the page that the stored item holds.
    hidden: bool
    #: What was masked before the item was stored.
    masked: list[str]
    curl: str | None
    conversation: Conversation | None
    body: Body | None
    metadata: dict[str, Any] | None

    @property
    def failed_step(self) -> tuple[str, StepState] | None:
        """The step that failed, with its state."""
        steps = (("extract", self.progress.extract), ("log", self.progress.log), ("eval", self.progress.eval))
        return next(((name, state) for name, state in steps if state.state == "failed"), None)


@page(routes, "/", role="viewer")
async def home(who: Viewer) -> Response:  # noqa: ARG001 - the pages' common form
    """Lead to the exchanges."""
    return redirect("/exchanges")  # type: ignore[return-value]  # Quart's own Response


@page(routes, "/exchanges", role="viewer")
async def exchange_list(who: Viewer) -> Response:
    """Show the exchanges that the filter keeps, newest first."""
    wanted, at = read_filter(), cursor()
    found, known = await in_thread(_listed, who.project_id, wanted, at)
    return await render(
        "exchanges/list.html",
        block="results" if at is None else "rows",
        viewer=who,
        part=wants_part(),
        filter=wanted,
        cursor=at,
        rows=found.rows,
        next_cursor=found.next_cursor,
        page_rows=PAGE_ROWS,
        pending=at is None and any(row.state in _PENDING for row in found.rows),
        known=known,
        first_curl=first_curl(base_url()),
    )


@page(routes, "/exchanges/<request_id>", role="viewer")
async def exchange(who: Viewer, request_id: str) -> Response:
    """Show one exchange: its facts, and one of the tabs."""
    tab = request.args.get("tab", TABS[0])
    if tab not in TABS:
        raise NotFound(f"no tab {tab[:40]}")
    opened = await in_thread(_opened, who.project_id, request_id, tab, request.args.get("messages") == "all")
    return await render("exchanges/exchange.html", block="exchange", viewer=who, tab=tab, **opened._asdict(),
                        failed_step=opened.failed_step, pending=not opened.progress.final)  # fmt: skip


@page(routes, "/exchanges/<request_id>/raw", role="viewer")
async def raw_exchange(who: Viewer, request_id: str) -> Response:
    """Give the item's bytes as they are stored, but for keys and tokens, which no page shows."""
    row = await in_thread(exchanges.get, who.project_id, request_id)
    raw = await in_thread(_readable, row.id)
    return Response(raw, headers=HEADERS | masked_header(row), content_type="application/json; charset=utf-8")


def base_url() -> str:
    """Return the address that people and their clients reach us at."""
    configured: str = current_app.config["SETTINGS"].url
    return configured or f"{'https' if is_https() else 'http'}://{request.host}"


def _listed(project_id: int, wanted: ListFilter, at: int | None) -> tuple[Page, Known]:
    if wanted.selection is None:
        return Page([], None), names.known(project_id)
    chosen = wanted.selection
    found = exchanges.page(
        project_id, terms=chosen.terms, since=chosen.since, until=chosen.until, limit=PAGE_ROWS, cursor=at
    )
    return found, names.known(project_id)


def _opened(project_id: int, request_id: str, tab: str, all_messages: bool) -> Opened:
    progress = exchanges.progress(exchanges.get(project_id, request_id).id)
    # Read after the steps, so that the status is never behind them.
    row = exchanges.get(project_id, request_id)
    stored, unreadable = stored_item(row.id)
    # Here all texts of an item enter its page.
    raw = mask_item(stored, Mask.SECRETS)
    found = extraction.extract(raw)
    messages = mask_value(extraction.conversation(raw)) if tab == "conversation" else None
    return Opened(
        row=row,
        progress=progress,
        found=found,
        unreadable=unreadable,
        scores=scores.of_exchange(row.id),
        raw_bytes=len(stored),
        hidden=raw is not stored,
        masked=Mask(row.masking or 0).names,
        curl=curl_of(found) if tab == "request" else None,
        conversation=None if messages is None else conversation_of(messages, all_messages),
        body=_body(tab, found),
        metadata=mask_value(found.metadata()) if tab == "metadata" else None,
    )


def _readable(exchange_id: int) -> bytes:
    return mask_item(payloads.read(exchange_id), Mask.SECRETS)


def _body(tab: str, found: Extraction) -> Body | None:
    bodies: dict[str, Any] = {}
    if found.item is not None:
        bodies = {"request": found.item.request_body, "response": found.item.response_body}
    return body_of(bodies[tab]) if tab in bodies else None
