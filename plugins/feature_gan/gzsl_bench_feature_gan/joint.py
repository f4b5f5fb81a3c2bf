"""LsrGAN's classifier: one softmax of all classes, which learns beside the GAN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gzsl_bench.stacked import Maker, Phase, Shuffles, train_alternating


class Joint:
    """The softmax of all classes, trained on real features of seen ones, and its Adam.

    Both go on beside the GAN, as released.  The moments matter: the second ones of this training,
    whose loss has weight 1 and which an unseen class's row hardly takes part in, scale thousands of
    steps after it, when the weights are 0.1 to 0.001.

    Attributes:
        layer: features [D] -> logits [C].
        adam: its optimiser.
    """

    def __init__(self, make: Maker) -> None:
        task, runs, config = make.task, make.runs, make.config
        rows = task.labels.numel()
        batch, shuffles = min(config.seen_batch, rows), Shuffles(runs, "seen/shuffle", rows)
        self.layer = make.linear("joint", make.features, task.num_classes)
        self.adam = make.adam([self.layer], "classifier_lr")

        def draw(steps: int) -> list[torch.Tensor]:
            drawn = [shuffles.draw(number, steps, batch) for number in range(len(runs))]
            return [torch.stack(drawn, 1).to(task.device)]

        def loss(
            factors: Sequence[torch.Tensor], turn: int, picked: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            return {"loss": self.nll(task.features[picked], task.labels[picked])}

        train_alternating(
            runs,
            [Phase(self.adam, loss, "seen/")],
            epochs=config.seen_epochs,
            steps=math.ceil(rows / batch),
            draw=draw,
        )

    def nll(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[R] mean over a batch: features [R, B, D], ids of their classes [R, B]."""
        logs = self.layer(features).log_softmax(-1)
        return -logs.gather(-1, labels[..., None]).mean((1, 2))
