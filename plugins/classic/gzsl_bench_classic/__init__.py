"""The closed-form and shallow methods that the GBU benchmark compares; one module per method."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl
from gzsl_bench_classic import (
    ale,
    clip_zeroshot,
    cmt,
    conse,
    dap,
    dem,
    devise,
    gfzsl,
    iap,
    latem,
    sae,
    sje,
    sse,
    sync,
)

#: In the order of the README's table.
SPECS: tuple[MethodSpec, ...] = (
    dap.SPEC,
    iap.SPEC,
    conse.SPEC,
    sae.SPEC,
    gfzsl.SPEC,
    sync.SPEC,
    sse.SPEC,
    devise.SPEC,
    sje.SPEC,
    ale.SPEC,
    latem.SPEC,
    cmt.SPEC,
    cmt.STAR_SPEC,
    dem.SPEC,
    clip_zeroshot.SPEC,
)


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """Every method of this distribution."""
    yield from SPECS
