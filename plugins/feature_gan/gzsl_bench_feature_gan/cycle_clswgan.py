"""cycle-CLSWGAN: generated features must lead back to their class (Felix et al., ECCV 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Generators,
    Linear,
    Phase,
    StackedAdam,
    Terms,
    frozen,
    per_run,
    subsets,
    train_alternating,
)
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN, RECIPES, FCLSWGANConfig


class CycleCLSWGANConfig(FCLSWGANConfig):
    """Hyper-parameters of cycle-CLSWGAN; defaults are CUB's."""

    cycle: float = stackable(0.01, "weight of the regression back to class embeddings", ge=0)
    regressor_epochs: int = Field(40, ge=1, description="epochs of the regressor")
    regressor_batch: int = Field(64, ge=1, description="rows in a step of it")
    regressor_lr: float = Field(1e-4, gt=0, description="its learning rate")


class CycleCLSWGAN(FCLSWGAN):
    """f-CLSWGAN, and a linear regressor from features to class embeddings, trained before.

    The released code has the variant without the classifier alone, trained by one step of the
    critic for one of the generator; the classifier's weight is that of its configuration files.
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

    def more_terms(self, task: Task, runs: Sequence[Run]) -> Terms:
        """Beside the NLL of seen classes: the mean squared error of the class embedding."""
        classification = super().more_terms(task, runs)
        regress = self._regressor(task, runs)
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
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="f-CLSWGAN whose features must lead back to the embedding of their class.",
)
