"""Hyper-parameters of ACMR and the released values of every data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gzsl_bench import Config, DatasetInfo, stackable


class ACMRConfig(Config):
    """Hyper-parameters of ACMR (released code: train.py, arch/utils.py); defaults are CUB's."""

    # Networks.
    latent: int = Field(64, ge=1, description="dimensions of the latent space")
    visual_encoder_hidden: int = Field(1560, ge=1, description="hidden units, visual encoder")
    visual_decoder_hidden: int = Field(1665, ge=1, description="hidden units, visual decoder")
    attribute_encoder_hidden: int = Field(1450, ge=1, description="hidden units, attribute encoder")
    attribute_decoder_hidden: int = Field(665, ge=1, description="hidden units, attribute decoder")
    iem_hidden: int = Field(99, ge=1, description="hidden units of the IEM gate")
    iem: bool = Field(True, description="gate the statistics (IEM); off in Dual- and VSA-VAE")
    vsa: bool = Field(True, description="classify attended latents (VSA); off in Dual- and IE-VAE")
    attention: Literal["softmax", "identity"] = Field(
        "softmax", description="the VSA's attention; identity keeps its heads without attention"
    )
    init_gain: float = Field(0.5, gt=0, description="gain of the Xavier-uniform initialisation")

    # Training of the autoencoders.
    batch: int = Field(50, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(100, ge=1, description="epochs of ceil(rows / batch) random batches each")
    vae_lr: float = stackable(1.5e-4, "learning rate of encoders and decoders", gt=0)
    iem_lr: float = stackable(3.3e-5, "learning rate of the IEM gates", gt=0)
    vsa_lr: float = stackable(7.4e-3, "learning rate of the VSA heads", gt=0)
    kl_factor: float = stackable(2.555, "full weight of the KL term (paper: alpha)", ge=0)
    kl_start: int = Field(0, ge=0, description="last epoch (from 0) without the KL term")
    kl_end: int = Field(93, ge=0, description="first epoch with the full KL weight")
    distance_factor: float = stackable(8.21, "full weight of the distance (paper: beta)", ge=0)
    distance_start: int = Field(7, ge=0, description="last epoch without the distance term")
    distance_end: int = Field(22, ge=0, description="first epoch with the full distance weight")
    classification_factor: float = stackable(
        310.5, "full weight of the classification terms (paper: lambda)", ge=0
    )
    classification_start: int = Field(0, ge=0, description="last epoch without classification")
    classification_end: int = Field(21, ge=0, description="first epoch with its full weight")

    # The final classifier.
    seen_samples: int = Field(200, ge=1, description="image latents of each seen class")
    unseen_samples: int = Field(390, ge=1, description="attribute latents of each unseen class")
    classifier_epochs: int = Field(
        50, ge=2, description="epochs of the classifier; the first is trained but not offered"
    )
    classifier_batch: int = Field(32, ge=1, description="rows in a step of the classifier")
    classifier_lr: float = stackable(5e-4, "learning rate of the classifier", gt=0)
    classifier_beta1: float = Field(0.3, ge=0, lt=1, description="Adam's first beta, classifier")
    classifier_beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second beta, classifier")

    @model_validator(mode="after")
    def _warm_ups_run_forward(self) -> Self:
        for name in ("kl", "distance", "classification"):
            if getattr(self, f"{name}_end") < getattr(self, f"{name}_start"):
                raise ValueError(f"{name}_end must not be smaller than {name}_start")
        return self


def _row(
    decoder: int,
    kl: float,
    distance: tuple[float, int, int],
    classification: tuple[float, int],
    unseen_samples: int,
    classifier_epochs: int = 50,
) -> Mapping[str, Any]:
    return {
        "visual_decoder_hidden": decoder,
        "kl_factor": kl,
        "distance_factor": distance[0],
        "distance_start": distance[1],
        "distance_end": distance[2],
        "classification_factor": classification[0],
        "classification_end": classification[1],
        "unseen_samples": unseen_samples,
        "classifier_epochs": classifier_epochs,
    }


#: What differs between data sets in the released code (train.py, arch/utils.py); several values
#: are not in the paper, and some contradict it (it prints 1680 hidden units for all four).
TABLE: Mapping[str, Mapping[str, Any]] = {
    "CUB": _row(1665, 2.555, (8.21, 7, 22), (310.5, 21), 390),
    "SUN": _row(1660, 2.455, (10.1, 7, 22), (305.555, 22), 410),
    "AWA1": _row(1680, 7 / 3, (8.11, 6, 23), (290.13, 16), 460),
    "AWA2": _row(1680, 3.554, (12.0, 6, 22), (100.5, 19), 480, classifier_epochs=300),
}


def defaults(dataset: DatasetInfo) -> Mapping[str, Any]:
    """The row of ``dataset``; CUB's where the released code has none."""
    return TABLE.get(dataset.name, TABLE["CUB"])
