"""A project's own prices; each is a row that is made and removed, never changed."""

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from app.errors import Conflict, NotFound
from app.pricing import OwnPrice, OwnRates
from app.store import audit, database
from app.store.database import execute, id_list, in_list
from app.store.models import Price

#: Every exchange is held against all of its project's prices.
MAX_PRICES = 500

_COLUMNS = "id, provider, model, valid_from, rates, created_at"


class PriceRow(msgspec.Struct, frozen=True):
    """An own price, and when it was made."""

    price: OwnPrice
    created_at: int


def create(
    project_id: int, *, provider: str | None, model: str, valid_from: int | None, rates: OwnRates, actor: str
) -> PriceRow:
    """Make an own price; exchanges that are logged from now on are held against it. Raises Conflict when full."""
    with database.transaction():
        if Price.select().where(Price.project_id == project_id).count() >= MAX_PRICES:
            raise Conflict(f"a project has at most {MAX_PRICES} own prices", error_code="too_many_prices")
        now = database.now()
        row = Price.create(
            project_id=project_id, provider=provider, model=model, valid_from=valid_from,
            rates=msgspec.json.encode(rates).decode(), created_at=now,
        )  # fmt: skip
        audit.note(project_id, actor, "price.created", f"price:{row.id}", now)
    return PriceRow(OwnPrice(id=row.id, provider=provider, model=model, valid_from=valid_from, rates=rates), now)


def delete(project_id: int, price_id: int, *, actor: str) -> None:
    """Remove an own price; what was priced by it keeps its cost. Raises NotFound."""
    with database.transaction():
        if not Price.delete().where(Price.project_id == project_id, Price.id == price_id).execute():
            raise NotFound(f"no price {price_id}")
        audit.note(project_id, actor, "price.deleted", f"price:{price_id}", database.now())


def get(project_id: int, price_id: int) -> PriceRow:
    """Return one own price. Raises NotFound."""
    with database.session():
        rows = execute(f"SELECT {_COLUMNS} FROM price WHERE project_id = ? AND id = ?", [project_id, price_id])
    if not rows:
        raise NotFound(f"no price {price_id}")
    return _price(rows[0])


def page(project_id: int, *, limit: int = 50, cursor: int | None = None) -> tuple[list[PriceRow], int | None]:
    """Return a project's own prices, newest first, and the cursor of the next page."""
    below = "" if cursor is None else "AND id < ?"
    with database.session():
        rows = execute(
            f"SELECT {_COLUMNS} FROM price WHERE project_id = ? {below} ORDER BY id DESC LIMIT ?",
            [project_id, *([] if cursor is None else [cursor]), limit + 1],
        )
    found = [_price(tuple(row)) for row in rows[:limit]]
    return found, found[-1].price.id if len(rows) > limit else None


def of(project_ids: Sequence[int]) -> dict[int, list[OwnPrice]]:
    """Return the own prices of projects, of the greatest precedence first."""
    with database.session():
        rows = execute(
            f"SELECT project_id, {_COLUMNS} FROM price WHERE {in_list('project_id')}", [id_list([*set(project_ids)])]
        )
    found: dict[int, list[OwnPrice]] = {}
    for project_id, *row in rows:
        found.setdefault(project_id, []).append(_price(tuple(row)).price)
    for prices in found.values():
        prices.sort(key=lambda price: price.precedence, reverse=True)
    return found


# A row is never changed, so what was read once stays true.
@functools.lru_cache(maxsize=2 * MAX_PRICES)
def _price(row: tuple[Any, ...]) -> PriceRow:
    price_id, provider, model, valid_from, rates, created_at = row
    decoded = msgspec.json.decode(rates, type=OwnRates)
    price = OwnPrice(id=price_id, provider=provider, model=model, valid_from=valid_from, rates=decoded)
    return PriceRow(price, created_at)
