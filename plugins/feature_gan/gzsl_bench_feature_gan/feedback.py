"""TF-VAEGAN's networks: a generator that is told what a decoder made of its features."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gzsl_bench.stacked import GANNetworks, Generator, Linear, Maker
from gzsl_bench_feature_gan.adaptive import AdaptivePenalty
from gzsl_bench_feature_gan.decoder import Decoder
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
        decoder: class embeddings from features, and what is fed back.
        feedback: [K] -> leaky ReLU -> [K] -> leaky ReLU: what is added to the generator's.
        penalty: weight of the critic's penalty.
        decoded: [R] weight of the decoder's error.
        training: [R] weight of the feedback in training.
        synthesis: [R] weight of the feedback where the classifier's features are made.
    """

    def __init__(self, make: Maker) -> None:
        super().__init__(make)
        units = make.config.generator_hidden
        self.decoder = Decoder(make)
        self.feedback = [
            make.linear(f"feedback/{name}", units, units, "leaky_relu")
            for name in ("first", "second")
        ]
        self.decoder_adam = make.adam(self.decoder.layers, "decoder_lr")
        self.feedback_adam = make.adam(self.feedback, "feedback_lr")
        self.decoded, self.training, self.synthesis, penalty = make.values(
            "decoded", "feedback", "synthesis_feedback", "penalty"
        )
        self.penalty = AdaptivePenalty(penalty)

    def fed(self, networks: GANNetworks, weight: torch.Tensor) -> FedGenerator:
        """The generator with feedback of this ``weight`` [R]."""
        return FedGenerator(
            networks.generator, self.decoder.hidden, self.feedback, weight[:, None, None]
        )
