"""The short form of the fuzzers; ``python -m tests.faults.fuzz --long`` runs the long one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gzsl_bench.data.matfile import read_mat, variables
from gzsl_bench.errors import DataError

pytestmark = pytest.mark.slow


def sibling(name: str) -> ModuleType:
    """A module beside this one: under --import-mode=importlib it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_suites_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GZSL_BENCH_DATA", raising=False)
    fuzz = sibling("fuzz_suites")
    found, kept = fuzz.fuzz(fuzz.SHORT, tmp_path)
    # Neither all refused nor all accepted: both ends are reached.
    assert found["a sentence"] > fuzz.SHORT / 2
    assert found["cells"] > fuzz.SHORT / 50
    fuzz.shell(fuzz.spread(kept, fuzz.SHELL_SHORT), tmp_path)


def test_damaged_mat_files_get_a_sentence(tmp_path: Path) -> None:
    fuzz = sibling("fuzz_mat")
    found = fuzz.fuzz(fuzz.SHORT, tmp_path)
    ends = {kind.partition(": ")[2] for kind in found}
    assert ends == {"refused", "harmless", "other data"}


def test_a_byte_that_ends_scipy_with_a_segmentation_fault(tmp_path: Path) -> None:
    """The length of the first variable's flags says 8200 instead of 8."""
    fuzz = sibling("fuzz_mat")
    fuzz.savemat(tmp_path / "x.mat", {"x": [[1.0, 2.0]]})
    content = bytearray((tmp_path / "x.mat").read_bytes())
    assert content[136:144] == bytes([6, 0, 0, 0, 8, 0, 0, 0])
    content[141] = 32
    (tmp_path / "x.mat").write_bytes(bytes(content))
    for look in (variables, lambda path: read_mat(path, ["x"])):
        with pytest.raises(DataError, match="is damaged and cannot be read"):
            look(tmp_path / "x.mat")
