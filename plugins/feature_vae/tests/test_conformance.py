"""Every method of this distribution does what the harness relies on: the conformance kit.

Networks are narrow, epochs few and learning rates high: 96 rows teach little.
"""

from __future__ import annotations

from gzsl_bench.testing import MethodConformance

SMALL = {
    "batch": 96,
    "epochs": 30,
    "lr": 0.01,
    "latent": 4,
    "samples": 30,
    "classifier_epochs": 5,
    "classifier_lr": 0.03,
}


class TestCVAE(MethodConformance):
    method = "cvae"
    config = SMALL | {"encoder_hidden": 32, "decoder_hidden": 64}


class TestSEGZSL(MethodConformance):
    method = "se_gzsl"
    config = SMALL | {"encoder_hidden": 16, "generator_hidden": 32, "regressor_hidden": 16}


class TestOCD(MethodConformance):
    method = "ocd"
    config = TestSEGZSL.config | {
        "finetune_epochs": 5,
        "finetune_lr": 0.01,
        "spread": 1.0,
        "statistics": 8,
        "step_classes": 8,
    }


LATENT = {
    "latent": 8,
    "visual_encoder_hidden": 32,
    "visual_decoder_hidden": 32,
    "attribute_encoder_hidden": 32,
    "batch": 48,
    "epochs": 20,
    "lr": 0.01,
    "seen_samples": 20,
    "unseen_samples": 20,
    "classifier_epochs": 6,
    "classifier_lr": 0.02,
}


class TestDEVAE(MethodConformance):
    method = "de_vae"
    config = LATENT | {"embedding_hidden": 32, "epochs": 40, "kl_factor": 0.01, "init_gain": 1.0}


class TestDisentangledVAE(MethodConformance):
    method = "disentangled_vae"
    config = LATENT | {"attribute_decoder_hidden": 32, "cross_start": 2, "cross_end": 10}


class TestSDGZSL(MethodConformance):
    # Units that are normalised twice in a row have biases that only dropout gives a gradient: with
    # little of it rounding decides where they go, and a run differs beside another one.
    method = "sdgzsl"
    config = {  # noqa: RUF012
        "hidden": 48,
        "encoder_output": 16,
        "latent": 4,
        "semantic": 32,
        "unrelated": 32,
        "batch": 32,
        "epochs": 15,
        "lr": 0.003,
        "encoder_dropout": 0.1,
        "decoder_dropout": 0.5,
        "samples": 30,
        "classifier_epochs": 6,
        "classifier_lr": 0.03,
        "evaluate_every": 0,
    }
