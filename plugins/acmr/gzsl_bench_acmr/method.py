"""ACMR as a method of the harness: what it adds to a cross-modal VAE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gzsl_bench import DatasetInfo, Run
from gzsl_bench.stacked import CrossModalVAE, Generators, Linear, per_run, permutations
from gzsl_bench_acmr.config import ACMRConfig, defaults
from gzsl_bench_acmr.losses import StepDraws, acmr_losses
from gzsl_bench_acmr.networks import ACMRModel


class ACMR(CrossModalVAE[ACMRModel]):
    """Aligned Cross-Modal Representation (Fang et al., AAAI 2022), after the released code.

    One deviation: the released code draws a new channel shuffle for each of the two test sets; here
    test rows come in one call, and a run's shuffle for them is drawn once.  So is the one for all
    images that the classifier learns from, and the one for all embeddings.
    """

    Config = ACMRConfig
    networks = ACMRModel
    warm_ups = ("kl", "distance", "classification")
    first_checkpoint = 2

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's for data sets outside the paper."""
        return defaults(dataset)

    def groups(
        self, runs: Sequence[Run], networks: ACMRModel
    ) -> list[tuple[Sequence[Linear], Sequence[float]]]:
        """Autoencoders, gates and heads learn at rates of their own."""
        return [
            (networks.autoencoder_layers, per_run(runs, "vae_lr")),
            (networks.gate_layers, per_run(runs, "iem_lr")),
            (networks.heads, per_run(runs, "vsa_lr")),
        ]

    def more_draws(
        self, runs: Sequence[Run], device: torch.device
    ) -> Callable[[int], list[torch.Tensor]]:
        """A shuffle of the channels for each modality's gate."""
        streams = [Generators(runs, f"permutations/{name}") for name in ("visual", "attribute")]
        channels = 2 * self.config.latent
        return lambda steps: [permutations(each, channels, steps, device) for each in streams]

    def losses(
        self,
        networks: ACMRModel,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        draws: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """See :func:`acmr_losses`."""
        return acmr_losses(networks, features, attributes, labels, StepDraws(*draws), weights)

    def statistics(
        self, networks: ACMRModel, number: int, run: Run, modality: str, purpose: str
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Encoder and gate of one run, by the one shuffle of all its calls for ``purpose``."""
        encoder = super().statistics(networks, number, run, modality, purpose)
        if modality not in networks.gates:
            return encoder
        gate = networks.gates[modality].of(number)
        stream = Generators([run], f"permutations/{purpose}")
        shuffle = permutations(stream, 2 * self.config.latent, 1, run.device)[0]
        return lambda x: gate(encoder(x), shuffle)
