"""Batches, noise and permutations: their law, their reproducibility, their independence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import Generators, normals, permutations, subsets
from gzsl_bench.stacked.draws import subset_block


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Seeded(seed) for seed in (3, 0, 8)]


@pytest.mark.parametrize(("n", "size"), [(7057, 50), (400, 20), (60, 50), (50, 50), (5, 1), (1, 1)])
def test_no_row_twice_within_a_step(n, size):
    rows = subset_block(n, size, 300, streams.generator(0, "batches"))
    assert rows.shape == (300, size)
    assert rows.min() >= 0
    assert rows.max() < n
    ordered = rows.sort(dim=1).values
    assert (ordered[:, 1:] != ordered[:, :-1]).all()


@pytest.mark.parametrize("size", [4, 12])  # by rejection, and by sorting
def test_every_row_and_every_pair_is_equally_likely(size):
    n, steps = 30, 40_000
    rows = subset_block(n, size, steps, streams.generator(1, "batches"))
    member = torch.zeros(steps, n).scatter_(1, rows, 1.0)
    together = (member.T @ member / steps).numpy()
    single, pair = size / n, size * (size - 1) / (n * (n - 1))
    assert np.abs(np.diag(together) - single).max() < 5 * np.sqrt(single / steps)
    off = together[~np.eye(n, dtype=bool)]
    assert np.abs(off - pair).max() < 5.5 * np.sqrt(pair / steps)
    # Position within the batch tells nothing either: each place is uniform over the rows.
    first = np.bincount(rows[:, 0].numpy(), minlength=n) / steps
    assert np.abs(first - 1 / n).max() < 5 * np.sqrt(1 / n / steps)


def test_batches_are_independent_of_each_other():
    rows = subset_block(10, 3, 60_000, streams.generator(2, "batches"))
    member = torch.zeros(rows.shape[0], 10).scatter_(1, rows, 1.0)
    lagged = torch.corrcoef(torch.cat([member[:-1], member[1:]], dim=1).T)[:10, 10:]
    assert lagged.abs().max() < 5 / rows.shape[0] ** 0.5


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="between 1 and 5"):
        subset_block(5, 6, 1, streams.generator(0, "batches"))


def test_permutations_are_uniform():
    drawn = permutations(Generators(RUNS[:1], "p"), 4, 24_000)[:, 0]
    codes, counts = np.unique(drawn.numpy() @ [64, 16, 4, 1], return_counts=True)
    assert len(codes) == 24
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


DRAWS = {
    "subsets": lambda g, steps: subsets(g, 100, 10, steps),
    "subsets by sorting": lambda g, steps: subsets(g, 20, 10, steps),
    "normals": lambda g, steps: normals(g, (10, 1), steps),
    "permutations": lambda g, steps: permutations(g, 12, steps),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_run_draws_the_same_in_any_stack(name):
    draw = DRAWS[name]
    together = [draw(Generators(RUNS, "x"), 7), None]
    continued = Generators(RUNS, "x")
    draw(continued, 7)
    together[1] = draw(continued, 7)
    for position, run in enumerate(RUNS):
        alone = Generators([run], "x")
        for block in together:
            assert torch.equal(draw(alone, 7)[:, 0], block[:, position])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together[0][:, 0], together[0][:, 1])


def test_streams_ignore_and_leave_global_state():
    torch.manual_seed(0)
    first = subsets(Generators(RUNS, "x"), 50, 10, 5)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(first, subsets(Generators(RUNS, "x"), 50, 10, 5))
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), expected)
