from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

# The suite runs with --import-mode=importlib, under which sibling modules are not importable by
# themselves.
_SPEC = importlib.util.spec_from_file_location(
    "gzsl_data_factory", Path(__file__).with_name("factory.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
factory = importlib.util.module_from_spec(_SPEC)
sys.modules.setdefault("gzsl_data_factory", factory)
_SPEC.loader.exec_module(sys.modules["gzsl_data_factory"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data folder with the tiny data set TINY."""
    sys.modules["gzsl_data_factory"].write_xlsa17(tmp_path / "data" / "TINY")
    return tmp_path / "data"
