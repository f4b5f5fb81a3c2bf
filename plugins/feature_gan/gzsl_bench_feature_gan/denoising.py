"""ZeroDiff's networks: what learns beside the generator, and the generator from noise alone."""

from __future__ import annotations

import torch

from gzsl_bench.stacked import Batch, Diffusion, Generator, Maker, TimeEmbedding
from gzsl_bench.stacked.gan.networks import CHUNK
from gzsl_bench_feature_gan.adaptive import AdaptivePenalty
from gzsl_bench_feature_gan.decoder import Decoder
from gzsl_bench_feature_gan.f_vaegan import Encoder
from gzsl_bench_feature_gan.second_set import SecondSet, SetEmbedding


class Parts(Encoder):
    """The encoder, and what is trained beside it.

    Attributes:
        diffusion: the schedule.
        time: embeds times for the generator.
        critic: of noisy features, given those noisier by a step, class embedding and time.
        critic_time: embeds times for it.
        decoder: class embeddings from features.
        penalty: weight of the critics' penalties.
        second: what a second feature set brings, or None.
    """

    def __init__(self, make: Maker) -> None:
        super().__init__(make)
        config, features, attributes = make.config, make.features, make.attributes
        width = config.time_width or max(2, attributes)
        rates = config.rate_first, config.rate_last
        self.diffusion = Diffusion(config.diffusion_steps, rates, self.gamma)
        self.time, self.critic_time = (
            TimeEmbedding(make.runs, name, width, make.how, closed=False)
            for name in ("time", "noisy_critic/time")
        )
        self.second = None if make.task.second is None else SecondSet(make, width)
        given = features + attributes + width + (self.second.width if self.second else 0)
        self.critic = make.critic("noisy_critic", features, given, config.critic_hidden)
        self.decoder = Decoder(make)
        (penalty,) = make.values("penalty")
        self.penalty = AdaptivePenalty(penalty)

    def of_second(self, batch: Batch, part: str) -> list[torch.Tensor]:
        """What ``generator`` or ``critics`` see of the rows in the second set; [] without one."""
        if self.second is None or batch.task.second is None:
            return []
        embedded: SetEmbedding = getattr(self.second, part)
        return [embedded(batch.task.second[batch.picked])]


class Noised:
    """The rows of a batch with noise: what a step of the diffusion sees.

    Attributes:
        index: [R, B] numbers of steps.
        less: [R, B, D] features after so many steps of noise.
        further: the same after one more.
    """

    def __init__(self, parts: Parts, batch: Batch) -> None:
        self.index, noise = batch.own_now(0), batch.own_now(1)
        self._diffusion, self._noise = parts.diffusion, noise[:, 2]
        self.less, self.further = parts.diffusion.pair(
            batch.features, self.index, noise[:, 0], noise[:, 1]
        )

    def back(self, guess: torch.Tensor) -> torch.Tensor:
        """A sample [R, B, D] one step less noisy than ``further``, by a guess of the clean ones."""
        return self._diffusion.back(guess, self.further, self.index, self._noise)


class Synthesis(Generator):
    """The generator from noise alone, in one step or in all; all share one noise, as released."""

    def __init__(
        self,
        generator: Generator,
        time: TimeEmbedding,
        diffusion: Diffusion,
        progressive: bool,
        second: tuple[Generator, SetEmbedding] | None = None,
    ) -> None:
        """Share all layers; ``second`` makes features of the second set and embeds them."""
        self.noise, self.hidden, self.output = generator.noise, generator.hidden, generator.output
        self._time, self._diffusion, self._progressive = time, diffusion, progressive
        self._second = second

    def of(self, run: int) -> Synthesis:
        """That of one run, for inference."""
        second = (self._second[0].of(run), self._second[1].of(run)) if self._second else None
        one = super().of(run), self._time.of(run), self._diffusion, self._progressive
        return Synthesis(*one, second)

    @torch.no_grad()
    def features(
        self, attributes: torch.Tensor, stream: torch.Generator, into: torch.Tensor
    ) -> torch.Tensor:
        """Fill ``into`` [M, D] with features of ``attributes`` [M, A]; of one run alone."""
        last = self._diffusion.steps - 1
        for rows, part in zip(
            torch.split(attributes, CHUNK), torch.split(into, CHUNK), strict=True
        ):
            noisy, more = torch.randn(part.shape, generator=stream).to(rows)[None], []
            if self._second is not None:
                make, embed = self._second
                width = make.output.outputs
                r = make.features(rows, stream, rows.new_empty(len(rows), width))
                more = [embed(r[None])]
            noise = torch.randn(len(rows), self.noise, generator=stream).to(rows)[None]
            for step in range(last, -1 if self._progressive else last - 1, -1):
                index = torch.full((1, len(rows)), step, device=rows.device)
                made = self(noise, torch.cat([rows[None], noisy, self._time(index), *more], -1))
                again = torch.randn(part.shape, generator=stream).to(rows)[None]
                noisy = self._diffusion.back(made, noisy, index, again)
            part.copy_((noisy if self._progressive else made)[0])
        return into
