"""The training loop of a stack of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked.adam import StackedAdam


class Progress:
    """Progress of a stack, in units of the caller's choice, reported to each of its runs."""

    def __init__(self, runs: Sequence[Run], total: int) -> None:
        self.runs, self.total, self.done = runs, max(1, int(total)), 0

    def advance(self, units: int) -> None:
        """``units`` more are done."""
        self.done = min(self.total, self.done + int(units))
        for run in self.runs:
            run.progress(self.done, self.total)


def train(
    runs: Sequence[Run],
    optimizer: StackedAdam,
    *,
    epochs: int,
    steps: int,
    weights: Callable[[int], Sequence[torch.Tensor]],
    draw: Callable[[int], Sequence[torch.Tensor]],
    loss: Callable[..., Mapping[str, torch.Tensor]],
    after_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train all runs together; nothing waits for the device but once in an epoch.

    A run whose loss is no longer finite is given up with ``run.fail``; its neighbours go on.

    Args:
        runs: the stack.
        optimizer: holds the layers' gradients.
        epochs: number of epochs.
        steps: steps in an epoch.
        weights: epoch (from 0) -> the loss weights of that epoch, [R] each.
        draw: steps -> what the steps of one epoch consume, blocks of shape [steps, R, ...].
        loss: called with the weights and one step's slice of each block; named terms [R], of which
            ``loss`` is minimised.  All are logged as means over the epoch's steps.
        after_epoch: called when an epoch is done.
    """
    for epoch in range(epochs):
        factors = weights(epoch)
        names: Sequence[str] = ()
        sums: torch.Tensor | None = None
        for inputs in zip(*(block.unbind(0) for block in draw(steps)), strict=True):
            terms = loss(factors, *inputs)
            # The sum, never the mean: each run's gradient is then its own.
            terms["loss"].sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            values = torch.stack([term.detach() for term in terms.values()])
            names = tuple(terms)
            sums = values if sums is None else sums.add_(values)
        if sums is not None:
            report(runs, epoch + 1, names, sums / steps)
        after_epoch()
        if all(run.failure for run in runs):
            return


def report(runs: Sequence[Run], epoch: int, names: Sequence[str], means: torch.Tensor) -> None:
    """Log the ``means`` [terms, R] of an epoch and give up runs that diverged."""
    columns = means.double().t().tolist()
    for run, values in zip(runs, columns, strict=True):
        if run.failure:
            continue
        bad = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
        if bad:
            run.fail(f"{bad[-1]} is not finite in epoch {epoch}")
        else:
            run.log(epoch, **dict(zip(names, values, strict=True)))
