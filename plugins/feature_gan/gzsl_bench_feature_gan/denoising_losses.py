"""What ZeroDiff's decoder, critics and generator minimise in a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gzsl_bench.stacked import Batch, GANNetworks, Linear, frozen
from gzsl_bench_feature_gan.denoising import Noised, Parts
from gzsl_bench_feature_gan.denoising_gan import DenoisingGAN
from gzsl_bench_feature_gan.f_vaegan import vae_terms
from gzsl_bench_feature_gan.zerodiff_config import ZeroDiffConfig


class Losses:
    """What decoder, critics and generator minimise, each per run: [R]."""

    def __init__(self, method: DenoisingGAN, networks: GANNetworks) -> None:
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
