"""Reading: a chunk is read and decoded once, and what cannot be read is broken alone."""

import pytest

from actors import reading
from tests.helpers import accept, item, sql, work

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("store")]


def test_a_new_exchange_is_decoded_once_for_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    real = reading.extract
    monkeypatch.setattr(reading, "extract", lambda raw: (decoded.append(raw), real(raw))[1])
    accept(item(), item())

    work()

    assert len(decoded) == 2


def test_reading_again_gives_the_same() -> None:
    ids = accept(item())

    assert reading.read(ids) == reading.read(ids)


@pytest.mark.parametrize(
    "damage", ["DELETE FROM payload", "UPDATE payload SET codec = 9", "UPDATE payload SET data = 'x'"]
)
def test_an_item_that_cannot_be_read_is_broken_alone(damage: str) -> None:
    ids = accept(item(), item())
    sql(f"{damage} WHERE exchange_id = ?", ids[0])

    found, broken = reading.read(ids)

    assert (list(found), list(broken)) == (ids[1:], ids[:1])
