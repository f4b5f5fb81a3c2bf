"""Every method of this distribution does what the harness relies on: the conformance kit."""

from __future__ import annotations

import pytest
from gzsl_bench_classic import SPECS

from gzsl_bench.testing import check_method

#: A short training does, as long as it learns.
SHORT = {key: {"epochs": 15} for key in ("ale", "devise", "sje", "cmt", "cmt_star")}


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_a_method_passes_every_check(name):
    report = check_method(name, SHORT.get(name))
    assert report.passed, report.text()
