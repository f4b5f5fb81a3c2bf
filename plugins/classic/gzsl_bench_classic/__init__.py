"""The closed-form and shallow methods that the GBU benchmark compares; one module per method."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl
from gzsl_bench_classic import conse, dap, gfzsl, iap, sae, sse, sync

#: In the order of the README's table.
SPECS: tuple[MethodSpec, ...] = (
    dap.SPEC,
    iap.SPEC,
    conse.SPEC,
    sae.SPEC,
    gfzsl.SPEC,
    sync.SPEC,
    sse.SPEC,
)


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """Every method of this distribution."""
    yield from SPECS
