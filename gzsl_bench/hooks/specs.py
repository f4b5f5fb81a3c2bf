"""The hook specifications: the three places where a plugin plugs in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from gzsl_bench.hooks.dataset import DatasetSpec
    from gzsl_bench.hooks.method import MethodSpec
    from gzsl_bench.hooks.metric import MetricSpec

#: Name of the pluggy project and of the entry-point group.
PROJECT = "gzsl_bench"

#: Version of these specifications; it grows when a plugin would have to change.  A plugin's module
#: may say which one it was written for: ``gzsl_bench_hooks = 1``.
HOOKS_VERSION = 1
#: The oldest version whose plugins still work.
OLDEST_HOOKS_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a plugin's function as its implementation of a hook; the function bears the hook's name.
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def gzsl_bench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Data sets this plugin offers.

    Returns:
        Specs, as a list or generator; their names are the names that suites use.
    """


@hookspec
def gzsl_bench_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """Methods this plugin offers.

    Returns:
        Specs, as a list or generator; their names are the names that suites use.
    """


@hookspec
def gzsl_bench_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Metrics this plugin offers.

    Returns:
        Specs, as a list or generator; their names are the names of columns.
    """
