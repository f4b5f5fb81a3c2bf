"""Hyper-parameters of SDGZSL and the released values of every data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from gzsl_bench import Config, stackable


class SDGZSLConfig(Config):
    """Hyper-parameters of SDGZSL (released scripts); defaults are those of CUB's sentences."""

    # Networks.
    hidden: int = Field(2048, ge=1, description="hidden units of every network")
    encoder_output: int = Field(128, ge=1, description="units before mean and variance")
    latent: int = Field(20, ge=1, description="dimensions of the VAE's latent space")
    semantic: int = Field(312, ge=1, description="units of a feature that say the class (S)")
    unrelated: int = Field(312, ge=1, description="units that do not (N)")
    encoder_dropout: float = Field(0.4, ge=0, lt=1, description="of the VAE's encoder")
    variance_dropout: float = Field(0.2, ge=0, lt=1, description="before the variance's softplus")
    decoder_dropout: float = Field(0.5, ge=0, lt=1, description="of the VAE's decoder")
    autoencoder_dropout: float = Field(0.2, ge=0, lt=1, description="of the autoencoder")

    # Training.
    batch: int = Field(64, ge=2, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(400, ge=1, description="epochs of about rows / batch steps each")
    lr: float = stackable(1e-4, "learning rate of all networks", gt=0)
    weight_decay: float = Field(1e-6, ge=0, description="times the parameters, in their gradients")
    kl_warmup: float = Field(0.02, ge=0, description="what the KL weight grows in an epoch, to 1")
    correlation: float = stackable(0.3, "full weight of the total correlation (beta)", ge=0)
    correlation_warmup: float = Field(
        0.001, ge=0, description="the share of it that an epoch adds, to 1"
    )
    relation: float = stackable(3.0, "weight of the relation errors (ga)", ge=0)
    discriminator: float = stackable(0.3, "weight of the discriminator's loss (dis)", ge=0)
    discriminator_every: int = Field(
        2, ge=1, description="steps with the correlation before one that trains the discriminator"
    )

    # The final classifier.
    samples: int = Field(1200, ge=1, description="generated features of each unseen class")
    classifier_epochs: int = Field(50, ge=1, description="epochs of the classifier")
    classifier_batch: int | None = Field(
        None, ge=1, description="rows in a step of the classifier; none: `samples`"
    )
    classifier_lr: float = stackable(5e-3, "learning rate of the classifier", gt=0)
    classifier_beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first beta, classifier")
    evaluate_every: int = Field(
        20, ge=0, description="train a classifier after every so many epochs and after the last;"
        " 0: after the last alone",
    )  # fmt: skip


def _recipe(
    relation: float, correlation: float, discriminator: float, samples: int, units: int, lr: float,
    classifier_lr: float, epochs: int, warmups: tuple[float, float],
    dropouts: tuple[float, float, float], every: int, **more: Any,
) -> Mapping[str, Any]:  # fmt: skip
    """A row of the released scripts."""
    names = ("encoder_dropout", "decoder_dropout", "autoencoder_dropout")
    return {
        "relation": relation, "correlation": correlation, "discriminator": discriminator,
        "samples": samples, "semantic": units, "unrelated": units, "lr": lr,
        "classifier_lr": classifier_lr, "epochs": epochs, "kl_warmup": warmups[0],
        "correlation_warmup": warmups[1], "discriminator_every": every,
        **dict(zip(names, dropouts, strict=True)), **more,
    }  # fmt: skip


_AWA = _recipe(
    0.5, 1, 0.3, 5000, 1024, 3e-5, 3e-3, 220, (0.01, 0.001), (0.4, 0.5, 0.2), 2
)  # fmt: skip
#: The released scripts on ordinary features; AWA1 has none and takes AWA2's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": _recipe(
        5, 0.003, 0.3, 1000, 2048, 1e-4, 2e-3, 600, (0.001, 0.0001), (0.1, 0.1, 0.0), 3,
        weight_decay=1e-8,
    ),
    "SUN": _recipe(
        30, 0.3, 0.5, 400, 2048, 3e-4, 1e-3, 400, (0.001, 0.0003), (0.4, 0.2, 0.4), 3
    ),
    "AWA1": _AWA,
    "AWA2": _AWA,
    "APY": _recipe(
        0.1, 1, 1, 1200, 128, 1e-4, 5e-3, 400, (0.02, 0.001), (0.4, 0.5, 0.2), 2,
        classifier_epochs=20,
    ),
    "FLO": _recipe(
        3, 0.1, 0.1, 1200, 2048, 1e-4, 3e-3, 400, (0.001, 0.001), (0.4, 0.4, 0.2), 3
    ),
}  # fmt: skip
