"""Every method of this distribution does what the harness relies on: the conformance kit.

The released values train for hours and learn too slowly for 96 rows; here networks are narrow,
epochs few and learning rates high.
"""

from __future__ import annotations

from gzsl_bench.testing import MethodConformance

SMALL = {
    "noise": 4,
    "generator_hidden": 64,
    "critic_hidden": 64,
    "init_std": 0.1,
    "batch": 96,
    "epochs": 20,
    "lr": 0.01,
    "penalty": 1.0,
    "samples": 30,
    "classifier_epochs": 2,
    "classifier_lr": 0.03,
    "evaluate_every": 15,
}


class TestFCLSWGAN(MethodConformance):
    method = "f_clswgan"
    config = SMALL | {"classification": 0.1, "seen_epochs": 5}


class TestCycleCLSWGAN(MethodConformance):
    method = "cycle_clswgan"
    config = TestFCLSWGAN.config | {"regressor_epochs": 5, "regressor_lr": 0.01}


class TestLisGAN(MethodConformance):
    method = "lisgan"
    config = TestFCLSWGAN.config | {
        "classifier_epochs": 4,
        "class_samples": 2,
        "sample_souls": 0.01,
        "class_souls": 0.01,
        "classifier_batch": 30,
    }


class TestLisGANCascade(MethodConformance):
    method = "lisgan_cascade"
    config = TestLisGAN.config | {"second_epochs": 2, "epochs": 15}


class TestLsrGAN(MethodConformance):
    method = "lsrgan"
    config = SMALL | {
        "epochs": 16,
        "critic_steps": 2,
        "seen_epochs": 10,
        "evaluate_every": 10,
        "sr_loss": "grad",
        # The moments of ten steps on real features slow the few that follow.
        "classification": 1.0,
        "unseen_classification": 1.0,
    }


class TestDASCN(MethodConformance):
    method = "dascn"
    config = TestFCLSWGAN.config | {
        "dual_hidden": 16,
        "dual_critic_hidden": 16,
        "epochs": 16,
        "evaluate_every": 12,
        "critic_steps": 1,
        "dual": 0.1,
        "visual": 10.0,
    }


class TestEPGN(MethodConformance):
    method = "epgn"
    config = {  # noqa: RUF012
        "hidden": 48, "critic_hidden": 16, "init_std": 0.2, "held_out": 3, "epochs": 4,
        "episodes": 15, "inner": 3, "batch": 24, "lr": 0.005,
    }  # fmt: skip


class TestZeroDiff(MethodConformance):
    method = "zerodiff"
    config = SMALL | {
        "encoder_hidden": 32, "critic_steps": 1, "epochs": 12, "evaluate_every": 8, "lr": 0.02,
        "decoder_lr": 0.01, "diffusion_steps": 2, "gamma": 1.0, "classifier_epochs": 3,
    }  # fmt: skip


class TestZLA(MethodConformance):
    method = "zla"
    config = SMALL | {
        "epochs": 16, "critic_steps": 2, "prototype_hidden": 32, "classifier_epochs": 4,
        "halved_after": 3, "classifier_lr": 0.01,
        "classifier_batch": 24, "samples": 10, "ratio": 1.0, "temperature": 0.1,
        "evaluate_every": 12,
    }  # fmt: skip


class TestFVAEGAN(MethodConformance):
    method = "f_vaegan"
    config = SMALL | {"encoder_hidden": 32, "gamma": 10.0, "critic_steps": 2, "lr": 0.02}


class TestFVAEGAND2(MethodConformance):
    method = "f_vaegan_d2"
    config = TestFVAEGAN.config | {
        "lr": 0.01,
        "epochs": 18,
        "evaluate_every": 14,
        "unlabelled": 1.0,
    }


class TestTFVAEGAN(MethodConformance):
    method = "tf_vaegan"
    config = TestFVAEGAN.config | {
        "epochs": 6,
        "evaluate_every": 4,
        "lr": 0.01,
        "decoder_lr": 0.01,
        "feedback_lr": 0.01,
    }


class TestFREE(MethodConformance):
    method = "free"
    config = TestFVAEGAN.config | {
        "epochs": 12,
        "evaluate_every": 8,
        "lr": 0.01,
        "refiner_lr": 0.01,
    }


class TestCEGZSL(MethodConformance):
    method = "ce_gzsl"
    config = SMALL | {
        "epochs": 12,
        "evaluate_every": 8,
        "critic_steps": 2,
        "embedded": 32,
        "projected": 16,
        "comparator_hidden": 32,
        "instances": 0.01,
        "classes": 0.01,
        "decay_every": 5,
    }
