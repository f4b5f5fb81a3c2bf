"""Every method of this distribution does what the harness relies on: the conformance kit.

Learning rates are high and embeddings short: 96 images teach little.
"""

from __future__ import annotations

from gzsl_bench.testing import MethodConformance


class TestAPN(MethodConformance):
    method = "apn"
    config = {"batch": 16, "epochs": 8, "lr": 0.02}  # noqa: RUF012


class TestAREN(MethodConformance):
    method = "aren"
    config = {"batch": 16, "epochs": 8, "lr": 0.02, "second_order": 0.5, "period": 8, "parts": 4}  # noqa: RUF012


class TestDAZLE(MethodConformance):
    method = "dazle"
    config = {"batch": 32, "epochs": 15, "lr": 0.01, "calibration": 0.1}  # noqa: RUF012


class TestRGEN(MethodConformance):
    method = "rgen"
    config = {"batch": 16, "epochs": 4, "lr": 0.05, "period": 4, "parts": 2, "nodes": 8}  # noqa: RUF012


class TestSPAEN(MethodConformance):
    method = "sp_aen"
    config = {  # noqa: RUF012
        "hidden": 32, "batch": 24, "steps": 12, "reconstruction_epochs": 1, "epochs": 3,
        "slower_after": 2, "critic_steps": 1, "dropout": 0.1, "lr": 0.02,
    }  # fmt: skip
