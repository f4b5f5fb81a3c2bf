"""ZeroDiff's generator of the second feature set, trained before the first set's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from gzsl_bench import Run, Task
from gzsl_bench.stacked import Batch, GANNetworks, Phase, Progress, frozen
from gzsl_bench_feature_gan.denoising import Noised, Synthesis
from gzsl_bench_feature_gan.denoising_gan import DenoisingGAN
from gzsl_bench_feature_gan.second_set import Stage
from gzsl_bench_feature_gan.zerodiff_config import ZeroDiffConfig


class SecondSetGAN(DenoisingGAN):
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
