"""The search index: what is found is what the texts say now, also after they were read differently."""

import pytest

from app import filters
from app.store import database, exchanges, search
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def found(query: str) -> list[int]:
    project = sql("SELECT id FROM project")[0][0]
    return [row.id for row in exchanges.page(project, terms=filters.parse(query)).rows]


def reindex(exchange_id: int, *words: str) -> None:
    with database.transaction():
        search.replace([(exchange_id, list(words))])


def test_logged_words_are_found() -> None:
    first, second = accept(item(prompt="x"), item(request_body={"messages": [{"role": "user", "content": "Bye"}]}))
    work()

    assert (found("hello"), found("bye"), found("there")) == ([first], [second], [second, first])


def test_replaced_words_are_no_longer_found_and_the_new_ones_are() -> None:
    first, second = accept(item(), item())
    work()

    reindex(first, "winter")

    assert (found("hello"), found("winter")) == ([second], [first])
    assert found("-hello") == [first]


def test_words_can_be_replaced_again_and_come_back() -> None:
    (only,) = accept(item())
    work()

    for words in (["winter"], ["hello", "spring"], ["hello"], []):
        reindex(only, *words)

        assert (found("winter"), found("spring"), found("hello")) == tuple(
            [only] if word in words else [] for word in ("winter", "spring", "hello")
        )


def test_nothing_to_replace_is_nothing_done() -> None:
    with database.transaction():
        search.replace([])


def test_the_digest_tells_words_apart() -> None:
    digests = [search.digest(words) for words in ([], ["a"], ["a", "b"], ["ab"], ["b", "a"], ["日本"])]

    assert len(set(digests)) == len(digests)
    assert all(-(2**63) <= digest < 2**63 for digest in digests)
    assert search.digest(["a"]) == digests[1]


@pytest.mark.parametrize("spread", [-1, 10**9])
def test_exchanges_are_asked_for_words_one_by_one_as_in_a_row(spread: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SPREAD", spread)
    ids = accept(*[item() for _ in range(4)])
    work()
    reindex(ids[1], "winter")
    reindex(ids[2], "winter")
    reindex(ids[2], "hello")

    with database.session():
        for query, expected in (("hello", [0, 2, 3]), ("-hello", [1]), ("winter", [1]), ("winter hello", [])):
            assert exchanges.matches(ids, filters.parse(query)) == {ids[n] for n in expected}
    assert found("-winter") == [ids[3], ids[2], ids[0]]
