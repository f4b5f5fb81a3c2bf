"""ZeroDiff's networks: what learns beside the generator, and the generator from noise alone."""

from __future__ import annotations

import torch

from gzsl_bench.stacked import Diffusion, Generator, Maker, TimeEmbedding
from gzsl_bench.stacked.gan.networks import CHUNK
from gzsl_bench_feature_gan.adaptive import AdaptivePenalty
from gzsl_bench_feature_gan.decoder import Decoder
from gzsl_bench_feature_gan.f_vaegan import Encoder


class Parts(Encoder):
    """The encoder, and what is trained beside it.

    Attributes:
        diffusion: the schedule.
        time: embeds times for the generator.
        critic: of noisy features, given those noisier by a step, class embedding and time.
        critic_time: embeds times for it.
        decoder: class embeddings from features.
        penalty: weight of the critics' penalties.
    """

    def __init__(self, make: Maker) -> None:
        super().__init__(make)
        config, features, attributes = make.config, make.features, make.attributes
        width = config.time_width or max(2, attributes)
        rates = config.rate_first, config.rate_last
        self.diffusion = Diffusion(config.diffusion_steps, rates, self.gamma)
        self.time = TimeEmbedding(make.runs, "time", width, make.how)
        self.critic_time = TimeEmbedding(make.runs, "noisy_critic/time", width, make.how)
        given = features + attributes + width
        self.critic = make.critic("noisy_critic", features, given, config.critic_hidden)
        self.decoder = Decoder(make)
        (penalty,) = make.values("penalty")
        self.penalty = AdaptivePenalty(penalty)


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
