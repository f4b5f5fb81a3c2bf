"""ZLA: zero-shot logit adjustment on features of a WGAN (Chen et al., IJCAI 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, stackable
from gzsl_bench.stacked import (
    Batch,
    FeatureGAN,
    GANNetworks,
    Progress,
)
from gzsl_bench_feature_gan.adjusted import AdjustedClassifier
from gzsl_bench_feature_gan.config import GANConfig, looks, spec


class ZLAConfig(GANConfig):
    """Hyper-parameters of ZLA (released code); defaults are CUB's."""

    batch: int = Field(512, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(2000, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    reused_noise: bool = Field(
        True, description="the generator's step uses the critic's last noise again, as released"
    )
    samples: int = Field(10, ge=1, description="generated features of each unseen class")
    prototype_hidden: int = Field(1024, ge=1, description="hidden units of the classifier")
    temperature: float = Field(0.04, gt=0, description="of its cosines")
    ratio: float = stackable(30.0, "prior of seen classes over that of unseen ones", gt=0)
    classifier_epochs: int = Field(60, ge=1, description="epochs of the classifier")
    halved_after: int = Field(30, ge=1, description="epochs of it after which its rate is halved")
    classifier_batch: int | None = Field(
        512, ge=1, description="rows in a step of the classifier; none: `samples`"
    )
    classifier_lr: float = stackable(1e-4, "learning rate of the classifier", gt=0)
    weight_decay: float = Field(1e-4, ge=0, description="of the classifier")
    evaluate_every: int = looks(100)


#: The released ratios; CUB's is for sentences, that of its attributes is 45.  AWA1 has none and
#: takes AWA2's, FLO takes CUB's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "SUN": {"ratio": 60.0},
    "AWA1": {"ratio": 1000.0},
    "AWA2": {"ratio": 1000.0},
    "APY": {"ratio": 300.0},
}


class ZLA(FeatureGAN):
    """A plain WGAN-GP; prototypes of all classes are trained by the cosine, with priors added.

    The classifier sees 10 generated features of each unseen class beside the real ones.  Its
    training logits are cosines over a temperature, plus the log of the class's share of its domain
    and of the domain's prior; test scores are cosines alone.  Class embeddings are as in the file;
    the published numbers of CUB are for sentences, not normalised.

    Filled in: the classifier's initial weights (those of the GAN's layers) and batches (in one
    shuffle after another), and when one is trained, of 2000 GAN epochs.
    """

    Config = ZLAConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released ratio of ``dataset``; CUB's where there is none."""
        if (dataset.name, dataset.attributes) == ("CUB", "att"):
            return {"ratio": 45.0}
        return RECIPES.get(dataset.name, {})

    def batch(
        self,
        networks: GANNetworks,
        turn: int,
        factors: Sequence[torch.Tensor],
        drawn: Sequence[torch.Tensor],
    ) -> Batch:
        """The generator's step may use the critic's last noise again."""
        made = super().batch(networks, turn, factors, drawn)
        again = self.config.reused_noise and turn == self.config.critic_steps
        return replace(made, noises=drawn[1][:, turn - 1 :]) if again else made

    def evaluation(self, networks: GANNetworks) -> tuple[Callable[[int, Progress], None], int]:
        """Prototypes, trained anew."""
        classifier = AdjustedClassifier(networks, self.config)
        return classifier, classifier.units


SPEC = spec(
    name="zla",
    factory=ZLA,
    citation="Chen et al., Zero-Shot Logit Adjustment, IJCAI 2022",
    summary="A WGAN's features train prototypes of all classes with the prior of seen ones.",
)
