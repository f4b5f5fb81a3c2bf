"""Embedded numbers of diffusion steps."""

from __future__ import annotations

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import TimeEmbedding


class Stream:
    def generator(self, purpose):
        return streams.generator(0, purpose)


@pytest.mark.parametrize(
    ("closed", "wanted"), [(True, [1.0, 1e-2, 1e-4]), (False, [1.0, 0.0464159, 0.00215443])]
)
def test_the_waves_rates_end_at_the_last_or_before_it(closed, wanted):
    embed = TimeEmbedding([Stream()], "time", 7, {"std": 0.02}, closed=closed)
    assert embed.rates.tolist() == pytest.approx(wanted, rel=1e-5)
    assert embed(torch.tensor([[0, 3]])).shape == (1, 2, 7)
