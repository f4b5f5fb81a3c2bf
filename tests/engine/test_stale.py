"""A plugin that changed under the same version: its finished cells are kept, and said to be old."""

from __future__ import annotations

import importlib.util

from gzsl_bench.engine.stale import made_by_other_source

CODE = """
import torch
from gzsl_bench import Config, Method, MethodSpec

class Nearest(Method):
    Config = Config

    def fit(self, task, run):
        return lambda x: x[:, :1] * {scale} + torch.arange(float(task.num_classes))

SPEC = MethodSpec("nearest", Nearest, citation="", fidelity="paper")
"""
SUITE = "name: s\ndatasets: [tiny]\nmethods: [nearest]\nseeds: 2\n"


def load(path, scale):
    path.write_text(CODE.format(scale=scale), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("gz_nearest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def registry_of(make_registry, module, **about):
    registry = make_registry(module.SPEC, **about)
    registry.plugins[0].plugin = module
    return registry


def test_cells_of_another_source_are_named_and_kept(
    make_registry, resolve_text, run_inline, tmp_path
):
    path = tmp_path / "nearest.py"
    first = registry_of(make_registry, load(path, 1))
    cells = resolve_text(SUITE, first).cells
    outcome, store, _ = run_inline(cells, first)
    assert outcome.exit_code == 0
    before = [store.read(cell.key).content for cell in cells]
    assert {len(content["plugin_source"]) for content in before} == {16}
    assert list(made_by_other_source(cells, first, store)) == []

    changed = registry_of(make_registry, load(path, 2))
    again = resolve_text(SUITE, changed).cells
    assert [cell.key for cell in again] == [cell.key for cell in cells]  # the version pins them
    (sentence,) = made_by_other_source(again, changed, store)
    assert sentence.startswith("2 finished cells were made by another source of tests 1.0 than")
    assert "raise the plugin's version" in sentence
    run_inline(again, changed)
    assert [store.read(cell.key).content for cell in again] == before

    raised = registry_of(make_registry, load(path, 2), version="1.1")
    assert list(made_by_other_source(resolve_text(SUITE, raised).cells, raised, store)) == []


def test_a_source_that_cannot_be_read_is_unknown(make_registry, tmp_path):
    path = tmp_path / "nearest.py"
    registry = registry_of(make_registry, load(path, 1))
    path.unlink()
    assert registry.plugins[0].content is None


def test_records_without_a_source_say_nothing(make_registry, resolve_text, run_inline, tmp_path):
    registry = make_registry(load(tmp_path / "nearest.py", 1).SPEC)  # nobody knows its file
    cells = resolve_text(SUITE, registry).cells
    _, store, _ = run_inline(cells, registry)
    assert store.read(cells[0].key).content["plugin_source"] is None
    known = registry_of(make_registry, load(tmp_path / "nearest.py", 2))
    assert list(made_by_other_source(cells, known, store)) == []
