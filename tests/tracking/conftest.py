from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from gzsl_bench.records.store import RecordStore

# Under --import-mode=importlib sibling modules are not importable by themselves.
for _name in ("factory", "helpers"):
    _spec = importlib.util.spec_from_file_location(
        f"tracking_{_name}", Path(__file__).with_name(f"{_name}.py")
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[f"tracking_{_name}"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[f"tracking_{_name}"])


@pytest.fixture(autouse=True)
def _no_tracking_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def store(tmp_path: Path, empty_mlflow: Path) -> RecordStore:
    """An empty results folder with a store in it."""
    out = tmp_path / "gzsl results"
    out.mkdir()
    shutil.copy(empty_mlflow, out / "mlflow.db")
    return RecordStore(out)


@pytest.fixture
def uri(store: RecordStore) -> str:
    return store.layout.tracking_store
