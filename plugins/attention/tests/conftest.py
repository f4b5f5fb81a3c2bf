"""What the tests of every method share."""

from __future__ import annotations

import pytest
import torch

from gzsl_bench.hooks import streams


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors: a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


@pytest.fixture(scope="session")
def drawn():
    """Standard normal numbers in float64, the same for the same name."""
    return lambda name, *shape: torch.randn(
        *shape, generator=streams.generator(0, name), dtype=torch.float64
    )


@pytest.fixture(scope="session")
def same_gradients():
    """Terms [R] and gradients of a stack beside those of a transcription run by run, float64.

    ``terms`` takes the leaves of all runs [R, ...], ``wanted`` a run's number and its leaves.
    """

    def compare(leaves, terms, wanted):
        stacked = [leaf.clone().requires_grad_() for leaf in leaves]
        found = terms(*stacked)
        found["loss"].sum().backward()
        for run in range(len(leaves[0])):
            own = [leaf[run].clone().requires_grad_() for leaf in leaves]
            expected = wanted(run, *own)
            assert set(found) == set(expected)
            for name, value in expected.items():
                torch.testing.assert_close(found[name][run], value, rtol=1e-9, atol=1e-9)
            expected["loss"].backward()
            for whole, one in zip(stacked, own, strict=True):
                torch.testing.assert_close(whole.grad[run], one.grad, rtol=1e-8, atol=1e-10)

    return compare
