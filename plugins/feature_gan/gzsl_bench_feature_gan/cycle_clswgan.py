"""cycle-CLSWGAN: generated features must lead back to their class (Felix et al., ECCV 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, stackable
from gzsl_bench.stacked import (
    Batch,
    GANNetworks,
    Generators,
    Linear,
    Phase,
    StackedAdam,
    Terms,
    frozen,
    subsets,
    train_alternating,
    unseen_classes,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN, RECIPES, FCLSWGANConfig


class CycleCLSWGANConfig(FCLSWGANConfig):
    """Hyper-parameters of cycle-CLSWGAN; defaults are CUB's."""

    cycle: float = stackable(0.01, "weight of the regression back to class embeddings", ge=0)
    unseen_cycle: float = Field(
        0.0, ge=0, description="weight of the regression on unseen classes (cycle-UWGAN: 0.01)"
    )
    regressor_epochs: int = Field(40, ge=1, description="epochs of the regressor")
    regressor_batch: int = Field(64, ge=1, description="rows in a step of it")
    regressor_lr: float = Field(1e-4, gt=0, description="its learning rate")


class CycleCLSWGAN(FCLSWGAN):
    """f-CLSWGAN, and a linear regressor from features to class embeddings, trained before.

    The released code has the variant without the classifier alone, trained by one step of the
    critic for one of the generator; the classifier's weight is that of its configuration files.
    ``unseen_cycle`` adds the regression on generated features of unseen classes, one batch of them
    drawn uniformly a step: with ``classification=0`` that is cycle-UWGAN, as recalled of the paper.
    Filled in: everything else is f-CLSWGAN's (five critic steps, its rates, betas, epochs, initial
    weights, seen and final softmax, and a penalty that mixes whole rows, where the released code
    draws a number for every dimension).  The regressor learns from all training rows, in batches
    that are random subsets, at a constant rate without weight decay, where the released code holds
    a tenth out, passes over the rest, and lowers the rate by a hundredth; on SUN it lowers it
    to 0.42 of what it was and decays the weights (1e-3).
    """

    Config = CycleCLSWGANConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """f-CLSWGAN's values of ``dataset``, and the regressor's of SUN."""
        values = {**RECIPES.get(dataset.name, {}), "classification": 0.01}
        return values | ({"regressor_epochs": 100} if dataset.name == "SUN" else {})

    def generator_draws(self, networks: GANNetworks) -> int:
        """With noise for features of unseen classes, where they are made."""
        return 2 if self.config.unseen_cycle else 1

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Unseen classes [steps, R, B], where their features are made."""
        return unseen_classes(networks) if self.config.unseen_cycle else super().draws(networks)

    def more_terms(self, networks: GANNetworks) -> Terms:
        """Beside the NLL of seen classes: the mean squared error of the class embedding."""
        classification, regress = super().more_terms(networks), self._regressor(networks)
        (weight,), of_unseen = networks.make.values("cycle"), self.config.unseen_cycle

        def off(generated: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
            return (regress(generated) - attributes).square().mean((1, 2))

        def terms(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            found = {**classification(generated, batch)}
            found["cycle"] = weight, off(generated, batch.attributes)
            if of_unseen:
                attributes = networks.embeddings[batch.own[0]]
                made = networks.generator(batch.noises[:, 1], attributes)
                found["unseen_cycle"] = of_unseen, off(made, attributes)
            return found

        return terms

    def _regressor(self, networks: GANNetworks) -> Callable[[torch.Tensor], torch.Tensor]:
        """Features [R, B, D] -> class embeddings [R, B, A], by constant weights."""
        config: CycleCLSWGANConfig = self.config
        task, runs, make = networks.task, networks.runs, networks.make
        rows, batches = task.labels.numel(), Generators(runs, "regressor/batches")
        batch = min(config.regressor_batch, rows)
        layer = Linear(
            runs, "regressor", make.features, make.attributes,
            device=task.device, dtype=task.features.dtype,
        )  # fmt: skip

        def loss(
            factors: Sequence[torch.Tensor], turn: int, picked: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            attributes = task.attributes[task.labels[picked]]
            return {"loss": (layer(task.features[picked]) - attributes).square().mean((1, 2))}

        optimizer = StackedAdam([([layer], [config.regressor_lr] * len(runs))])
        train_alternating(
            runs,
            [Phase(optimizer, loss, "regressor/")],
            epochs=config.regressor_epochs,
            steps=math.ceil(rows / batch),
            draw=lambda steps: [subsets(batches, rows, batch, steps, task.device)],
        )

        def regress(features: torch.Tensor) -> torch.Tensor:
            with frozen(layer):
                return layer(features)

        return regress


SPEC = spec(
    name="cycle_clswgan",
    factory=CycleCLSWGAN,
    citation="Felix et al., Multi-modal Cycle-consistent Generalized Zero-Shot Learning, ECCV 2018",
    summary="f-CLSWGAN whose features must lead back to the embedding of their class.",
)
