"""ZeroDiff: a VAE-GAN that denoises features in a few steps (Ye et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Generators,
    Maker,
    Phase,
    Several,
    embed_in_chunks,
    frozen,
    integers,
    normals,
    uniforms,
)
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig
from gzsl_bench_feature_gan.config import looks, spec
from gzsl_bench_feature_gan.denoising import Parts, Synthesis
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN, vae_terms


class ZeroDiffConfig(AdaptiveConfig):
    """Hyper-parameters of ZeroDiff (released code: zerodiff_DFG_train.py); defaults are AWA2's."""

    lr: float = stackable(5e-4, "learning rate of critics, generator and encoder", gt=0)
    samples: int = Field(5400, ge=1, description="generated features of each unseen class")
    evaluate_every: int = looks(5)
    diffusion_steps: int = Field(4, ge=1, description="steps of noise (paper: T)")
    rate_first: float = Field(0.1, gt=0, description="rate of noise at the first time")
    rate_last: float = Field(20.0, gt=0, description="rate of noise at the last time")
    time_width: int | None = Field(
        None, ge=2, description="width of embedded times; none: that of a class embedding"
    )
    vae: float = stackable(1.0, "weight of reconstruction and KL term", ge=0)
    distillation: float = stackable(5.0, "weight of the critics' mutual distillation", ge=0)
    distillation_power: float = Field(
        1.5, ge=0, description="power of sqrt(alpha bar) that it is weighed with"
    )
    decoded: float = stackable(1.0, "weight of decoded class embeddings' error", ge=0)
    decoder_lr: float = stackable(1e-4, "learning rate of the decoder", gt=0)
    progressive: bool = Field(
        False, description="synthesise in all steps, from the last on; else in one"
    )
    classifier_input: Literal["V", "VS"] = Field(
        "V", description="features alone, or what the decoder makes of them beside"
    )


#: Numbers of samples of f-CLSWGAN's scripts: the released ones are known for AWA2 alone.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"samples": 300},
    "SUN": {"samples": 400},
    "FLO": {"samples": 1200, "time_width": 64},
}


class ZeroDiff(FVAEGAN):
    """f-VAEGAN's generator sees a noisy feature and its time, too, and guesses the clean one.

    Two critics: of clean features given the class, and of features one step less noisy than what
    the generator saw, given that, class and time.  Each is held to the other's opinion of every
    row.  A decoder judges generated features and may widen the classifier's input.

    The released code works on features fine-tuned on seen classes and a second, contrastive set of
    them: a generator of the latter, a third critic and that condition of all networks are left out,
    so no number of the paper compares.  Filled in: the penalty's weight follows the mean of both
    critics', the decoder's term has weight 1, and numbers of samples but for AWA2.
    """

    Config = ZeroDiffConfig
    recipes = RECIPES

    def generator_draws(self, networks: GANNetworks) -> int:
        """For the posterior."""
        return 1

    def other_draws(self, networks: GANNetworks) -> int:
        """Three noises as wide as features in every step of critics and generator."""
        turns: int = self.config.critic_steps + 1
        return 3 * turns * networks.make.batch * networks.make.features

    def parts(self, make: Maker) -> Parts:
        """With decoder, noisy critic and times."""
        return Parts(make)

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """The generator sees a noisy feature and a time beside the class embedding."""
        made = super().networks(task, runs)
        make = made.make
        given = make.attributes + make.features + made.parts.time.second.outputs
        return replace(made, generator=make.generator(given, self.output))

    def synthesiser(self, networks: GANNetworks) -> Synthesis:
        """From noise alone."""
        parts: Parts = networks.parts
        progressive = self.config.progressive
        return Synthesis(networks.generator, parts.time, parts.diffusion, progressive)

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction | None:
        """Features, the decoder's hidden units and the decoded embedding, for ``VS``."""
        if self.config.classifier_input == "V":
            return None
        decode = networks.parts.decoder.of(run)
        return lambda features: embed_in_chunks(lambda x: torch.cat([x, *decode(x)], -1), features)

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Times [.., turns + 1, B], noises [.., turns + 1, 3, B, D], mixes [.., turns, B, 1]."""
        times, noises, mixes = (
            Generators(networks.runs, f"diffusion/{name}")
            for name in ("times", "noise", "interpolation")
        )
        turns, last = self.config.critic_steps, self.config.diffusion_steps
        batch, width, device = networks.make.batch, networks.make.features, networks.task.device
        return lambda steps: [
            integers(times, last, (turns + 1, batch), steps, device),
            normals(noises, (turns + 1, 3, batch, width), steps, device),
            uniforms(mixes, (turns, batch, 1), steps, device),
        ]

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Decoder and critics, then generator and encoder."""
        config: ZeroDiffConfig = self.config
        generator, clean, parts = networks.generator, networks.critic, networks.parts
        turns, diffusion, noisy = config.critic_steps, parts.diffusion, parts.critic
        vae, distillation, decoded = networks.make.values("vae", "distillation", "decoded")

        def noised(batch: Batch) -> tuple[torch.Tensor, ...]:
            """Times, a noisier pair and noise for the way back."""
            index, noise = batch.own_now(0), batch.own_now(1)
            pair = diffusion.pair(batch.features, index, noise[:, 0], noise[:, 1])
            return index, *pair, noise[:, 2]

        def made(
            z: torch.Tensor, a: torch.Tensor, index: torch.Tensor, further: torch.Tensor,
            noise: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
            found = generator(z, torch.cat([a, further, parts.time(index)], -1))
            return found, diffusion.back(found, further, index, noise)

        def of_decoder(batch: Batch) -> dict[str, torch.Tensor]:
            return {"loss": parts.decoder.error(batch.features, batch.attributes)}

        def of_critics(batch: Batch) -> dict[str, torch.Tensor]:
            x, a, (index, less, further, noise) = batch.features, batch.attributes, noised(batch)
            with torch.no_grad():
                fake, fake_less = made(self.latent(networks, batch), a, index, further, noise)
            given = torch.cat([further, a, parts.critic_time(index)], -1)
            of_clean = clean.losses(x, fake, a, batch.mix)
            of_noisy = noisy.losses(less, fake_less, given, batch.own_now(2))
            real, generated, penalty = (p + q for p, q in zip(of_clean, of_noisy, strict=True))
            parts.penalty.seen(penalty / 2)
            opinion = clean(x, a) - clean(fake, a)
            other = noisy(less, given) - noisy(fake_less, given)
            apart = (opinion - other.detach()).square() + (opinion.detach() - other).square()
            apart = (apart * diffusion.clean[index] ** config.distillation_power).mean(1)
            loss = parts.gamma * (generated - real + parts.penalty.weight * penalty)
            loss = loss + distillation * apart
            return {
                "wasserstein": real - generated, "penalty": penalty, "apart": apart, "loss": loss
            }  # fmt: skip

        def of_generator(batch: Batch) -> dict[str, torch.Tensor]:
            if config.adaptive_penalty:
                parts.penalty.adapt(turns)
            x, a, (index, _, further, noise) = batch.features, batch.attributes, noised(batch)
            mu, logvar = parts(x, a)
            z = mu + batch.noise * torch.exp(0.5 * logvar)
            found, less = made(z, a, index, further, noise)
            terms = vae_terms(x, found, mu, logvar)
            constant = (*clean.layers, *noisy.layers, *parts.critic_time.layers)
            with frozen(*constant, *parts.decoder.layers):
                given = torch.cat([further, a, parts.critic_time(index)], -1)
                terms["adversarial"] = -(clean(found, a) + noisy(less, given)).mean(1)
                terms["decoded"] = parts.decoder.error(found, a)
            loss = vae * (terms["reconstruction"] + terms["kl"])
            loss = loss + parts.gamma * terms["adversarial"]
            return terms | {"loss": loss + decoded * terms["decoded"]}

        adam, in_turn = partial(self.adam, networks), partial(self.in_turn, networks)
        decoder = adam(parts.decoder.layers, rate="decoder_lr")
        critics = adam([*clean.layers, *noisy.layers, *parts.critic_time.layers])
        makers = Several(
            adam([*generator.layers, *parts.time.layers]),
            adam(parts.layers, beta1=config.encoder_beta1),
        )
        before = [Phase(decoder, in_turn(of_decoder), "decoder/")]
        return [
            Phase(critics, in_turn(of_critics), "critic/", turns, before=before),
            Phase(makers, self.after_turns(networks, of_generator), "generator/"),
        ]


SPEC = spec(
    name="zerodiff",
    factory=ZeroDiff,
    citation="Ye et al., ZeroDiff: Solidified Visual-Semantic Correlation in Zero-Shot Learning, "
    "ICLR 2025",
    summary="A VAE-GAN whose generator denoises features in a few diffusion steps.",
)
