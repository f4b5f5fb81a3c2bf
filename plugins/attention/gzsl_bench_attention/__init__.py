"""Methods that attend to regions of an image, and SP-AEN on features; one module per method."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """Every method of this distribution."""
    from gzsl_bench_attention import apn, aren, dazle, rgen, sp_aen

    yield apn.SPEC
    yield aren.SPEC
    yield dazle.SPEC
    yield rgen.SPEC
    yield sp_aen.SPEC
