"""Checks on what plugins hand over, before anything relies on it."""

from __future__ import annotations

import re
from typing import Any

from gzsl_bench.hooks.config import Config
from gzsl_bench.hooks.dataset import DatasetSpec
from gzsl_bench.hooks.images import EXTRAS
from gzsl_bench.hooks.method import FIDELITIES, Method, MethodSpec
from gzsl_bench.hooks.metric import RESERVED, MetricSpec

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


def check_spec(spec: Any, expected: type[Any], hook: str) -> str | None:
    """What is wrong with an offered spec, in one clause, or None."""
    fits: bool = isinstance(spec, expected)
    if not fits:
        return f"its hook {hook} gave {type(spec).__name__} where {expected.__name__} is expected"
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        return (
            f"its hook {hook} gave the name {spec.name!r}; letters, digits, '_', '-', '.' would do"
        )
    if isinstance(spec, MethodSpec):
        return _check_method(spec)
    if isinstance(spec, MetricSpec):
        return _check_metric(spec)
    if isinstance(spec, DatasetSpec) and not (callable(spec.load) and callable(spec.missing)):
        return f"its data set {spec.name!r} has a load or missing that cannot be called"
    return None


def _check_metric(spec: MetricSpec) -> str | None:
    if not callable(spec.compute):
        return f"its metric {spec.name!r} has a compute that cannot be called"
    if spec.name in RESERVED:
        return (
            f"its metric {spec.name!r} has the name of something that stands beside metrics in"
            " every table; give it another one"
        )
    return None


def _check_method(spec: MethodSpec) -> str | None:
    if not (isinstance(spec.factory, type) and issubclass(spec.factory, Method)):
        return f"its method {spec.name!r} has a factory that is no subclass of gzsl_bench.Method"
    if getattr(spec.factory, "__abstractmethods__", None):
        missing = ", ".join(sorted(spec.factory.__abstractmethods__))
        return f"its method {spec.name!r} does not implement {missing}"
    config = spec.factory.Config
    if not (isinstance(config, type) and issubclass(config, Config)):
        return f"its method {spec.name!r} has a Config that is no subclass of gzsl_bench.Config"
    if spec.setting not in ("inductive", "transductive"):
        return (
            f"its method {spec.name!r} states the setting {spec.setting!r};"
            " inductive or transductive is expected"
        )
    strange = [name for name in (*spec.needs, *spec.wants) if name not in EXTRAS]
    if strange:
        return (
            f"its method {spec.name!r} needs or wants {strange[0]!r}; of {', '.join(EXTRAS)} are"
            " expected"
        )
    if not isinstance(spec.family, str) or not spec.family.isprintable():
        return f"its method {spec.name!r} states the family {spec.family!r}; one line is expected"
    if spec.version is not None and not (isinstance(spec.version, str) and spec.version):
        return (
            f"its method {spec.name!r} states the version {spec.version!r};"
            " a text is expected, or None for the distribution's version"
        )
    if spec.fidelity not in FIDELITIES:
        return (
            f"its method {spec.name!r} states the fidelity {spec.fidelity!r};"
            f" one of {', '.join(FIDELITIES)} is expected"
        )
    return None
