"""TF-VAEGAN: f-VAEGAN with feedback from a decoder (Narayan et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Maker,
    Optimizer,
    Phase,
    Several,
    Terms,
    embed_in_chunks,
    frozen,
)
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig, AdaptiveVAEGAN
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.feedback import FedGenerator, Parts


class TFVAEGANConfig(AdaptiveConfig):
    """Hyper-parameters of TF-VAEGAN (released code: train_tfvaegan_inductive.py); CUB's."""

    generator_hidden: int = Field(4096, ge=1, description="hidden units, of each added part, too")
    decoded: float = stackable(0.01, "weight of decoded class embeddings' error", ge=0)
    decoder_lr: float = stackable(1e-4, "learning rate of the decoder", gt=0)
    freeze_decoder: bool = Field(
        False, description="the decoder learns from real features alone, not in generator steps"
    )
    feedback: float = stackable(1.0, "weight of the feedback in training (code: a1)", ge=0)
    feedback_lr: float = stackable(1e-5, "learning rate of the feedback", gt=0)
    synthesis_feedback: float = stackable(
        1.0, "weight of the feedback where the classifier's features are made (code: a2)", ge=0
    )


_AWA: Mapping[str, Any] = {
    "lr": 1e-5, "epochs": 120, "samples": 1800, "decoded": 0.1, "freeze_decoder": True,
    "feedback": 0.01, "feedback_lr": 1e-4, "synthesis_feedback": 0.01,
}  # fmt: skip
_FLO: Mapping[str, Any] = {
    "lr": 1e-4, "epochs": 500, "samples": 1200, "encoded_noise": False, "feedback": 0.5,
    "synthesis_feedback": 0.5,
}  # fmt: skip
#: The released scripts of CUB, SUN, AWA2 and FLO; AWA1 takes AWA2's, aPY FLO's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"lr": 1e-4, "epochs": 300, "samples": 300},
    "SUN": {
        "lr": 1e-3, "epochs": 400, "samples": 400, "classifier_lr": 5e-4, "gamma": 1.0,
        "feedback": 0.1, "feedback_lr": 1e-4, "synthesis_feedback": 0.01,
    },
    "AWA1": _AWA,
    "AWA2": _AWA,
    "APY": _FLO,
    "FLO": _FLO,
}  # fmt: skip


class TFVAEGAN(AdaptiveVAEGAN):
    """f-VAEGAN, and a decoder from features to class embeddings that judges and feeds back.

    An epoch has two passes, the second with feedback: the decoder's hidden units of what was
    generated, through two layers, are added to the generator's.  The classifier sees features
    beside the decoded embedding and the decoder's hidden units.  As released: the decoder learns
    before every step of the critic and, unless frozen, in the generator's; with prior noise the
    feedback about features made from it is that of the reconstruction; features are synthesised
    with feedback from the first epoch on; the penalty's weight follows its mean over a step.

    Deviations: a classifier is trained after every 20th GAN epoch and the last (released: after
    each; ``evaluate_every: 1``), and T1 comes from it rather than from a second one among unseen
    classes.  The factor before the critic's whole loss, of which Adam sees nothing, is left out.
    """

    Config = TFVAEGANConfig
    recipes = RECIPES

    def parts(self, make: Maker) -> Parts:
        """With decoder and feedback."""
        return Parts(make)

    def more_terms(self, networks: GANNetworks) -> Terms:
        """The decoder's error on what the critic judges."""
        parts: Parts = networks.parts
        constant = parts.decoder.layers if self.config.freeze_decoder else ()

        def decoded(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            with frozen(*constant):
                error = parts.decoder.error(generated, batch.attributes)
            return {"decoded": (parts.decoded, error)}

        return decoded

    def from_noise(
        self, networks: GANNetworks, batch: Batch, reconstruction: torch.Tensor
    ) -> torch.Tensor:
        """With the feedback about the reconstruction, as released."""
        if isinstance(networks.generator, FedGenerator):
            return networks.generator(batch.noises[:, 1], batch.attributes, reconstruction)
        return super().from_noise(networks, batch, reconstruction)

    def passes(self, networks: GANNetworks) -> list[Sequence[Phase]]:
        """Without feedback, then with; the optimisers are the same."""
        parts: Parts = networks.parts

        def of_decoder(batch: Batch) -> dict[str, torch.Tensor]:
            error = parts.decoder.error(batch.features, batch.attributes)
            return {"error": error, "loss": parts.decoded * error}

        loss = self.in_turn(networks, of_decoder)
        before, before_fed = (
            [Phase(parts.decoder_adam, loss, f"{name}decoder/")] for name in ("", "feedback/")
        )
        critic, generator = self.phases(networks)
        fed = replace(networks, generator=parts.fed(networks, parts.training))
        of_critic, of_generator = (phase.loss for phase in self.phases(fed))
        both = Several(generator.optimizer, parts.feedback_adam)
        with_feedback = [
            replace(critic, loss=of_critic, name="feedback/critic/", before=before_fed),
            replace(generator, loss=of_generator, name="feedback/generator/", optimizer=both),
        ]
        return [[replace(critic, before=before), generator], with_feedback]

    def optimizer(self, networks: GANNetworks) -> Optimizer:
        """The generator's, the encoder's, and the decoder's unless it is frozen."""
        others = [] if self.config.freeze_decoder else [networks.parts.decoder_adam]
        return Several(super().optimizer(networks), *others)

    def synthesiser(self, networks: GANNetworks) -> FedGenerator:
        """The generator with feedback."""
        parts: Parts = networks.parts
        return parts.fed(networks, parts.synthesis)

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction:
        """Features, the decoded class embedding and the decoder's hidden units side by side."""
        decode = networks.parts.decoder.of(run)

        def encode(features: torch.Tensor) -> torch.Tensor:
            return torch.cat([features, *reversed(decode(features))], -1)

        return lambda features: embed_in_chunks(encode, features)


SPEC = spec(
    name="tf_vaegan",
    factory=TFVAEGAN,
    citation="Narayan et al., Latent Embedding Feedback and Discriminative Features for Zero-Shot "
    "Classification, ECCV 2020",
    fidelity="official-code",
    summary="f-VAEGAN with a decoder of class embeddings that feeds back and refines features.",
)
