"""Hyper-parameters that the methods of the family have in common (gan/COMMON 1)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gzsl_bench import Config, Method, MethodSpec, stackable


def looks(every: int) -> Any:
    """The field ``evaluate_every`` with this default."""
    return Field(
        every,
        ge=0,
        description="train a classifier after every so many GAN epochs and after the last;"
        " 0: after the last alone",
    )


class GANConfig(Config):
    """A conditional WGAN-GP on features and the classifier after it; defaults are CUB's."""

    # Networks.
    noise: int | None = Field(
        None, ge=1, description="width of the noise; none: that of a class embedding"
    )
    generator_hidden: int = Field(4096, ge=1, description="hidden units of the generator")
    critic_hidden: int = Field(4096, ge=1, description="hidden units of the critic")
    init_std: float = Field(0.02, gt=0, description="standard deviation of initial weights")

    # Training of the GAN.
    batch: int = Field(64, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(56, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    critic_steps: int = Field(5, ge=1, description="steps of the critic for one of the generator")
    lr: float = stackable(1e-4, "learning rate of critic and generator", gt=0)
    beta1: float = Field(0.5, ge=0, lt=1, description="first beta of every Adam")
    beta2: float = Field(0.999, ge=0, lt=1, description="second beta of every Adam")
    penalty: float = stackable(10.0, "weight of the gradient penalty (paper: lambda)", ge=0)

    # The final classifier.
    samples: int = Field(300, ge=1, description="generated features of each unseen class")
    classifier_epochs: int = Field(25, ge=1, description="epochs of the classifier")
    classifier_batch: int | None = Field(
        None, ge=1, description="rows in a step of the classifier; none: `samples`"
    )
    classifier_lr: float = stackable(1e-3, "learning rate of the classifier", gt=0)
    evaluate_every: int = looks(5)


def spec(name: str, factory: type[Method], citation: str, summary: str, **about: Any) -> MethodSpec:
    """What the methods of this distribution say of themselves, where ``about`` says nothing else.

    Most fill in what papers and released code leave open: ``fidelity`` is "approximation".
    """
    usual: dict[str, Any] = {
        "version": "1",
        "fidelity": "approximation",
        "family": "Generative: GAN",
        "preprocessing": "minmax",
        "precisions": ("float32", "tf32"),
        "latents": True,
    }
    return MethodSpec(
        name=name, factory=factory, citation=citation, summary=summary, **usual | about
    )
