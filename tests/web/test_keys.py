"""API keys over the API."""

from typing import Any

import pytest

from app.store.keys import Identity
from web import auth


async def test_key_is_shown_once_and_works_until_revoked(api: Any) -> None:
    made = await api.post("/api/v1/keys", role="admin", json={"name": "checkout", "role": "member"})
    key = await made.get_json()

    assert made.status_code == 201
    assert key["key"].startswith(key["prefix"])
    listed = await (await api.get("/api/v1/keys", role="admin")).get_json()
    assert "key" not in listed["data"][0]
    assert listed["data"][0]["name"] == "checkout"
    assert (await api.get("/api/v1/logs", role=None, headers={"X-Ingate-Key": key["key"]})).status_code == 200

    assert (await api.call("DELETE", f"/api/v1/keys/{key['id']}", role="admin")).status_code == 204
    assert (await api.get("/api/v1/logs", role=None, headers={"X-Ingate-Key": key["key"]})).status_code == 401
    assert (await api.call("DELETE", f"/api/v1/keys/{key['id']}", role="admin")).status_code == 404


async def test_nobody_gives_or_takes_more_than_their_role(api: Any) -> None:
    body = {"name": "more", "role": "owner"}

    assert (await api.post("/api/v1/keys", role="admin", json=body)).status_code == 403
    made = await (await api.post("/api/v1/keys", role="owner", json=body)).get_json()
    assert (await api.call("DELETE", f"/api/v1/keys/{made['id']}", role="admin")).status_code == 403
    assert (await api.post("/api/v1/keys", role="member", json={"name": "x"})).status_code == 403


def test_keys_that_are_believed_for_a_while_take_a_bounded_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_MAX_BELIEVED", 3)
    auth.forget_all()

    for number in range(10):
        auth._remember(f"key {number}", Identity(number, 1, "viewer"))

    assert len(auth._believed) <= 3
    auth.forget_all()
