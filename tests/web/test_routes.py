"""Every route with the role that it asks for, in one table; a route that is not in it fails the suite."""

import re
from typing import Any

import pytest

from app.settings import Settings
from app.store.keys import ROLES
from tests.conftest import Api
from web.app import create_app

#: What a program calls, and the role of the key that it needs; None asks for no key.
API = {
    ("GET", "/api/v1/audit"): "admin",
    ("GET", "/api/v1/batches"): "viewer",
    ("GET", "/api/v1/batches/<batch_id>"): "viewer",
    ("GET", "/api/v1/evals"): "viewer",
    ("POST", "/api/v1/evals"): "member",
    ("GET", "/api/v1/evals/<int:evaluator_id>"): "viewer",
    ("PUT", "/api/v1/evals/<int:evaluator_id>"): "member",
    ("DELETE", "/api/v1/evals/<int:evaluator_id>"): "member",
    ("GET", "/api/v1/evals/<int:evaluator_id>/runs"): "viewer",
    ("POST", "/api/v1/evals/<int:evaluator_id>/runs"): "member",
    ("GET", "/api/v1/evals/<int:evaluator_id>/runs/<int:run_id>"): "viewer",
    ("GET", "/api/v1/evals/<int:evaluator_id>/scores"): "viewer",
    ("GET", "/api/v1/failures"): "viewer",
    ("GET", "/api/v1/failures/<fingerprint>"): "viewer",
    ("POST", "/api/v1/failures/<fingerprint>/discards"): "member",
    ("POST", "/api/v1/failures/<fingerprint>/retries"): "member",
    ("POST", "/api/v1/failures/retries"): "member",
    ("POST", "/api/v1/ingest"): "member",
    ("POST", "/api/v1/ingest/batch"): "member",
    ("GET", "/api/v1/ingest/<request_id>"): "viewer",
    ("GET", "/api/v1/keys"): "admin",
    ("POST", "/api/v1/keys"): "admin",
    ("DELETE", "/api/v1/keys/<int:key_id>"): "admin",
    ("GET", "/api/v1/logs"): "viewer",
    ("GET", "/api/v1/logs/<request_id>"): "viewer",
    ("GET", "/api/v1/logs/<request_id>/raw"): "viewer",
    ("POST", "/api/v1/logs/<request_id>/discards"): "member",
    ("POST", "/api/v1/logs/<request_id>/retries"): "member",
    ("GET", "/api/v1/prices"): "viewer",
    ("POST", "/api/v1/prices"): "admin",
    ("GET", "/api/v1/prices/<int:price_id>"): "viewer",
    ("DELETE", "/api/v1/prices/<int:price_id>"): "admin",
    ("GET", "/api/v1/project"): "viewer",
    ("PUT", "/api/v1/project"): "admin",
    ("GET", "/api/v1/reprocess_runs"): "viewer",
    ("POST", "/api/v1/reprocess_runs"): "admin",
    ("GET", "/api/v1/reprocess_runs/<int:run_id>"): "viewer",
    ("GET", "/api/v1/sessions"): "viewer",
    ("GET", "/api/v1/sessions/<session_id>"): "viewer",
    ("GET", "/api/v1/unpriced"): "viewer",
    ("GET", "/api/v1/usage/breakdown"): "viewer",
    ("GET", "/api/v1/usage/summary"): "viewer",
    ("GET", "/api/v1/usage/timeseries"): "viewer",
    ("GET", "/api/v1/users/<user_id>"): "viewer",
    ("GET", "/healthz"): "public",
    ("GET", "/readyz"): "public",
    ("GET", "/metrics"): "viewer",
    ("GET", "/openapi.json"): "public",
}
#: What a browser shows or sends, and the role that the person needs.
PAGES = {
    ("GET", "/"): "viewer",
    ("GET", "/batches"): "viewer",
    ("GET", "/batches/<batch_id>"): "viewer",
    ("POST", "/demo"): "member",
    ("GET", "/evals"): "viewer",
    ("POST", "/evals"): "member",
    ("GET", "/evals/<int:evaluator_id>"): "viewer",
    ("POST", "/evals/<int:evaluator_id>"): "member",
    ("POST", "/evals/<int:evaluator_id>/removals"): "member",
    ("POST", "/evals/<int:evaluator_id>/runs"): "member",
    ("GET", "/evals/new"): "member",
    ("GET", "/exchanges"): "viewer",
    ("GET", "/exchanges/<request_id>"): "viewer",
    ("POST", "/exchanges/<request_id>/discards"): "member",
    ("GET", "/exchanges/<request_id>/raw"): "viewer",
    ("POST", "/exchanges/<request_id>/retries"): "member",
    ("GET", "/failures"): "viewer",
    ("GET", "/failures/<fingerprint>"): "viewer",
    ("POST", "/failures/<fingerprint>/discards"): "member",
    ("POST", "/failures/<fingerprint>/retries"): "member",
    ("POST", "/failures/retries"): "member",
    ("GET", "/jobs"): "viewer",
    ("GET", "/keys"): "admin",
    ("POST", "/keys"): "admin",
    ("POST", "/keys/<int:key_id>/revocations"): "admin",
    ("GET", "/settings"): "viewer",
    ("POST", "/settings"): "admin",
    ("GET", "/sign-in"): "public",
    ("POST", "/sign-in"): "public",
    ("POST", "/sign-out"): "public",
    ("GET", "/static/<path:filename>"): "public",
    ("POST", "/theme"): "public",
}
_GUARDED = [(method, path, role) for (method, path), role in API.items() if role != "public"]
_GUARDED_PAGES = [(method, path) for (method, path), role in PAGES.items() if role != "public"]


def filled(path: str) -> str:
    """A path whose parameters are something that does not exist."""
    return re.sub(r"<(\w+:)?\w+>", lambda match: "999" if match.group(1) == "int:" else "nothing", path)


def test_every_route_is_in_the_table_with_its_role() -> None:
    app = create_app(Settings.from_environ())
    routes = {
        (method, rule.rule): getattr(
            app.view_functions[rule.endpoint], "role", "public" if rule.endpoint == "static" else None
        )
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert routes == API | PAGES


async def test_each_route_asks_for_its_role(api: Api) -> None:
    for method, path, needed in _GUARDED:
        for role in (None, *ROLES):
            answer = await api.call(method, filled(path), role=role)

            if role is None:
                expected: Any = {401}
            elif ROLES.index(role) < ROLES.index(needed):
                expected = {403}
            else:
                expected = {200, 202, 404, 415}
            assert answer.status_code in expected, (method, path, role)


async def test_an_unknown_key_opens_nothing(api: Api) -> None:
    for method, path, _ in _GUARDED:
        answer = await api.call(method, filled(path), role=None, headers={"X-Ingate-Key": "sk-ingate-unknown"})

        assert (answer.status_code, (await answer.get_json())["error_code"]) == (401, "invalid_key"), path


async def test_public_routes_ask_for_no_key(api: Api) -> None:
    for (method, path), role in API.items():
        if role == "public":
            assert (await api.call(method, path, role=None)).status_code == 200


async def test_pages_send_whoever_is_not_signed_in_to_the_sign_in(api: Api) -> None:
    for method, path in _GUARDED_PAGES:
        answer = await api.call(method, filled(path), role=None)

        assert (answer.status_code, answer.headers["Location"].startswith("/sign-in?next=")) == (303, True), path


async def test_a_key_does_not_open_pages(api: Api) -> None:
    answer = await api.get("/exchanges", role="owner")

    assert answer.status_code == 303


async def test_head_is_answered_as_get(api: Api) -> None:
    # The body is left out by the server, after this; the journey sees it.
    for path, status in (("/api/v1/logs", 200), ("/healthz", 200), ("/api/v1/logs/nothing", 404)):
        assert (await api.call("HEAD", path)).status_code == status


async def test_options_names_the_methods_and_shows_nothing(api: Api) -> None:
    answer = await api.call("OPTIONS", "/api/v1/evals", role=None)

    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert await answer.get_data() == b""


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/logs/", "/api/v1/ingest/", "/api/v1", "/api", "/api/v2/logs", "/api/v1/../keys", "/api/v1/%2e%2e/keys",
        "/api//v1/logs", "/api/v1//logs", "/api/v1/logs;a=b", "/api/v1/logs/%00", "/api/v1/logs/a%00b/raw",
        "/api/v1/batches/%00", "/api/v1/ingest/%00", "/api/v1/evals/-1", "/api/v1/evals/1.0", "/api/v1/evals/x",
        "/api/v1/evals/99999999999999999999", "/api/v1/evals/9223372036854775808/runs",
        "/api/v1/evals/1/runs/" + "9" * 4000, "/api/v1/keys/x",
        "/api/v1/evals/" + "9" * 5000, "/.env", "/.git/config", "/static/../app/settings.py",
        "/static/%2e%2e/pyproject.toml",
        "/static/..%2fpyproject.toml", "/api/v1/logs/" + "x" * 5000, "/api/v1/logs/%ED%A0%80", "/api/v1/logs/%FF",
        "/api/v1/logs/naïve", "/api/v1/logs/😀", "/api/v1/batches/batch_%F0%9F%98%80",
    ],
)  # fmt: skip
@pytest.mark.backend
async def test_odd_paths_are_not_found(api: Api, path: str) -> None:
    answer = await api.get(path, role="owner")

    assert answer.status_code == 404
    if path.startswith("/api/v1/"):
        assert (await answer.get_json())["error_code"] == "not_found"
