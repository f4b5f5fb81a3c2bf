"""A raised number of shared code changes the keys of the cells it touches, and of no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gzsl_bench import Config, Method, MethodSpec, stacked
from gzsl_bench.data import folds
from gzsl_bench.data import tasks as preprocessing
from gzsl_bench.hooks import streams
from gzsl_bench.hooks import task as tasks
from gzsl_bench.hooks.source import Source
from gzsl_bench.scoring import predict
from gzsl_bench.stacked import precision

SUITE = """
name: s
datasets: [tiny]
selection: [val]
folds: 1
methods:
  - {use: closed, label: minmax}
  - {use: closed, label: zscore, preprocessing: zscore}
  - {use: deep, label: deep}
  - {use: deep, label: low, precision: bf16}
"""


class Plain(Method):
    Config = Config

    def fit(self, task, run):
        return None


SPEC = MethodSpec("closed", Plain, citation="", fidelity="paper", preprocessing="minmax")
EVERY = {"minmax", "zscore", "deep", "low"}
TOUCHED = {
    "streams": EVERY,
    "task": EVERY,
    "predictions": EVERY,
    "stacked": {"deep", "low"},
    "minmax": {"minmax", "deep", "low"},
    "zscore": {"zscore"},
    "l2": set(),
    "float32": {"minmax", "zscore", "deep"},
    "bf16": {"low"},
    "tf32": set(),
    "folds": set(),
}


def raise_number(which, monkeypatch):
    modules = {
        "streams": streams,
        "task": tasks,
        "predictions": predict,
        "stacked": stacked,
        "folds": folds,
    }
    if which in modules:
        monkeypatch.setattr(modules[which], "NUMERICS", modules[which].NUMERICS + 1)
    elif which in precision.NUMERICS:
        monkeypatch.setitem(precision.NUMERICS, which, precision.NUMERICS[which] + 1)
    else:
        old = preprocessing.PREPROCESSING[which]
        new = replace(old, numerics=old.numerics + 1)
        monkeypatch.setitem(preprocessing.PREPROCESSING, which, new)


@pytest.mark.parametrize("which", TOUCHED)
def test_a_raised_number_touches_its_cells(which, make_registry, resolve_text, monkeypatch):
    both = replace(SPEC, name="deep", precisions=("float32", "bf16"))
    registry = make_registry(SPEC, both)
    registry.sources["closed"] = Source("aaaa", toolkit=False)
    registry.sources["deep"] = Source("bbbb", toolkit=True)

    def keys():
        found = resolve_text(SUITE, registry).cells
        return {(cell.label, cell.fold): cell.key for cell in found}

    before = keys()
    assert len(set(before.values())) == 8
    raise_number(which, monkeypatch)
    after = keys()
    changed = {place for place in before if before[place] != after[place]}
    expected = {(label, fold) for label in TOUCHED[which] for fold in (0, 1)}
    assert changed == (expected if which != "folds" else {(label, 1) for label in EVERY})


def test_a_fold_and_its_real_task_stay_one_family(make_registry, resolve_text):
    cells = resolve_text(SUITE, make_registry(SPEC, replace(SPEC, name="deep", precisions=(
        "float32", "bf16")))).cells  # fmt: skip
    families = {cell.label: {c.family for c in cells if c.label == cell.label} for cell in cells}
    assert {label: len(found) for label, found in families.items()} == dict.fromkeys(EVERY, 1)


def test_a_worker_with_other_code_trains_nothing(
    make_registry, resolve_text, run_inline, monkeypatch
):
    """On a node with another gzsl-bench, or where somebody edits it while a suite runs."""
    registry = make_registry(SPEC)
    cells = resolve_text("name: s\ndatasets: [tiny]\nmethods: [closed]\n", registry).cells
    raise_number("minmax", monkeypatch)
    outcome, store, _ = run_inline(cells, registry)
    assert outcome.exit_code == 1
    cause = store.read(cells[0].key).cause
    assert "the code of gzsl-bench here is not that of the cell's key" in cause
    assert "preprocessing 2" in cause.partition(" instead of ")[0]
    assert "preprocessing 1" in cause.partition(" instead of ")[2]
