"""The conformance kit: what a plugin must do, checked on tiny generated tasks.

Subclass :class:`MethodConformance` (or ``DatasetConformance``, ``MetricConformance``) in a test
module, or call :func:`check_method` for a report.  ``gzsl-bench check-plugin NAME`` prints it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gzsl_bench.testing.conformance import (
        DatasetConformance,
        MethodConformance,
        MetricConformance,
    )
    from gzsl_bench.testing.datasets import check_dataset
    from gzsl_bench.testing.methods import check_method
    from gzsl_bench.testing.metrics import check_metric
    from gzsl_bench.testing.report import Report, Result
    from gzsl_bench.testing.trials import Budget

_WHERE = {
    "Budget": "trials",
    "DatasetConformance": "conformance",
    "MethodConformance": "conformance",
    "MetricConformance": "conformance",
    "Report": "report",
    "Result": "report",
    "check_dataset": "datasets",
    "check_method": "methods",
    "check_metric": "metrics",
}

__all__ = [
    "Budget",
    "DatasetConformance",
    "MethodConformance",
    "MetricConformance",
    "Report",
    "Result",
    "check_dataset",
    "check_method",
    "check_metric",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'gzsl_bench.testing' has no attribute {name!r}")
    return getattr(import_module(f"gzsl_bench.testing.{_WHERE[name]}"), name)
