"""The page of jobs: what is kept, and what retention removed last."""

import dataclasses
import re

import pytest

from actors.retention import steps
from app.store.retention import DAY_MS
from tests.conftest import Api
from tests.helpers import accept, item, sql, work

pytestmark = pytest.mark.backend


def keep(api: Api, days: int) -> None:
    settings = api.app.config["SETTINGS"]
    api.app.config["SETTINGS"] = dataclasses.replace(settings, retention_days=days)


async def text(api: Api, path: str) -> str:
    """Return a page's text, as an owner sees it."""
    await api.client.post("/sign-in", form={"key": api.keys["owner"]})
    page = await (await api.client.get(path)).get_data(as_text=True)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_by_default_everything_is_kept_for_ever(api: Api) -> None:
    assert "Exchanges for ever" in await text(api, "/jobs")
    assert "Exchanges are kept for ever" in await text(api, "/settings")


async def test_what_the_last_run_removed_is_shown(api: Api) -> None:
    keep(api, 30)
    assert "none yet: the evals process does it" in await text(api, "/jobs")
    old, _ = accept(item(), item())
    work()
    sql("UPDATE exchange SET received_at = received_at - ? WHERE id = ?", 31 * DAY_MS, old)

    for _ in steps(30):
        pass

    assert "1 exchange and 0 batches removed that were received before" in await text(api, "/jobs")
    assert "Exchanges are kept for 30 days" in await text(api, "/settings")
