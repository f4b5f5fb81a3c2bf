"""f-CLSWGAN: feature generating networks for zero-shot learning (Xian et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench.stacked import FeatureGAN, GANNetworks, Terms, seen_loss
from gzsl_bench_feature_gan.config import GANConfig, spec


class FCLSWGANConfig(GANConfig):
    """Hyper-parameters of f-CLSWGAN (released code: clswgan.py); defaults are CUB's."""

    classification: float = stackable(0.01, "weight of the seen classes' NLL (paper: beta)", ge=0)
    seen_epochs: int = Field(50, ge=1, description="epochs of the seen classes' classifier")
    seen_batch: int = Field(100, ge=1, description="rows in a step of it")
    seen_lr: float = Field(1e-3, gt=0, description="its learning rate")


#: The released scripts for generalized zero-shot learning, and two fills: AWA2 has none and takes
#: AWA1's; aPY has none and takes what LisGAN's script gives its WGAN.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"lr": 1e-4, "epochs": 56, "samples": 300},
    "SUN": {"lr": 2e-4, "epochs": 40, "samples": 400},
    "AWA1": {"lr": 1e-5, "epochs": 30, "samples": 1800},
    "AWA2": {"lr": 1e-5, "epochs": 30, "samples": 1800},
    "APY": {"lr": 1e-5, "epochs": 50, "samples": 1800},
    "FLO": {"lr": 1e-4, "epochs": 80, "samples": 1200, "classification": 0.1},
}


class FCLSWGAN(FeatureGAN):
    """A WGAN-GP whose features a softmax among seen classes, trained before, must recognise.

    As released: class embeddings as they are in the file, noise as wide as they are, features
    scaled to [0, 1] by their training rows.  One deviation: the released script trains and scores
    a classifier after every GAN epoch, here it does after every fifth and after the last
    (``evaluate_every: 1`` is as released).  It prints the best of the classifier's 25 epochs on the
    test set each time, and which GAN epoch the paper reports is not said.  ``best_test`` maximises
    over both; with ``evaluate_every: 0`` over the classifier's epochs after the last GAN epoch.
    """

    Config: ClassVar[type[GANConfig]] = FCLSWGANConfig
    recipes = RECIPES

    def more_terms(self, networks: GANNetworks) -> Terms:
        """The NLL of generated features in a frozen softmax among seen classes (Eq. 4)."""
        config: FCLSWGANConfig = self.config
        classify = seen_loss(
            networks.task,
            networks.runs,
            epochs=config.seen_epochs,
            batch=config.seen_batch,
            lr=config.seen_lr,
            betas=(config.beta1, config.beta2),
            std=config.init_std,
        )
        (weight,) = networks.make.values("classification")
        return lambda generated, batch: {
            "classification": (weight, classify(generated, batch.labels))
        }


SPEC = spec(
    name="f_clswgan",
    factory=FCLSWGAN,
    citation="Xian et al., Feature Generating Networks for Zero-Shot Learning, CVPR 2018",
    fidelity="official-code",
    summary="A WGAN makes features of unseen classes that a softmax learns beside real ones.",
)
