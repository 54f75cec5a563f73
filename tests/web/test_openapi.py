"""The API's description: valid, complete, and true of real answers."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import web.app  # noqa: F401 - every route is declared by then
from tests.conftest import Api
from tests.helpers import item, work
from web import openapi
from web.routing import OPERATIONS

METHODS = ("get", "post", "put", "delete")


def test_the_description_is_valid_openapi() -> None:
    validate(openapi.document())


def test_every_route_of_the_api_is_described_once() -> None:
    described = [(m, path) for path, methods in openapi.document()["paths"].items() for m in methods if m in METHODS]
    declared = [(op.method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", op.path)) for op in OPERATIONS]

    assert sorted(described) == sorted(declared)


def test_every_operation_has_its_own_id_and_says_what_it_gives() -> None:
    operations = [op for methods in openapi.document()["paths"].values() for op in methods.values()]

    assert len({op["operationId"] for op in operations}) == len(operations)
    for op in operations:
        assert op["summary"]
        assert "default" in op["responses"]
        assert op["security"]


async def test_the_description_is_served_without_a_key(api: Api) -> None:
    answer = await api.get("/openapi.json", role=None)

    assert (answer.status_code, await answer.get_json()) == (200, openapi.document())


def problems(method: str, path: str, status: int, body: Any) -> list[str]:
    """What of an answer is not as described."""
    document = openapi.document()
    responses = document["paths"][path][method.lower()]["responses"]
    answer = responses.get(str(status), responses["default"])
    media = "application/json" if str(status) in responses else "application/problem+json"
    schema = answer["content"][media].get("schema", {})
    schema = {"$defs": document["components"]["schemas"], **schema}
    found = json.loads(json.dumps(schema).replace("#/components/schemas/", "#/$defs/"))
    return [error.message for error in Draft202012Validator(found).iter_errors(body)]


@pytest.mark.parametrize(
    ("path", "name", "schema"),
    [
        ("/api/v1/logs", "limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
        ("/api/v1/logs", "from", {"type": "string", "format": "date-time"}),
        ("/api/v1/logs/{request_id}", "bodies", {"type": "boolean", "default": True}),
        ("/api/v1/ingest/{request_id}", "wait", {"type": "number", "minimum": 0, "maximum": 30, "default": 0}),
    ],
)
def test_parameters_are_described_as_narrowly_as_they_are_taken(path: str, name: str, schema: dict[str, Any]) -> None:
    parameters = {p["name"]: p["schema"] for p in openapi.document()["paths"][path]["get"]["parameters"]}

    assert parameters[name] == schema


@pytest.mark.backend
async def test_real_answers_are_as_described(api: Api) -> None:
    calls: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
        ("POST", "/api/v1/evals", {}, {"json": {"name": "e", "type": "contains", "config": {"values": ["hi"]}}}),
        ("POST", "/api/v1/ingest", {}, {"json": item(request_id="a", tags={"team": "x"})}),
        ("POST", "/api/v1/ingest", {}, {"json": item(status_code=1)}),
        ("POST", "/api/v1/ingest/batch", {}, {"json": {"exchanges": [item(request_id="b"), {}, item(request_id="a")]}}),
        ("POST", "/api/v1/ingest/batch", {}, {"json": {"exchanges": [{}]}}),
        ("GET", "/api/v1/ingest/{request_id}", {"request_id": "a"}, {}),
        ("GET", "/api/v1/ingest/{request_id}", {"request_id": "nothing"}, {}),
        ("GET", "/api/v1/logs", {}, {}),
        ("GET", "/api/v1/logs/{request_id}", {"request_id": "a"}, {}),
        ("GET", "/api/v1/logs/{request_id}", {"request_id": "a"}, {"query_string": {"bodies": "false"}}),
        ("POST", "/api/v1/logs/{request_id}/retries", {"request_id": "a"}, {}),
        ("GET", "/api/v1/batches", {}, {}),
        ("GET", "/api/v1/evals", {}, {}),
        ("GET", "/api/v1/evals/{evaluator_id}", {"evaluator_id": "1"}, {}),
        ("GET", "/api/v1/evals/{evaluator_id}/scores", {"evaluator_id": "1"}, {}),
        ("POST", "/api/v1/evals/{evaluator_id}/runs", {"evaluator_id": "1"}, {"json": {}}),
        ("POST", "/api/v1/evals/{evaluator_id}/runs", {"evaluator_id": "1"}, {"json": {"dry_run": True}}),
        ("GET", "/api/v1/evals/{evaluator_id}/runs", {"evaluator_id": "1"}, {}),
        ("GET", "/api/v1/evals/{evaluator_id}/runs/{run_id}", {"evaluator_id": "1", "run_id": "1"}, {}),
        ("POST", "/api/v1/keys", {}, {"json": {"name": "k"}}),
        ("GET", "/api/v1/keys", {}, {}),
    ]

    for method, path, parameters, more in calls:
        if method == "GET":
            work()
        answer = await api.call(method, path.format(**parameters), role="owner", **more)
        body = await answer.get_json(force=True)

        assert answer.status_code < 500, (method, path, body)
        assert problems(method, path, answer.status_code, body) == [], (method, path, body)
