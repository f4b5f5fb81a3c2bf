"""Methods that generate features of unseen classes with a GAN; one module per method."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """Every method of this distribution."""
    from gzsl_bench_feature_gan import (
        ce_gzsl,
        cycle_clswgan,
        dascn,
        epgn,
        f_clswgan,
        f_vaegan,
        f_vaegan_d2,
        free,
        lisgan,
        lisgan_cascade,
        lsrgan,
        tf_vaegan,
        zerodiff,
        zla,
    )

    yield f_clswgan.SPEC
    yield cycle_clswgan.SPEC
    yield dascn.SPEC
    yield epgn.SPEC
    yield zla.SPEC
    yield zerodiff.SPEC
    yield f_vaegan.SPEC
    yield f_vaegan_d2.SPEC
    yield lisgan.SPEC
    yield lisgan_cascade.SPEC
    yield lsrgan.SPEC
    yield tf_vaegan.SPEC
    yield free.SPEC
    yield ce_gzsl.SPEC
