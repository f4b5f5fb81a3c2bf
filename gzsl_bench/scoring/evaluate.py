"""Metrics of one checkpoint, as recorded: shares times 100, everything finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.metric import MetricSpec, Predictions

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry


def about_metrics(registry: Registry) -> dict[str, dict[str, Any]]:
    """How to read each metric once its plugin may be gone, and whose version computed it."""
    found: dict[str, dict[str, Any]] = {}
    for name, spec in registry.metrics.items():
        found[name] = dict(spec.about())
        owner = registry.owners.get(("metrics", name))
        if owner is not None:
            found[name] |= {"distribution": owner.distribution, "version": owner.version}
    return found


def evaluate(predictions: Predictions, metrics: Mapping[str, MetricSpec]) -> dict[str, float]:
    """Every metric that these predictions allow; those that need scores that are gone are left out.

    Raises:
        PluginError: a metric fails or gives something that is no finite number.
    """
    values = {}
    for name, spec in metrics.items():
        if spec.needs_scores and predictions.best_seen is None:
            continue
        try:
            value = float(spec.compute(predictions))
        except Exception as error:
            raise PluginError(f"metric {name!r} fails: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise PluginError(f"metric {name!r} gave {value} where a finite number is expected")
        values[name] = value * 100 if spec.percent else value
    return values
