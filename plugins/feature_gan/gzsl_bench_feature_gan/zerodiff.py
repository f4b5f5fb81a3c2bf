"""ZeroDiff: a VAE-GAN that denoises features in a few steps (Ye et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import Config as BaseConfig
from gzsl_bench import Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Generators,
    Maker,
    Phase,
    Progress,
    Several,
    embed_in_chunks,
    frozen,
    integers,
    normals,
    uniforms,
)
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig
from gzsl_bench_feature_gan.config import looks, spec
from gzsl_bench_feature_gan.denoising import Noised, Parts, Synthesis
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN, vae_terms
from gzsl_bench_feature_gan.second_set import SecondSet, Stage, first_set


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
    second: bool = Field(
        True,
        description="generate features given those of a second set, where the data set's entry"
        " names one; else the first set stands alone",
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

    A second feature set of the same images (the paper: contrastive features) is a condition of
    generator and noisy critic, and a third critic tells features given it alone.  A generator of
    its own, trained before, makes it for unseen classes: the same model, of adversarial terms only.

    The released code works on two sets that were fine-tuned on seen classes, so no number of the
    paper compares.  As released, the penalties' weight follows the sum of all critics' penalties.
    Filled in: without a second set that is the sum of two; numbers of samples but for AWA2.
    """

    Config = ZeroDiffConfig
    recipes = RECIPES

    @classmethod
    def differs(cls, config: BaseConfig) -> str:
        """The features."""
        return "frozen features, where the paper takes two sets fine-tuned on seen classes"

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
        """The generator sees a noisy feature and a time beside the class embedding.

        With a second feature set the generator of that is trained here.
        """
        if not self.config.second:
            task = replace(task, second=None)
        if task.second is None:
            return self._conditioned(super().networks(task, runs))
        second, total = trained_maker(task, runs, self.config)
        later: Any = [Stage(run, before=total) for run in runs]
        made = super().networks(task, later)
        made.parts.second.made = second
        return self._conditioned(made)

    def _conditioned(self, made: GANNetworks) -> GANNetworks:
        """With the generator that sees all this."""
        make, parts = made.make, made.parts
        given = make.attributes + make.features + parts.time.second.outputs
        given += parts.second.width if parts.second else 0
        return replace(made, generator=make.generator(given, self.output))

    def synthesiser(self, networks: GANNetworks) -> Synthesis:
        """From noise alone."""
        parts: Parts = networks.parts
        second = (parts.second.made, parts.second.generator) if parts.second else None
        progressive = self.config.progressive
        return Synthesis(networks.generator, parts.time, parts.diffusion, progressive, second)

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction | None:
        """Features, the decoder's hidden units and the decoded embedding, for ``VS``."""
        if self.config.classifier_input == "V":
            return None if networks.parts.second is None else first_set
        decode = networks.parts.decoder.of(run)

        def encode(features: torch.Tensor) -> torch.Tensor:
            return torch.cat([features, *decode(features)], -1)

        return lambda images: embed_in_chunks(encode, first_set(images))

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Times [.., turns + 1, B], noises [.., turns + 1, 3, B, D], mixes [.., turns, B, 1].

        Mixes are for the noisy critic, and for that of the second set where there is one.
        """
        times, noises, *mixes = (
            Generators(networks.runs, f"diffusion/{name}")
            for name in ("times", "noise", "interpolation", "interpolation/second")
        )
        mixes = mixes if networks.parts.second is not None else mixes[:1]
        turns, last = self.config.critic_steps, self.config.diffusion_steps
        batch, width, device = networks.make.batch, networks.make.features, networks.task.device
        return lambda steps: [
            integers(times, last, (turns + 1, batch), steps, device),
            normals(noises, (turns + 1, 3, batch, width), steps, device),
            *(uniforms(source, (turns, batch, 1), steps, device) for source in mixes),
        ]

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Decoder and critics, then generator and encoder."""
        config: ZeroDiffConfig = self.config
        generator, clean, parts = networks.generator, networks.critic, networks.parts
        turns, diffusion, noisy = config.critic_steps, parts.diffusion, parts.critic
        second: SecondSet | None = parts.second
        vae, distillation, decoded = networks.make.values("vae", "distillation", "decoded")

        def of_decoder(batch: Batch) -> dict[str, torch.Tensor]:
            return {"loss": parts.decoder.error(batch.features, batch.attributes)}

        def of_critics(batch: Batch) -> dict[str, torch.Tensor]:
            x, a, noised = batch.features, batch.attributes, Noised(parts, batch)
            index, less, further = noised.index, noised.less, noised.further
            with torch.no_grad():
                shown = [a, further, parts.time(index), *parts.of_second(batch, "generator")]
                fake = generator(self.latent(networks, batch), torch.cat(shown, -1))
                fake_less = noised.back(fake)
            more = parts.of_second(batch, "critics")
            given = torch.cat([further, a, parts.critic_time(index), *more], -1)
            judged = [
                (clean, x, fake, a, batch.mix),
                (noisy, less, fake_less, given, batch.own_now(2)),
            ]
            if second is not None:
                judged.append((second.critic, x, fake, *more, batch.own_now(3)))
            losses = [critic.losses(*seen) for critic, *seen in judged]
            real, generated, penalty = (
                sum(each[1:], each[0]) for each in zip(*losses, strict=True)
            )
            parts.penalty.seen(penalty)
            opinions = [
                critic(true, by) - critic(false, by) for critic, true, false, by, _ in judged
            ]
            weight = diffusion.clean[index] ** config.distillation_power
            apart = distances(opinions[0], opinions[1]) * weight
            if second is not None:
                apart = apart + distances(opinions[2], opinions[1]) * weight
                apart = apart + distances(opinions[0], opinions[2])
            apart = apart.mean(1)
            loss = parts.gamma * (generated - real + parts.penalty.weight * penalty)
            loss = loss + distillation * apart
            return {
                "wasserstein": real - generated, "penalty": penalty, "apart": apart, "loss": loss
            }  # fmt: skip

        def of_generator(batch: Batch) -> dict[str, torch.Tensor]:
            if config.adaptive_penalty:
                parts.penalty.adapt(turns)
            x, a, noised = batch.features, batch.attributes, Noised(parts, batch)
            index, further = noised.index, noised.further
            mu, logvar = parts(x, a)
            z = mu + batch.noise * torch.exp(0.5 * logvar)
            shown = [a, further, parts.time(index), *parts.of_second(batch, "generator")]
            found = generator(z, torch.cat(shown, -1))
            found_less = noised.back(found)
            terms = vae_terms(x, found, mu, logvar)
            with frozen(*of_critics_layers, *parts.decoder.layers):
                more = parts.of_second(batch, "critics")
                given = torch.cat([further, a, parts.critic_time(index), *more], -1)
                opinion = clean(found, a) + noisy(found_less, given)
                if second is not None:
                    opinion = opinion + second.critic(found, *more)
                terms["adversarial"] = -opinion.mean(1)
                terms["decoded"] = parts.decoder.error(found, a)
            loss = vae * (terms["reconstruction"] + terms["kl"])
            loss = loss + parts.gamma * terms["adversarial"]
            return terms | {"loss": loss + decoded * terms["decoded"]}

        adam, in_turn = partial(self.adam, networks), partial(self.in_turn, networks)
        decoder = adam(parts.decoder.layers, rate="decoder_lr")
        of_generator_layers = [*generator.layers, *parts.time.layers]
        of_critics_layers = [*clean.layers, *noisy.layers, *parts.critic_time.layers]
        if second is not None:
            of_generator_layers += second.generator.layers
            of_critics_layers += [*second.critics.layers, *second.critic.layers]
        critics = adam(of_critics_layers)
        makers = Several(
            adam(of_generator_layers),
            adam(parts.layers, beta1=config.encoder_beta1),
        )
        before = [Phase(decoder, in_turn(of_decoder), "decoder/")]
        return [
            Phase(critics, in_turn(of_critics), "critic/", turns, before=before),
            Phase(makers, self.after_turns(networks, of_generator), "generator/"),
        ]


class SecondSetGAN(ZeroDiff):
    """The generator of the second set (paper: DRG): adversarial terms alone, from noise.

    In training it is shown features as noisy as what its guess becomes, as released: the authors
    found the formula's, one step noisier, to be worse.
    """

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Two critics of equal weight, then the generator."""
        generator, clean, parts = networks.generator, networks.critic, networks.parts
        noisy = parts.critic

        def made(batch: Batch, noised: Noised) -> torch.Tensor:
            given = [batch.attributes, noised.less, parts.time(noised.index)]
            return generator(batch.noise, torch.cat(given, -1))

        def given(batch: Batch, noised: Noised) -> torch.Tensor:
            return torch.cat(
                [noised.further, batch.attributes, parts.critic_time(noised.index)], -1
            )

        def of_critics(batch: Batch) -> dict[str, torch.Tensor]:
            noised = Noised(parts, batch)
            with torch.no_grad():
                fake = made(batch, noised)
                fake_less = noised.back(fake)
            a, of_noisy = batch.attributes, given(batch, noised)
            one = clean.losses(batch.features, fake, a, batch.mix)
            other = noisy.losses(noised.less, fake_less, of_noisy, batch.own_now(2))
            real, generated, penalty = (p + q for p, q in zip(one, other, strict=True))
            loss = generated - real + batch.factors[0] * penalty
            return {"wasserstein": real - generated, "penalty": penalty, "loss": loss}

        def of_generator(batch: Batch) -> dict[str, torch.Tensor]:
            noised = Noised(parts, batch)
            fake = made(batch, noised)
            with frozen(*clean.layers, *noisy.layers, *parts.critic_time.layers):
                opinion = noisy(noised.back(fake), given(batch, noised))
                return {"loss": -(clean(fake, batch.attributes) + opinion).mean(1)}

        critics = [*clean.layers, *noisy.layers, *parts.critic_time.layers]
        makers = self.adam(networks, [*generator.layers, *parts.time.layers])
        return [
            Phase(
                self.adam(networks, critics),
                self.in_turn(networks, of_critics),
                "critic/",
                self.config.critic_steps,
            ),
            Phase(makers, self.after_turns(networks, of_generator), "generator/"),
        ]

    def evaluation(self, networks: GANNetworks) -> tuple[Callable[[int, Progress], None], int]:
        """Nothing is scored."""
        return lambda epoch, progress: None, 0


def trained_maker(task: Task, runs: Sequence[Run], config: ZeroDiffConfig) -> tuple[Synthesis, int]:
    """What makes features of the second set, and what its training was worth in progress."""
    assert task.second is not None
    aside: Any = [Stage(run, "second/") for run in runs]
    method = SecondSetGAN(config.model_copy(update={"progressive": False}))
    networks = method.networks(replace(task, features=task.second, second=None), aside)
    method._fit_stack(networks)
    return method.synthesiser(networks), max(run.total for run in aside)


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
