"""CADA-VAE does what the harness relies on: every check of the conformance kit is one test.

The released values train for a long time and learn too slowly for 96 images; here networks are
narrow, steps few and learning rates high.
"""

from __future__ import annotations

from gzsl_bench.testing import MethodConformance


class TestCADAVAE(MethodConformance):
    method = "cada_vae"
    config = {  # noqa: RUF012
        "latent": 16,
        "visual_encoder_hidden": 64,
        "visual_decoder_hidden": 64,
        "attribute_encoder_hidden": 64,
        "attribute_decoder_hidden": 64,
        "batch": 24,
        "epochs": 30,
        "lr": 0.01,
        "cross_start": 2,
        "cross_end": 10,
        "seen_samples": 40,
        "unseen_samples": 40,
        "classifier_epochs": 10,
        "classifier_lr": 0.01,
    }
