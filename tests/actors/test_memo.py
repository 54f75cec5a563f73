"""The memo: a chunk is decoded once, and never more is held than allowed."""

from typing import Any

import pytest

from actors import memo
from actors.extract import extract
from actors.log import log
from tests.helpers import accept, item, sql

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was decoded, in order."""
    seen: list[bytes] = []
    real = memo.extract
    monkeypatch.setattr(memo, "extract", lambda raw: (seen.append(raw), real(raw))[1])
    return seen


def test_a_chunk_is_decoded_once_for_all_steps(decoded: list[bytes]) -> None:
    from tests.helpers import work

    accept(item(), item())

    work()

    assert len(decoded) == 2
    assert (len(memo._reads), memo._held_bytes) == (0, 0)


def test_a_miss_reads_the_raw_item_again_and_gets_the_same(decoded: list[bytes]) -> None:
    ids = accept(item())

    first, _ = memo.read(ids)
    memo.forget(ids)
    again, _ = memo.read(ids)

    assert len(decoded) == 2
    assert first[ids[0]].extraction == again[ids[0]].extraction


def test_it_holds_no_more_than_allowed_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(*[item(prompt="x" * 1000) for _ in range(10)])
    one = memo.read(ids[:1])[0][ids[0]].raw_bytes
    monkeypatch.setattr(memo, "MAX_BYTES", 3 * one + 10)

    for exchange_id in ids:
        memo.read([exchange_id])

    assert list(memo._reads) == ids[-3:]
    assert memo._held_bytes == 3 * one


def test_what_alone_is_more_than_allowed_is_read_but_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = accept(item())
    monkeypatch.setattr(memo, "MAX_BYTES", 1)

    found, broken = memo.read(ids)

    assert (list(found), broken) == (ids, {})
    assert (len(memo._reads), memo._held_bytes) == (0, 0)


def test_forgetting_twice_or_what_is_not_there_is_harmless() -> None:
    ids = accept(item())
    memo.read(ids)

    for _ in range(2):
        memo.forget([*ids, 10**9])

    assert memo._held_bytes == 0


@pytest.mark.parametrize(
    "damage", ["DELETE FROM payload", "UPDATE payload SET codec = 9", "UPDATE payload SET data = 'x'"]
)
def test_an_item_that_cannot_be_read_is_broken_alone(damage: str) -> None:
    ids = accept(item(), item())
    sql(f"{damage} WHERE exchange_id = ?", ids[0])

    found, broken = memo.read(ids)

    assert (list(found), list(broken)) == (ids[1:], ids[:1])


def test_steps_do_not_need_each_others_memory() -> None:
    ids = accept(item())
    extract.fn(ids)
    memo.forget(ids)

    log.fn(ids)

    found: Any = sql("SELECT model, prompt_preview FROM log")
    assert found == [("gpt-4o-mini", "Hello")]
