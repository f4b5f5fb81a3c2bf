"""Training of small networks with a penalty on the squares of their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from gzsl_bench import Run
from gzsl_bench.stacked import Generators, Linear, Progress, StackedAdam, permutations, train


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
        self.biases = biases

    def penalty(self) -> torch.Tensor:
        """The penalty of each run [R]; a number, whose gradient :meth:`step` adds."""
        squares = [layer.flat.detach().square().sum(1) for layer in self.layers]
        return 0.5 * self.penalties * torch.stack(squares).sum(0)

    def step(self) -> None:
        """Add the penalty's gradient to that of the loss, and update."""
        for layer in self.layers:
            assert layer.grad is not None
            layer.grad.addcmul_(layer.flat.detach(), self.penalties[:, None])
            if not self.biases:
                layer.bias_grad.zero_()
        super().step()


def squared_distances(rows: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """||r - p||^2 of rows [N, K] and points [P, K] as [N, P]; never below 0."""
    lengths = rows.square().sum(1, keepdim=True)
    found = torch.addmm(points.square().sum(1), rows, points.T, alpha=-2)
    return (found + lengths).clamp_(min=0)


def train_in_batches(
    runs: Sequence[Run],
    optimizer: StackedAdam,
    rows: int,
    batch: int,
    epochs: int,
    device: torch.device,
    loss: Callable[[torch.Tensor], Mapping[str, torch.Tensor]],
    after_epoch: Callable[[int], None],
) -> None:
    """Go through shuffled rows in batches; what is left of them, less than a batch, sits out.

    Args:
        runs: the stack.
        optimizer: holds the layers' gradients.
        rows: N, the number of rows.
        batch: rows in a step; all of them where there are fewer.
        epochs: number of epochs.
        device: where row numbers are needed.
        loss: row numbers [R, B] -> named terms [R], of which ``loss`` is minimised.
        after_epoch: called with the epoch, from 1; runs that diverged have been given up.
    """
    batch = min(batch, rows)
    steps = rows // batch
    shuffles = Generators(runs, "batches")
    progress = Progress(runs, epochs)

    def draw(count: int) -> list[torch.Tensor]:
        order = permutations(shuffles, rows, 1, device)[0, :, : count * batch]
        return [order.view(len(runs), count, batch).transpose(0, 1).contiguous()]

    def finish() -> None:
        progress.advance(1)
        after_epoch(progress.done)

    train(
        runs,
        optimizer,
        epochs=epochs,
        steps=steps,
        weights=lambda epoch: [],
        draw=draw,
        loss=lambda weights, picked: loss(picked),
        after_epoch=finish,
    )


def truncated_normal(shape: Sequence[int], deviation: float, run: Run, name: str) -> torch.Tensor:
    """Normal numbers of which none is further than two deviations from 0, by inverting the CDF."""
    low = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))
    uniform = torch.rand(*shape, generator=run.generator(f"init/{name}"), dtype=torch.float64)
    normal: torch.Tensor = torch.special.ndtri(low + (1 - 2 * low) * uniform)
    return (deviation * normal).float()
