"""The names that the harness wraps are names of the product: a point that is never passed proves nothing."""

import pytest

from tests.chaos.patching import resolve
from tests.chaos.points import POINTS


@pytest.mark.parametrize("name", POINTS)
def test_a_crash_point_names_what_is_there(name: str) -> None:
    point = POINTS[name]

    assert resolve(point.target)
    assert not point.within or resolve(point.within.partition(".<locals>")[0])


def test_a_name_that_is_gone_is_told() -> None:
    with pytest.raises(AttributeError):
        resolve("app.store.pending.no_such_function")
