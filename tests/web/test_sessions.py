"""Signing in and what guards forms: other sites are refused, cookies are safe over https, tries are throttled."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine

from app.settings import Settings
from app.store import sessions as store_sessions
from tests.conftest import Api
from tests.helpers import item, sql
from tests.web.test_routes import PAGES, filled
from web import limits, sessions

pytestmark = pytest.mark.backend

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


async def test_over_http_cookies_have_plain_names_and_no_script_reads_them(api: Api) -> None:
    answer = await sign_in(api, api.keys["owner"])

    name, *flags = re.split("[=;] ?", answer.headers["Set-Cookie"])
    assert name == "ingate"
    assert {"HttpOnly", "SameSite", "Lax", "Path", "/"} <= set(flags)
    assert not {"Secure", "Domain"} & set(flags)


@pytest.mark.parametrize(
    ("hops", "sent", "https"),
    [
        ("0", ["https"], False),
        ("1", ["https"], True),
        ("1", ["http"], False),
        ("1", ["https, http"], False),
        ("1", ["https", "http"], False),
        ("1", ["http", "https"], True),
        ("1", [""], False),
        ("1", ["HTTPS"], False),
        ("1", ["javascript"], False),
    ],
)
async def test_only_the_nearest_proxy_says_whether_it_is_https(
    api: Api, hops: str, sent: list[str], https: bool
) -> None:
    api.client.app.config["SETTINGS"] = Settings.from_environ({"INGATE_PROXY_HOPS": hops})
    headers = [("X-Forwarded-Proto", value) for value in sent]

    answer = await api.client.post("/sign-in", form={"key": api.keys["owner"]}, headers=headers)

    assert answer.headers["Set-Cookie"].startswith("__Host-ingate=") is https


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Remote-Addr", "X-Forwarded-Host"])
async def test_without_a_proxy_nobody_says_where_a_try_comes_from(api: Api, name: str) -> None:
    statuses = [(await sign_in(api, "wrong", **{name: f"192.0.2.{number}"})).status_code for number in range(6)]

    assert statuses == [401] * 5 + [429]


async def test_a_forged_host_is_nowhere_in_an_answer(api: Api) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

    signed_in = await sign_in(api, api.keys["owner"], **forged)
    answers = [signed_in, await api.client.get("/", headers=forged), await api.client.get("/nothing", headers=forged)]
    answers += [await api.get("/api/v1/logs", headers=forged), await api.client.get("/keys/", headers=forged)]
    made = await api.post("/api/v1/evals", json={"name": "e", "type": "is_json"}, headers=forged)

    assert made.headers["Location"].startswith("/api/")
    for answer in (*answers, made):
        assert "evil.example" not in str(answer.headers)
        assert b"evil.example" not in await answer.get_data()


async def test_signing_in_makes_a_new_session_and_takes_over_none(api: Api) -> None:
    planted = "p" * 43
    api.client.set_cookie("localhost", "ingate", planted)
    assert (await api.client.get("/exchanges")).status_code == 303

    tokens = [(await sign_in(api, api.keys["owner"])).headers["Set-Cookie"].split(";")[0] for _ in range(2)]

    assert len({f"ingate={planted}", *tokens}) == 3
    api.client.cookie_jar.clear()
    stranger = await api.client.get("/exchanges", headers={"Cookie": f"ingate={planted}"})
    assert stranger.status_code == 303, "the planted session is none of whoever signed in with it"


@pytest.mark.parametrize(
    "tamper",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token.swapcase(),
        lambda token: token[::-1],
        lambda token: "",
        lambda token: "é" * 20,
        lambda token: "x" * 5000,
        lambda token: token + "\0",
        lambda token: f'"{token}',
    ],
)
async def test_a_cookie_that_was_tampered_with_leads_to_the_sign_in(api: Api, tamper: Any) -> None:
    token = (await sign_in(api, api.keys["owner"])).headers["Set-Cookie"].split(";")[0].removeprefix("ingate=")
    api.client.cookie_jar.clear()

    right = await api.client.get("/exchanges", headers={"Cookie": f"ingate={token}"})
    answer = await api.client.get("/exchanges", headers={"Cookie": f"ingate={tamper(token)}"})

    assert right.status_code == 200
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=%2Fexchanges")


@pytest.mark.parametrize(
    ("column", "age_ms"), [("seen_at", store_sessions.IDLE_MS), ("created_at", store_sessions.LIFETIME_MS)]
)
async def test_a_session_ends_when_it_idles_and_when_it_is_old(api: Api, column: str, age_ms: int) -> None:
    await sign_in(api, api.keys["owner"])
    sql(f"UPDATE login_session SET {column} = {column} - ?", age_ms - 60_000)
    assert (await api.client.get("/exchanges")).status_code == 200
    sessions._believed.clear()

    sql(f"UPDATE login_session SET {column} = {column} - ?", 120_000 + age_ms)

    assert (await api.client.get("/exchanges")).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "https://evil.example", "https:evil.example", "/\\evil.example", "\\\\evil.example", "evil",
        "", "/\t/evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", "javascript:alert(1)", " //evil.example",
        "\0//x", "///evil.example", "/\u2028/evil.example", "http:/evil.example", "?next=//evil.example",
    ],
)  # fmt: skip
async def test_signing_in_leads_to_no_other_site(api: Api, path: str) -> None:
    query = {"next": path}

    signed_in = await api.client.post("/sign-in", form={"key": api.keys["owner"]}, query_string=query)
    link = await api.client.get("/sign-in", query_string={**query, "token": store_sessions.create_link()})
    csrf = re.findall(r'name="csrf" value="(\w+)"', await (await api.client.get("/keys")).get_data(as_text=True))[0]
    themed = await api.client.post("/theme", form={"csrf": csrf, "theme": "dark", "next": path})

    assert [answer.headers["Location"] for answer in (signed_in, link, themed)] == ["/"] * 3


async def test_signing_in_leads_back_to_the_page_that_was_asked_for(api: Api) -> None:
    asked = await api.client.get("/exchanges?q=is%3Aerror")

    answer = await api.client.post(asked.headers["Location"], form={"key": api.keys["owner"]})

    assert answer.headers["Location"] == "/exchanges?q=is%3Aerror"


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


async def test_no_cache_keeps_an_answer_of_the_api_and_no_browser_guesses_its_type(api: Api) -> None:
    await api.post("/api/v1/ingest", json=item(request_id="a"))

    for path, role in (("/api/v1/logs", "viewer"), ("/api/v1/logs/a/raw", "viewer"), ("/api/v1/logs", None)):
        answer = await api.get(path, role=role)

        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await api.client.get("/static/app.css")).headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" not in (await api.client.get("/static/app.css")).headers["Cache-Control"]


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
