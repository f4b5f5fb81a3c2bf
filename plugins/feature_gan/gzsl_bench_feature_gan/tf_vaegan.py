"""TF-VAEGAN: f-VAEGAN with feedback from a decoder (Narayan et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    GANNetworks,
    Phase,
    Several,
    Terms,
    embed_in_chunks,
    frozen,
)
from gzsl_bench_feature_gan.adaptive import (
    AdaptiveConfig,
    AdaptiveVAEGAN,
)
from gzsl_bench_feature_gan.feedback import FedGenerator, Parts


class TFVAEGANConfig(AdaptiveConfig):
    """Hyper-parameters of TF-VAEGAN (released code: train_tfvaegan_inductive.py); CUB's."""

    generator_hidden: int = Field(
        4096, ge=1, description="hidden units of the generator, the decoder and the feedback"
    )
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

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    def encoder(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int, how: dict[str, Any]
    ) -> Parts:
        """With decoder and feedback."""
        return Parts(runs, features, attributes, noise, self.config, how)

    def step_terms(self, networks: GANNetworks, more: Terms, *drawn: torch.Tensor) -> Terms:
        """The decoder's error on what the critic judges."""
        parts: Parts = networks.encoder
        constant = (parts.hidden, parts.output) if self.config.freeze_decoder else ()

        def decoded(
            generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
        ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
            with frozen(*constant):
                return {"decoded": (parts.decoded, parts.error(generated, attributes))}

        return decoded

    def from_noise(
        self,
        networks: GANNetworks,
        noise: torch.Tensor,
        attributes: torch.Tensor,
        reconstruction: torch.Tensor,
    ) -> torch.Tensor:
        """With the feedback about the reconstruction, as released."""
        if isinstance(networks.generator, FedGenerator):
            return networks.generator(noise, attributes, reconstruction)
        return super().from_noise(networks, noise, attributes, reconstruction)

    def passes(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> list[Sequence[Phase]]:
        """Without feedback, then with; the optimisers are the same."""
        parts: Parts = networks.encoder

        def of_decoder(
            factors: Sequence[torch.Tensor], turn: int, picked: torch.Tensor, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            rows = picked[:, turn]
            error = parts.error(task.features[rows], networks.embeddings[task.labels[rows]])
            return {"error": error, "loss": parts.decoded * error}

        def before(name: str) -> list[Phase]:
            return [Phase(parts.decoder_adam, of_decoder, f"{name}decoder/")]

        critic, generator = self.phases(task, runs, networks)
        fed = replace(networks, generator=parts.fed(networks, parts.training))
        of_critic, of_generator = (phase.loss for phase in self.phases(task, runs, fed))
        with_feedback = [
            replace(critic, loss=of_critic, name="feedback/critic/", before=before("feedback/")),
            replace(
                generator,
                loss=of_generator,
                name="feedback/generator/",
                optimizer=Several(generator.optimizer, parts.feedback_adam),
            ),
        ]
        return [[replace(critic, before=before("")), generator], with_feedback]

    def optimizer(self, runs: Sequence[Run], networks: GANNetworks) -> Several:
        """The generator's, the encoder's, and the decoder's unless it is frozen."""
        others = [] if self.config.freeze_decoder else [networks.encoder.decoder_adam]
        return Several(super().optimizer(runs, networks), *others)

    def synthesiser(self, networks: GANNetworks) -> FedGenerator:
        """The generator with feedback."""
        parts: Parts = networks.encoder
        return parts.fed(networks, parts.synthesis)

    def representation(
        self, networks: GANNetworks, run: int
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Features, the decoded class embedding and the decoder's hidden units side by side."""
        hidden, output = networks.encoder.hidden.of(run), networks.encoder.output.of(run)

        def encode(features: torch.Tensor) -> torch.Tensor:
            units = hidden(features)
            return torch.cat([features, F.normalize(output(units), dim=-1), units], -1)

        return lambda features: embed_in_chunks(encode, features)


SPEC = MethodSpec(
    name="tf_vaegan",
    factory=TFVAEGAN,
    citation="Narayan et al., Latent Embedding Feedback and Discriminative Features for Zero-Shot "
    "Classification, ECCV 2020",
    version="1",
    fidelity="official-code",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="f-VAEGAN with a decoder of class embeddings that feeds back and refines features.",
)
