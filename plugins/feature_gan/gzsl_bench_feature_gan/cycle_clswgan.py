"""cycle-CLSWGAN: generated features must lead back to their class (Felix et al., ECCV 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    GANNetworks,
    Generators,
    Linear,
    Phase,
    StackedAdam,
    Terms,
    frozen,
    per_run,
    subsets,
    train_alternating,
    unseen_classes,
)
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
    Filled in: everything else is f-CLSWGAN's (five critic steps, its rates, epochs and final
    softmax), and the regressor learns from all training rows at a constant rate, where the released
    code holds a tenth out and lowers the rate by less than a hundredth.
    """

    Config = CycleCLSWGANConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """f-CLSWGAN's values of ``dataset``, and the regressor's of SUN."""
        values = {**RECIPES.get(dataset.name, {}), "classification": 0.01}
        return values | ({"regressor_epochs": 100} if dataset.name == "SUN" else {})

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """With noise for features of unseen classes, where they are made."""
        self.generator_draws = 2 if self.config.unseen_cycle else 1
        super().fit_batch(task, runs)

    def draws(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> Callable[[int], list[torch.Tensor]]:
        """Unseen classes [steps, R, B], where their features are made."""
        if not self.config.unseen_cycle:
            return super().draws(task, runs, networks)
        return unseen_classes(task, runs, min(self.config.batch, task.labels.numel()))

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """The generator's loss has a term of unseen classes, where they are made."""
        critic, of_generator = super().phases(task, runs, networks)
        weight, regress = self.config.unseen_cycle, self._regress

        def loss(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            terms = of_generator.loss(factors, turn, *drawn)
            attributes = networks.embeddings[drawn[3]]
            made = networks.generator(drawn[1][:, -1], attributes)
            error = (regress(made) - attributes).square().mean((1, 2))
            return {**terms, "unseen_cycle": error, "loss": terms["loss"] + weight * error}

        return [critic, replace(of_generator, loss=loss) if weight else of_generator]

    def more_terms(self, task: Task, runs: Sequence[Run]) -> Terms:
        """Beside the NLL of seen classes: the mean squared error of the class embedding."""
        classification = super().more_terms(task, runs)
        regress = self._regress = self._regressor(task, runs)
        weight = task.features.new_tensor(per_run(runs, "cycle"))

        def terms(
            generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
        ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
            error = (regress(generated) - attributes).square().mean((1, 2))
            return {**classification(generated, attributes, labels), "cycle": (weight, error)}

        return terms

    def _regressor(self, task: Task, runs: Sequence[Run]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Features [R, B, D] -> class embeddings [R, B, A], by constant weights."""
        config: CycleCLSWGANConfig = self.config
        (rows, width), batches = task.features.shape, Generators(runs, "regressor/batches")
        batch = min(config.regressor_batch, rows)
        layer = Linear(
            runs, "regressor", width, task.attributes.shape[1],
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


SPEC = MethodSpec(
    name="cycle_clswgan",
    factory=CycleCLSWGAN,
    citation="Felix et al., Multi-modal Cycle-consistent Generalized Zero-Shot Learning, ECCV 2018",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="f-CLSWGAN whose features must lead back to the embedding of their class.",
)
