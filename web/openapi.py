"""/openapi.json, made of the route declarations and the types they name, so that it cannot say anything else."""

import functools
import re
from typing import Any

import msgspec

from app import __version__
from web.routing import OPERATIONS, Operation

_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_REF = "#/components/schemas/{name}"


class FieldError(msgspec.Struct, kw_only=True):
    """Where a request is wrong, and why."""

    index: int
    pointer: str
    error_code: str
    detail: str


class Problem(msgspec.Struct, kw_only=True):
    """Every error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: str
    error_code: str
    retryable: bool
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET


@functools.cache
def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    types = [t for op in OPERATIONS for t in (op.takes, op.gives, op.also and op.also[1]) if t is not None] + [Problem]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_schema, ref_template=_REF)
    by_type = dict(zip(map(id, types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        path = _PARAMETER.sub(r"{\2}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ingate", "version": __version__, "summary": "Flight recorder for LLM calls"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Ingate-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": operation.summary}
    if operation.gives is not None:
        answer["content"] = {"application/json": {"schema": schemas[id(operation.gives)]}}
    elif operation.status == 200:
        answer["content"] = {"application/json": {}}
    problem = {
        "description": "What is wrong",
        "content": {"application/problem+json": {"schema": schemas[id(Problem)]}},
    }
    described: dict[str, Any] = {
        "summary": operation.summary,
        "description": f"Role: {operation.role}.",
        "operationId": _operation_id(operation),
        "security": [{"key": []}, {"bearer": []}],
        "parameters": _parameters(operation),
        "responses": {str(operation.status): answer, "default": problem},
    }
    if operation.also is not None:
        status, kind = operation.also
        content = {"application/json": {"schema": schemas[id(kind)]}}
        described["responses"][str(status)] = {"description": operation.summary, "content": content}
    if operation.takes is not None:
        schema = schemas[id(operation.takes)]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _operation_id(operation: Operation) -> str:
    path = _PARAMETER.sub(r"\2", operation.path)
    return "_".join([operation.method.lower(), *re.findall("[a-z0-9]+", path.lower())])


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if kind == "int" else "string"},
        }
        for kind, name in _PARAMETER.findall(operation.path)
    ]
    in_query = [{"name": p.name, "in": "query", "description": p.about, "schema": p.schema} for p in operation.query]
    return in_path + in_query


def _schema(kind: type) -> dict[str, Any]:
    if kind is msgspec.Raw:
        return {"description": "any JSON"}
    raise NotImplementedError(kind)
