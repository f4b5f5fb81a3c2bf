"""Free parameters beside torch's, run by run."""

from __future__ import annotations

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import StackedAdam, Table, frozen
from gzsl_bench.stacked.backend import CPU, pretending
from gzsl_bench.testing.graphs import rerun


class Stream:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Stream(3), Stream(8)]
ROWS = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def loss(table, rows):
    return (table * rows).sin().sum((-1, -2)) + table.square().sum((-1, -2))


@pytest.mark.parametrize("recalled", [False, True])
def test_it_moves_as_torch_s_parameters_do(recalled):
    table = Table(RUNS, "centres", 5, 4, dtype=torch.float64)
    theirs = [torch.nn.Parameter(weight.clone()) for weight in table.weight.detach()]
    ours = StackedAdam([([table], [0.1, 0.2])])
    adams = [torch.optim.Adam([p], lr=lr) for p, lr in zip(theirs, (0.1, 0.2), strict=True)]
    for step in range(3):
        ours.begin()
        if recalled:
            ours.recall()
        loss(table(), ROWS + step).sum().backward()
        ours.step()
        for parameter, adam, rows in zip(theirs, adams, ROWS, strict=True):
            if not recalled:
                adam.zero_grad()
            loss(parameter, rows + step).backward()
            adam.step()
    torch.testing.assert_close(table.weight, torch.stack([p.detach() for p in theirs]))


def test_each_run_has_a_stream_of_its_own():
    both = Table(RUNS, "centres", 5, 4).weight
    assert torch.equal(both[1], Table(RUNS[1:], "centres", 5, 4).weight[0])
    assert not torch.equal(both[0], both[1])


def test_frozen_parameters_get_no_gradient():
    table, rows = Table(RUNS, "centres", 5, 4, dtype=torch.float64), ROWS.clone().requires_grad_()
    with frozen(table):
        loss(table(), rows).sum().backward()
    assert table.fresh
    assert rows.grad is not None
    (slope,) = torch.autograd.grad(loss(table(), rows).sum(), rows)
    assert table.fresh
    torch.testing.assert_close(slope, rows.grad)


@pytest.mark.parametrize("backend", [CPU, rerun()])
def test_rates_can_move(backend):
    with pretending(backend):
        table = Table(RUNS, "centres", 5, 4)
        theirs = [torch.nn.Parameter(weight.clone()) for weight in table.weight.detach()]
        ours = StackedAdam([([table], [0.1, 0.2])], moving=True)
        adams = [torch.optim.Adam([p], lr=lr) for p, lr in zip(theirs, (0.1, 0.2), strict=True)]
        for _ in range(3):
            loss(table(), ROWS.float()).sum().backward()
            ours.step()
            ours.rescale(0.5)
            for parameter, adam, rows in zip(theirs, adams, ROWS.float(), strict=True):
                adam.zero_grad()
                loss(parameter, rows).backward()
                adam.step()
                adam.param_groups[0]["lr"] *= 0.5
        torch.testing.assert_close(table.weight, torch.stack([p.detach() for p in theirs]))
