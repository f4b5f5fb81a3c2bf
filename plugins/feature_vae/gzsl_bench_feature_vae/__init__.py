"""VAEs that generate features or latents of unseen classes; one module per method."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """Every method of this distribution."""
    from gzsl_bench_feature_vae import cvae, de_vae, disentangled, ocd, sdgzsl, se_gzsl

    yield cvae.SPEC
    yield se_gzsl.SPEC
    yield ocd.SPEC
    yield de_vae.SPEC
    yield disentangled.SPEC
    yield sdgzsl.SPEC
