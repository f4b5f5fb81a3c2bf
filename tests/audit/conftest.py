"""Loads the planted cheats as the module ``gz_cheats``, as a plugin's module would be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_MODULE = _load("gz_cheats", Path(__file__).with_name("cheats.py"))
_FACTORY = _load("gzsl_data_factory", Path(__file__).parents[1] / "data" / "factory.py")


@pytest.fixture
def write_xlsa17():
    """Writes a tiny data set in the xlsa17 layout."""
    return _FACTORY.write_xlsa17


@pytest.fixture
def cheats(monkeypatch):
    """The module, with nothing kept from earlier tests."""
    _MODULE.MEMORY.clear()
    # Commands that tests call in this process may have loaded a plugin of that name since.
    monkeypatch.setitem(sys.modules, "gz_cheats", _MODULE)
    return _MODULE
