"""ESZSL does what the harness relies on: every check of the conformance kit is one test."""

from __future__ import annotations

from gzsl_bench.testing import MethodConformance


class TestESZSL(MethodConformance):
    method = "eszsl"
