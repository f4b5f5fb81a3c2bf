"""A unit of many runs on the way of a GPU, walked on a CPU: one stack, captured graphs, scoring."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gzsl_bench import Scorer
from gzsl_bench.engine.units import plan
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet
from gzsl_bench.stacked.backend import pretending
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated
from gzsl_bench.testing.pretend import THERE, PretendedDevice, _mark

CONFIGS = {
    "acmr": pytest.importorskip("gzsl_bench_acmr").gzsl_bench_methods,
    "cada_vae": pytest.importorskip("gzsl_bench_cada_vae").gzsl_bench_methods,
}
SUITE = """
name: s
datasets: [tiny]
methods:
  - use: {method}
    config: {{epochs: 4, batch: 10, seen_samples: 20, unseen_samples: 30, classifier_epochs: 4}}
seeds: 3
selection: [last, best_test]
"""


@pytest.mark.parametrize("method", CONFIGS)
def test_a_stack_in_graphs_gives_the_records_of_its_cells_alone(
    method, make_registry, resolve_text, run_inline, tmp_path
):
    registry = make_registry(*CONFIGS[method]())
    cells = resolve_text(SUITE.format(method=method), registry).cells
    assert [len(unit.cells) for unit in plan(cells, registry, 32)] == [3]
    graphs = EmulatedGraphs()
    with pretending(emulated(graphs)):
        outcome, stacked, _ = run_inline(cells, registry, stack=32, out=tmp_path / "stacked")
    assert (outcome.exit_code, outcome.done) == (0, 3)
    assert len(graphs.captures) == 2
    assert graphs.waits == graphs.frozen == []
    outcome, alone, _ = run_inline(cells, registry, stack=1, out=tmp_path / "alone")
    assert outcome.exit_code == 0
    for cell in cells:
        one, other = stacked.read(cell.key), alone.read(cell.key)
        assert one.provenance.trained == tuple(c.key for c in cells)
        assert other.provenance.trained == (cell.key,)
        for curve, values in other.curves.items():
            np.testing.assert_allclose(one.curves[curve], values, rtol=1e-4)
        for name, values in other.predictions().items():
            if name.startswith("best_"):
                np.testing.assert_allclose(one.predictions()[name], values, rtol=1e-3, atol=1e-4)
            else:
                np.testing.assert_array_equal(one.predictions()[name], values)


@pytest.mark.parametrize("two_parts", [False, True])
def test_scoring_stays_on_the_device(two_parts):
    """Test rows, scores and class ids are together until the predictions go home."""
    pretended = PretendedDevice()
    labels, seen, unseen = np.array([0, 0, 1, 2]), np.array([0, 1]), np.array([2])
    features = _mark(torch.rand(4, 5), THERE)
    weights = _mark(torch.rand(5, 3), THERE)
    with pretended:
        tests = TestSet(features, labels, seen, unseen, torch.tensor([2, 0, 3, 1]))
        scorer = Scorer(lambda x: x * 2, lambda x: x @ weights) if two_parts else None
        found = tests.predict(scorer or (lambda x: x @ weights), EmbeddingCache())
    assert pretended.slips == []
    scores = (features @ weights).numpy()
    np.testing.assert_array_equal(found.predicted, scores.argmax(1))
    np.testing.assert_array_equal(found.predicted_seen, scores[:, :2].argmax(1))
