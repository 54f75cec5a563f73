"""The form of an evaluator, made of its type's config: a field per member, whatever evaluator comes later.

`fields` says what to show, `read` turns what was sent into the config; the config's own type checks the rest.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from app import evals
from app.errors import InvalidItem


class Field(NamedTuple):
    """One field of the form."""

    name: str
    label: str
    #: text, lines, number, flag, choice or json.
    kind: str
    choices: tuple[str, ...]
    required: bool
    #: As the field holds it: lines joined, a flag as "on" or "".
    value: str


#: Names that say more than the member's own.
_LABELS = {
    "values": "Texts to look for, one a line",
    "match": "How many of them",
    "field": "Which text",
    "pattern": "Regular expression (RE2)",
    "characters": "Characters",
    "milliseconds": "Milliseconds, at most",
    "tokens": "Tokens, at most",
    "bucket": "Which tokens",
    "expected": "Expected statuses, one a line: 200, 2xx, 200-299",
}
_NUMBERS = frozenset({"integer", "number"})


def fields(type_name: str, config: Mapping[str, Any]) -> list[Field]:
    """Return the fields of a type's config; `config` fills them."""
    found = []
    for name, schema in _members(type_name).items():
        kind, choices = _kind(schema)
        value = config.get(name, schema.get("default"))
        label = _LABELS.get(name, name.replace("_", " ").capitalize())
        found.append(Field(name, label, kind, choices, "default" not in schema, _written(kind, value)))
    return found


def read(type_name: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Return the config that a form holds. Raises InvalidItem for a type there is none of."""
    if type_name not in evals.TYPES:
        evals.check_config(type_name, {})
    config = {}
    for name, schema in _members(type_name).items():
        kind, _ = _kind(schema)
        value = _read(name, kind, form.get(f"config.{name}", ""))
        if value is not None:
            config[name] = value
    return config


def number(name: str, text: str) -> float:
    """Read a number. Raises InvalidItem naming the field."""
    text = text.strip()
    if not re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", text):
        raise InvalidItem(f"{name}: {text[:40]!r} is not a number", error_code="wrong_type", pointer=f"/{name}")
    return float(text) if "." in text else int(text)


def _members(type_name: str) -> dict[str, dict[str, Any]]:
    schema = msgspec.json.schema(evals.TYPES[type_name].config)
    definition = schema["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    members: dict[str, dict[str, Any]] = definition["properties"]
    return members


def _kind(schema: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    kind = schema.get("type")
    if "enum" in schema:
        return "choice", tuple(map(str, schema["enum"]))
    if kind == "boolean":
        return "flag", ()
    if kind in _NUMBERS:
        return "number", ()
    if kind == "string":
        return "text", ()
    return ("lines", ()) if kind == "array" and _is_plain(schema.get("items", {})) else ("json", ())


def _is_plain(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type") or [choice.get("type") for choice in schema.get("anyOf", [])]
    return bool(kinds) and {*([kinds] if isinstance(kinds, str) else kinds)} <= {"string", "integer", "number"}


def _written(kind: str, value: Any) -> str:
    if value is None:
        return ""
    match kind:
        case "flag":
            return "on" if value else ""
        case "lines":
            return "\n".join(map(str, value)) if all(map(_fits_a_line, value)) else msgspec.json.encode(value).decode()
        case "number":
            return f"{value:.15g}"
        case "json":
            return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        case _:
            return str(value)


def _read(name: str, kind: str, text: str) -> Any:
    """Return what a field holds; None leaves the member at its default."""
    match kind:
        case "flag":
            return text == "on"
        case "lines":
            return _lines(text)
        case "number":
            return number(name, text) if text.strip() else None
        case "json":
            return _json(name, text) if text.strip() else None
        case _:
            return text or None


def _fits_a_line(value: Any) -> bool:
    text = str(value)
    return text == text.strip() and len(text.splitlines()) == 1 and not text.startswith("[")


def _lines(text: str) -> list[Any]:
    """Return the lines, or the list that is written as JSON: a value may hold line breaks."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text, type=list[int | str])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidItem(f"{name}: not JSON: {error}", error_code="wrong_type", pointer=f"/config/{name}") from None
