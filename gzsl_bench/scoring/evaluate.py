"""Metrics of one checkpoint, as recorded: shares times 100, everything finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import PluginError, in_one_line
from gzsl_bench.hooks.asked import FAULTS
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
            version = spec.version or owner.version
            found[name] |= {"distribution": owner.distribution, "version": version}
    return found


def outdated(
    said: Mapping[str, Mapping[str, Any]], metrics: Iterable[MetricSpec]
) -> Iterator[tuple[str, str, str]]:
    """Metrics that were computed by another version of their formula: name, that version, today's.

    Args:
        said: what a record says of its metrics.
        metrics: those of today; of one without a version of its own nothing is known.
    """
    for spec in metrics:
        then = said.get(spec.name, {}).get("version")
        if spec.version is not None and then not in (None, spec.version):
            yield spec.name, str(then), spec.version


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
        except FAULTS as error:
            raise PluginError(f"metric {name!r} fails: {in_one_line(error)}") from error
        if not math.isfinite(value):
            raise PluginError(f"metric {name!r} gave {value} where a finite number is expected")
        values[name] = value * 100 if spec.percent else value
    return values
