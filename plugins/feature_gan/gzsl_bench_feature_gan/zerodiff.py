"""ZeroDiff: a VAE-GAN that denoises features in a few steps (Ye et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from gzsl_bench import Config as BaseConfig
from gzsl_bench import Run, Task
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import GANNetworks, Phase, Several, embed_in_chunks
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.denoising_gan import DenoisingGAN
from gzsl_bench_feature_gan.denoising_losses import Losses
from gzsl_bench_feature_gan.second_gan import trained_maker
from gzsl_bench_feature_gan.second_set import Stage, first_set


class ZeroDiff(DenoisingGAN):
    """f-VAEGAN's generator sees a noisy feature and its time, too, and guesses the clean one.

    Two critics: of clean features given the class, and of features one step less noisy than what
    the generator saw, given that, class and time.  Each is held to the other's opinion of every
    row.  A decoder judges generated features and may widen the classifier's input.

    A second feature set of the same images (the paper: contrastive features) is a condition of
    generator and noisy critic, and a third critic tells features given it alone.  A generator of
    its own, trained before, makes it for unseen classes: the same model, of adversarial terms only.

    The released code works on two sets that were fine-tuned on seen classes, so no number of the
    paper compares.  As released, the penalties' weight follows the sum of all critics' penalties.
    Filled in: without a second set that is the sum of two; numbers of samples but for AWA2.
    """

    @classmethod
    def differs(cls, config: BaseConfig) -> str:
        """The features."""
        return "frozen features, where the paper takes two sets fine-tuned on seen classes"

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """With a second feature set the generator of that is trained here."""
        if not self.config.second or task.second is None:
            return super().networks(replace(task, second=None), runs)
        second, total = trained_maker(task, runs, self.config)
        later: Any = [Stage(run, before=total) for run in runs]
        made = super().networks(task, later)
        made.parts.second.made = second
        return made

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction | None:
        """Features, the decoder's hidden units and the decoded embedding, for ``VS``."""
        if self.config.classifier_input == "V":
            return None if networks.parts.second is None else first_set
        decode = networks.parts.decoder.of(run)

        def encode(features: torch.Tensor) -> torch.Tensor:
            return torch.cat([features, *decode(features)], -1)

        return lambda images: embed_in_chunks(encode, first_set(images))

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Decoder and critics, then generator and encoder."""
        parts, losses = networks.parts, Losses(self, networks)
        adam, in_turn = partial(self.adam, networks), partial(self.in_turn, networks)
        decoder = adam(parts.decoder.layers, rate="decoder_lr")
        makers = [*networks.generator.layers, *parts.time.layers]
        if parts.second is not None:
            makers += parts.second.generator.layers
        critics = adam(losses.critics_layers)
        encoder = adam(parts.layers, beta1=self.config.encoder_beta1)
        before = [Phase(decoder, in_turn(losses.of_decoder), "decoder/")]
        turns, last = self.config.critic_steps, self.after_turns(networks, losses.of_generator)
        return [
            Phase(critics, in_turn(losses.of_critics), "critic/", turns, before=before),
            Phase(Several(adam(makers), encoder), last, "generator/"),
        ]


SPEC = spec(
    name="zerodiff",
    factory=ZeroDiff,
    citation="Ye et al., ZeroDiff: Solidified Visual-Semantic Correlation in Zero-Shot Learning, "
    "ICLR 2025",
    version="2",
    wants=("second",),
    summary="A VAE-GAN whose generator denoises features in a few diffusion steps.",
)
