"""Checking a method plugin: all checks in one call, with a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gzsl_bench.hooks.manager import Registry, installed
from gzsl_bench.hooks.method import MethodSpec
from gzsl_bench.testing import behaviour, declared, latents, places
from gzsl_bench.testing.report import Check, Report, Skipped, make
from gzsl_bench.testing.trials import Budget, Trials

#: Every check of a method, in the order of the report.
METHOD_CHECKS: Sequence[Check[Trials]] = (
    *declared.check.all,
    *behaviour.check.all,
    *latents.check.all,
    *places.check.all,
)


def check_method(
    method: MethodSpec | str,
    config: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    budget: Budget | None = None,
    registry: Registry | None = None,
    on_check: Callable[[str], None] = lambda name: None,
    leave_out: Sequence[str] = (),
) -> Report:
    """Check a method.

    Args:
        method: the name of an installed one, or a spec.
        config: values that differ from the defaults: a short training does, as long as it learns.
        device: where to train.
        budget: what one training on a tiny task may take.
        registry: the plugins, where they are loaded already.
        on_check: told the name of each check as it begins.
        leave_out: names of checks that are not made.

    Raises:
        PluginError: no method is called ``method``.
    """
    t = trials(method, config, device=device, budget=budget, registry=registry)
    checks = [check for check in METHOD_CHECKS if check.name not in leave_out]
    return Report("method", t.spec.name, make(checks, t, on_check), checked(t))


def trials(
    method: MethodSpec | str,
    config: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    budget: Budget | None = None,
    registry: Registry | None = None,
) -> Trials:
    """What the checks of a method look at.

    Raises:
        PluginError: no method is called ``method``.
    """
    name, spec = method if isinstance(method, str) else None, installed("methods", method, registry)
    return Trials(spec, dict(config or {}), device, budget or Budget(), name)


def checked(t: Trials) -> dict[str, Any]:
    """What exactly is checked: the whole configuration, and which part of it was chosen."""
    try:
        whole: dict[str, Any] | None = t.config.model_dump(mode="json")
    except Skipped:
        whole = None
    return {
        "given": dict(t.values),
        "configuration": whole,
        "device": t.device,
        "budget": {"seconds": t.budget.seconds, "megabytes": t.budget.megabytes},
    }
