"""The project over the API and on its page: who may change it, and that a change holds at once."""

import re
from typing import Any

import pytest

from tests.conftest import Api
from tests.helpers import encoded
from tests.secrets import planted
from web import sessions

KEY = planted()["github_token"][0]
JSON = {"Content-Type": "application/json"}


async def test_a_change_holds_for_the_next_item(api: Api) -> None:
    before = await (await api.get("/api/v1/project", role="viewer")).get_json()
    await api.post("/api/v1/ingest", data=encoded(request_id="a", prompt=KEY), headers=JSON)

    answer = await api.call("PUT", "/api/v1/project", role="admin", json={"name": "shop", "masking": ["secrets"]})

    assert (before["name"], before["masking"]) == ("default", [])
    assert await answer.get_json() == {**before, "name": "shop", "masking": ["secrets"]}
    await api.post("/api/v1/ingest", data=encoded(request_id="b", prompt=KEY), headers=JSON)
    stored = [await api.get(f"/api/v1/logs/{request_id}/raw") for request_id in "ab"]
    assert [KEY.encode() in await one.get_data() for one in stored] == [True, False]
    assert [one.headers.get("X-Ingate-Masked") for one in stored] == [None, "true"]


@pytest.mark.parametrize("role", ["viewer", "member"])
async def test_only_an_admin_changes_it(api: Api, role: str) -> None:
    body = {"name": "shop", "masking": []}

    assert (await api.call("PUT", "/api/v1/project", role=role, json=body)).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "x", "masking": ["ids"]},
        {"name": "", "masking": []},
        {"name": "a\nb", "masking": []},
    ],
)
async def test_what_cannot_be_set_is_refused(api: Api, body: dict[str, Any]) -> None:
    answer = await api.call("PUT", "/api/v1/project", role="admin", json=body)

    assert answer.status_code == 422


async def test_the_page_shows_and_saves_the_setting(api: Api) -> None:
    sessions._believed.clear()
    await api.client.post("/sign-in", form={"key": api.keys["admin"]})
    page = await (await api.get("/settings", role=None)).get_data(as_text=True)
    csrf = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page)[0]

    saved = await api.client.post("/settings", form={"csrf": csrf, "cards": "on", "emails": "on", "other": "on"})

    assert (saved.status_code, saved.headers["Location"]) == (303, "/settings?saved")
    after = await (await api.get("/settings?saved", role=None)).get_data(as_text=True)
    assert re.findall(r'name="(\w+)" checked', page) == []
    assert re.findall(r'name="(\w+)" checked', after) == ["cards", "emails"]


async def test_a_viewer_sees_the_page_and_cannot_change_it(api: Api) -> None:
    sessions._believed.clear()
    await api.client.post("/sign-in", form={"key": api.keys["viewer"]})

    page = await (await api.get("/settings", role=None)).get_data(as_text=True)

    assert "<fieldset disabled>" in page
    assert ">Save<" not in page
    csrf = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page)[0]
    assert (await api.client.post("/settings", form={"csrf": csrf, "cards": "on"})).status_code == 403
