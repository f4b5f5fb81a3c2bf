"""TF-VAEGAN's networks: a generator that is told what a decoder made of its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench import Run
from gzsl_bench.stacked import GANNetworks, Generator, Linear, StackedAdam, per_run
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig, AdaptivePenalty, weighted_l1
from gzsl_bench_feature_gan.f_vaegan import Encoder


class FedGenerator(Generator):
    """Its hidden units get feedback about what it made without."""

    def __init__(
        self,
        generator: Generator,
        decoder: Linear,
        feedback: Sequence[Linear],
        weight: torch.Tensor,
    ) -> None:
        """Share all layers.

        Args:
            generator: works without feedback.
            decoder: features [D] -> [K], as many as the generator has hidden units.
            feedback: [K] -> [K], one after the other.
            weight: [R, 1, 1] of the feedback.
        """
        self.noise, self.hidden, self.output = generator.noise, generator.hidden, generator.output
        self._decoder, self._feedback, self._weight = decoder, feedback, weight

    def of(self, run: int) -> FedGenerator:
        """The generator of one run, for inference."""
        feedback = [layer.of(run) for layer in self._feedback]
        weight = self._weight[run : run + 1]
        return FedGenerator(super().of(run), self._decoder.of(run), feedback, weight)

    def __call__(
        self,
        noise: torch.Tensor,
        attributes: torch.Tensor,
        about: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Noise [R, B, Z] and embeddings [R, B, A] -> features [R, B, D].

        No gradient passes through the decoder, nor through what the feedback is about.

        Args:
            noise: standard normal numbers, say.
            attributes: class embeddings.
            about: [R, B, D] what to give feedback about; else what is made without any.
        """
        hidden = self.hidden(torch.cat([noise, attributes], -1))
        with torch.no_grad():
            told = self._decoder(self.output(hidden) if about is None else about)
        for layer in self._feedback:
            told = layer(told)
        return self.output(hidden + self._weight * told)


class Parts(Encoder):
    """The encoder, and what TF-VAEGAN trains beside it.

    Attributes:
        hidden: features [D] -> leaky ReLU -> [K]: the decoder's first layer.
        output: [K] -> [A], scaled to unit length: its second.
        feedback: [K] -> leaky ReLU -> [K] -> leaky ReLU: what is added to the generator's.
        penalty: weight of the critic's penalty.
        decoded: [R] weight of the decoder's error.
        training: [R] weight of the feedback in training.
        synthesis: [R] weight of the feedback where the classifier's features are made.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        features: int,
        attributes: int,
        noise: int,
        config: AdaptiveConfig,
        how: Mapping[str, Any],
    ) -> None:
        super().__init__(runs, features + attributes, config.encoder_hidden, noise, how)
        units, betas = config.generator_hidden, (config.beta1, config.beta2)
        leaky: dict[str, Any] = {**how, "activation": "leaky_relu"}
        self.hidden = Linear(runs, "decoder/hidden", features, units, **leaky)
        self.output = Linear(runs, "decoder/output", units, attributes, **how)
        self.feedback = [
            Linear(runs, f"feedback/{name}", units, units, **leaky) for name in ("first", "second")
        ]
        self.decoder_adam, self.feedback_adam = (
            StackedAdam([(layers, per_run(runs, rate))], betas=betas)
            for layers, rate in (
                ([self.hidden, self.output], "decoder_lr"),
                (self.feedback, "feedback_lr"),
            )
        )
        self.decoded, self.training, self.synthesis, penalty = (
            self.gamma.new_tensor(per_run(runs, field))
            for field in ("decoded", "feedback", "synthesis_feedback", "penalty")
        )
        self.penalty = AdaptivePenalty(penalty)

    def error(self, features: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """[R] weighted L1 error of the class embeddings [R, B, A] decoded from [R, B, D]."""
        return weighted_l1(F.normalize(self.output(self.hidden(features)), dim=-1), attributes)

    def fed(self, networks: GANNetworks, weight: torch.Tensor) -> FedGenerator:
        """The generator with feedback of this ``weight`` [R]."""
        return FedGenerator(networks.generator, self.hidden, self.feedback, weight[:, None, None])
