"""Signing in and what guards forms: other sites are refused, cookies are safe over https, tries are throttled."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine

from app.settings import Settings
from app.store import sessions as store_sessions
from tests.conftest import Api
from tests.web.test_routes import PAGES, filled
from web import limits, sessions

FORMS = [filled(path) for method, path in PAGES if method == "POST" and path != "/sign-in"]


@pytest.fixture(autouse=True)
def no_memory() -> Iterator[None]:
    """No tries and no sessions of another test."""
    limits.forget_all()
    sessions._believed.clear()
    yield
    limits.forget_all()


@pytest.fixture
async def csrf(api: Api) -> str:
    """The form token of the owner, whom the client's cookie signs in."""
    answer = await sign_in(api, api.keys["owner"])
    assert answer.status_code == 303
    page = await (await api.get("/keys", role=None)).get_data(as_text=True)
    return re.findall(r'name="csrf" value="([0-9a-f]{64})"', page)[0]


async def sign_in(api: Api, key: str, **headers: str) -> Any:
    return await api.client.post("/sign-in", form={"key": key}, headers=headers)


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_the_right_token_is_refused(api: Api, csrf: str, path: str) -> None:
    for form in ({}, {"csrf": "0" * 64}, {"csrf": csrf[:-1]}, {"csrf": "é"}):
        assert (await api.client.post(path, form=form)).status_code == 403, form


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_from_another_site_is_refused(api: Api, csrf: str, path: str, headers: dict[str, str]) -> None:
    answer = await api.client.post(path, form={"csrf": csrf}, headers=headers)

    assert answer.status_code == 403


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://[::1"])
async def test_nobody_is_signed_in_from_another_site(api: Api, origin: str) -> None:
    answer = await sign_in(api, api.keys["owner"], Origin=origin)

    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


async def test_failed_tries_are_throttled(api: Api) -> None:
    statuses = [(await sign_in(api, "sk-ingate-wrong")).status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]
    assert 50 <= int((await sign_in(api, api.keys["owner"])).headers["Retry-After"]) <= 60


async def test_whoever_goes_on_failing_waits_longer(api: Api) -> None:
    with time_machine.travel("2026-11-20T12:00:00Z") as clock:
        for _ in range(6):
            for _ in range(5):
                assert (await sign_in(api, "sk-ingate-wrong")).status_code == 401
            clock.shift(61)

        answer = await sign_in(api, api.keys["owner"])

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 3000


@pytest.mark.parametrize("separator", [", ", "\n"])
async def test_behind_a_proxy_tries_are_counted_by_the_address_that_it_saw(api: Api, separator: str) -> None:
    client = await behind_a_proxy(api)
    statuses = []
    for number in range(6):
        values = f"10.0.0.{number}{separator}192.0.2.1".split("\n")
        headers = [("X-Forwarded-For", value) for value in values]
        statuses.append((await client.post("/sign-in", form={"key": "wrong"}, headers=headers)).status_code)

    assert statuses == [401] * 5 + [429]


async def test_over_https_cookies_are_secure_and_the_hosts_own(api: Api) -> None:
    client = await behind_a_proxy(api)

    answer = await client.post("/sign-in", form={"key": api.keys["owner"]}, headers={"X-Forwarded-Proto": "https"})

    name, *flags = re.split("[=;] ?", answer.headers["Set-Cookie"])
    assert name == "__Host-ingate"
    assert {"Secure", "HttpOnly", "SameSite", "Lax"} <= set(flags)


async def test_without_a_proxy_forwarded_headers_are_not_believed(api: Api) -> None:
    answer = await sign_in(api, api.keys["owner"], **{"X-Forwarded-Proto": "https"})

    assert answer.headers["Set-Cookie"].startswith("ingate=")


async def test_who_came_over_https_stays_there(api: Api) -> None:
    client = await behind_a_proxy(api)

    for path in ("/sign-in", "/healthz", "/api/v1/logs", "/nothing", "/static/app.css"):
        over_https = await client.get(path, headers={"X-Forwarded-Proto": "https"})
        over_http = await client.get(path)

        assert over_https.headers["Strict-Transport-Security"] == "max-age=31536000", path
        assert "Strict-Transport-Security" not in over_http.headers, path


async def behind_a_proxy(api: Api) -> Any:
    """Return a client of the same store, of an app that believes one proxy."""
    api.client.app.config["SETTINGS"] = Settings.from_environ({"INGATE_PROXY_HOPS": "1"})
    return api.client


async def test_a_link_from_another_site_asks_for_a_click_and_is_not_used_up(api: Api) -> None:
    link = f"/sign-in?token={store_sessions.create_link()}"

    shown = await api.client.get(link, headers={"Sec-Fetch-Site": "cross-site"})
    token = re.search(r'name="token" value="([^"]+)"', await shown.get_data(as_text=True))
    assert token is not None
    signed_in = await api.client.post("/sign-in", form={"token": token.group(1)})

    assert ("Set-Cookie" in shown.headers, signed_in.status_code) == (False, 303)
    assert (await api.client.get(link)).status_code == 401
