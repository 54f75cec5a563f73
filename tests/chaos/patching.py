"""Replacing what a dotted name stands for, in a launched process."""

import importlib
from collections.abc import Callable
from typing import Any


def patch(target: str, wrap: Callable[[Any], Any]) -> None:
    """Replace what a dotted name stands for by `wrap` of it. Raises AttributeError when there is no such name."""
    owner, name = resolve(target)
    setattr(owner, name, wrap(getattr(owner, name)))


def resolve(target: str) -> tuple[Any, str]:
    """Return what has the dotted name's last word as an attribute, and that word. Raises AttributeError."""
    words = target.split(".")
    for length in range(len(words) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for word in words[length:-1]:
            owner = getattr(owner, word)
        getattr(owner, words[-1])
        return owner, words[-1]
    raise AttributeError(f"no module of {target}")
