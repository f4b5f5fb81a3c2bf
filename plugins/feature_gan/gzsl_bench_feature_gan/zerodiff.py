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
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Linear,
    Phase,
    Several,
    embed_in_chunks,
    frozen,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.denoising import Noised, Parts
from gzsl_bench_feature_gan.denoising_gan import DenoisingGAN
from gzsl_bench_feature_gan.f_vaegan import vae_terms
from gzsl_bench_feature_gan.second_gan import trained_maker
from gzsl_bench_feature_gan.second_set import Stage, first_set
from gzsl_bench_feature_gan.zerodiff_config import ZeroDiffConfig


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


class Losses:
    """What decoder, critics and generator minimise, each per run: [R]."""

    def __init__(self, method: ZeroDiff, networks: GANNetworks) -> None:
        self.method, self.networks = method, networks
        # Here, not in a step: a captured step may not copy from the host.
        self.vae, self.distillation, self.decoded = networks.make.values(
            "vae", "distillation", "decoded"
        )

    @property
    def critics_layers(self) -> list[Linear]:
        """Of all critics, and of what embeds times and the second set for them."""
        parts: Parts = self.networks.parts
        layers = [*self.networks.critic.layers, *parts.critic.layers, *parts.critic_time.layers]
        if parts.second is not None:
            layers += [*parts.second.critics.layers, *parts.second.critic.layers]
        return layers

    def of_decoder(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Its error on real features."""
        decoder = self.networks.parts.decoder
        return {"loss": decoder.error(batch.features, batch.attributes)}

    def _made(self, batch: Batch, noised: Noised, latent: torch.Tensor) -> torch.Tensor:
        """The generator's guess [R, B, D] of the clean features."""
        parts: Parts = self.networks.parts
        given = [batch.attributes, noised.further, parts.time(noised.index)]
        given += parts.of_second(batch, "generator")
        return self.networks.generator(latent, torch.cat(given, -1))

    def _given(self, batch: Batch, noised: Noised, more: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the critic of noisy features judges them by; ``more`` is of the second set."""
        times = self.networks.parts.critic_time(noised.index)
        return torch.cat([noised.further, batch.attributes, times, *more], -1)

    def of_critics(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Wasserstein terms, penalties, and how far the critics' opinions are apart."""
        config: ZeroDiffConfig = self.method.config
        parts: Parts = self.networks.parts
        x, a, noised = batch.features, batch.attributes, Noised(parts, batch)
        with torch.no_grad():
            fake = self._made(batch, noised, self.method.latent(self.networks, batch))
            fake_less = noised.back(fake)
        more = parts.of_second(batch, "critics")
        judged = [
            (self.networks.critic, x, fake, a, batch.mix),
            (
                parts.critic, noised.less, fake_less, self._given(batch, noised, more),
                batch.own_now(2),
            ),
        ]  # fmt: skip
        if parts.second is not None:
            (second,) = more
            judged.append((parts.second.critic, x, fake, second, batch.own_now(3)))
        losses = [critic.losses(*seen) for critic, *seen in judged]
        real, generated, penalty = (sum(each[1:], each[0]) for each in zip(*losses, strict=True))
        parts.penalty.seen(penalty)
        opinions = [critic(true, by) - critic(false, by) for critic, true, false, by, _ in judged]
        weight = parts.diffusion.clean[noised.index] ** config.distillation_power
        apart = distances(opinions[0], opinions[1]) * weight
        if parts.second is not None:
            apart = apart + distances(opinions[2], opinions[1]) * weight
            apart = apart + distances(opinions[0], opinions[2])
        apart = apart.mean(1)
        loss = parts.gamma * (generated - real + parts.penalty.weight * penalty)
        loss = loss + self.distillation * apart
        return {
            "wasserstein": real - generated, "penalty": penalty, "apart": apart, "loss": loss
        }  # fmt: skip

    def of_generator(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Those of a VAE, of all critics, and the decoder's error on what was guessed."""
        config: ZeroDiffConfig = self.method.config
        parts: Parts = self.networks.parts
        if config.adaptive_penalty:
            parts.penalty.adapt(config.critic_steps)
        x, a, noised = batch.features, batch.attributes, Noised(parts, batch)
        mu, logvar = parts(x, a)
        found = self._made(batch, noised, mu + batch.noise * torch.exp(0.5 * logvar))
        found_less = noised.back(found)
        terms = vae_terms(x, found, mu, logvar)
        with frozen(*self.critics_layers, *parts.decoder.layers):
            more = parts.of_second(batch, "critics")
            given = self._given(batch, noised, more)
            opinion = self.networks.critic(found, a) + parts.critic(found_less, given)
            if parts.second is not None:
                opinion = opinion + parts.second.critic(found, *more)
            terms["adversarial"] = -opinion.mean(1)
            terms["decoded"] = parts.decoder.error(found, a)
        loss = self.vae * (terms["reconstruction"] + terms["kl"])
        loss = loss + parts.gamma * terms["adversarial"]
        return terms | {"loss": loss + self.decoded * terms["decoded"]}


def distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """[R, B] squared differences of opinions, each drawn to the other."""
    return (one - other.detach()).square() + (one.detach() - other).square()


SPEC = spec(
    name="zerodiff",
    factory=ZeroDiff,
    citation="Ye et al., ZeroDiff: Solidified Visual-Semantic Correlation in Zero-Shot Learning, "
    "ICLR 2025",
    version="2",
    wants=("second",),
    summary="A VAE-GAN whose generator denoises features in a few diffusion steps.",
)
