"""The rate limit of a key: off unless set, of one key, and over when its time has passed."""

import dataclasses
from collections.abc import Iterator

import pytest

from tests.conftest import Api
from tests.helpers import item
from web import limits


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    limits.forget_all()
    yield
    limits.forget_all()


def allow(api: Api, per_minute: int) -> None:
    settings = api.app.config["SETTINGS"]
    api.app.config["SETTINGS"] = dataclasses.replace(settings, key_requests_per_minute=per_minute)


async def test_without_the_setting_nothing_is_limited(api: Api) -> None:
    assert {(await api.get("/api/v1/logs")).status_code for _ in range(50)} == {200}


async def test_a_key_that_calls_too_often_is_told_when_to_come_back(api: Api) -> None:
    allow(api, 3)

    answers = [await api.post("/api/v1/ingest", json=item()) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [202] * 3 + [429]
    told = await answers[3].get_json(force=True)
    assert (told["error_code"], told["retryable"]) == ("rate_limited", True)
    assert answers[3].mimetype == "application/problem+json"
    headers = answers[3].headers
    assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("3", "0")
    assert 1 <= int(headers["Retry-After"]) <= 61


async def test_another_key_is_not_held_up(api: Api) -> None:
    allow(api, 1)
    await api.get("/api/v1/logs", role="member")

    assert (await api.get("/api/v1/logs", role="member")).status_code == 429
    assert (await api.get("/api/v1/logs", role="viewer")).status_code == 200


async def test_what_is_refused_for_its_key_is_not_counted_for_anybody(api: Api) -> None:
    allow(api, 1)
    for _ in range(5):
        assert (await api.get("/api/v1/logs", role=None, headers={"X-Ingate-Key": "sk-ingate-no"})).status_code == 401

    assert (await api.get("/api/v1/logs")).status_code == 200
