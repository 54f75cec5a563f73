"""Every benchmark can be started."""

import importlib
import pkgutil

import pytest

import benchmarks

NAMES = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_loads(name: str) -> None:
    assert importlib.import_module(f"benchmarks.{name}")
