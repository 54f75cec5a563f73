"""Reading of decoded JSON whose form nobody guarantees: every answer has the type that was asked for."""

from typing import Any


def object_of(value: Any) -> dict[str, Any]:
    """Return the object; an empty one when it is something else."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, without the members that are something else; one alone is a list of one."""
    if isinstance(value, dict):
        return [value]
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """Return the text; an empty one when it is something else."""
    return value if isinstance(value, str) else ""


def text_or_none(value: Any) -> str | None:
    """Return the text; None when it is empty or something else."""
    return value if isinstance(value, str) and value else None
