"""SAE: the Sylvester equation, an independent solver, and both directions by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from gzsl_bench_classic import shared
from gzsl_bench_classic.sae import SAE, SPEC, solve
from gzsl_bench_classic.shared import class_statistics, tridiagonal

from gzsl_bench import DatasetInfo, Run, Task


def solved(task, penalty):
    attributes = task.attributes.double()[task.seen]
    return solve(task.shared(tridiagonal), task.shared(class_statistics), attributes, penalty)


def sylvester(task, penalty):
    """A, B and C of A W + W B = C, row by row from the samples."""
    x = task.features.double().T
    s = task.attributes.double()[task.labels].T
    return s @ s.T, penalty * x @ x.T, (1 + penalty) * s @ x.T


@pytest.mark.parametrize("penalty", [0.05, 1.0, 80.0])
def test_the_residual_vanishes(easy, penalty):
    task, _, _ = easy
    a, b, c = sylvester(task, penalty)
    w = solved(task, penalty)
    assert float((a @ w + w @ b - c).abs().max()) < 1e-9 * float(c.abs().max())


def test_equals_scipy(easy):
    linalg = pytest.importorskip("scipy.linalg")
    task, _, _ = easy
    expected = linalg.solve_sylvester(*(m.numpy() for m in sylvester(task, 0.3)))
    torch.testing.assert_close(solved(task, 0.3), torch.from_numpy(expected), rtol=1e-8, atol=1e-9)


def test_the_gradient_of_the_objective_vanishes(easy):
    task, _, _ = easy
    w = solved(task, 2.0).requires_grad_()
    x, s = task.features.double().T, task.attributes.double()[task.labels].T
    loss = (x - w.T @ s).square().sum() + 2.0 * (w @ x - s).square().sum()
    (gradient,) = torch.autograd.grad(loss, w)
    assert float(gradient.abs().max()) < 1e-9 * float(loss.detach())


def test_more_attributes_than_classes_and_more_dimensions_than_rows():
    """SS' and XX' both lack full rank: the equation still holds, and W stays in their ranges."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.tensor([0, 0, 2, 2, 3])
    task = Task(
        torch.rand(5, 9, generator=draw), labels, torch.rand(4, 12, generator=draw),
        torch.tensor([0, 2, 3]), torch.tensor([1]),
    )  # fmt: skip
    a, b, c = sylvester(task, 0.7)
    w = solved(task, 0.7)
    assert float((a @ w + w @ b - c).abs().max()) < 1e-9 * float(c.abs().max())
    assert torch.linalg.matrix_rank(w, atol=1e-9) == 3
    inside = torch.linalg.pinv(b, rtol=1e-10) @ b
    torch.testing.assert_close(w @ inside, w, rtol=0, atol=1e-8)


def test_both_directions_by_hand(easy, train_on):
    task, test, _ = easy
    cosine = torch.nn.functional.cosine_similarity
    attributes = task.attributes.double()
    w = solved(task, 0.5)
    w = w / w.norm(dim=1, keepdim=True)
    forth = train_on(SPEC, task, to_attributes_penalty=0.5)(test)
    back = train_on(SPEC, task, direction="to_features", to_features_penalty=0.5)(test)
    for row in range(3):
        x = test[row].double()
        for c in range(task.num_classes):
            assert float(forth[row, c]) == pytest.approx(float(cosine(w @ x, attributes[c], dim=0)))
            assert float(back[row, c]) == pytest.approx(
                float(cosine(x, w.T @ attributes[c], dim=0))
            )


def test_scores_do_not_depend_on_the_length_of_test_rows(easy, train_on):
    """Why a re-implementation that leaves test rows unscaled gets the same numbers."""
    task, test, _ = easy
    for direction in ("to_attributes", "to_features"):
        trained = train_on(SPEC, task, direction=direction)
        torch.testing.assert_close(trained(test), trained(7.5 * test), rtol=1e-6, atol=1e-7)


def test_penalties_of_the_sheet():
    config = SAE.Config(**SAE.defaults(DatasetInfo("CUB", "res101", "att")))
    assert config.penalty == 80.0
    assert config.model_copy(update={"direction": "to_features"}).penalty == 0.2
    assert SAE.defaults(DatasetInfo("FLO", "res101", "att")) == {}


def test_all_penalties_share_one_factorisation(easy, monkeypatch):
    task, test, _ = easy
    reduced, lapack = [], pytest.importorskip("scipy.linalg").lapack
    once = lapack.dsytrd
    monkeypatch.setattr(lapack, "dsytrd", lambda *a, **k: reduced.append(1) or once(*a, **k))
    configs = [SAE.Config(to_attributes_penalty=value) for value in (0.1, 1.0, 80.0)]
    fresh = replace(task)
    runs = [Run(0, task.device, config, None) for config in configs]
    together = [scorer(test) for scorer in SAE(configs[0]).fit_batch(fresh, runs)]
    assert len(reduced) == 1
    for config, scores in zip(configs, together, strict=True):
        alone = SAE(config).fit(replace(task), Run(0, task.device, config, None))(test)
        assert torch.equal(scores, alone)


@pytest.mark.parametrize("rows", [(3, 1), (1, 1)])
def test_one_dimension_and_embeddings_of_zeros(rows):
    """The smallest task there is, and one whose embeddings say nothing: W is 0."""
    task = Task(
        torch.rand(4, rows[1]) + 1, torch.tensor([0, 1, 0, 1]), torch.zeros(3, rows[0]),
        torch.tensor([0, 1]), torch.tensor([2]),
    )  # fmt: skip
    assert torch.equal(solved(task, 0.3), torch.zeros(rows, dtype=torch.float64))
    told = replace(task, attributes=torch.rand(3, rows[0]))
    a, b, c = sylvester(told, 0.3)
    w = solved(told, 0.3)
    torch.testing.assert_close(a @ w + w @ b, c, rtol=1e-12, atol=1e-12)


def test_the_product_is_put_together_of_blocks(easy, monkeypatch):
    task, _, _ = easy
    monkeypatch.setattr(shared, "_BLOCK", 3)
    x = task.features.double()
    lower = shared.gram(task).lower.tril()
    torch.testing.assert_close(lower, (x.T @ x).tril(), rtol=0, atol=1e-12)
    centred = x - x.mean(0)
    lower = shared.scatter(task).lower.tril()
    torch.testing.assert_close(lower, (centred.T @ centred).tril(), rtol=0, atol=1e-12)
