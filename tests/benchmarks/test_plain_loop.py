"""The plain loop of the benchmarks trains what the plugins train."""

from __future__ import annotations

import pytest
import torch

from benchmarks import plugin_runs
from benchmarks.plain_loop import train_plain

SMALL = {
    "latent": 8,
    "visual_encoder_hidden": 20,
    "visual_decoder_hidden": 18,
    "attribute_encoder_hidden": 16,
    "attribute_decoder_hidden": 14,
    "batch": 10,
    "epochs": 5,
    "kl_end": 3,
    "distance_start": 0,
    "distance_end": 2,
    "seen_samples": 12,
    "unseen_samples": 16,
    "classifier_epochs": 4,
    "classifier_batch": 8,
}
VARIANTS = {
    "ACMR": ("acmr", {"classification_end": 2}),
    "Dual-VAE": ("acmr", {"iem": False, "vsa": False}),
    "no attention": ("acmr", {"attention": "identity"}),
    "CADA-VAE": ("cada_vae", {"cross_start": 0, "cross_end": 2}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_and_scores_equal_those_of_the_plugin(variant):
    method, changes = VARIANTS[variant]
    task = plugin_runs.random_task(12, 7, 6, 3, 95, "cpu")
    config = plugin_runs.configure(method, "CUB", **SMALL, **changes)
    plain = train_plain(task, config, 3)
    stacked = plugin_runs.train_timed(method, task, config, [3, 5])
    assert len(plain.losses) == len(plain.vae) == 5
    assert stacked.losses[0] == pytest.approx(plain.losses, rel=1e-5)
    assert stacked.losses[1] != pytest.approx(plain.losses, rel=1e-3)
    torch.testing.assert_close(
        stacked.scorers[0](task.features), plain.scorer(task.features), rtol=1e-3, atol=1e-4
    )
    assert len(stacked.vae) == 5
    assert len(stacked.classifier) == len(plain.classifier) == 4
