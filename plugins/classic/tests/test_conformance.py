"""Every method of this distribution does what the harness relies on: the conformance kit."""

from __future__ import annotations

import pytest
from gzsl_bench_classic import SPECS

from gzsl_bench.testing import check_method

#: Where the defaults, made for thousands of images, are too slow for the kit's hundred.
SHORT = {"cmt_star": {"seen_lr": 0.03}}


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_a_method_passes_every_check(name):
    report = check_method(name, SHORT.get(name, {}))
    assert report.passed, report.text()
