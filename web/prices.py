"""Own prices over the API, and the worklist of what has no price."""

from typing import Annotated

import msgspec
from quart import Blueprint, Response

from app.pricing import OwnRates
from app.store import logs, prices
from app.store.keys import Identity
from app.store.prices import PriceRow
from web.body import read_json
from web.query import LIST, Time, cursor, following, limit, moment, shown
from web.routing import json_answer, operation
from web.threads import in_thread

routes = Blueprint("prices", __name__)

#: No column holds NUL.
_PATTERN = r"^[^\x00]+\Z"


class PriceBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An own price, for the calls whose model and provider fit; it comes before the price list.

    Of several that fit a call, the one with the longest model pattern holds, then the longest provider pattern, then
    the latest `valid_from`, then the newest.
    """

    #: `*` stands for any text; null for any provider.
    provider: Annotated[str, msgspec.Meta(max_length=64, pattern=_PATTERN)] | None = None
    #: Held against the model that the response names and the one that was asked for; `*` stands for any text.
    model: Annotated[str, msgspec.Meta(max_length=200, pattern=_PATTERN)]
    #: Holds for calls from then on. null: it was always so.
    valid_from: Time | None = None
    #: A bucket that is left out costs what `uncached_input` or `output_text` costs.
    usd_per_million_tokens: OwnRates


class PriceAnswer(PriceBody, kw_only=True):
    """An own price. It is never changed: remove it and make another."""

    id: int
    created_at: str


class PriceList(msgspec.Struct, kw_only=True):
    data: list[PriceAnswer]
    next_cursor: str | None


class UnpricedGroup(msgspec.Struct, kw_only=True):
    """Exchanges that have no cost for the same reason."""

    provider: str | None
    model: str | None
    reason: str
    exchanges: int
    first_seen: str
    last_seen: str


class UnpricedList(msgspec.Struct, kw_only=True):
    """The worklist: the newest 10,000 unpriced exchanges, in groups; `complete` is false when there are older ones."""

    data: list[UnpricedGroup]
    next_cursor: None
    complete: bool


@operation(
    routes,
    "POST",
    "/api/v1/prices",
    role="admin",
    summary="Make an own price; what is logged from now on is held against it",
    takes=PriceBody,
    status=201,
    gives=PriceAnswer,
)
async def create_price(identity: Identity) -> Response:
    """Make an own price."""
    body = await read_json(PriceBody)
    row = await in_thread(
        prices.create,
        identity.project_id,
        provider=body.provider,
        model=body.model,
        valid_from=moment("valid_from", body.valid_from),
        rates=body.usd_per_million_tokens,
        actor=identity.actor,
    )
    return json_answer(_price(row), 201, {"Location": f"/api/v1/prices/{row.price.id}"})


@operation(
    routes,
    "GET",
    "/api/v1/prices",
    role="viewer",
    summary="Own prices, newest first",
    gives=PriceList,
    query=LIST,
)
async def list_prices(identity: Identity) -> Response:
    """Answer a page of own prices."""
    rows, after = await in_thread(prices.page, identity.project_id, limit=limit(), cursor=cursor())
    return json_answer(PriceList(data=[_price(row) for row in rows], next_cursor=following(after)))


@operation(
    routes,
    "GET",
    "/api/v1/prices/<int:price_id>",
    role="viewer",
    summary="One own price",
    gives=PriceAnswer,
)
async def get_price(identity: Identity, price_id: int) -> Response:
    """Answer one own price."""
    return json_answer(_price(await in_thread(prices.get, identity.project_id, price_id)))


@operation(
    routes,
    "DELETE",
    "/api/v1/prices/<int:price_id>",
    role="admin",
    summary="Remove an own price; what was priced by it keeps its cost",
    status=204,
)
async def delete_price(identity: Identity, price_id: int) -> Response:
    """Remove an own price."""
    await in_thread(prices.delete, identity.project_id, price_id, actor=identity.actor)
    return Response(status=204)


@operation(
    routes,
    "GET",
    "/api/v1/unpriced",
    role="viewer",
    summary="What has no price, by provider, model and reason, the most frequent first",
    gives=UnpricedList,
)
async def list_unpriced(identity: Identity) -> Response:
    """Answer the worklist."""
    groups, older = await in_thread(logs.unpriced, identity.project_id)
    data = [
        UnpricedGroup(
            provider=group.provider,
            model=group.model,
            reason=group.reason,
            exchanges=group.exchanges,
            first_seen=shown(group.first_seen) or "",
            last_seen=shown(group.last_seen) or "",
        )
        for group in groups
    ]
    return json_answer(UnpricedList(data=data, next_cursor=None, complete=not older))


def _price(row: PriceRow) -> PriceAnswer:
    price = row.price
    return PriceAnswer(
        id=price.id,
        provider=price.provider,
        model=price.model,
        valid_from=shown(price.valid_from),
        usd_per_million_tokens=price.rates,
        created_at=shown(row.created_at) or "",
    )
