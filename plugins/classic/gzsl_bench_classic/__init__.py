"""The closed-form and shallow methods that the GBU benchmark compares; one module per method."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl

#: In the order of the README's table.
SPECS: tuple[MethodSpec, ...] = ()


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """Every method of this distribution."""
    yield from SPECS
