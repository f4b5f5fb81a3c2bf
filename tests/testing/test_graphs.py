"""Emulated graphs: they replay what was captured with what was captured, and know what waits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.stacked.backend import CPU, CUDA, backend_of, pretending, together
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated, rerun


def capture(work):
    graphs = EmulatedGraphs()
    return graphs, graphs.capture(work)


def test_capturing_changes_nothing_and_replaying_everything():
    state, copied = torch.tensor([1.0, 2.0]), torch.zeros(2)

    def work():
        doubled = state * 2
        doubled += 1  # made within: no matter
        state.add_(doubled)
        torch.mul(state, 10, out=copied)

    _, replay = capture(work)
    assert state.tolist() == [1, 2]
    assert copied.tolist() == [0, 0]
    for expected in ([4.0, 7.0], [13.0, 22.0]):  # x + 2 x + 1
        replay()
        assert state.tolist() == expected
        assert copied.tolist() == [10 * x for x in expected]


def test_a_replay_reads_its_inputs_where_they_were():
    x, into = torch.tensor([3.0]), torch.zeros(1)
    _, replay = capture(lambda: into.copy_(x.view(1, 1).expand(2, 1).sum(0) + 1))
    x.fill_(5.0)
    replay()
    assert into.item() == 11


def test_numbers_are_frozen_and_their_line_is_told():
    count, into = [0], torch.zeros(1)

    def work():
        count[0] += 1
        into.add_(torch.ones(1), alpha=count[0])

    graphs, replay = capture(work)
    replay()
    replay()
    assert into.item() == 2
    (line,) = graphs.frozen
    assert line.startswith("test_graphs.py, line ")


def test_gradients_and_hand_written_backward_passes_are_captured():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    x, gradient = torch.tensor([3.0]), torch.zeros(1)

    def work():
        leaf = x.detach().requires_grad_()
        Square.apply(leaf.exp()).sum().backward()  # exp(2 x)
        gradient.copy_(leaf.grad)

    _, replay = capture(work)
    for value in (0.5, -1.0):
        x.fill_(value)
        replay()
        torch.testing.assert_close(gradient, 2 * torch.tensor([2 * value]).exp())


@settings(max_examples=30)
@given(
    steps=st.lists(st.sampled_from(["scale", "shift", "swap", "view"]), min_size=1, max_size=8),
    times=st.integers(1, 4),
)
def test_replays_are_repetitions(steps, times):
    does = {
        "scale": lambda x: x.mul_(1.5),
        "shift": lambda x: x.copy_(x + x.sum() / 8),
        "swap": lambda x: x.copy_(x.flip(0).clone()),
        "view": lambda x: x.view(2, 2)[1].sub_(1),
    }

    def work(x):
        for name in steps:
            does[name](x)

    one, other = torch.arange(4.0), torch.arange(4.0)
    _, replay = capture(lambda: work(one))
    for _ in range(times):
        work(other)
        replay()
    assert torch.equal(one, other)


X = torch.tensor([1.0, 2.0])
WAITS = {
    "item": lambda: X.sum().item(),
    "tolist": lambda: X.tolist(),
    "cpu": lambda: X.cpu(),
    "numpy": lambda: X.numpy(),
    "bool": lambda: bool(X[0] > 0),
    "float": lambda: float(X[0]),
    "if": lambda: 1 if X[0] > 0 else 2,
    "tensor": lambda: X * torch.tensor([1.0, 2.0]),
    "new_tensor": lambda: X + X.new_tensor([1.0]),
    "mask": lambda: X[X > 1],
    "mask assigned": lambda: X.clone().__setitem__(X > 1, 0.0),
    "nonzero": lambda: X.nonzero(),
    "unique": lambda: X.unique(),
    "repeats": lambda: X.repeat_interleave(torch.tensor([1, 2])),
}
FINE = {
    "where": lambda: torch.where(X > 1, X, 0.0),
    "full": lambda: X + torch.full((2,), 3.0),
    "gather": lambda: X[(X > 1).long()],
    "number": lambda: X * 2 + 1,
    "shape": lambda: X.view(len(X), X.shape[0] // 2),
    "repeats": lambda: X.repeat_interleave(3),
    "tensor already": lambda: X + torch.as_tensor(X) + X.new_tensor(X),
    "assigned": lambda: X.clone().__setitem__(0, 5.0),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_waits_for_a_gpu_is_found(name):
    graphs, _ = capture(WAITS[name])
    assert graphs.waits
    assert all("(test_graphs.py, line " in text for text in graphs.waits)


@pytest.mark.parametrize("name", FINE)
def test_what_does_not_wait_is_not_blamed(name):
    graphs, _ = capture(FINE[name])
    assert graphs.waits == []


def test_devices_compute_in_their_own_way_unless_another_is_pretended():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert (backend_of(cpu), backend_of(cuda)) == (CPU, CUDA)
    assert not together(torch.zeros(1))
    with pretending(rerun()), pretending(emulated(EmulatedGraphs())):
        assert together(torch.zeros(1))
    assert not together(torch.zeros(1))
    with pytest.raises(ZeroDivisionError), pretending(rerun()):
        1 / 0  # noqa: B018
    assert backend_of(cpu) is CPU
