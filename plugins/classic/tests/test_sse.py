"""SSE: the simplex programs and their optimality, and the gradients of the hinge."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_classic.simplex import mixtures, project
from gzsl_bench_classic.sse import SPEC, SSE, Adam, Histograms
from hypothesis import given, settings
from hypothesis import strategies as st


def test_a_mixture_by_hand():
    # Of (1, 0) and (0, 1), the point (0.75, 0.25) + ridge g: by symmetry w = (1/2 + d, 1/2 - d)
    # with 2 (d - 1/4) + 2 g d = 0, so d = 1 / (4 (1 + g)).
    corners = torch.eye(2)
    found = mixtures(torch.tensor([[0.75, 0.25], [3.0, -1.0]]), corners, ridge=0.25)
    assert found[0].tolist() == pytest.approx([0.7, 0.3])
    assert found[1].tolist() == pytest.approx([1.0, 0.0])


@given(
    st.integers(0, 10_000),
    st.integers(2, 9),
    st.integers(1, 12),
    st.sampled_from([1e-3, 0.1, 3.0]),
)
@settings(max_examples=60, deadline=None)
def test_optimality_conditions(seed, count, width, ridge):
    """KKT: the gradient is least, and equal, wherever a weight is not zero."""
    draw = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, width, generator=draw)
    points = torch.cat([torch.randn(3, width, generator=draw), corners])
    weights = mixtures(points, corners, ridge)
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(len(points)).double())
    residual = weights @ corners.double() - points.double()
    gradient = residual @ corners.double().T + ridge * weights
    gap = gradient - gradient.min(1, keepdim=True).values
    assert float((gap * (weights > 1e-9)).max()) < 1e-7 * (1 + float(gradient.abs().max()))


def test_seen_classes_are_nearly_themselves_where_the_ridge_is_small(easy):
    task, _, _ = easy
    seen = task.attributes[task.seen]
    weights = mixtures(seen, seen, 1e-6)
    torch.testing.assert_close(weights, torch.eye(len(seen)).double(), rtol=0, atol=1e-4)


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_projection(seed, count):
    rows = 2 * torch.randn(4, count, generator=torch.Generator().manual_seed(seed)).double()
    found = project(rows)
    torch.testing.assert_close(found.sum(1), torch.ones(4).double())
    assert bool((found >= 0).all())
    # Nearest: one and the same shift wherever positive, and at least as large a one elsewhere.
    shift = rows - found
    top = shift.masked_fill(found == 0, -torch.inf).max(1, keepdim=True).values
    assert bool(((shift - top).abs()[found > 0] < 1e-12).all())
    assert bool((shift <= top + 1e-12).all())


MARGIN = 0.01


def small_model():
    """A model, and a batch in which every other row belongs to the class that wins."""
    draw = torch.Generator().manual_seed(3)
    features = torch.rand(11, 6, generator=draw)
    mix = torch.rand(4, 4, generator=draw).softmax(1)
    means = torch.rand(4, 6, generator=draw).double()
    model = Histograms(means, mix, SSE.Config(penalty=0.3, margin=MARGIN))
    model.weights.copy_(5 * torch.randn(6, generator=draw))
    winners = (model(features) @ mix.T).argmax(1)
    index = torch.randint(4, (11,), generator=draw)
    index[::2] = winners[::2]
    return model, mix, features, index


def hinge_of(histograms, mix, index):
    scores = histograms @ mix.T
    rivals = scores + MARGIN * (torch.arange(4) != index[:, None])
    return (rivals.max(1).values - scores.gather(1, index[:, None])[:, 0]).clamp(min=0)


def test_gradients_are_those_of_autograd():
    model, mix, features, index = small_model()
    total = model.gradients(features, index)
    w, v = model.weights.clone().requires_grad_(), model.references.clone().requires_grad_()
    stretched = features * 6**0.5
    histograms = torch.minimum(stretched[:, None], v) @ w / 6
    hinge = hinge_of(histograms, mix, index)
    assert 0 < int((hinge > 0).sum()) < len(hinge)
    assert total == pytest.approx(float(hinge.detach().sum()), rel=1e-5)
    (hinge.mean() + 0.15 * w.square().mean()).backward()
    torch.testing.assert_close(model.weight_slope, w.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.reference_slope, v.grad, rtol=1e-4, atol=1e-5)


def test_both_kernels_of_the_paper_differ_in_the_sign_of_w_alone():
    model, mix, features, _ = small_model()
    stretched = features * 6**0.5
    ours = model(features) @ mix.T
    intersection = torch.minimum(stretched[:, None], model.references) @ model.weights / 6 @ mix.T
    relu = (stretched[:, None] - model.references).clamp(min=0) @ -model.weights / 6 @ mix.T
    for other in (intersection, relu):
        torch.testing.assert_close(other - other[:, :1], ours - ours[:, :1], rtol=1e-4, atol=1e-4)


def test_checkpoints_follow_from_the_configuration(easy, train_on):
    task, _, _ = easy
    reports = train_on(SPEC, task, epochs=7, checkpoint_every=3).reports
    assert list(reports.checkpoints) == [3, 6, 7]
    assert [step for step, _ in reports.logged] == list(range(1, 8))
    assert reports.progressed[-1] == (7, 7)
    assert reports.logged[-1][1]["hinge"] < reports.logged[0][1]["hinge"]


def test_adam_equals_torch_s():
    draw = torch.Generator().manual_seed(0)
    ours = torch.randn(3, 4, generator=draw)
    theirs = ours.clone().requires_grad_()
    slope = torch.zeros_like(ours)
    step, reference = Adam(ours, slope, 0.03), torch.optim.Adam([theirs], lr=0.03)
    for _ in range(20):
        slope.copy_(torch.randn(3, 4, generator=draw))
        theirs.grad = slope.clone()
        step()
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)
