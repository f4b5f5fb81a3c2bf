"""Loads the planted faults as the module ``gz_faults``, as a plugin's module would be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("gz_faults", Path(__file__).with_name("faults.py"))
assert _spec is not None
assert _spec.loader is not None
_MODULE = importlib.util.module_from_spec(_spec)
sys.modules["gz_faults"] = _MODULE
_spec.loader.exec_module(_MODULE)


@pytest.fixture
def faults():
    """The module, with nothing kept from earlier tests."""
    _MODULE.MEMORY.clear()
    _MODULE.Counts.runs = 0
    return _MODULE
