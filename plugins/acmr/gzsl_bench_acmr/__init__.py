"""ACMR and its ablations: aligned cross-modal representations for generalized zero-shot learning.

This file is all the harness imports to list the method; what needs torch is loaded by it in turn.
"""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """The one method of this plugin; its ablations are configurations of it."""
    from gzsl_bench_acmr.method import ACMR

    yield MethodSpec(
        name="acmr",
        factory=ACMR,
        citation=(
            "Fang et al., Learning Aligned Cross-Modal Representation for Generalized Zero-Shot "
            "Classification, AAAI 2022"
        ),
        version="1",
        fidelity="official-code",
        family="Generative: VAE",
        preprocessing="minmax",
        precisions=("float32", "tf32", "bf16"),
        latents=True,
        summary="Two aligned VAEs with a gate on the latent statistics and guided attention.",
    )
