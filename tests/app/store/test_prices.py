"""Own prices: made, listed and removed, each project its own."""

import pytest

from app.errors import Conflict, NotFound
from app.pricing import OwnRates
from app.store import prices
from app.store.prices import PriceRow
from tests.helpers import sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]

RATES = OwnRates(uncached_input=1.5, output_text=6.0, cache_read=0.15)


def create(
    model: str = "gpt-4o*", provider: str | None = None, valid_from: int | None = None, project: int = 1
) -> PriceRow:
    return prices.create(project, provider=provider, model=model, valid_from=valid_from, rates=RATES, actor="tests")


def test_a_price_is_read_as_it_was_made() -> None:
    made = create("gpt-4o*", "openai", 1_700_000_000_000)

    assert prices.get(1, made.price.id) == made
    assert prices.of([1, 1, 2]) == {1: [made.price]}
    assert made.price.rates == RATES


def test_the_narrowest_price_comes_first() -> None:
    wide, narrow, dated = create("*"), create("gpt-4o-mini"), create("gpt-4o-mini", valid_from=5)

    assert prices.of([1])[1] == [dated.price, narrow.price, wide.price]


def test_prices_are_listed_newest_first_page_by_page() -> None:
    made = [create(f"m{number}") for number in range(3)]

    first, cursor = prices.page(1, limit=2)
    second, end = prices.page(1, limit=2, cursor=cursor)

    assert (first + second, end) == (made[::-1], None)


def test_a_removed_price_is_gone() -> None:
    price_id = create().price.id

    prices.delete(1, price_id, actor="tests")

    assert prices.of([1]) == {}
    for gone in (lambda: prices.get(1, price_id), lambda: prices.delete(1, price_id, actor="tests")):
        with pytest.raises(NotFound):
            gone()


def test_a_project_sees_only_its_own() -> None:
    theirs = create(project=2).price.id

    assert prices.page(1) == ([], None)
    with pytest.raises(NotFound):
        prices.get(1, theirs)
    with pytest.raises(NotFound):
        prices.delete(1, theirs, actor="tests")


def test_a_project_has_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "MAX_PRICES", 1)
    create()
    create(project=2)

    with pytest.raises(Conflict) as error:
        create()

    assert error.value.code == "too_many_prices"


def test_every_change_is_audited() -> None:
    price_id = create().price.id
    prices.delete(1, price_id, actor="key:3")

    assert sql("SELECT project_id, actor, action, subject FROM audit_entry ORDER BY id") == [
        (1, "tests", "price.created", f"price:{price_id}"),
        (1, "key:3", "price.deleted", f"price:{price_id}"),
    ]
