"""CADA-VAE: aligned variational autoencoders for generalized zero-shot learning."""

from __future__ import annotations

from collections.abc import Iterator

from gzsl_bench import MethodSpec, hookimpl


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """The one method of this plugin."""
    from gzsl_bench_cada_vae.method import CADAVAE

    yield MethodSpec(
        name="cada_vae",
        factory=CADAVAE,
        citation=(
            "Schönfeld et al., Generalized Zero- and Few-Shot Learning via Aligned Variational "
            "Autoencoders, CVPR 2019"
        ),
        version="1",
        fidelity="official-code",
        family="Generative: VAE",
        preprocessing="minmax",
        precisions=("float32", "tf32", "bf16"),
        latents=True,
        summary="Two VAEs tied by cross-reconstruction and by the distance of their posteriors.",
    )
