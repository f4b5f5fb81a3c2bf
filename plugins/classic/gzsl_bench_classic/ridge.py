"""Training of small networks with a penalty on the squares of their parameters."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from gzsl_bench import BatchedMethod, Run, Task
from gzsl_bench.stacked import (
    Generators,
    Linear,
    Progress,
    StackedAdam,
    lanes,
    per_run,
    permutations,
    train,
)

#: Features [N, D] -> scores [N, C].
ScoreFunction: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class RidgeAdam(StackedAdam):
    """Adam on a loss plus (penalty / 2) times the sum of all squared parameters."""

    def __init__(
        self,
        layers: Sequence[Linear],
        rates: Sequence[float],
        penalties: Sequence[float],
        *,
        biases: bool = True,
    ) -> None:
        """Optimise ``layers``.

        Args:
            layers: what is trained.
            rates: learning rate of each run.
            penalties: weight of each run's penalty.
            biases: train the biases, too; otherwise they stay 0.
        """
        super().__init__([(layers, rates)])
        self.penalties = torch.tensor(penalties, device=layers[0].flat.device)
        self._unbiased = () if biases else tuple(layers)

    def penalty(self) -> torch.Tensor:
        """The penalty of each run [R]; a number, whose gradient :meth:`step` adds."""
        squares = [layer.flat.detach().square().sum(1) for layer in self.layers]
        return 0.5 * self.penalties * torch.stack(squares).sum(0)

    def step(self) -> None:
        """Add the penalty's gradient to that of the loss, and update."""
        for layer in self.layers:
            assert layer.grad is not None
            layer.grad.addcmul_(layer.flat.detach(), self.penalties[:, None])
        for linear in self._unbiased:
            linear.bias_grad.zero_()
        super().step()


def squared_distances(rows: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """||r - p||^2 of rows [N, K] and points [P, K] as [N, P]; never below 0."""
    lengths = rows.square().sum(1, keepdim=True)
    found = torch.addmm(points.square().sum(1), rows, points.T, alpha=-2)
    return (found + lengths).clamp_(min=0)


class RidgeMethod(BatchedMethod):
    """A small network for all runs of a stack, trained by Adam with a penalty."""

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``, in stacks where that is worth it."""
        for stack in lanes(runs, task.device):
            self.fit_stack(task, stack)

    @abstractmethod
    def fit_stack(self, task: Task, runs: list[Run]) -> None:
        """Make the network of a stack and train it."""

    def train(
        self,
        task: Task,
        runs: list[Run],
        layers: Sequence[Linear],
        error: Callable[[torch.Tensor], torch.Tensor],
        scorers: Callable[[], Callable[[int], ScoreFunction]],
        *,
        biases: bool = True,
        every: int = 1,
    ) -> None:
        """Go through shuffled rows in batches; what is left of them, less than a batch, sits out.

        Args:
            task: the task.
            runs: the stack.
            layers: of the network.
            error: row numbers [R, B] -> what is minimised beside the penalty [R].
            scorers: called after every epoch: it gives the score function of a run by its place.
            biases: train the biases, too.
            every: epochs between checkpoints; the last epoch is always one.
        """
        config, rows = self.config, len(task.labels)
        batch, shuffles = min(config.batch, rows), Generators(runs, "batches")
        optimizer = RidgeAdam(layers, per_run(runs, "lr"), per_run(runs, "penalty"), biases=biases)
        progress = Progress(runs, config.epochs)

        def draw(count: int) -> list[torch.Tensor]:
            order = permutations(shuffles, rows, 1, task.device)[0, :, : count * batch]
            return [order.view(len(runs), count, batch).transpose(0, 1).contiguous()]

        def loss(weights: Any, picked: torch.Tensor) -> Mapping[str, torch.Tensor]:
            found, penalty = error(picked), optimizer.penalty()
            return {"error": found, "penalty": penalty, "loss": found + penalty}

        def after_epoch() -> None:
            progress.advance(1)
            score = scorers()
            if progress.done % every and progress.done != config.epochs:
                return
            for r, run in enumerate(runs):
                if not run.failure:
                    run.checkpoint(progress.done, score(r))

        train(
            runs,
            optimizer,
            epochs=config.epochs,
            steps=rows // batch,
            weights=lambda epoch: [],
            draw=draw,
            loss=loss,
            after_epoch=after_epoch,
        )


def truncated_normal(shape: Sequence[int], deviation: float, run: Run, name: str) -> torch.Tensor:
    """Normal numbers of which none is further than two deviations from 0, by inverting the CDF."""
    low = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
    uniform = torch.rand(*shape, generator=run.generator(f"init/{name}"), dtype=torch.float64)
    normal: torch.Tensor = torch.special.ndtri(low + (1 - 2 * low) * uniform)
    return (deviation * normal).float()
