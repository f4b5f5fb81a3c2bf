"""gzsl-bench: a plugin-based benchmark harness for generalized zero-shot learning.

The names below are all that a plugin needs, and a script: ``run``, ``load``, ``compare``.  They are
loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gzsl_bench.version import __version__ as __version__

if TYPE_CHECKING:
    from gzsl_bench.api.results import Results, compare
    from gzsl_bench.api.run import load, run
    from gzsl_bench.data.gzsl import GZSLData, RegionMaps
    from gzsl_bench.errors import DataError, NotApplicable
    from gzsl_bench.hooks.config import Config, stackable
    from gzsl_bench.hooks.dataset import DatasetInfo, DatasetRequest, DatasetSpec, MissingFile
    from gzsl_bench.hooks.images import Images, Regions
    from gzsl_bench.hooks.method import BatchedMethod, Method, MethodSpec
    from gzsl_bench.hooks.metric import MetricSpec, Predictions
    from gzsl_bench.hooks.run import Latents, Run, Scorer
    from gzsl_bench.hooks.specs import HOOKS_VERSION, hookimpl
    from gzsl_bench.hooks.task import Task

_WHERE = {
    "HOOKS_VERSION": "hooks.specs",
    "BatchedMethod": "hooks.method",
    "Config": "hooks.config",
    "DataError": "errors",
    "DatasetInfo": "hooks.dataset",
    "DatasetRequest": "hooks.dataset",
    "DatasetSpec": "hooks.dataset",
    "GZSLData": "data.gzsl",
    "Images": "hooks.images",
    "Latents": "hooks.run",
    "Method": "hooks.method",
    "MethodSpec": "hooks.method",
    "MetricSpec": "hooks.metric",
    "MissingFile": "hooks.dataset",
    "NotApplicable": "errors",
    "Predictions": "hooks.metric",
    "Results": "api.results",
    "RegionMaps": "data.gzsl",
    "Regions": "hooks.images",
    "Run": "hooks.run",
    "Scorer": "hooks.run",
    "Task": "hooks.task",
    "compare": "api.results",
    "hookimpl": "hooks.specs",
    "load": "api.run",
    "run": "api.run",
    "stackable": "hooks.config",
}

__all__ = [
    "HOOKS_VERSION",
    "BatchedMethod",
    "Config",
    "DataError",
    "DatasetInfo",
    "DatasetRequest",
    "DatasetSpec",
    "GZSLData",
    "Images",
    "Latents",
    "Method",
    "MethodSpec",
    "MetricSpec",
    "MissingFile",
    "NotApplicable",
    "Predictions",
    "RegionMaps",
    "Regions",
    "Results",
    "Run",
    "Scorer",
    "Task",
    "compare",
    "hookimpl",
    "load",
    "run",
    "stackable",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'gzsl_bench' has no attribute {name!r}")
    value = getattr(import_module(f"gzsl_bench.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
