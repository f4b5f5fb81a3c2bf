"""ZeroDiff: a VAE-GAN that denoises features in a few steps (Ye et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Critic,
    Diffusion,
    GANNetworks,
    Generator,
    Generators,
    Linear,
    Phase,
    Several,
    StackedAdam,
    TimeEmbedding,
    embed_in_chunks,
    frozen,
    kl_divergence,
    normals,
    per_run,
)
from gzsl_bench.stacked.gan.networks import CHUNK
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig, AdaptivePenalty, weighted_l1
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN, Encoder


class ZeroDiffConfig(AdaptiveConfig):
    """Hyper-parameters of ZeroDiff (released code: zerodiff_DFG_train.py); defaults are AWA2's."""

    lr: float = stackable(5e-4, "learning rate of critics, generator and encoder", gt=0)
    samples: int = Field(5400, ge=1, description="generated features of each unseen class")
    evaluate_every: int = Field(
        5, ge=0, description="train a classifier after every so many GAN epochs; 0: after the last"
    )
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


class Parts(Encoder):
    """The encoder, and what is trained beside it.

    Attributes:
        diffusion: the schedule.
        time: embeds times for the generator.
        critic: of noisy features, given those noisier by a step, class embedding and time.
        critic_time: embeds times for it.
        hidden: features -> leaky ReLU -> [K]: the decoder's first layer.
        output: [K] -> [A], scaled to unit length: its second.
        penalty: weight of the critics' penalties.
    """

    def __init__(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int,
        config: ZeroDiffConfig, how: dict[str, Any],
    ) -> None:  # fmt: skip
        super().__init__(runs, features + attributes, config.encoder_hidden, noise, how)
        width, units = config.time_width or max(2, attributes), config.generator_hidden
        rates = config.rate_first, config.rate_last
        self.diffusion = Diffusion(config.diffusion_steps, rates, self.gamma)
        self.time = TimeEmbedding(runs, "time", width, how)
        self.critic_time = TimeEmbedding(runs, "noisy_critic/time", width, how)
        given = features + attributes + width
        self.critic = Critic(runs, "noisy_critic", features, given, config.critic_hidden, **how)
        self.hidden = Linear(
            runs, "decoder/hidden", features, units, activation="leaky_relu", **how
        )
        self.output = Linear(runs, "decoder/output", units, attributes, **how)
        self.penalty = AdaptivePenalty(self.gamma.new_tensor(per_run(runs, "penalty")))

    def error(self, features: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """[R] weighted L1 error of the class embeddings [R, B, A] decoded from [R, B, D]."""
        return weighted_l1(F.normalize(self.output(self.hidden(features)), dim=-1), attributes)


class Synthesis(Generator):
    """The generator from noise alone, in one step or in all."""

    def __init__(
        self, generator: Generator, time: TimeEmbedding, diffusion: Diffusion, progressive: bool
    ) -> None:
        """Share all layers."""
        self.noise, self.hidden, self.output = generator.noise, generator.hidden, generator.output
        self._time, self._diffusion, self._progressive = time, diffusion, progressive

    def of(self, run: int) -> Synthesis:
        """That of one run, for inference."""
        return Synthesis(super().of(run), self._time.of(run), self._diffusion, self._progressive)

    @torch.no_grad()
    def features(
        self, attributes: torch.Tensor, stream: torch.Generator, into: torch.Tensor
    ) -> torch.Tensor:
        """Fill ``into`` [M, D] with features of ``attributes`` [M, A]; of one run alone."""
        last = self._diffusion.steps - 1
        for rows, part in zip(
            torch.split(attributes, CHUNK), torch.split(into, CHUNK), strict=True
        ):
            noisy = torch.randn(part.shape, generator=stream).to(rows)[None]
            for step in range(last, -1 if self._progressive else last - 1, -1):
                index = torch.full((1, len(rows)), step, device=rows.device)
                noise = torch.randn(len(rows), self.noise, generator=stream).to(rows)[None]
                made = self(noise, torch.cat([rows[None], noisy, self._time(index)], -1))
                again = torch.randn(part.shape, generator=stream).to(rows)[None]
                noisy = self._diffusion.back(made, noisy, index, again)
            part.copy_((noisy if self._progressive else made)[0])
        return into


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

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """What differs from AWA2's values."""
        return RECIPES.get(dataset.name, {})

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """With three noises as wide as features in every step of critics and generator."""
        turns, batch = self.config.critic_steps, min(self.config.batch, task.labels.numel())
        self.generator_draws, self.other_draws = 1, 3 * (turns + 1) * batch * task.features.shape[1]
        super().fit_batch(task, runs)

    def encoder(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int, how: dict[str, Any]
    ) -> Parts:
        """With decoder, noisy critic and times."""
        return Parts(runs, features, attributes, noise, self.config, how)

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """The generator sees a noisy feature and a time beside the class embedding."""
        made = super().networks(task, runs)
        width, attributes = task.features.shape[1], task.attributes.shape[1]
        given = attributes + width + made.encoder.time.second.outputs
        generator = Generator(
            runs, "generator", made.generator.noise, given, self.config.generator_hidden, width,
            output=self.output, std=self.config.init_std, device=task.device,
            dtype=task.features.dtype,
        )  # fmt: skip
        return replace(made, generator=generator)

    def synthesiser(self, networks: GANNetworks) -> Synthesis:
        """From noise alone."""
        parts: Parts = networks.encoder
        progressive = self.config.progressive
        return Synthesis(networks.generator, parts.time, parts.diffusion, progressive)

    def representation(
        self, networks: GANNetworks, run: int
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Features, the decoder's hidden units and the decoded embedding, for ``VS``."""
        if self.config.classifier_input == "V":
            return None
        hidden, output = networks.encoder.hidden.of(run), networks.encoder.output.of(run)

        def encode(features: torch.Tensor) -> torch.Tensor:
            units = hidden(features)
            return torch.cat([features, units, F.normalize(output(units), dim=-1)], -1)

        return lambda features: embed_in_chunks(encode, features)

    def draws(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> Callable[[int], list[torch.Tensor]]:
        """Times [.., turns + 1, B], noises [.., turns + 1, 3, B, D], mixes [.., turns, B, 1]."""
        times, noises, mixes = (
            Generators(runs, f"diffusion/{name}") for name in ("times", "noise", "interpolation")
        )
        turns, width = self.config.critic_steps, task.features.shape[1]
        batch, last = min(self.config.batch, task.labels.numel()), self.config.diffusion_steps
        device, dtype = task.device, task.features.dtype
        return lambda steps: [
            times.block(
                lambda stream: torch.randint(last, (steps, turns + 1, batch), generator=stream),
                device,
            ),
            normals(noises, (turns + 1, 3, batch, width), steps, device).to(dtype),
            mixes.block(
                lambda stream: torch.rand(steps, turns, batch, 1, generator=stream), device
            ).to(dtype),
        ]

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """Decoder and critics, then generator and encoder."""
        config: ZeroDiffConfig = self.config
        generator, clean, embeddings = networks.generator, networks.critic, networks.embeddings
        parts: Parts = networks.encoder
        turns, diffusion, noisy = config.critic_steps, parts.diffusion, parts.critic
        vae, distillation, decoded = (
            task.features.new_tensor(per_run(runs, name))
            for name in ("vae", "distillation", "decoded")
        )

        def rows(turn: int, drawn: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
            """Features, embeddings, times, a noisier pair and noise for the way back."""
            picked = drawn[0][:, min(turn, turns - 1)]
            x, index, noise = task.features[picked], drawn[3][:, turn], drawn[4][:, turn]
            pair = diffusion.pair(x, index, noise[:, 0], noise[:, 1])
            return x, embeddings[task.labels[picked]], index, *pair, noise[:, 2]

        def made(
            z: torch.Tensor, a: torch.Tensor, index: torch.Tensor, further: torch.Tensor,
            noise: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
            found = generator(z, torch.cat([a, further, parts.time(index)], -1))
            return found, diffusion.back(found, further, index, noise)

        def of_decoder(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
            x, a, *_ = rows(turn, drawn)
            return {"loss": parts.error(x, a)}

        def of_critics(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
            x, a, index, less, further, noise = rows(turn, drawn)
            with torch.no_grad():
                z = self.latent(networks, x, a, drawn[1][:, turn])
                fake, fake_less = made(z, a, index, further, noise)
            given = torch.cat([further, a, parts.critic_time(index)], -1)
            of_clean = clean.losses(x, fake, a, drawn[2][:, turn])
            of_noisy = noisy.losses(less, fake_less, given, drawn[5][:, turn])
            real, generated, penalty = (p + q for p, q in zip(of_clean, of_noisy, strict=True))
            parts.penalty.seen(penalty / 2)
            opinion = clean(x, a) - clean(fake, a)
            other = noisy(less, given) - noisy(fake_less, given)
            apart = (opinion - other.detach()).square() + (opinion.detach() - other).square()
            weights = diffusion.clean[index] ** config.distillation_power
            apart = (apart * weights).mean(1)
            loss = parts.gamma * (generated - real + parts.penalty.weight * penalty)
            loss = loss + distillation * apart
            return {
                "wasserstein": real - generated, "penalty": penalty, "apart": apart, "loss": loss
            }  # fmt: skip

        def of_generator(_: Any, turn: int, *drawn: torch.Tensor) -> dict[str, torch.Tensor]:
            if config.adaptive_penalty:
                parts.penalty.adapt(turns)
            x, a, index, _, further, noise = rows(turns, drawn)
            mu, logvar = parts(x, a)
            z = mu + drawn[1][:, -1] * torch.exp(0.5 * logvar)
            found, less = made(z, a, index, further, noise)
            error = F.binary_cross_entropy((found + 1e-12).clamp(max=1), x, reduction="none")
            constant = (*clean.layers, *noisy.layers, *parts.critic_time.layers)
            with frozen(*constant, parts.hidden, parts.output):
                given = torch.cat([further, a, parts.critic_time(index)], -1)
                adversarial = -(clean(found, a) + noisy(less, given)).mean(1)
                off = parts.error(found, a)
            terms = {
                "reconstruction": error.sum((1, 2)) / x.shape[1],
                "kl": kl_divergence(mu, logvar) / x.shape[1],
                "adversarial": adversarial,
                "decoded": off,
            }
            loss = vae * (terms["reconstruction"] + terms["kl"]) + parts.gamma * adversarial
            return terms | {"loss": loss + decoded * off}

        betas = config.beta1, config.beta2
        decoder = StackedAdam(
            [([parts.hidden, parts.output], per_run(runs, "decoder_lr"))], betas=betas
        )
        critics = [*clean.layers, *noisy.layers, *parts.critic_time.layers]
        makers = Several(
            self.adam(runs, [*generator.layers, *parts.time.layers], config.beta1),
            self.adam(runs, parts.layers, config.encoder_beta1),
        )
        before = [Phase(decoder, of_decoder, "decoder/")]
        adam = self.adam(runs, critics, config.beta1)
        return [
            Phase(adam, of_critics, "critic/", turns, before=before),
            Phase(makers, of_generator, "generator/"),
        ]


SPEC = MethodSpec(
    name="zerodiff",
    factory=ZeroDiff,
    citation="Ye et al., ZeroDiff: Solidified Visual-Semantic Correlation in Zero-Shot Learning, "
    "ICLR 2025",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A VAE-GAN whose generator denoises features in a few diffusion steps.",
)
