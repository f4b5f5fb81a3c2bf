"""A generator that guesses a clean feature from a noisy one, beside a critic of noisy features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from gzsl_bench import Run, Task
from gzsl_bench.stacked import GANNetworks, Generators, Maker, integers, normals, uniforms
from gzsl_bench_feature_gan.denoising import Parts, Synthesis
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN
from gzsl_bench_feature_gan.zerodiff_config import RECIPES, ZeroDiffConfig


class DenoisingGAN(FVAEGAN):
    """f-VAEGAN's networks, the generator shown a noisy feature and its time beside the class.

    What is minimised is a subclass's.
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
