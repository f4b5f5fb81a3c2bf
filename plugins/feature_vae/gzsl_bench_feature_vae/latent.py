"""Hyper-parameters of the methods whose classifier learns latents (vae/COMMON, first family)."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from gzsl_bench import Config, stackable


class LatentConfig(Config):
    """Two VAEs with one latent space and a softmax on it, as CADA-VAE's released code has them."""

    # Networks.
    latent: int = Field(64, ge=1, description="dimensions of the latent space")
    visual_encoder_hidden: int = Field(1560, ge=1, description="hidden units, visual encoder")
    visual_decoder_hidden: int = Field(1660, ge=1, description="hidden units, visual decoder")
    attribute_encoder_hidden: int = Field(1450, ge=1, description="hidden units, attribute encoder")
    init_gain: float = Field(0.5, gt=0, description="gain of the Xavier-uniform initialisation")

    # Training of the autoencoders.
    batch: int = Field(50, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(100, ge=1, description="epochs of ceil(rows / batch) random batches each")
    lr: float = stackable(1.5e-4, "learning rate of all networks", gt=0)
    kl_factor: float = stackable(0.25, "full weight of the KL term", ge=0)
    kl_start: int = Field(0, ge=0, description="last epoch (from 0) without the KL term")
    kl_end: int = Field(93, ge=0, description="first epoch with the full KL weight")
    distance_factor: float = stackable(8.13, "full weight of the distance", ge=0)
    distance_start: int = Field(6, ge=0, description="last epoch without the distance term")
    distance_end: int = Field(22, ge=0, description="first epoch with the full distance weight")

    # The final classifier.
    seen_samples: int = Field(200, ge=1, description="image latents of each seen class")
    unseen_samples: int = Field(400, ge=1, description="attribute latents of each unseen class")
    classifier_epochs: int = Field(30, ge=1, description="epochs of the classifier")
    classifier_batch: int = Field(32, ge=1, description="rows in a step of the classifier")
    classifier_lr: float = stackable(1e-3, "learning rate of the classifier", gt=0)
    classifier_beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first beta, classifier")
    classifier_beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second beta, classifier")

    @model_validator(mode="after")
    def _warm_ups_run_forward(self) -> Self:
        for name in (field[:-4] for field in type(self).model_fields if field.endswith("_end")):
            if getattr(self, f"{name}_end") < getattr(self, f"{name}_start"):
                raise ValueError(f"{name}_end must not be smaller than {name}_start")
        return self
