"""The networks of SDGZSL and the losses of a step (released code: models.py, train.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench.stacked import BatchNorm, Linear, Parameters, dropout, frozen
from gzsl_bench.stacked.layers import LEAK
from gzsl_bench_feature_vae.torch_init import torchs_linear

#: Of the decoder's batch normalisation: the released code gives 0.8 where the width was meant.
EPS = 0.8


@dataclass(frozen=True)
class Masks:
    """What dropout keeps in one step, and its rates.

    Attributes:
        encoder: [R, B, H].
        variance: [R, B, Z].
        decoder: [R, 3, B, H], of its three hidden layers.
        autoencoder: [R, 2, B, S + N + H + D], of its three layers; for made and for real features.
        rates: of encoder, variance, decoder and autoencoder.
    """

    encoder: torch.Tensor
    variance: torch.Tensor
    decoder: torch.Tensor
    autoencoder: torch.Tensor
    rates: tuple[float, float, float, float]


class SDNetworks:
    """A conditional VAE, an autoencoder, a relation network and a discriminator of a stack.

    Attributes:
        parts: every layer by its name.
        semantic: S, how many of the autoencoder's units are the semantic ones.
    """

    def __init__(
        self, runs: Sequence[Any], config: Any, features: int, attributes: int, how: dict[str, Any]
    ) -> None:
        hidden, latent = config.hidden, config.latent
        both = config.semantic + config.unrelated
        self.semantic = config.semantic

        def plain(name: str, inputs: int, outputs: int, **more: Any) -> Linear:
            return torchs_linear(runs, name, inputs, outputs, **how, **more)

        leaky = partial(plain, activation="leaky_relu")
        # What is normalised next: the released code trains biases that have no effect.
        bare = partial(plain, biased=False)
        narrow = config.encoder_output
        self.parts: dict[str, Parameters] = {
            "encoder/1": leaky("encoder/1", features + attributes, hidden),
            "encoder/2": leaky("encoder/2", hidden, hidden),
            "encoder/3": plain("encoder/3", hidden, narrow),
            "encoder/mean": plain("encoder/mean", narrow, latent),
            "encoder/variance": plain("encoder/variance", narrow, latent),
            "decoder/1": leaky("decoder/1", latent + attributes, hidden),
            "decoder/2": bare("decoder/2", hidden, hidden),
            "norm/2": BatchNorm(runs, hidden, eps=EPS, **how),
            "decoder/3": bare("decoder/3", hidden, hidden),
            "norm/3": BatchNorm(runs, hidden, eps=EPS, **how),
            "decoder/4": leaky("decoder/4", hidden, features),
            "split": leaky("split", features, both),
            "join/1": leaky("join/1", both, hidden),
            "join/2": leaky("join/2", hidden, features),
            "relation/1": plain("relation/1", config.semantic + attributes, hidden),
            "relation/2": plain("relation/2", hidden, 1, activation="sigmoid"),
            "discriminator": plain("discriminator", both, 2, activation="sigmoid"),
        }

    @property
    def layers(self) -> list[Parameters]:
        """All layers but the discriminator's."""
        return [layer for name, layer in self.parts.items() if name != "discriminator"]

    def of(self, run: int) -> SDNetworks:
        """Those of one run, for inference."""
        one = object.__new__(SDNetworks)
        one.semantic = self.semantic
        kept: Any = self.parts
        one.parts = {name: layer.of(run) for name, layer in kept.items()}
        return one

    def _through(self, name: str, x: torch.Tensor) -> torch.Tensor:
        layer: Any = self.parts[name]
        out: torch.Tensor = layer(x)
        return out

    def encode(
        self, features: torch.Tensor, attributes: torch.Tensor, masks: Masks
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and variances [R, B, Z]."""
        x = self._through("encoder/1", torch.cat([features, attributes], -1))
        # Dropout before a leaky ReLU is dropout after it.
        x = dropout(self._through("encoder/2", x), masks.encoder, masks.rates[0])
        x = self._through("encoder/3", x)
        variance = dropout(self._through("encoder/variance", x), masks.variance, masks.rates[1])
        return self._through("encoder/mean", x), F.softplus(variance)

    def decode(
        self, latents: torch.Tensor, attributes: torch.Tensor, masks: Masks | None = None
    ) -> torch.Tensor:
        """Latents [R, B, Z], embeddings [R, B, A] -> features [R, B, D]."""

        def dropped(x: torch.Tensor, place: int) -> torch.Tensor:
            if masks is None:
                return x
            return dropout(x, masks.decoder[:, place], masks.rates[2])

        x = dropped(self._through("decoder/1", torch.cat([latents, attributes], -1)), 0)
        x = dropped(self._through("norm/2", self._through("decoder/2", x)), 1)
        x = dropped(self._through("norm/3", self._through("decoder/3", x)), 2)
        return self._through("decoder/4", F.leaky_relu(x, LEAK))

    def split(self, features: torch.Tensor) -> torch.Tensor:
        """Features [R, B, D] -> semantic, then unrelated units [R, B, S + N]."""
        return self._through("split", features)

    def factors(
        self, features: torch.Tensor, masks: Masks, turn: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The units [R, B, S + N] as training sees them, and the masks of the layers after them."""
        units = self.split(features)
        kept = masks.autoencoder[:, turn]
        rest = kept[..., units.shape[-1] :]
        return dropout(units, kept[..., : units.shape[-1]], masks.rates[3]), rest

    def join(self, units: torch.Tensor, kept: torch.Tensor, rate: float) -> torch.Tensor:
        """Units [R, B, S + N] -> features [R, B, D]; the released code drops of the output, too."""
        x = self._through("join/1", units)
        x = dropout(x, kept[..., : x.shape[-1]], rate)
        return dropout(self._through("join/2", x), kept[..., x.shape[-1] :], rate)

    def relations(self, units: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """How well each row's semantic units [R, B, S + N] fit each row's class: [R, B, B].

        The hidden layer is linear in both, so 2 B + 1 rows go through it in place of B * B.
        """
        rows, width = units.shape[1], attributes.shape[-1]
        semantic = F.pad(units[..., : self.semantic], (0, width))
        classes = F.pad(attributes, (self.semantic, 0))
        nothing = torch.zeros_like(classes[:, :1])
        hidden = self._through("relation/1", torch.cat([semantic, classes, nothing], 1))
        of_rows, of_classes, bias = torch.split(hidden, [rows, rows, 1], 1)
        pairs = (of_rows.unsqueeze(2) + (of_classes - bias).unsqueeze(1)).relu()
        return self._through("relation/2", pairs.flatten(1, 2)).view(-1, rows, rows)

    def discriminate(self, units: torch.Tensor) -> torch.Tensor:
        """Units [R, B, S + N] -> two scores [R, B, 2]: as they came, or mixed among rows."""
        return self._through("discriminator", units)


def relation_error(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared error [R] to one-hot, over rows and the classes that are among them.

    Args:
        scores: [R, B, B] of each row with the class of each row.
        labels: [R, B]; a class with several rows counts once.
    """
    same = labels.unsqueeze(2) == labels.unsqueeze(1)
    once = 1 / same.sum(1).to(scores.dtype)
    error = ((scores - same.to(scores.dtype)).square() * once.unsqueeze(1)).sum((1, 2))
    return error / (labels.shape[1] * once.sum(1))


def sdgzsl_losses(
    networks: SDNetworks,
    features: torch.Tensor,
    attributes: torch.Tensor,
    labels: torch.Tensor,
    noise: torch.Tensor,
    masks: Masks,
    weights: Sequence[torch.Tensor],
    orders: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a step; ``loss`` is minimised.

    With ``orders`` the discriminator learns to tell units, which are constants for it, from mixed
    ones, in place of the correlation: its cross-entropy is taken of sigmoid outputs, as released.
    Both are sums over made and real features.

    Args:
        networks: those of the stack.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of their classes.
        labels: [R, B] their classes.
        noise: [R, B, Z] standard normal numbers.
        masks: of dropout.
        weights: [R] each: KL, correlation, relation, discriminator in this epoch.
        orders: [R, 2, 2, B] in which the semantic and the unrelated units of made, then of real
            features are mixed among rows; None in steps with the correlation.
    """
    kl_weight, correlation_weight, relation_weight, discriminator_weight = weights
    mean, variance = networks.encode(features, attributes, masks)
    made = networks.decode(mean + variance.sqrt() * noise, attributes, masks)
    rows = features.shape[1]
    error = (made - features).square().sum(-1).sum(-1) / rows
    kl = -0.5 * (1 + variance.log() - mean.square() - variance).sum(-1).sum(-1) / rows
    relation = reconstruction = disentangled = torch.zeros_like(error)
    for turn, source in enumerate((made, features)):
        units, kept = networks.factors(source, masks, turn)
        scores = networks.relations(units, attributes)
        relation = relation + relation_error(scores, labels)
        joined = networks.join(units, kept, masks.rates[3])
        reconstruction = reconstruction + (joined - features).square().mean((1, 2))
        if orders is None:
            with frozen(networks.parts["discriminator"]):
                scores = networks.discriminate(units)
            term = (scores[..., 0] - scores[..., 1]).mean(1)
        else:
            term = entropy_of_mixing(networks, units.detach(), orders[:, turn])
        disentangled = disentangled + term
    loss = error + kl_weight * kl + relation_weight * relation + reconstruction
    loss = loss + (correlation_weight if orders is None else discriminator_weight) * disentangled
    return {
        "vae": error,
        "kl": kl,
        "relation": relation,
        "reconstruction": reconstruction,
        "correlation" if orders is None else "entropy": disentangled,
        "loss": loss,
    }


def entropy_of_mixing(
    networks: SDNetworks, units: torch.Tensor, orders: torch.Tensor
) -> torch.Tensor:
    """The discriminator's cross-entropies [R] of units as they come and of mixed ones, added.

    Args:
        networks: those of the stack.
        units: [R, B, S + N].
        orders: [R, 2, B] in which their semantic and unrelated parts are mixed among rows.
    """
    parts = units.tensor_split([networks.semantic], dim=-1)
    mixed = [
        part.gather(1, order.unsqueeze(-1).expand_as(part))
        for part, order in zip(parts, orders.unbind(1), strict=True)
    ]
    scores = networks.discriminate(torch.cat([units, torch.cat(mixed, -1)], 1))
    as_came, moved = scores.log_softmax(-1).chunk(2, dim=1)
    return -(as_came[..., 0].mean(1) + moved[..., 1].mean(1))
